//! From a job in NATS to a file, an outcome and an empty queue.

mod support;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use entity::transition;
use exporter::{
    ExporterConfig,
    dataset::{
        Dataset, DatasetError, Frames, PostgresRows, PostgresServer, PostgresSettings, Query, Table, sql::Source,
    },
};
use futures::{FutureExt, StreamExt};
use platform::{
    clock::{Clock, SystemClock},
    secret::Secret,
};
use protocol::{
    catalog::{CatalogEntry, Column, ColumnType},
    delivery::{self, Manifest},
    envelope::{OutcomeResult, ProgressNote},
    id::Owner,
    problem::Slug,
    subject,
};
use sea_orm::{ConnectionTrait, TransactionTrait};
use serde_json::{Value, json};
use support::{House, Odd, stop};

#[tokio::test]
async fn a_job_becomes_a_sealed_file_and_an_outcome() {
    let house = House::new().await;
    let life = house.exporter(house.config(), None).await;
    let owner = Owner::new("acme", "alice");
    let mut notes = house.bus.subscribe(subject::progress_of(&owner)).await.unwrap();
    house.bus.flush().await.unwrap();
    let id = house.submit("menu_category_counts", json!({"params": {"muscles": ["muscle1", "muscle2"]}})).await;

    let outcome = house.outcome().await;
    assert_eq!(outcome.id, format!("{id}:1:completed"));
    let OutcomeResult::Completed { attempt: 1, file, completed_at } = outcome.body.result else {
        panic!("{:?}", outcome.body)
    };
    let store = house.folder.store();
    let manifest: Manifest =
        serde_json::from_slice(&store.get(&delivery::manifest_path(id, 1)).await.unwrap()).unwrap();
    let mut bytes = Vec::new();
    for segment in &manifest.segments {
        let part = store.get(&delivery::segment_path(id, 1, segment.index)).await.unwrap();
        assert_eq!((segment.offset, segment.size), (bytes.len() as u64, part.len() as u64));
        assert_eq!(segment.sha256, testkit::sha256(&part));
        bytes.extend_from_slice(&part);
    }
    let requested_at = protocol::time::Timestamp::from(house.row(id).await.requested_at);
    let expected = format!(
        "# export_requested_at: {requested_at}\ncategory,count\ntraining,3\nbalance,1\nstretch,1\n# export_rows: 3\n\
         # export_completed_at: {completed_at}\n"
    );
    assert_eq!(String::from_utf8(bytes.clone()).unwrap(), expected);
    assert!(requested_at <= completed_at);
    assert_eq!((file.rows, file.size, file.sha256), (3, bytes.len() as u64, testkit::sha256(&bytes)));
    assert_eq!(manifest.seal.sha256, testkit::sha256(&bytes));
    let recorded = entity::segment::from_offset(&house.database.db, id, 1, 0, 100).await.unwrap();
    assert_eq!(recorded, manifest.segments);
    let metadata: Value = serde_json::from_slice(&store.get(&delivery::metadata_path(id, 1)).await.unwrap()).unwrap();
    assert_eq!(metadata["tableSchema"]["columns"][1]["datatype"], "long");

    let note: ProgressNote = serde_json::from_slice(&notes.next().await.unwrap().payload).unwrap();
    assert_eq!(note.export_id, id);
    house.no_jobs().await;
    // the notifier has not settled it, so that the job may come again; then it is made again, under the next attempt
    stop(life).await;
}

#[tokio::test]
async fn the_catalog_holds_what_is_offered_and_nothing_after_the_end() {
    let house = House::new().await;
    let life = house.exporter(ExporterConfig { catalog_ms: 1_000, ..house.config() }, None).await;
    let catalog = house.bus.catalog().await.unwrap();
    let entry = testkit::eventually("a catalog entry", || async {
        let key = catalog.keys().await.ok()?.next().await?.ok()?;
        let entry = serde_json::from_slice::<CatalogEntry>(&catalog.get(key).await.ok()??).ok()?;
        // a source that takes long to say how many rows it has is asked again, for a later entry
        entry.datasets[0].info.rows_estimate.is_some().then_some(entry)
    })
    .await;
    let names: Vec<_> = entry.datasets.iter().map(|d| d.info.name.as_str()).collect();
    assert_eq!(names, ["menus", "muscles", "muscle_menus", "menu_category_counts"]);
    assert_eq!(entry.datasets[0].info.rows_estimate, Some(6));
    assert_eq!(entry.datasets[3].info.params["required"], json!(["muscles"]));
    stop(life).await;
    assert!(catalog.keys().await.unwrap().next().await.is_none());
}

#[tokio::test]
async fn a_cancel_stops_the_work_and_leaves_nothing() {
    let house = House::new().await;
    // with and without the hint
    for hint in [true, false] {
        let life = house.exporter(house.config(), Some(Odd::ticking(100_000, false))).await;
        let id = house.submit("odd", json!({})).await;
        house.running(id, 1).await;
        let owner = Owner::new("acme", "alice");
        assert!(transition::request_cancel(&house.database.db, &owner, id, SystemClock.now()).await.unwrap());
        if hint {
            house.bus.publish_lossy(subject::cancel(id), "", &json!({})).await.unwrap();
        }
        house.no_jobs().await;
        assert!(house.folder.store().list(&delivery::export_prefix(id)).await.unwrap().is_empty());
        assert_eq!(house.messages_in(subject::STREAM_OUTCOMES).await, 0);
        // a job that comes again finds nothing to do
        house.publish(id).await;
        house.no_jobs().await;
        stop(life).await;
    }
}

#[tokio::test]
async fn a_file_whose_outcome_was_heard_is_never_deleted() {
    let house = House::new().await;
    // the outcome arrives, its confirmation does not
    house.without_acks(subject::STREAM_OUTCOMES).await;
    // the notifier settles it first; or a cancel comes first, and the notifier decides later
    for settled in [true, false] {
        let life = house.exporter(house.config(), Some(Odd::ticking(20, false))).await;
        let id = house.submit("odd", json!({})).await;
        let OutcomeResult::Completed { attempt: 1, file, completed_at } = house.outcome().await.body.result else {
            panic!()
        };
        let made = house.folder.store().list(&delivery::export_prefix(id)).await.unwrap();
        let (db, now) = (&house.database.db, SystemClock.now());
        assert!(if settled {
            transition::completed(db, id, 1, &file, completed_at.into(), now, now).await.unwrap()
        } else {
            transition::request_cancel(db, &Owner::new("acme", "alice"), id, now).await.unwrap()
        });
        house.no_jobs().await;
        stop(life).await;
        assert!(made.len() >= 3, "{made:?}");
        assert_eq!(house.folder.store().list(&delivery::export_prefix(id)).await.unwrap(), made);
    }
}

#[tokio::test]
async fn a_stale_failure_leaves_its_successor_alone() {
    let house = House::new().await;
    let config = ExporterConfig { max_attempts: 1, ..house.config() };
    let life = house.exporter(config, Some(Odd::ticking(20, true))).await;
    let id = house.submit("odd", json!({})).await;
    // as if a second attempt was at work already
    let theirs = delivery::segment_path(id, 2, 0);
    house.folder.store().put(&theirs, bytes::Bytes::from_static(b"theirs")).await.unwrap();
    assert!(matches!(house.outcome().await.body.result, OutcomeResult::Failed { attempt: 1, .. }));
    house.no_jobs().await;
    stop(life).await;
    assert_eq!(house.folder.store().get(&theirs).await.unwrap(), "theirs");
    assert!(house.folder.store().list(&delivery::attempt_prefix(id, 1)).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_cancel_is_heard_while_the_database_hangs() {
    let house = House::new().await;
    let config = ExporterConfig { lease_ms: 20_000, ack_wait_ms: 30_000, ..house.config() };
    let life = house.exporter(config, Some(Odd::ticking(100_000, false))).await;
    let id = house.submit("odd", json!({})).await;
    house.running(id, 1).await;
    let lock = house.database.db.begin().await.unwrap();
    lock.execute_unprepared("UPDATE export SET bytes = bytes").await.unwrap();
    // several heartbeats long, so that one hangs; if none does, the test only proves less
    tokio::time::sleep(Duration::from_millis(300)).await;
    house.bus.publish_lossy(subject::cancel(id), "", &json!({})).await.unwrap();
    house.no_jobs().await;
    lock.rollback().await.unwrap();
    stop(life).await;
}

#[tokio::test]
async fn progress_is_told_five_times_a_second_at_most() {
    let house = House::new().await;
    let life = house.exporter(house.config(), Some(Odd::ticking(600, false))).await;
    let mut notes = house.bus.subscribe(subject::progress_of(&Owner::new("acme", "alice"))).await.unwrap();
    house.bus.flush().await.unwrap();
    let begun = std::time::Instant::now();
    house.submit("odd", json!({})).await;
    house.outcome().await;
    stop(life).await;
    let spent = begun.elapsed();
    // all that were told are here once a later message is
    house.bus.flush().await.unwrap();
    let mut told = 0;
    while let Some(Some(_)) = notes.next().now_or_never() {
        told += 1;
    }
    assert!(told >= 2 && told <= 1 + spent.as_millis() / 200, "{told} in {spent:?}");
}

#[tokio::test]
async fn exporters_that_stop_hand_their_work_over_as_often_as_it_takes() {
    let house = House::new().await;
    let config = ExporterConfig { max_attempts: 1, ..house.config() };
    let mut life = house.exporter(config.clone(), Some(Odd::ticking(100_000, false))).await;
    let id = house.submit("odd", json!({})).await;
    for attempt in 1..=3 {
        house.running(id, attempt).await;
        let rows = if attempt < 3 { 100_000 } else { 20 };
        let next = house.exporter(config.clone(), Some(Odd::ticking(rows, false))).await;
        stop(std::mem::replace(&mut life, next)).await;
    }
    let outcome = house.outcome().await;
    let OutcomeResult::Completed { attempt: 4, file, .. } = outcome.body.result else { panic!("{:?}", outcome.body) };
    assert_eq!((file.rows, house.row(id).await.failures), (20, 0));
    house.no_jobs().await;
    stop(life).await;
}

async fn a_crash(house: House) {
    // short, as they are waited for
    let config = ExporterConfig { lease_ms: 5_000, ack_wait_ms: 6_000, ..house.config() };
    let first = house.exporter(config.clone(), Some(Odd::ticking(100_000, false))).await;
    let id = house.submit("odd", json!({})).await;
    house.running(id, 1).await;
    // as a kill: nothing is said to anybody
    first.hard().cancel();
    let second = house.exporter(config, Some(Odd::ticking(20, false))).await;
    let outcome = house.outcome().await;
    assert!(matches!(outcome.body.result, OutcomeResult::Completed { attempt: 2, .. }), "{:?}", outcome.body);
    assert_eq!(house.row(id).await.failures, 1);
    house.no_jobs().await;
    stop(second).await;
}

#[tokio::test]
async fn a_crashed_exporter_is_replaced_once_its_lease_is_over() {
    a_crash(House::new().await).await;
}

#[tokio::test]
async fn a_crashed_exporter_is_replaced_on_postgres_too() {
    let postgres = testkit::db::Postgres::start().await;
    a_crash(House::over(postgres.database().await).await).await;
}

#[tokio::test]
async fn what_keeps_failing_fails_for_good_and_is_kept_for_operators() {
    let house = House::new().await;
    let config = ExporterConfig { max_attempts: 2, ..house.config() };
    let life = house.exporter(config, Some(Odd::ticking(20, true))).await;
    let id = house.submit("odd", json!({})).await;
    let outcome = house.outcome().await;
    let OutcomeResult::Failed { attempt: 2, problem } = outcome.body.result else { panic!("{:?}", outcome.body) };
    assert_eq!(problem.slug(), Slug::ExportFailed);
    assert!(problem.detail.contains("could not be read") && !problem.detail.contains("disk"), "{problem}");
    house.no_jobs().await;
    assert_eq!(house.messages_in(subject::STREAM_DEAD).await, 1);
    // what the first attempt left is the notifier's to delete
    assert!(house.folder.store().list(&delivery::attempt_prefix(id, 2)).await.unwrap().is_empty());

    // another exporter may have what this one lacks, but not for ever
    house.submit("nope", json!({})).await;
    let outcome = house.outcome().await;
    let OutcomeResult::Failed { attempt: 2, problem } = outcome.body.result else { panic!("{:?}", outcome.body) };
    assert!(problem.detail.contains("no exporter has what it needs"), "{problem}");
    house.no_jobs().await;
    stop(life).await;
}

/// What stands in a cell and must stand nowhere else.
const SECRET: &str = "4111-secret-1111";

/// Log lines of this thread.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Lines {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("nobody panicked").extend_from_slice(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Fails as polars does at a value that is not of its type.
struct Spoilt([Column; 1]);

#[async_trait]
impl Dataset for Spoilt {
    fn name(&self) -> &str {
        "cells"
    }

    fn columns(&self) -> &[Column] {
        &self.0
    }

    async fn rows_estimate(&self) -> Option<u64> {
        None
    }

    async fn count(&self, _: &Query) -> Result<Option<u64>, DatasetError> {
        Ok(None)
    }

    async fn open(&self, _: &Query) -> Result<Frames, DatasetError> {
        let text = polars::prelude::Column::new("n".into(), [SECRET]);
        let failed = text.strict_cast(&polars::prelude::DataType::Int64).expect_err("it is no number");
        assert!(failed.to_string().contains(SECRET));
        Ok(futures::stream::iter([Err(failed.into())]).boxed())
    }
}

#[tokio::test]
async fn no_value_of_a_row_stands_in_a_log_or_a_dead_letter() {
    let house = House::new().await;
    let postgres = testkit::db::Postgres::start().await;
    let source = postgres.database().await;
    for statement in ["CREATE TABLE cells (n text)".to_owned(), format!("INSERT INTO cells VALUES ('{SECRET}')")] {
        source.db.execute_unprepared(&statement).await.unwrap();
    }
    let columns = [Column::new("n", ColumnType::Int)];
    let server = PostgresServer::new(&PostgresSettings::at(Secret::new(source.url()))).unwrap();
    let cells = Source::table("cells");
    let copied = PostgresRows::new(Arc::new(server), cells.clone(), "cells", columns.to_vec(), vec![], None);
    let bound = Table::of(source.db.clone(), cells, "cells", columns.to_vec(), vec![], None);
    let lines = Lines::default();
    let writer = lines.clone();
    let log = tracing_subscriber::fmt().with_max_level(tracing::Level::DEBUG).with_writer(move || writer.clone());
    let _guard = tracing::subscriber::set_default(log.finish());
    let datasets: [(Arc<dyn Dataset>, &str); 3] =
        [(Arc::new(copied), "22P02"), (Arc::new(bound), "22P02"), (Arc::new(Spoilt(columns)), "does not suit")];
    for (dataset, class) in datasets {
        let config = ExporterConfig { max_attempts: 1, ..house.config() };
        let life = house.exporter(config, Some(dataset)).await;
        let id = house.submit("cells", json!({})).await;
        let outcome = house.outcome().await;
        let OutcomeResult::Failed { problem, .. } = outcome.body.result else { panic!("{:?}", outcome.body) };
        house.no_jobs().await;
        let dead = house.bus.jetstream().get_stream(subject::STREAM_DEAD).await.unwrap();
        let letter = dead.get_last_raw_message_by_subject(&subject::dead("dataset", id)).await.unwrap();
        let letter = String::from_utf8(letter.payload.to_vec()).unwrap();
        stop(life).await;
        let log = String::from_utf8(std::mem::take(&mut *lines.0.lock().unwrap())).unwrap();
        assert!(letter.contains(class) && log.contains(class), "{letter}\n{log}");
        for text in [&problem.to_string(), &letter, &log] {
            assert!(!text.contains("secret"), "{text}");
        }
    }
}

#[tokio::test]
async fn a_row_policy_always_holds_and_needs_its_claim() {
    let house = House::new().await;
    let policy = json!({"tenant": {"eq": {"claim": "tenant"}}});
    let life = house.exporter(house.config(), Some(Odd::guarded(policy))).await;
    let id = house
        .submit("odd", json!({"filter": {"or": [{"tenant": {"eq": "umbrella"}}, {"tenant": {"is_null": false}}]}}))
        .await;
    house.outcome().await;
    let file = house.folder.store().get(&delivery::segment_path(id, 1, 0)).await.unwrap();
    let text = String::from_utf8(file.to_vec()).unwrap();
    assert!(text.contains(r#"And([Compare(""tenant"", Eq, String(""acme"")), Or(["#), "{text}");
    stop(life).await;

    let life = house.exporter(house.config(), Some(Odd::guarded(json!({"tenant": {"eq": {"claim": "team"}}})))).await;
    house.submit("odd", json!({})).await;
    let outcome = house.outcome().await;
    let OutcomeResult::Failed { attempt: 1, problem } = outcome.body.result else { panic!("{:?}", outcome.body) };
    assert!(problem.detail.contains("`team`"), "{problem}");
    stop(life).await;
}

#[tokio::test]
async fn exports_of_tables_do_not_take_each_others_connections() {
    let house = House::new().await;
    // more frames than fit between the source and the encoders
    let many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 150000) \
                INSERT INTO menus (name, category) SELECT 'menu', 'training' FROM n";
    house.database.db.execute_unprepared(many).await.unwrap();
    // more readers than the shared pool has connections, each of which stores many segments
    let config = ExporterConfig { slots: 6, first_segment_bytes: 1 << 12, segment_bytes: 1 << 16, ..house.config() };
    let life = house.exporter(config, None).await;
    for _ in 0..5 {
        house.submit("menus", json!({})).await;
    }
    for _ in 0..5 {
        let outcome = house.outcome().await;
        let OutcomeResult::Completed { attempt: 1, file, .. } = outcome.body.result else {
            panic!("{:?}", outcome.body)
        };
        assert_eq!(file.rows, 150_006);
    }
    house.no_jobs().await;
    stop(life).await;
}

#[tokio::test]
async fn jobs_are_taken_again_after_an_outage_of_nats() {
    let mut house = House::new().await;
    let life = house.exporter(house.config(), None).await;
    house.submit("menus", json!({})).await;
    house.outcome().await;
    // a job that is not over before the outage is done again after it
    house.no_jobs().await;
    house.nats.restart().await;
    let stream = || async { house.bus.jetstream().get_stream(subject::STREAM_JOBS).await.ok() };
    testkit::eventually("the test is connected again", stream).await;
    house.submit("menus", json!({"format": "ndjson", "columns": ["name"]})).await;
    let outcome = house.outcome().await;
    let OutcomeResult::Completed { file, .. } = outcome.body.result else { panic!("{:?}", outcome.body) };
    assert!(file.name.ends_with(".ndjson"));
    stop(life).await;
}
