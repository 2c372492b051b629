//! Sources that break, before an export and in the middle of one: no file looks whole, its owner is told why in words,
//! nothing of the server is told, and nothing is charged.

use std::{fs::File, io::Cursor, path::Path, time::Duration};

use e2e::{Catalog, Fleet, Source, csv};
use polars::prelude::{Column, DataFrame, ParquetCompression, ParquetReader, ParquetWriter, SerReader};
use protocol::{
    client::{ClientMessage, Deliver, ExportCreate, FileOpen},
    credits::CreditsView,
    delivery,
    export::{Export, ExportRequest, Status},
    problem::{Problem, Slug},
    server::ServerMessage,
};
use reqwest::StatusCode;
use sea_orm::{ConnectionTrait, Database, DatabaseConnection};
use testkit::{
    client::{Client, Collected, Collector, Opened},
    eventually,
};

const KIB: u64 = 1024;
/// The window of a stream.
const WINDOW: u64 = 1024 * KIB;
/// So many attempts an export has.
const ATTEMPTS: u32 = 2;
/// Rows of the large table: 70 MB, five ranges of its pages.
const ROWS: i64 = 240_000;
/// What each connection may have of it while an export is to stand still in its middle: a few megabytes of each range.
const SOME: u64 = 3 * 1024 * KIB;

/// Segments that leave early, so that a client has bytes long before the source breaks.
fn settings() -> Vec<e2e::source::Setting> {
    vec![
        ("SLUICE_EXPORTER__MAX_ATTEMPTS", ATTEMPTS.to_string()),
        ("SLUICE_EXPORTER__SEGMENT_SIZE", "512 KiB".to_owned()),
    ]
}

/// Somebody who exports and reads the bytes while they are made.
struct Owner {
    client: Client,
    export: Export,
    opened: Opened,
}

impl Owner {
    async fn exports(fleet: &Fleet, dataset: &str) -> Self {
        let mut client = fleet.client().await;
        let create = ExportCreate {
            dataset: dataset.into(),
            deliver: Deliver::Stream,
            window: Some(WINDOW),
            ..ExportCreate::default()
        };
        let export = client.create(create).await;
        let opened = client.opened(export.id, WINDOW).await;
        Self { client, export, opened }
    }

    /// Reads until there are many bytes of a file that is not whole yet, which nobody can have over REST.
    async fn has_some(&mut self, fleet: &Fleet) -> Collector {
        let collector = self.client.collect_until(self.opened, 256 * KIB).await;
        let answer = fleet.rest().get(&self.export.links.file).await;
        assert_eq!(answer.problem().slug(), Slug::NotReady, "nobody has a file of an export that is not over");
        collector
    }

    /// Reads on to the end of the stream.
    async fn reads_on(&mut self, mut collector: Collector) -> Collected {
        loop {
            if collector.window() <= WINDOW / 2 {
                collector.granted(WINDOW);
                self.client.grant(self.opened.stream, WINDOW).await;
            }
            if let Some(end) = self.client.step(&mut collector).await {
                return collector.finish(end);
            }
        }
    }

    /// Reads on to the end of the export; a stream whose bytes another attempt made anew is opened again, unless that one is
    /// over, too. Received is what the attempt gave that gave most.
    async fn reads_all(&mut self, collector: Collector) -> Collected {
        let mut collected = self.reads_on(collector).await;
        while matches!(&collected.end, Err(Some(problem)) if problem.slug() == Slug::Restarted) {
            let before = collected.received;
            match self.opens_again().await {
                Ok(opened) => {
                    self.opened = opened;
                    collected = self.reads_on(Collector::new(self.opened, true)).await;
                }
                Err(problem) => collected.end = Err(Some(*problem)),
            }
            collected.received = collected.received.max(before);
        }
        collected
    }

    async fn opens_again(&mut self) -> Result<Opened, Box<Problem>> {
        let id = self.export.id;
        let open = FileOpen { export_id: id, offset: 0, window: Some(WINDOW), attempt: None };
        self.client.send(&ClientMessage::FileOpen(open), Some("restarted")).await;
        let wanted = |message: &ServerMessage| match message {
            ServerMessage::FileOpened { stream, export_id, offset, size, .. } if *export_id == id => {
                Some(Ok(Opened { stream: *stream, offset: *offset, size: *size, window: WINDOW }))
            }
            ServerMessage::Error { problem, .. } => Some(Err(problem.clone())),
            _ => None,
        };
        self.client.expect_text("the answer to file.open", wanted).await
    }

    async fn ended(&mut self) -> Export {
        self.client.ended(self.export.id).await
    }
}

/// An export that failed: in these words, with nothing of `secrets` in them, without a file, and for nothing.
async fn failed(fleet: &Fleet, done: &Export, words: &str, secrets: &[&str]) {
    let rest = fleet.rest();
    assert_eq!((done.status, done.file.as_ref()), (Status::Failed, None), "{done:?}\n{}", fleet.logs());
    let problem = done.problem.clone().expect("a failed export says why");
    assert_eq!(problem.slug(), Slug::ExportFailed, "{problem}");
    assert!(problem.detail.contains(words), "{words}: {problem}\n{}", fleet.logs());
    let file = rest.get(&done.links.file).await;
    let metadata = rest.get(&done.links.metadata).await;
    let shown = rest.get(&done.links.this).await;
    for answer in [&file, &metadata] {
        assert_eq!((answer.status, answer.problem().slug()), (StatusCode::CONFLICT, Slug::ExportFailed));
    }
    for told in [&file, &metadata, &shown] {
        for secret in ["127.0.0.1", "postgres", "SQL", "sqlx", "/tmp"].iter().chain(secrets) {
            assert!(!told.text().contains(secret), "`{secret}` is told: {}", told.text());
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
    eventually("nothing of it is left in the store", async || {
        let left = store.list(&delivery::export_prefix(done.id)).await;
        left.expect("the store can be listed").is_empty().then_some(())
    })
    .await;
    let credits: CreditsView = rest.get("/v1/credits").await.json();
    assert_eq!((credits.balance, credits.held), (5, 0), "the credit is back");
}

/// No account differs from its ledger.
async fn accounts_are_right(fleet: &Fleet) {
    let mut audit = fleet.sluice(&["credits", "audit"]).run().await;
    assert!(audit.ended().await.success(), "{}{}", audit.stdout(), audit.stderr());
}

/// A stream of a file that will never be whole: it ended with a problem instead of a seal. Bytes came before, of this attempt
/// or of an earlier one, as the last may break before it has any.
fn cut(collected: &Collected) -> &Problem {
    let end = collected.end.as_ref().expect_err("what is not whole has no seal");
    let problem = end.as_ref().expect("a stream that is cut says why");
    assert_eq!(problem.slug(), Slug::ExportFailed, "{problem}");
    let text = String::from_utf8_lossy(&collected.bytes);
    assert!(!text.contains("# export_completed_at"), "the end of a whole file came");
    problem
}

/// What stands at a place of the damaged part.
type Damage = fn(usize) -> u8;

/// Six columns of which only the first windows can be read once the middle is damaged.
fn parquet(path: &Path, compression: ParquetCompression) {
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
async fn a_parquet_file_that_is_damaged_in_its_middle_never_becomes_a_file_that_looks_whole() {
    let catalog = Catalog::new("[[dataset]]\nname = \"numbers\"\nfiles = \"numbers.parquet\"\n");
    let path = catalog.dir.path().join("numbers.parquet");
    parquet(&path, ParquetCompression::Snappy);
    let fleet = catalog.fleet(None, &["numbers"], settings()).await;
    let secret = catalog.dir.path().display().to_string();
    let damages: [(ParquetCompression, Damage); 3] = [
        (ParquetCompression::Snappy, |_| 0xff),
        (ParquetCompression::Uncompressed, |_| 0),
        (ParquetCompression::Lz4Raw, |at| (at.wrapping_mul(2_654_435_761) >> 13) as u8),
    ];
    let mut received = 0;
    for (compression, damage) in damages {
        let whole = catalog.dir.path().join("whole");
        parquet(&whole, compression);
        let mut bytes = std::fs::read(&whole).expect("it was written");
        // the footer is sound: what there is and where it lies is still told
        let middle = bytes.len() * 7 / 10;
        let end = bytes.len() * 8 / 10;
        bytes[middle..end].iter_mut().enumerate().for_each(|(at, byte)| *byte = damage(at));
        assert!(ParquetReader::new(Cursor::new(&bytes)).get_metadata().is_ok());
        std::fs::write(&whole, bytes).and_then(|()| std::fs::rename(&whole, &path)).expect("the folder is writable");

        let mut owner = Owner::exports(&fleet, "numbers").await;
        let collected = owner.reads_all(Collector::new(owner.opened, true)).await;
        received += collected.received;
        cut(&collected);
        let done = owner.ended().await;
        assert_eq!(done.attempt, ATTEMPTS, "{compression:?}");
        failed(&fleet, &done, "damaged", &[&secret]).await;
    }
    assert!(received > 0, "nothing had come before it broke");
    accounts_are_right(&fleet).await;
    parquet(&path, ParquetCompression::Snappy);
    let mut owner = Owner::exports(&fleet, "numbers").await;
    let collected = owner.reads_all(Collector::new(owner.opened, false)).await;
    assert_eq!(collected.seal().rows, 600_000, "what is mended is exported");
}

const SHOP: &str = r#"
[source.shop]
kind = "postgres"
url = { env = "SHOP_URL" }
read_timeout = "10s"

[source.lite]
kind = "sqlite"
path = "lite.db"

[[dataset]]
name = "orders"
from = "shop"
table = "orders"

[[dataset]]
name = "few"
from = "shop"
table = "few"

[[dataset]]
name = "asked"
from = "shop"
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

const DATASETS: [&str; 4] = ["orders", "few", "asked", "lite"];

struct Shop {
    source: Source,
    lite: DatabaseConnection,
    fleet: Fleet,
    _catalog: Catalog,
}

impl Shop {
    async fn open(rows: i64) -> Self {
        let source = Source::start().await;
        let few = "CREATE TABLE few (id bigint, amount bigint, note text)";
        let some = "SELECT n, n * 3, 'note ' || n";
        source
            .run(&format!(
                "CREATE TABLE orders (id bigint, amount bigint, note text); \
                 INSERT INTO orders SELECT n, 0, repeat(md5(n::text), 8) FROM generate_series(1, {rows}) n; \
                 {few}; INSERT INTO few {some} FROM generate_series(1, 100) n; ANALYZE orders; ANALYZE few"
            ))
            .await;
        let catalog = Catalog::new(SHOP);
        let url = format!("sqlite://{}?mode=rwc", catalog.dir.path().join("lite.db").display());
        let lite = Database::connect(url).await.expect("a new folder is writable");
        let numbers = "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 100)";
        for statement in [few.to_owned(), format!("INSERT INTO few {numbers} {some} FROM r")] {
            lite.execute_unprepared(&statement).await.expect("a good statement");
        }
        let fleet = catalog.fleet(Some(&source), &DATASETS, settings()).await;
        Self { source, lite, fleet, _catalog: catalog }
    }

    /// Exports without reading along.
    async fn export(&self, dataset: &str) -> Export {
        let rest = self.fleet.rest();
        let request = ExportRequest { dataset: dataset.into(), ..ExportRequest::default() };
        rest.ended(rest.create(&request).await.id).await
    }

    /// What nobody is told.
    fn secrets(&self) -> [String; 2] {
        [self.source.proxy.address().port().to_string(), "sluice-exporter".to_owned()]
    }

    /// Somebody who has some bytes of an export of the large table, which stands still in its middle.
    async fn halfway(&self) -> (Owner, Collector) {
        self.source.proxy.stall_after(SOME);
        let mut owner = Owner::exports(&self.fleet, "orders").await;
        let some = owner.has_some(&self.fleet).await;
        (owner, some)
    }

    async fn failed(&self, done: &Export, words: &str) {
        let secrets = self.secrets();
        failed(&self.fleet, done, words, &secrets.each_ref().map(String::as_str)).await;
    }
}

#[tokio::test]
async fn a_table_that_is_gone_or_has_changed_is_told_in_words() {
    let shop = Shop::open(10).await;
    let gone = "its table is no longer there";
    let column = "one of its columns is no longer there";
    // what breaks it, in what words, and what mends it
    let in_postgres = [
        ("ALTER TABLE few RENAME TO elsewhere", gone, "ALTER TABLE elsewhere RENAME TO few"),
        ("ALTER TABLE few RENAME COLUMN note TO remark", column, "ALTER TABLE few RENAME COLUMN remark TO note"),
        (
            "ALTER TABLE few ALTER COLUMN amount TYPE text USING 'about ' || amount",
            "one of its columns holds a value that is not of its type",
            "ALTER TABLE few ALTER COLUMN amount TYPE bigint USING substring(amount FROM 7)::bigint",
        ),
        (
            "ALTER TABLE few ALTER COLUMN amount TYPE date USING DATE '2001-01-01' + amount::int",
            "one of its columns has changed its type",
            "ALTER TABLE few ALTER COLUMN amount TYPE bigint USING amount - DATE '2001-01-01'",
        ),
        ("ALTER TABLE few DROP COLUMN note", column, "ALTER TABLE few ADD COLUMN note text"),
        ("DROP TABLE few", gone, "CREATE TABLE few (id bigint, amount bigint, note text)"),
    ];
    for (breaks, words, mends) in in_postgres {
        shop.source.run(breaks).await;
        for dataset in ["few", "asked"] {
            let done = shop.export(dataset).await;
            assert_eq!(done.attempt, 1, "what the database refuses is not tried again: {breaks}");
            shop.failed(&done, words).await;
        }
        shop.source.run(mends).await;
    }
    let in_sqlite = [
        ("ALTER TABLE few RENAME TO elsewhere", gone, "ALTER TABLE elsewhere RENAME TO few"),
        ("ALTER TABLE few RENAME COLUMN note TO remark", column, "ALTER TABLE few RENAME COLUMN remark TO note"),
        ("DROP TABLE few", gone, "CREATE TABLE few (id bigint, amount bigint, note text)"),
    ];
    for (breaks, words, mends) in in_sqlite {
        shop.lite.execute_unprepared(breaks).await.expect("a good statement");
        shop.failed(&shop.export("lite").await, words).await;
        shop.lite.execute_unprepared(mends).await.expect("a good statement");
    }
    // a column of another type has other rows, but no wrong ones
    shop.source.run("INSERT INTO few SELECT n, n, 'x' FROM generate_series(1, 7) n").await;
    shop.source.run("ALTER TABLE few ALTER COLUMN amount TYPE numeric(20, 0)").await;
    let done = shop.export("few").await;
    assert_eq!(done.file.map(|file| file.rows), Some(7), "{:?}", done.problem);
    accounts_are_right(&shop.fleet).await;
}

#[tokio::test]
async fn a_database_that_stays_away_in_the_middle_of_an_export_fails_it() {
    let shop = Shop::open(ROWS).await;
    let lost = "the connection to its database was lost";
    // nobody is let in any more
    let (mut owner, some) = shop.halfway().await;
    shop.source.proxy.refuse();
    let problem = cut(&owner.reads_all(some).await).clone();
    let done = owner.ended().await;
    shop.failed(&done, lost).await;
    assert!(done.attempt == ATTEMPTS && problem.detail.contains(lost), "{problem} {done:?}");
    assert!(done.problem.as_ref().is_some_and(|p| p.detail.contains("2 times in a row")), "{:?}", done.problem);
    shop.source.proxy.restore();

    // an operator ends each session that comes, in the midst of its rows
    let (mut owner, some) = shop.halfway().await;
    let ending = async {
        let mut looks = tokio::time::interval(Duration::from_millis(20));
        loop {
            looks.tick().await;
            if shop.source.copies().await.iter().any(|copy| copy.contains("ctid")) {
                shop.source.terminate().await;
            }
            // whose session was ended hears of it, and who comes anew stands still before they have much
            shop.source.proxy.stall_after(SOME);
        }
    };
    let collected = tokio::select! {
        collected = owner.reads_all(some) => collected,
        () = ending => unreachable!("it goes on for ever"),
    };
    cut(&collected);
    let done = owner.ended().await;
    shop.failed(&done, lost).await;
    shop.source.proxy.restore();

    // a server that is there and says nothing
    let (mut owner, some) = shop.halfway().await;
    shop.source.proxy.stall();
    cut(&owner.reads_all(some).await);
    let done = owner.ended().await;
    shop.failed(&done, lost).await;
    shop.source.proxy.refuse();
    shop.source.proxy.restore();

    let done = shop.export("few").await;
    assert_eq!(done.status, Status::Completed, "what is there again is exported: {:?}", done.problem);
    accounts_are_right(&shop.fleet).await;
}

/// Writes to the table: adds two rows that are nothing together, and takes those away that are three rounds old, all in one
/// statement. Whatever moment one looks at after the third round, there are the rounds of three neighbours.
async fn write(source: &Source, round: i64) {
    source
        .run(&format!(
            "WITH gone AS (DELETE FROM orders WHERE id < 0 AND id = 3 - {round}) \
             INSERT INTO orders VALUES (-{round}, {round}, 'in'), (-{round}, -{round}, 'out')",
        ))
        .await;
}

/// Goes on with it from this round on, without an end.
async fn writes(source: &Source, from: i64) {
    for round in from.. {
        write(source, round).await;
    }
}

#[tokio::test]
async fn a_connection_that_is_lost_once_costs_an_attempt_and_no_row() {
    let shop = Shop::open(ROWS).await;
    let rest = shop.fleet.rest();
    // before anybody looks, however soon that is
    for round in 1..=3 {
        write(&shop.source, round).await;
    }
    let exporting = async {
        for once in ["cut", "terminated"] {
            let (mut owner, some) = shop.halfway().await;
            match once {
                "cut" => shop.source.proxy.cut(),
                _ => {
                    assert!(shop.source.terminate().await > 0, "nobody was reading");
                    shop.source.proxy.restore();
                }
            }
            let collected = owner.reads_all(some).await;
            let done = owner.ended().await;
            assert_eq!((done.status, done.attempt), (Status::Completed, 2), "{once}: {:?}", done.problem);
            let info = done.file.clone().expect("a completed export has a file");
            assert_eq!((&info.sha256, info.rows), (&collected.seal().sha256, collected.seal().rows), "{once}");
            let file = rest.get(&done.links.file).await;
            assert_eq!(testkit::sha256(&file.body), info.sha256, "{once}");
            rows_of_one_moment(&file.body);
        }
    };
    tokio::select! {
        () = exporting => {}
        () = writes(&shop.source, 4) => unreachable!("it goes on for ever"),
    }
    let credits: CreditsView = rest.get("/v1/credits").await.json();
    assert_eq!((credits.balance, credits.held), (3, 0), "two files, two credits");
    accounts_are_right(&shop.fleet).await;
}

/// Each row of before once, and the rounds of three neighbours, both rows of each.
fn rows_of_one_moment(file: &[u8]) {
    let file = csv::parse(file);
    assert_eq!(file.rows.len(), file.row_count);
    let mut ids: Vec<i64> = Vec::with_capacity(file.rows.len());
    let mut sum = 0_i64;
    for row in &file.rows {
        let mut fields = row.split(',').map(|field| field.parse::<i64>());
        let (Some(Ok(id)), Some(Ok(amount))) = (fields.next(), fields.next()) else { panic!("no row: {row}") };
        ids.push(id);
        sum += amount;
    }
    ids.sort_unstable();
    let (rounds, before): (Vec<i64>, Vec<i64>) = ids.into_iter().partition(|id| *id < 0);
    assert!(before.into_iter().eq(1..=ROWS), "each row of before stands there once");
    assert_eq!((rounds.len(), sum), (6, 0), "{rounds:?}");
    let first = rounds[0];
    assert_eq!(rounds, [first, first, first + 1, first + 1, first + 2, first + 2]);
}
