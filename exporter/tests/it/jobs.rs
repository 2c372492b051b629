//! Tests that an exporter turns jobs from NATS into files in the store and outcomes in NATS.

use std::sync::{Arc, Mutex};

use crate::support::{ControlledDataset, Harness, stop};
use async_trait::async_trait;
use entity::transition;
use exporter::{
    ExporterConfig,
    config::ExporterTuning,
    dataset::{
        Dataset, DatasetError, DatasetInfo, FileKind, Files, Location, OpenedQuery, PostgresRows, PostgresServer,
        PostgresSettings, Query, SqlRows, sql::Source,
    },
};
use futures::{FutureExt, StreamExt, TryStreamExt};
use platform::{
    clock::{Clock, SystemClock},
    secret::Secret,
    units::{ByteSize, HumanDuration},
};
use protocol::{
    catalog::{Column, ColumnType},
    delivery::{self, Manifest},
    envelope::{OutcomeResult, ProgressReport},
    id::Owner,
    problem::Slug,
    subject,
};
use sea_orm::{ConnectionTrait, TransactionTrait};
use serde_json::{Value, json};

#[tokio::test]
async fn a_job_becomes_a_sealed_file_and_an_outcome() {
    let harness = Harness::new().await;
    let life = harness.exporter(harness.config(), None).await;
    let owner = Owner::new("acme", "alice");
    let mut reports = harness.bus.subscribe(subject::user_progress(&owner)).await.unwrap();
    harness.bus.flush().await.unwrap();
    let id = harness.submit("menu_category_counts", json!({"params": {"muscles": ["muscle1", "muscle2"]}})).await;

    let outcome = harness.outcome().await;
    assert_eq!(outcome.id, format!("{id}:1:completed"));
    let OutcomeResult::Completed { attempt: 1, file, completed_at, .. } = outcome.body.result else {
        panic!("{:?}", outcome.body)
    };
    let store = harness.folder.store();
    let manifest: Manifest =
        serde_json::from_slice(&store.get(&delivery::manifest_path(id, 1)).await.unwrap()).unwrap();
    let mut bytes = Vec::new();
    for segment in &manifest.segments {
        let part = store.get(&delivery::segment_path(id, 1, segment.index)).await.unwrap();
        assert_eq!((segment.offset, segment.size), (bytes.len() as u64, part.len() as u64));
        assert_eq!(segment.sha256, testkit::sha256(&part));
        bytes.extend_from_slice(&part);
    }
    let requested_at = protocol::time::Timestamp::from(harness.row(id).await.requested_at);
    let expected = format!(
        "# export_requested_at: {requested_at}\ncategory,count\ntraining,3\nbalance,1\nstretch,1\n# export_rows: 3\n\
         # export_completed_at: {completed_at}\n"
    );
    assert_eq!(String::from_utf8(bytes.clone()).unwrap(), expected);
    assert!(requested_at <= completed_at);
    assert_eq!((file.rows, file.size, file.sha256), (3, bytes.len() as u64, testkit::sha256(&bytes)));
    assert_eq!(manifest.seal.sha256, testkit::sha256(&bytes));
    let provenance = manifest.provenance.unwrap();
    assert_eq!((provenance.requested_at, provenance.completed_at), (Some(requested_at), Some(completed_at)));
    let recorded = entity::segment::from_offset(&harness.database.db, id, 1, 0, 100).await.unwrap();
    assert_eq!(recorded, manifest.segments);
    let metadata: Value = serde_json::from_slice(&store.get(&delivery::metadata_path(id, 1)).await.unwrap()).unwrap();
    assert_eq!(metadata["tableSchema"]["columns"][1]["datatype"], "long");

    let report: ProgressReport = serde_json::from_slice(&reports.next().await.unwrap().payload).unwrap();
    assert_eq!(report.export_id, id);
    harness.no_jobs().await;
    stop(life).await;
}

#[tokio::test]
async fn a_plain_file_has_quoted_titles_and_no_envelope() {
    let harness = Harness::new().await;
    let life = harness.exporter(harness.config(), None).await;
    let request = json!({"template": "plain", "params": {"muscles": ["muscle1", "muscle2"]}});
    let id = harness.submit("menu_category_counts", request).await;
    let OutcomeResult::Completed { attempt, completed_at, .. } = harness.outcome().await.body.result else {
        panic!("the export completes")
    };
    let store = harness.folder.store();
    let bytes = store.get(&delivery::segment_path(id, attempt, 0)).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&bytes), "\"category\",\"count\"\ntraining,3\nbalance,1\nstretch,1\n");
    // the timestamps are in both documents beside the file
    let manifest: Value =
        serde_json::from_slice(&store.get(&delivery::manifest_path(id, attempt)).await.unwrap()).unwrap();
    let metadata: Value =
        serde_json::from_slice(&store.get(&delivery::metadata_path(id, attempt)).await.unwrap()).unwrap();
    let requested_at = protocol::time::Timestamp::from(harness.row(id).await.requested_at);
    for (name, time) in [("requested_at", requested_at), ("completed_at", completed_at)] {
        assert_eq!(manifest["provenance"][name], json!(time));
        assert_eq!(metadata[format!("urn:sluice:{name}")], json!(time), "{metadata}");
    }
    harness.no_jobs().await;
    stop(life).await;
}

#[tokio::test]
async fn notes_about_columns_are_in_the_stored_metadata_document() {
    let harness = Harness::new().await;
    let folder = tempfile::tempdir().unwrap();
    // a second column of one name, a column without a name, and a column that only the name of a folder has
    std::fs::create_dir(folder.path().join("year=2024")).unwrap();
    std::fs::write(folder.path().join("year=2024/a.csv"), "a,a,\n1,2,3\n").unwrap();
    let location = Location::Local(folder.path().join("*/*.csv"));
    let kind = FileKind::from_name("a.csv").unwrap();
    let files = Files::open(location, kind, DatasetInfo::new("twice", Vec::new())).await.unwrap();
    let notes = files.info().notes.clone();
    let all = notes.join("\n");
    assert!(["`a_2`", "`column_3`", "`year`"].iter().all(|name| all.contains(name)), "{all}");
    let life = harness.exporter(harness.config(), Some(Arc::new(files))).await;
    for format in ["csv", "ndjson"] {
        let id = harness.submit("twice", json!({"format": format})).await;
        let outcome = harness.outcome().await.body;
        assert!(matches!(outcome.result, OutcomeResult::Completed { attempt: 1, .. }), "{outcome:?}");
        let stored = harness.folder.store().get(&delivery::metadata_path(id, 1)).await.unwrap();
        let metadata: Value = serde_json::from_slice(&stored).unwrap();
        assert_eq!(metadata["urn:sluice:notes"], json!(notes), "{format}: {metadata}");
    }
    // a dataset without notes has none
    let id = harness.submit("menus", json!({})).await;
    harness.outcome().await;
    let stored = harness.folder.store().get(&delivery::metadata_path(id, 1)).await.unwrap();
    let metadata: Value = serde_json::from_slice(&stored).unwrap();
    assert!(metadata["tableSchema"].is_object() && metadata["urn:sluice:notes"] == json!([]), "{metadata}");
    stop(life).await;
}

#[tokio::test]
async fn the_catalog_has_all_datasets_and_is_empty_at_the_end() {
    let harness = Harness::new().await;
    let life = harness
        .exporter(ExporterConfig { advertise_interval: HumanDuration::from_secs(1), ..harness.config() }, None)
        .await;
    let catalog = harness.bus.catalog().await.unwrap();
    let datasets = testkit::eventually("an advertised catalog", || async {
        let keys: Vec<String> = catalog.keys().await.ok()?.try_collect().await.ok()?;
        let instance = keys.iter().find(|key| !key.contains('.'))?;
        let (_, datasets) = testkit::catalog::advertised(&harness.bus, instance).await?;
        // the exporter adds row estimates to a later heartbeat, when the sources have answered
        datasets.first()?.info.rows_estimate.is_some().then_some(datasets)
    })
    .await;
    let names: Vec<_> = datasets.iter().map(|d| d.info.name.as_str()).collect();
    assert_eq!(names, ["menus", "muscles", "muscle_menus", "menu_category_counts"]);
    assert_eq!(datasets[0].info.rows_estimate, Some(6));
    assert_eq!(datasets[3].info.params["required"], json!(["muscles"]));
    stop(life).await;
    assert!(catalog.keys().await.unwrap().next().await.is_none());
}

#[tokio::test]
async fn a_cancellation_stops_the_attempt_and_deletes_its_objects() {
    let harness = Harness::new().await;
    // the exporter notices the message, or else the state in the database
    for message in [true, false] {
        let life = harness.exporter(harness.config(), Some(ControlledDataset::ticking(100_000, false))).await;
        let id = harness.submit("controlled", json!({})).await;
        harness.running(id, 1).await;
        let owner = Owner::new("acme", "alice");
        assert!(transition::request_cancel(&harness.database.db, &owner, id, SystemClock.now()).await.unwrap());
        if message {
            harness.bus.publish_lossy(subject::cancel(id), "", &json!({})).await.unwrap();
        }
        harness.no_jobs().await;
        assert!(harness.folder.store().list(&delivery::export_prefix(id)).await.unwrap().is_empty());
        assert_eq!(harness.messages_in(subject::STREAM_OUTCOMES).await, 0);
        // a repeated delivery of the job has no effect
        harness.publish(id).await;
        harness.no_jobs().await;
        stop(life).await;
    }
}

#[tokio::test]
async fn a_file_with_a_published_outcome_is_never_deleted() {
    let harness = Harness::new().await;
    // the outcome arrives, but its confirmation is lost
    harness.disable_acks(subject::STREAM_OUTCOMES).await;
    // either the notifier applies the outcome first, or the cancellation arrives first
    for applied in [true, false] {
        let life = harness.exporter(harness.config(), Some(ControlledDataset::ticking(20, false))).await;
        let id = harness.submit("controlled", json!({})).await;
        let OutcomeResult::Completed { attempt: 1, file, completed_at, .. } = harness.outcome().await.body.result
        else {
            panic!()
        };
        let made = harness.folder.store().list(&delivery::export_prefix(id)).await.unwrap();
        let (db, now) = (&harness.database.db, SystemClock.now());
        assert!(if applied {
            transition::completed(db, id, 1, &file, completed_at.into(), now, now).await.unwrap()
        } else {
            transition::request_cancel(db, &Owner::new("acme", "alice"), id, now).await.unwrap()
        });
        harness.no_jobs().await;
        stop(life).await;
        assert!(made.len() >= 3, "{made:?}");
        assert_eq!(harness.folder.store().list(&delivery::export_prefix(id)).await.unwrap(), made);
    }
}

#[tokio::test]
async fn a_failed_attempt_does_not_delete_objects_of_a_later_attempt() {
    let harness = Harness::new().await;
    let config = ExporterConfig { max_attempts: 1, ..harness.config() };
    let life = harness.exporter(config, Some(ControlledDataset::ticking(20, true))).await;
    let id = harness.submit("controlled", json!({})).await;
    // an object of a second attempt that runs already
    let later = delivery::segment_path(id, 2, 0);
    harness.folder.store().put(&later, bytes::Bytes::from_static(b"later")).await.unwrap();
    assert!(matches!(harness.outcome().await.body.result, OutcomeResult::Failed { attempt: 1, .. }));
    harness.no_jobs().await;
    stop(life).await;
    assert_eq!(harness.folder.store().get(&later).await.unwrap(), "later");
    assert!(harness.folder.store().list(&delivery::attempt_prefix(id, 1)).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_cancellation_applies_while_the_database_does_not_answer() {
    let harness = Harness::new().await;
    let config = ExporterConfig { lease_duration: HumanDuration::from_secs(20), ..harness.config() };
    let life = harness.exporter(config, Some(ControlledDataset::ticking(100_000, false))).await;
    let id = harness.submit("controlled", json!({})).await;
    harness.running(id, 1).await;
    let owner = Owner::new("acme", "alice");
    assert!(transition::request_cancel(&harness.database.db, &owner, id, SystemClock.now()).await.unwrap());
    // no renewal of the lease can be written
    let lock = harness.database.db.begin().await.unwrap();
    lock.execute_unprepared("UPDATE export SET bytes = bytes").await.unwrap();
    harness.bus.publish_lossy(subject::cancel(id), "", &json!({})).await.unwrap();
    harness.no_jobs().await;
    lock.rollback().await.unwrap();
    stop(life).await;
}

#[tokio::test]
async fn progress_is_reported_at_most_five_times_a_second() {
    let harness = Harness::new().await;
    let life = harness.exporter(harness.config(), Some(ControlledDataset::ticking(600, false))).await;
    let mut reports = harness.bus.subscribe(subject::user_progress(&Owner::new("acme", "alice"))).await.unwrap();
    harness.bus.flush().await.unwrap();
    let started = std::time::Instant::now();
    harness.submit("controlled", json!({})).await;
    harness.outcome().await;
    stop(life).await;
    let elapsed = started.elapsed();
    // a flush completes after all earlier messages have arrived
    harness.bus.flush().await.unwrap();
    let mut received = 0;
    while let Some(Some(_)) = reports.next().now_or_never() {
        received += 1;
    }
    assert!(received >= 2 && received <= 1 + elapsed.as_millis() / 200, "{received} in {elapsed:?}");
}

#[tokio::test]
async fn stopping_exporters_hand_over_an_export_without_a_failure() {
    let harness = Harness::new().await;
    let config = ExporterConfig { max_attempts: 1, ..harness.config() };
    let mut life = harness.exporter(config.clone(), Some(ControlledDataset::ticking(100_000, false))).await;
    let id = harness.submit("controlled", json!({})).await;
    for attempt in 1..=3 {
        harness.running(id, attempt).await;
        let rows = if attempt < 3 { 100_000 } else { 20 };
        let next = harness.exporter(config.clone(), Some(ControlledDataset::ticking(rows, false))).await;
        stop(std::mem::replace(&mut life, next)).await;
    }
    let outcome = harness.outcome().await;
    let OutcomeResult::Completed { attempt: 4, file, .. } = outcome.body.result else { panic!("{:?}", outcome.body) };
    assert_eq!((file.rows, harness.row(id).await.failures), (20, 0));
    harness.no_jobs().await;
    stop(life).await;
}

async fn replaces_a_crashed_exporter(harness: Harness) {
    let config = harness.config();
    let first = harness.exporter(config.clone(), Some(ControlledDataset::ticking(100_000, false))).await;
    let id = harness.submit("controlled", json!({})).await;
    harness.running(id, 1).await;
    // a hard stop aborts all tasks, as SIGKILL does
    first.hard().cancel();
    first.soft().cancel();
    first.shut_down(testkit::DEADLINE).await;
    harness.replace_exporter(id).await;
    let second = harness.exporter(config, Some(ControlledDataset::ticking(20, false))).await;
    let outcome = harness.outcome().await;
    assert!(matches!(outcome.body.result, OutcomeResult::Completed { attempt: 2, .. }), "{:?}", outcome.body);
    assert_eq!(harness.row(id).await.failures, 1);
    harness.no_jobs().await;
    stop(second).await;
}

#[tokio::test]
async fn a_crashed_exporter_is_replaced_after_its_lease_ended() {
    replaces_a_crashed_exporter(Harness::new().await).await;
}

#[tokio::test]
async fn a_crashed_exporter_is_replaced_on_postgres() {
    let postgres = testkit::db::Postgres::start().await;
    replaces_a_crashed_exporter(Harness::with_database(postgres.database().await).await).await;
}

#[tokio::test]
async fn a_fenced_exporter_does_not_acknowledge_the_job_of_its_successor() {
    let harness = Harness::new().await;
    let life = harness.exporter(harness.config(), Some(ControlledDataset::ticking(100_000, false))).await;
    let id = harness.submit("controlled", json!({})).await;
    harness.running(id, 1).await;
    // a notifier ends the lease, and a successor claims the export with a second delivery of the same message
    let (db, row) = (&harness.database.db, harness.row(id).await);
    let taken = testkit::eventually("the lease is ended", || async {
        let renewals = harness.row(id).await.renewals;
        entity::in_flight::end_lease(db, id, renewals, SystemClock.now()).await.unwrap()
    })
    .await;
    assert_eq!((row.attempt, taken.worker, taken.abandoned_attempts), (1, None, 1));
    assert_eq!(harness.claim(id, "successor").await, 2);
    testkit::eventually("the first exporter deletes its objects", || async {
        let objects = harness.folder.store().list(&delivery::attempt_prefix(id, 1)).await.unwrap();
        objects.is_empty().then_some(())
    })
    .await;
    // a stopped exporter has handled its jobs
    stop(life).await;
    assert_eq!(harness.messages_in(subject::STREAM_JOBS).await, 1, "the job of the successor was deleted");
    let row = harness.row(id).await;
    assert_eq!((row.attempt, row.worker.as_deref()), (2, Some("successor")));

    // an exporter drops a job after a newer one was published
    harness.replace_exporter(id).await;
    assert_eq!(harness.claim(id, "third").await, 3);
    let life = harness.exporter(harness.config(), Some(ControlledDataset::ticking(20, false))).await;
    testkit::eventually("the old job is dropped, and the new one waits for the lease", || async {
        (harness.messages_in(subject::STREAM_JOBS).await == 1).then_some(())
    })
    .await;
    stop(life).await;
}

#[tokio::test]
async fn an_export_fails_after_the_maximum_of_attempts_and_leaves_a_dead_letter() {
    let harness = Harness::new().await;
    let config = ExporterConfig { max_attempts: 2, ..harness.config() };
    let life = harness.exporter(config, Some(ControlledDataset::ticking(20, true))).await;
    let id = harness.submit("controlled", json!({})).await;
    let outcome = harness.outcome().await;
    let OutcomeResult::Failed { attempt: 2, problem } = outcome.body.result else { panic!("{:?}", outcome.body) };
    assert_eq!(problem.slug(), Slug::ExportFailed);
    assert!(problem.detail.contains("could not be read") && !problem.detail.contains("disk"), "{problem}");
    harness.no_jobs().await;
    assert_eq!(harness.messages_in(subject::STREAM_DEAD).await, 1);
    // the notifier deletes the objects of earlier attempts
    assert!(harness.folder.store().list(&delivery::attempt_prefix(id, 2)).await.unwrap().is_empty());

    // an unknown dataset is retried, because another exporter may offer it
    harness.submit("nope", json!({})).await;
    let outcome = harness.outcome().await;
    let OutcomeResult::Failed { attempt: 2, problem } = outcome.body.result else { panic!("{:?}", outcome.body) };
    assert!(problem.detail.contains("no exporter offers its dataset"), "{problem}");
    harness.no_jobs().await;
    stop(life).await;
}

#[tokio::test]
async fn a_failed_export_has_one_dead_letter_and_one_outcome_after_an_outage_of_either_stream() {
    for missing in [subject::STREAM_DEAD, subject::STREAM_OUTCOMES] {
        let harness = Harness::new().await;
        let jetstream = harness.bus.jetstream();
        let config = jetstream.get_stream(missing).await.unwrap().get_info().await.unwrap().config;
        let info = DatasetInfo::new("cells", vec![Column::new("n", ColumnType::Int)]);
        let settings = ExporterConfig { max_attempts: 1, ..harness.config() };
        let life = harness.exporter(settings, Some(Arc::new(MalformedDataset(info)))).await;
        // the exporter's connection creates missing streams
        jetstream.delete_stream(missing).await.unwrap();
        let id = harness.submit("cells", json!({})).await;
        let waits = || async { harness.row(id).await.waiting_for.filter(|part| part == "messaging") };
        testkit::eventually("the report waits", waits).await;
        if missing == subject::STREAM_DEAD {
            assert_eq!(harness.messages_in(subject::STREAM_OUTCOMES).await, 0, "the export has not ended");
        }
        jetstream.create_stream(config).await.unwrap();
        let outcome = harness.outcome().await;
        let OutcomeResult::Failed { problem, .. } = outcome.body.result else { panic!("{:?}", outcome.body) };
        // the report has the cause, and not only the number of attempts
        assert!(problem.detail.contains("could not be read"), "{problem}");
        harness.no_jobs().await;
        let streams =
            (harness.messages_in(subject::STREAM_DEAD).await, harness.messages_in(subject::STREAM_OUTCOMES).await);
        assert_eq!(streams, (1, 0), "one dead letter, and no other outcome: {missing}");
        let dead = jetstream.get_stream(subject::STREAM_DEAD).await.unwrap();
        dead.get_last_raw_message_by_subject(&subject::dead_letter("dataset", id)).await.unwrap();
        stop(life).await;
    }
}

/// A value of a row, which no log and no dead letter may contain.
const SECRET: &str = "4111-secret-1111";

/// A buffer that captures the log of this thread.
#[derive(Clone, Default)]
struct CapturedLog(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for CapturedLog {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no thread panicked").extend_from_slice(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A dataset that fails with the error of polars for a value of the wrong type.
struct MalformedDataset(DatasetInfo);

#[async_trait]
impl Dataset for MalformedDataset {
    fn info(&self) -> &DatasetInfo {
        &self.0
    }

    async fn open(&self, _: &Query) -> Result<OpenedQuery, DatasetError> {
        let text = polars::prelude::Column::new("n".into(), [SECRET]);
        let error = text.strict_cast(&polars::prelude::DataType::Int64).expect_err("the text is no number");
        assert!(error.to_string().contains(SECRET));
        Ok(futures::stream::iter([Err(error.into())]).boxed().into())
    }
}

#[tokio::test]
async fn no_log_and_no_dead_letter_contains_a_value_of_a_row() {
    let harness = Harness::new().await;
    let postgres = testkit::db::Postgres::start().await;
    let source = postgres.database().await;
    for statement in ["CREATE TABLE cells (n text)".to_owned(), format!("INSERT INTO cells VALUES ('{SECRET}')")] {
        source.db.execute_unprepared(&statement).await.unwrap();
    }
    let info = DatasetInfo::new("cells", vec![Column::new("n", ColumnType::Int)]);
    let server = PostgresServer::new(&PostgresSettings::at(Secret::new(source.url()))).unwrap();
    let cells = Source::table("cells");
    let copied = PostgresRows::new(Arc::new(server), cells.clone(), info.clone());
    let bound = SqlRows::new(source.db.clone(), cells, info.clone());
    let lines = CapturedLog::default();
    let writer = lines.clone();
    let log = tracing_subscriber::fmt().with_max_level(tracing::Level::DEBUG).with_writer(move || writer.clone());
    let _guard = tracing::subscriber::set_default(log.finish());
    let datasets: [(Arc<dyn Dataset>, &str); 3] =
        [(Arc::new(copied), "22P02"), (Arc::new(bound), "22P02"), (Arc::new(MalformedDataset(info)), "does not suit")];
    for (dataset, class) in datasets {
        let config = ExporterConfig { max_attempts: 1, ..harness.config() };
        let life = harness.exporter(config, Some(dataset)).await;
        let id = harness.submit("cells", json!({})).await;
        let outcome = harness.outcome().await;
        let OutcomeResult::Failed { problem, .. } = outcome.body.result else { panic!("{:?}", outcome.body) };
        harness.no_jobs().await;
        let dead = harness.bus.jetstream().get_stream(subject::STREAM_DEAD).await.unwrap();
        let letter = dead.get_last_raw_message_by_subject(&subject::dead_letter("dataset", id)).await.unwrap();
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
async fn a_row_policy_applies_to_every_export_and_needs_its_claim() {
    let harness = Harness::new().await;
    let policy = json!({"tenant": {"eq": {"claim": "tenant"}}});
    let life = harness.exporter(harness.config(), Some(ControlledDataset::guarded(policy))).await;
    let id = harness
        .submit(
            "controlled",
            json!({"filter": {"or": [{"tenant": {"eq": "umbrella"}}, {"tenant": {"is_null": false}}]}}),
        )
        .await;
    harness.outcome().await;
    let file = harness.folder.store().get(&delivery::segment_path(id, 1, 0)).await.unwrap();
    let text = String::from_utf8(file.to_vec()).unwrap();
    assert!(text.contains(r#"And([Compare(""tenant"", Eq, String(""acme"")), Or(["#), "{text}");
    stop(life).await;

    let life = harness
        .exporter(harness.config(), Some(ControlledDataset::guarded(json!({"tenant": {"eq": {"claim": "team"}}}))))
        .await;
    harness.submit("controlled", json!({})).await;
    let outcome = harness.outcome().await;
    let OutcomeResult::Failed { attempt: 1, problem } = outcome.body.result else { panic!("{:?}", outcome.body) };
    assert!(problem.detail.contains("`team`"), "{problem}");
    stop(life).await;
}

#[tokio::test]
async fn slow_exports_of_one_table_run_at_once_with_few_shared_connections() {
    let harness = Harness::new().await;
    // more rows than fit into the channels between the source and the encoders
    let insert = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 150000) \
                  INSERT INTO menus (name, category) SELECT 'menu', 'training' FROM n";
    let url = format!("sqlite://{}", harness.datasets.path().join("demo.sqlite").display());
    sea_orm::Database::connect(url).await.unwrap().execute_unprepared(insert).await.unwrap();
    // run more exports than the shared pool has connections; each export stores many segments
    let base = harness.config();
    let config = ExporterConfig {
        slots: 6,
        segment_size: ByteSize::kib(64),
        tuning: ExporterTuning { first_segment_size: ByteSize::kib(4), ..base.tuning.clone() },
        ..base
    };
    let life = harness.exporter(config, None).await;
    for _ in 0..5 {
        harness.submit("menus", json!({})).await;
    }
    for _ in 0..5 {
        let outcome = harness.outcome().await;
        let OutcomeResult::Completed { attempt: 1, file, .. } = outcome.body.result else {
            panic!("{:?}", outcome.body)
        };
        assert_eq!(file.rows, 150_006);
    }
    harness.no_jobs().await;
    stop(life).await;
}

#[tokio::test]
async fn an_exporter_takes_jobs_again_after_an_outage_of_nats() {
    let mut harness = Harness::new().await;
    let life = harness.exporter(harness.config(), None).await;
    harness.submit("menus", json!({})).await;
    harness.outcome().await;
    // a job that was not acknowledged before the outage would run again after it
    harness.no_jobs().await;
    harness.nats.restart().await;
    let stream = || async { harness.bus.jetstream().get_stream(subject::STREAM_JOBS).await.ok() };
    testkit::eventually("the test is connected again", stream).await;
    harness.submit("menus", json!({"format": "ndjson", "columns": ["name"]})).await;
    let outcome = harness.outcome().await;
    let OutcomeResult::Completed { file, .. } = outcome.body.result else { panic!("{:?}", outcome.body) };
    assert!(file.name.ends_with(".ndjson"));
    stop(life).await;
}
