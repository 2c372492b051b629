//! Sources that break before or during an export: no incomplete file looks complete, the problem names the cause in plain
//! words without details of the server, and the export costs nothing.

mod streaming;

use std::{fs::File, io::Cursor, path::Path, time::Duration};

use e2e::{CatalogFile, Fleet, Setting, SourceDatabase, csv};
use polars::prelude::{Column, DataFrame, ParquetCompression, ParquetReader, ParquetWriter, SerReader};
use protocol::{
    client::{ClientMessage, FileOpen},
    credits::CreditsView,
    delivery,
    export::{Export, ExportRequest, Status},
    problem::Slug,
};
use reqwest::StatusCode;
use sea_orm::{ConnectionTrait, Database, DatabaseConnection};
use testkit::{client::Collector, eventually};

use self::streaming::{Streaming, truncated};

const KIB: u64 = 1024;
/// The maximum number of attempts of an export.
const ATTEMPTS: u32 = 2;
/// The rows of the large table, which has 70 MB and is read in five page ranges.
const ROWS: i64 = 240_000;
/// The bytes that each connection may read before it stalls: less than any range has.
const STALL_AFTER: u64 = 3 * 1024 * KIB;

/// Small segments, so that a client receives bytes long before the source breaks.
fn settings() -> Vec<Setting> {
    vec![
        ("SLUICE_EXPORTER__MAX_ATTEMPTS", ATTEMPTS.to_string()),
        // an export waits for an unavailable source, and then fails
        ("SLUICE_EXPORTER__EXPORT_OUTAGE_TIMEOUT", "1s".to_owned()),
        ("SLUICE_EXPORTER__SEGMENT_SIZE", "512 KiB".to_owned()),
    ]
}

/// Asserts that an export failed with these words and without any of `secrets`, has no file, and cost nothing.
async fn assert_failed(fleet: &Fleet, done: &Export, words: &str, secrets: &[&str]) {
    let rest = fleet.rest();
    assert_eq!((done.status, done.file.as_ref()), (Status::Failed, None), "{done:?}\n{}", fleet.logs());
    let problem = done.problem.clone().expect("a failed export has a problem");
    assert_eq!(problem.slug(), Slug::ExportFailed, "{problem}");
    assert!(problem.detail.contains(words), "{words}: {problem}\n{}", fleet.logs());
    let file = rest.get(&done.links.file).await;
    let metadata = rest.get(&done.links.metadata).await;
    let shown = rest.get(&done.links.this).await;
    for answer in [&file, &metadata] {
        assert_eq!((answer.status, answer.problem().slug()), (StatusCode::CONFLICT, Slug::ExportFailed));
    }
    for answer in [&file, &metadata, &shown] {
        for secret in ["127.0.0.1", "postgres", "SQL", "sqlx", "/tmp"].iter().chain(secrets) {
            assert!(!answer.text().contains(secret), "the answer reveals `{secret}`: {}", answer.text());
        }
    }
    let mut client = fleet.client().await;
    let open = FileOpen { export_id: done.id, offset: 0, window: None, attempt: None };
    client.send(&ClientMessage::FileOpen(open), Some("again")).await;
    assert_eq!(client.expect_error(Some("again")).await.slug(), Slug::ExportFailed);
    let store = fleet.store.store();
    for attempt in 1..=ATTEMPTS {
        let manifest = store.get(&delivery::manifest_path(done.id, attempt)).await;
        assert!(manifest.is_err(), "attempt {attempt} has a manifest");
    }
    eventually("its objects are deleted from the store", async || {
        let left = store.list(&delivery::export_prefix(done.id)).await;
        left.expect("the store can be listed").is_empty().then_some(())
    })
    .await;
    let credits: CreditsView = rest.get("/v1/credits").await.json();
    assert_eq!((credits.balance, credits.held), (5, 0), "the credit is released");
}

/// Asserts that every account matches its ledger.
async fn assert_accounts_match(fleet: &Fleet) {
    let mut audit = fleet.sluice(&["credits", "audit"]).run().await;
    assert!(audit.ended().await.success(), "{}{}", audit.stdout(), audit.stderr());
}

/// The byte at an offset of the damaged part.
type Damage = fn(usize) -> u8;

/// Writes a Parquet file with six columns and many row groups.
fn write_parquet(path: &Path, compression: ParquetCompression) {
    let rows = 600_000_i64;
    let numbers = |factor: i64| (0..rows).map(|n| (n * factor) % 1_000_003).collect::<Vec<_>>();
    let mut frame = DataFrame::new_infer_height(vec![
        Column::new("id".into(), (0..rows).collect::<Vec<_>>()),
        Column::new("a".into(), numbers(7_919)),
        Column::new("b".into(), numbers(104_729)),
        Column::new("c".into(), numbers(1_299_709)),
        Column::new("name".into(), (0..rows).map(|n| format!("name {}", n * 31 % 99_991)).collect::<Vec<_>>()),
        Column::new("note".into(), (0..rows).map(|n| format!("note {}", n * 37 % 99_989)).collect::<Vec<_>>()),
    ])
    .expect("columns of one height");
    let file = File::create(path).expect("a new folder is writable");
    let writer = ParquetWriter::new(file).with_compression(compression).with_row_group_size(Some(50_000));
    writer.finish(&mut frame).expect("a frame can be written");
}

#[tokio::test]
async fn slow_an_export_of_a_damaged_parquet_file_never_looks_complete() {
    let catalog = CatalogFile::new("[[dataset]]\nname = \"numbers\"\nfiles = \"numbers.parquet\"\n");
    let path = catalog.dir.path().join("numbers.parquet");
    write_parquet(&path, ParquetCompression::Snappy);
    let fleet = catalog.start_fleet(None, &["numbers"], settings()).await;
    let secret = catalog.dir.path().display().to_string();
    let damages: [(ParquetCompression, Damage); 3] = [
        (ParquetCompression::Snappy, |_| 0xff),
        (ParquetCompression::Uncompressed, |_| 0),
        (ParquetCompression::Lz4Raw, |at| (at.wrapping_mul(2_654_435_761) >> 13) as u8),
    ];
    let mut received = 0;
    for (compression, damage) in damages {
        let damaged = catalog.dir.path().join("damaged");
        write_parquet(&damaged, compression);
        let mut bytes = std::fs::read(&damaged).expect("the file was written");
        // The footer stays valid, so that the file still opens.
        let middle = bytes.len() * 7 / 10;
        let end = bytes.len() * 8 / 10;
        bytes[middle..end].iter_mut().enumerate().for_each(|(at, byte)| *byte = damage(at));
        assert!(ParquetReader::new(Cursor::new(&bytes)).get_metadata().is_ok());
        std::fs::write(&damaged, bytes)
            .and_then(|()| std::fs::rename(&damaged, &path))
            .expect("the folder is writable");

        let mut streaming = Streaming::start(&fleet, "numbers").await;
        let collected = streaming.read_all(Collector::new(streaming.opened, true)).await;
        received += collected.received;
        truncated(&collected);
        let done = streaming.ended().await;
        assert_eq!(done.attempt, ATTEMPTS, "{compression:?}");
        assert_failed(&fleet, &done, "damaged", &[&secret]).await;
    }
    assert!(received > 0, "no byte arrived before the damage");
    assert_accounts_match(&fleet).await;
    write_parquet(&path, ParquetCompression::Snappy);
    let mut streaming = Streaming::start(&fleet, "numbers").await;
    let collected = streaming.read_all(Collector::new(streaming.opened, false)).await;
    assert_eq!(collected.seal().rows, 600_000, "a repaired file is exported");
}

const CATALOG: &str = r#"
[source.postgres]
kind = "postgres"
url = { env = "SOURCE_DATABASE_URL" }
read_timeout = "10s"

[source.lite]
kind = "sqlite"
path = "lite.db"

[[dataset]]
name = "orders"
from = "postgres"
table = "orders"

[[dataset]]
name = "few"
from = "postgres"
table = "few"
credits = 0

[[dataset]]
name = "few_query"
from = "postgres"
query = "SELECT id, amount, note FROM few WHERE id >= :least"
[[dataset.param]]
name = "least"
type = "int"
default = 0

[[dataset]]
name = "lite"
from = "lite"
table = "few"
[[dataset.column]]
name = "id"
[[dataset.column]]
name = "amount"
[[dataset.column]]
name = "note"
"#;

const DATASETS: [&str; 4] = ["orders", "few", "few_query", "lite"];

struct Fixture {
    source: SourceDatabase,
    lite: DatabaseConnection,
    fleet: Fleet,
    _catalog: CatalogFile,
}

impl Fixture {
    async fn start(rows: i64) -> Self {
        Self::start_with(rows, settings()).await
    }

    async fn start_with(rows: i64, settings: Vec<Setting>) -> Self {
        let source = SourceDatabase::start().await;
        let few = "CREATE TABLE few (id bigint, amount bigint, note text)";
        let some = "SELECT n, n * 3, 'note ' || n";
        source
            .run(&format!(
                "CREATE TABLE orders (id bigint, amount bigint, note text); \
                 INSERT INTO orders SELECT n, 0, repeat(md5(n::text), 8) FROM generate_series(1, {rows}) n; \
                 {few}; INSERT INTO few {some} FROM generate_series(1, 100) n; ANALYZE orders; ANALYZE few"
            ))
            .await;
        let catalog = CatalogFile::new(CATALOG);
        let url = format!("sqlite://{}?mode=rwc", catalog.dir.path().join("lite.db").display());
        let lite = Database::connect(url).await.expect("a new folder is writable");
        let numbers = "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 100)";
        for statement in [few.to_owned(), format!("INSERT INTO few {numbers} {some} FROM r")] {
            lite.execute_unprepared(&statement).await.expect("a valid statement");
        }
        let fleet = catalog.start_fleet(Some(&source), &DATASETS, settings).await;
        Self { source, lite, fleet, _catalog: catalog }
    }

    /// Creates an export and waits for its end, without a stream.
    async fn export(&self, dataset: &str) -> Export {
        let rest = self.fleet.rest();
        let request = ExportRequest { dataset: dataset.into(), ..ExportRequest::default() };
        rest.ended(rest.create(&request).await.id).await
    }

    /// Waits until a dataset is offered, or no longer offered.
    async fn until_offered(&self, dataset: &str, offered: bool) {
        eventually(&format!("the dataset {dataset} is offered: {offered}"), async || {
            let answer = self.fleet.rest().get(&format!("/v1/datasets/{dataset}")).await;
            let expected = if offered { StatusCode::OK } else { StatusCode::NOT_FOUND };
            (answer.status == expected).then_some(())
        })
        .await;
    }

    /// Texts that no answer may contain.
    fn secrets(&self) -> [String; 2] {
        [self.source.proxy.address().port().to_string(), "sluice-exporter".to_owned()]
    }

    /// Starts an export of the large table, which stalls after its first part. Returns the stream and its bytes.
    async fn stalled_export(&self) -> (Streaming, Collector) {
        self.source.proxy.stall_after(STALL_AFTER);
        let mut streaming = Streaming::start(&self.fleet, "orders").await;
        let collector = streaming.read_some(&self.fleet).await;
        (streaming, collector)
    }

    async fn assert_failed(&self, done: &Export, words: &str) {
        let secrets = self.secrets();
        assert_failed(&self.fleet, done, words, &secrets.each_ref().map(String::as_str)).await;
    }
}

#[tokio::test]
async fn slow_an_export_of_a_changed_table_has_the_new_columns_and_one_of_a_missing_table_fails_with_plain_words() {
    // more attempts than a busy machine needs until it has loaded the catalog again
    let fixture = Fixture::start_with(10, vec![("SLUICE_EXPORTER__MAX_ATTEMPTS", "20".to_owned())]).await;
    let missing = "its table is no longer there";
    let column = "one of its columns is no longer there";
    // The statement that breaks the table, the words of the problem of a query of the catalog, whether an export of the whole
    // table succeeds, and the statement that repairs the table.
    let in_postgres = [
        ("ALTER TABLE few RENAME TO elsewhere", missing, false, "ALTER TABLE elsewhere RENAME TO few"),
        ("ALTER TABLE few RENAME COLUMN note TO remark", column, true, "ALTER TABLE few RENAME COLUMN remark TO note"),
        (
            "ALTER TABLE few ALTER COLUMN amount TYPE text USING 'about ' || amount",
            "one of its columns holds a value that is not of its type",
            true,
            "ALTER TABLE few ALTER COLUMN amount TYPE bigint USING substring(amount FROM 7)::bigint",
        ),
        (
            "ALTER TABLE few ALTER COLUMN amount TYPE date USING DATE '2001-01-01' + amount::int",
            "one of its columns has changed its type",
            true,
            "ALTER TABLE few ALTER COLUMN amount TYPE bigint USING amount - DATE '2001-01-01'",
        ),
        ("ALTER TABLE few DROP COLUMN note", column, true, "ALTER TABLE few ADD COLUMN note text"),
        ("DROP TABLE few", missing, false, "CREATE TABLE few (id bigint, amount bigint, note text)"),
    ];
    for (break_it, words, is_readable, repair_it) in in_postgres {
        fixture.source.run(break_it).await;
        // a query with parameters has no columns to compare before it runs
        for dataset in ["few_query", "few"] {
            let done = fixture.export(dataset).await;
            if dataset == "few" && is_readable {
                assert_eq!(done.file.as_ref().map(|file| file.rows), Some(100), "{break_it}: {done:?}");
                continue;
            }
            assert_eq!(done.attempt, 1, "a refused statement is not retried: {break_it}");
            fixture.assert_failed(&done, words).await;
        }
        if words == column {
            // the catalog was loaded again while the query named a missing column
            fixture.until_offered("few_query", false).await;
        }
        fixture.source.run(repair_it).await;
        if is_readable {
            // loads the catalog once more
            assert_eq!(fixture.export("few").await.status, Status::Completed, "{repair_it}");
            fixture.until_offered("few_query", true).await;
        }
    }
    for (break_it, repair_it) in [
        ("ALTER TABLE few RENAME TO elsewhere", "ALTER TABLE elsewhere RENAME TO few"),
        ("DROP TABLE few", "CREATE TABLE few (id bigint, amount bigint, note text)"),
    ] {
        fixture.lite.execute_unprepared(break_it).await.expect("a valid statement");
        fixture.assert_failed(&fixture.export("lite").await, missing).await;
        fixture.lite.execute_unprepared(repair_it).await.expect("a valid statement");
    }
    // a dataset whose declared column is gone is unavailable until the column is back
    fixture.lite.execute_unprepared("ALTER TABLE few RENAME COLUMN note TO remark").await.expect("a valid statement");
    let rest = fixture.fleet.rest();
    let request = ExportRequest { dataset: "lite".into(), ..ExportRequest::default() };
    let waiting = rest.create(&request).await;
    fixture.until_offered("lite", false).await;
    fixture.lite.execute_unprepared("ALTER TABLE few RENAME COLUMN remark TO note").await.expect("a valid statement");
    fixture.until_offered("lite", true).await;
    assert_eq!(rest.ended(waiting.id).await.status, Status::Completed, "a later attempt succeeds");
    // A compatible type of a column changes no value.
    fixture.source.run("INSERT INTO few SELECT n, n, 'x' FROM generate_series(1, 7) n").await;
    fixture.source.run("ALTER TABLE few ALTER COLUMN amount TYPE numeric(20, 0)").await;
    let done = fixture.export("few").await;
    assert_eq!(done.file.map(|file| file.rows), Some(7), "{:?}", done.problem);
    assert_accounts_match(&fixture.fleet).await;
}

#[tokio::test]
async fn slow_an_export_fails_when_its_database_stays_unavailable() {
    let fixture = Fixture::start(ROWS).await;
    let lost = "the connection to its database was lost";
    // The server refuses every new connection.
    let (mut streaming, collector) = fixture.stalled_export().await;
    fixture.source.proxy.refuse();
    let problem = truncated(&streaming.read_all(collector).await).clone();
    let done = streaming.ended().await;
    fixture.assert_failed(&done, lost).await;
    assert!(done.attempt == ATTEMPTS && problem.detail.contains(lost), "{problem} {done:?}");
    assert!(done.problem.as_ref().is_some_and(|p| p.detail.contains("the export waited for 1s")), "{:?}", done.problem);
    fixture.source.proxy.restore();

    // An administrator terminates each session while it reads rows.
    let (mut streaming, collector) = fixture.stalled_export().await;
    let terminating = async {
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        loop {
            ticks.tick().await;
            if fixture.source.copies().await.iter().any(|copy| copy.contains("ctid")) {
                fixture.source.terminate_sessions().await;
            }
            // A terminated session fails, and a new session stalls before it has read much.
            fixture.source.proxy.stall_after(STALL_AFTER);
        }
    };
    let collected = tokio::select! {
        collected = streaming.read_all(collector) => collected,
        () = terminating => unreachable!("the loop has no end"),
    };
    truncated(&collected);
    let done = streaming.ended().await;
    fixture.assert_failed(&done, lost).await;
    fixture.source.proxy.restore();

    // The server accepts connections and sends nothing.
    let (mut streaming, collector) = fixture.stalled_export().await;
    fixture.source.proxy.stall();
    truncated(&streaming.read_all(collector).await);
    let done = streaming.ended().await;
    fixture.assert_failed(&done, lost).await;
    fixture.source.proxy.refuse();
    fixture.source.proxy.restore();

    let done = fixture.export("few").await;
    assert_eq!(done.status, Status::Completed, "a restored database is exported: {:?}", done.problem);
    assert_accounts_match(&fixture.fleet).await;
}

/// Writes one round to the table in one statement: inserts two rows whose amounts add up to zero, and deletes the two rows of
/// the third round before. Every snapshot after the third round has the rows of three consecutive rounds.
async fn write_round(source: &SourceDatabase, round: i64) {
    source
        .run(&format!(
            "WITH deleted AS (DELETE FROM orders WHERE id < 0 AND id = 3 - {round}) \
             INSERT INTO orders VALUES (-{round}, {round}, 'in'), (-{round}, -{round}, 'out')",
        ))
        .await;
}

/// Writes rounds without an end, beginning with this one.
async fn write_rounds(source: &SourceDatabase, from: i64) {
    for round in from.. {
        write_round(source, round).await;
    }
}

#[tokio::test]
async fn slow_a_lost_connection_costs_an_attempt_and_no_row() {
    let fixture = Fixture::start(ROWS).await;
    let rest = fixture.fleet.rest();
    // Three rounds before the first snapshot.
    for round in 1..=3 {
        write_round(&fixture.source, round).await;
    }
    let exporting = async {
        for cause in ["cut", "terminated"] {
            let (mut streaming, collector) = fixture.stalled_export().await;
            match cause {
                "cut" => fixture.source.proxy.cut(),
                _ => {
                    assert!(fixture.source.terminate_sessions().await > 0, "no session was reading");
                    fixture.source.proxy.restore();
                }
            }
            let collected = streaming.read_all(collector).await;
            let done = streaming.ended().await;
            assert_eq!((done.status, done.attempt), (Status::Completed, 2), "{cause}: {:?}", done.problem);
            let info = done.file.clone().expect("a completed export has a file");
            assert_eq!((&info.sha256, info.rows), (&collected.seal().sha256, collected.seal().rows), "{cause}");
            let file = rest.get(&done.links.file).await;
            assert_eq!(testkit::sha256(&file.body), info.sha256, "{cause}");
            assert_one_snapshot(&file.body);
        }
    };
    tokio::select! {
        () = exporting => {}
        () = write_rounds(&fixture.source, 4) => unreachable!("the loop has no end"),
    }
    let credits: CreditsView = rest.get("/v1/credits").await.json();
    assert_eq!((credits.balance, credits.held), (3, 0), "two files, two credits");
    assert_accounts_match(&fixture.fleet).await;
}

/// Asserts that a file has each initial row once, and both rows of three consecutive rounds.
fn assert_one_snapshot(file: &[u8]) {
    let file = csv::parse(file);
    assert_eq!(file.rows.len(), file.row_count);
    let mut ids: Vec<i64> = Vec::with_capacity(file.rows.len());
    let mut sum = 0_i64;
    for row in &file.rows {
        let mut fields = row.split(',').map(|field| field.parse::<i64>());
        let (Some(Ok(id)), Some(Ok(amount))) = (fields.next(), fields.next()) else { panic!("not a row: {row}") };
        ids.push(id);
        sum += amount;
    }
    ids.sort_unstable();
    let (rounds, initial): (Vec<i64>, Vec<i64>) = ids.into_iter().partition(|id| *id < 0);
    assert!(initial.into_iter().eq(1..=ROWS), "each initial row occurs once");
    assert_eq!((rounds.len(), sum), (6, 0), "{rounds:?}");
    let first = rounds[0];
    assert_eq!(rounds, [first, first, first + 1, first + 1, first + 2, first + 2]);
}
