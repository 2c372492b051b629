//! Tests outages of the file store, the database, NATS and a source during an export. The export waits, progress
//! reports show its owner why, and the outage does not count as a failed attempt.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use entity::{export, transition};
use exporter::{
    ExporterConfig,
    dataset::{Dataset, DatasetError, DatasetInfo, OpenedQuery, Query},
};
use futures::{StreamExt, stream};
use platform::{
    bus,
    clock::{Clock, SystemClock},
    units::HumanDuration,
};
use polars::prelude::{Column as PolarsColumn, DataFrame};
use protocol::{
    catalog::{Column, ColumnType},
    envelope::{OutcomeResult, ProgressReport},
    export::WaitingFor,
    id::{ExportId, Owner},
    problem::Slug,
    subject,
};
use sea_orm::{ConnectionTrait, TransactionTrait};
use serde_json::json;

use crate::support::{ControlledDataset, Harness, stop};

/// An outage of the file store: a file takes the place of the store's folder, which has another name meanwhile.
struct StoreOutage {
    folder: PathBuf,
    moved: PathBuf,
}

impl StoreOutage {
    fn begin(harness: &Harness) -> Self {
        let folder = harness.folder.path().to_owned();
        let moved = folder.with_extension("away");
        std::fs::rename(&folder, &moved).unwrap();
        std::fs::write(&folder, "").unwrap();
        Self { folder, moved }
    }

    fn end(self) {
        std::fs::remove_file(&self.folder).unwrap();
        std::fs::rename(&self.moved, &self.folder).unwrap();
    }
}

impl Harness {
    /// Waits until the row of the export states that the export waits for `part`. Returns the row.
    async fn waits(&self, id: ExportId, part: WaitingFor) -> export::Model {
        testkit::eventually("the export waits", || async {
            let row = self.row(id).await;
            (row.waiting_for.as_deref() == Some(part.as_str())).then_some(row)
        })
        .await
    }

    /// Checks that the next outcome is a completed file of the attempt `expected`, and that no attempt has failed.
    async fn completes(&self, id: ExportId, expected: u32) {
        let result = self.outcome().await.body.result;
        let OutcomeResult::Completed { attempt, .. } = result else { panic!("{result:?}") };
        let row = self.row(id).await;
        assert_eq!((attempt, row.failures, row.abandoned_attempts), (expected, 0, 0));
    }
}

fn alice() -> Owner {
    Owner::new("acme", "alice")
}

#[tokio::test]
async fn a_running_export_waits_for_its_file_store_and_tells_its_owner() {
    let harness = Harness::new().await;
    let mut reports = harness.bus.subscribe(subject::user_progress(&alice())).await.unwrap();
    harness.bus.flush().await.unwrap();
    // a single attempt, because the outage must not cost one
    let config = ExporterConfig { max_attempts: 1, ..harness.config() };
    let life = harness.exporter(config, Some(ControlledDataset::ticking(1_000, false))).await;
    let id = harness.submit("controlled", json!({})).await;
    harness.running(id, 1).await;
    let outage = StoreOutage::begin(&harness);
    let row = harness.waits(id, WaitingFor::Storage).await;
    let notified = async {
        while let Some(message) = reports.next().await {
            let report = bus::open::<ProgressReport>(&message.payload).unwrap().body;
            if report.export_id == id && report.progress.waiting_for == Some(WaitingFor::Storage) {
                return report.progress;
            }
        }
        panic!("the subscription ended")
    };
    let progress = tokio::time::timeout(testkit::DEADLINE, notified).await.expect("the owner is notified");
    assert_eq!(progress.eta_ms, None);
    // the lease is renewed while the export waits
    testkit::eventually("the lease is kept", || async {
        (harness.row(id).await.renewals > row.renewals).then_some(())
    })
    .await;
    assert_eq!(entity::view::export(&row, None).unwrap().progress.waiting_for, Some(WaitingFor::Storage));
    outage.end();
    harness.completes(id, 1).await;
    assert_eq!(harness.row(id).await.waiting_for, None);
    harness.no_jobs().await;
    stop(life).await;
}

#[tokio::test]
async fn a_waiting_export_can_be_canceled_and_handed_over() {
    let harness = Harness::new().await;
    let config = || ExporterConfig { max_attempts: 1, ..harness.config() };
    let life = harness.exporter(config(), Some(ControlledDataset::ticking(1_000, false))).await;
    let canceled = harness.submit("controlled", json!({})).await;
    harness.running(canceled, 1).await;
    let outage = StoreOutage::begin(&harness);
    harness.waits(canceled, WaitingFor::Storage).await;
    assert!(transition::request_cancel(&harness.database.db, &alice(), canceled, SystemClock.now()).await.unwrap());
    harness.no_jobs().await;
    outage.end();

    let id = harness.submit("controlled", json!({})).await;
    harness.running(id, 1).await;
    let outage = StoreOutage::begin(&harness);
    harness.waits(id, WaitingFor::Storage).await;
    stop(life).await;
    let row = harness.row(id).await;
    assert_eq!((row.worker, row.failures), (None, 0), "the lease is released");
    outage.end();
    let life = harness.exporter(config(), Some(ControlledDataset::ticking(20, false))).await;
    harness.completes(id, 2).await;
    harness.no_jobs().await;
    stop(life).await;
}

#[tokio::test]
async fn an_export_fails_when_an_outage_lasts_too_long() {
    let harness = Harness::new().await;
    let config = ExporterConfig { export_outage_timeout: HumanDuration::from_millis(300), ..harness.config() };
    let life = harness.exporter(config, Some(ControlledDataset::ticking(100_000, false))).await;
    let id = harness.submit("controlled", json!({})).await;
    harness.running(id, 1).await;
    let outage = StoreOutage::begin(&harness);
    let result = harness.outcome().await.body.result;
    let OutcomeResult::Failed { attempt: 1, problem } = result else { panic!("{result:?}") };
    assert_eq!(problem.slug(), Slug::ExportFailed);
    assert!(problem.detail.contains("could not be stored, and the export waited for 300ms"), "{problem}");
    harness.no_jobs().await;
    assert_eq!(harness.messages_in(subject::STREAM_DEAD).await, 1);
    outage.end();
    stop(life).await;
}

#[tokio::test]
async fn an_attempt_outlives_its_lease_while_the_database_does_not_answer() {
    let harness = Harness::new().await;
    let config = ExporterConfig { lease_duration: HumanDuration::from_secs(1), max_attempts: 1, ..harness.config() };
    let life = harness.exporter(config, Some(ControlledDataset::ticking(200, false))).await;
    let id = harness.submit("controlled", json!({})).await;
    harness.running(id, 1).await;
    let mut reports = harness.bus.subscribe(subject::user_progress(&alice())).await.unwrap();
    harness.bus.flush().await.unwrap();
    let lock = harness.database.db.begin().await.unwrap();
    lock.execute_unprepared("UPDATE export SET bytes = bytes").await.unwrap();
    let notified = async {
        while let Some(message) = reports.next().await {
            let report = bus::open::<ProgressReport>(&message.payload).unwrap().body;
            if report.progress.waiting_for == Some(WaitingFor::Database) {
                return;
            }
        }
        panic!("the subscription ended")
    };
    tokio::time::timeout(testkit::DEADLINE, notified).await.expect("the owner is notified");
    // the wait begins when the lease has not been renewed for its whole duration; the job comes again meanwhile, and this exporter does not compete with itself
    harness.publish(id).await;
    lock.rollback().await.unwrap();
    harness.completes(id, 1).await;
    stop(life).await;
}

#[tokio::test]
async fn a_failed_export_is_reported_with_its_own_cause_after_an_outage_of_nats() {
    let harness = Harness::new().await;
    let jetstream = harness.bus.jetstream();
    let config = jetstream.get_stream(subject::STREAM_OUTCOMES).await.unwrap().get_info().await.unwrap().config;
    let settings = ExporterConfig { max_attempts: 1, ..harness.config() };
    let life = harness.exporter(settings, Some(ControlledDataset::ticking(20, true))).await;
    // the exporter's connection creates missing streams
    jetstream.delete_stream(subject::STREAM_OUTCOMES).await.unwrap();
    let id = harness.submit("controlled", json!({})).await;
    harness.waits(id, WaitingFor::Messaging).await;
    jetstream.create_stream(config).await.unwrap();
    let result = harness.outcome().await.body.result;
    let OutcomeResult::Failed { attempt: 1, problem } = result else { panic!("{result:?}") };
    assert!(problem.detail.contains("could not be read"), "{problem}");
    harness.no_jobs().await;
    assert_eq!(harness.messages_in(subject::STREAM_DEAD).await, 1);
    stop(life).await;
}

/// A source that refuses the first queries, breaks the connection of the next queries, and then works.
struct UnreliableSource {
    info: DatasetInfo,
    opened: AtomicUsize,
}

/// The number of queries that the source refuses. After these queries, it breaks the connection of [`BROKEN`] queries.
const REFUSED: usize = 3;
const BROKEN: usize = 2;

#[async_trait]
impl Dataset for UnreliableSource {
    fn info(&self) -> &DatasetInfo {
        &self.info
    }

    async fn open(&self, _: &Query) -> Result<OpenedQuery, DatasetError> {
        let opened = self.opened.fetch_add(1, Ordering::SeqCst);
        let away = || DatasetError::Slow(Duration::from_secs(1));
        if opened < REFUSED {
            return Err(away());
        }
        let frame = DataFrame::new_infer_height(vec![PolarsColumn::new("n".into(), [1_i64])])?;
        let broken = (opened < REFUSED + BROKEN).then(|| Err(away()));
        Ok(stream::iter([Ok(frame)]).chain(stream::iter(broken)).boxed().into())
    }
}

#[tokio::test]
async fn an_unavailable_source_costs_no_attempt() {
    let harness = Harness::new().await;
    let info = DatasetInfo::new("unreliable", vec![Column::new("n", ColumnType::Int)]);
    let source = Arc::new(UnreliableSource { info, opened: AtomicUsize::new(0) });
    let config = ExporterConfig { max_attempts: 1, ..harness.config() };
    let life = harness.exporter(config, Some(source)).await;
    let id = harness.submit("unreliable", json!({})).await;
    // a refused query is repeated by the same attempt, and a broken one by the next attempt
    harness.completes(id, 1 + u32::try_from(BROKEN).unwrap()).await;
    let row = harness.row(id).await;
    assert!(row.waited_ms > 0 && row.waited_ms < 10_000, "{}", row.waited_ms);
    harness.no_jobs().await;
    stop(life).await;
}
