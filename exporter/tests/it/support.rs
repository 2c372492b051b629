//! The harness of the exporter's tests: exporters with a real nats-server, a migrated database, a file store in a
//! folder, the demo datasets, and a dataset that a test controls.

#![expect(clippy::unwrap_used, reason = "a test that can't be set up fails")]

use std::{path::PathBuf, sync::Arc, time::Duration};

use async_nats::jetstream::{
    consumer::{AckPolicy, PullConsumer, pull},
    stream::Config as StreamConfig,
};
use async_trait::async_trait;
use entity::{
    export, in_flight,
    transition::{self, Claim, Claimant},
};
use exporter::{
    Deps, ExporterConfig, Registry,
    catalog::Advertisement,
    config::ExporterTuning,
    dataset::{Dataset, DatasetError, DatasetInfo, OpenedQuery, Query},
};
use futures::{StreamExt, stream};
use platform::{
    bus::{self, Bus},
    clock::{Clock, SystemClock},
    config::DatabaseConfig,
    lifecycle::Lifecycle,
    units::HumanDuration,
};
use polars::prelude::{Column as PolarsColumn, DataFrame};
use protocol::{
    catalog::{Column, ColumnType},
    envelope::{Envelope, Job, Outcome},
    export::Status,
    id::{ExportId, Owner},
    subject::{self, Lane},
};
use sea_orm::{ActiveValue::Set, DatabaseConnection, EntityTrait};
use serde_json::{Value, json};
use testkit::{
    db::{self, TestDatabase},
    demo,
    nats::NatsServer,
    store::{self, Folder},
};

/// The timeout of an outcome, long enough for large exports on a busy machine.
const OUTCOME_TIMEOUT: Duration = Duration::from_secs(200);

/// The servers and folders of one test.
pub(crate) struct Harness {
    pub(crate) nats: NatsServer,
    pub(crate) bus: Bus,
    pub(crate) database: TestDatabase,
    pub(crate) folder: Folder,
    /// The folder of the demo datasets.
    pub(crate) datasets: tempfile::TempDir,
    catalog: PathBuf,
}

impl Harness {
    pub(crate) async fn new() -> Self {
        Self::with_database(db::sqlite().await).await
    }

    pub(crate) async fn with_database(database: TestDatabase) -> Self {
        let nats = NatsServer::start().await;
        let bus = nats.bus().await;
        let datasets = tempfile::tempdir().unwrap();
        let catalog = demo::seed(datasets.path()).await;
        Self { bus, nats, database, folder: store::folder(), datasets, catalog }
    }

    /// Returns settings with frequent lease renewals, and with leases that outlive a pause of the machine.
    pub(crate) fn config(&self) -> ExporterConfig {
        ExporterConfig {
            datasets_dir: self.datasets.path().into(),
            catalog: self.catalog.clone(),
            shutdown_drain_timeout: HumanDuration::from_millis(100),
            tuning: ExporterTuning { heartbeat_interval: Some(Duration::from_millis(50)), ..ExporterTuning::default() },
            ..ExporterConfig::default()
        }
    }

    /// Starts an exporter with the demo datasets and another one.
    pub(crate) async fn exporter(&self, config: ExporterConfig, dataset: Option<Arc<dyn Dataset>>) -> Lifecycle {
        let life = Lifecycle::new();
        let deps = Deps {
            bus: Bus::connect(&self.nats.config(), "exporter").await.unwrap(),
            db: self.pool(2).await,
            store: self.folder.store(),
            clock: SystemClock::shared(),
            advertisement: Advertisement::default(),
        };
        let mut registry = Registry::built_in();
        registry.datasets.extend(dataset);
        exporter::start_with(config, registry, deps, &life).await.unwrap();
        life
    }

    async fn pool(&self, max_connections: u32) -> DatabaseConnection {
        let config = DatabaseConfig { max_connections, ..self.database.config.clone() };
        platform::db::connect(&config).await.unwrap()
    }

    /// Inserts an export and publishes its job, as the gateway and the dispatcher do.
    pub(crate) async fn submit(&self, dataset: &str, request: Value) -> ExportId {
        let id = ExportId::generate();
        let now = SystemClock.now();
        let row = export::ActiveModel {
            id: Set(id.0),
            tenant: Set("acme".into()),
            user_id: Set("alice".into()),
            dataset: Set(dataset.into()),
            template: Set(request["template"].as_str().unwrap_or("default").into()),
            format: Set(request["format"].as_str().unwrap_or("csv").into()),
            compression: Set("none".into()),
            filter: Set(request.get("filter").cloned().unwrap_or(json!({}))),
            columns: Set(request.get("columns").cloned().unwrap_or(json!([]))),
            params: Set(request.get("params").cloned().unwrap_or(json!({}))),
            claims: Set(json!({"tenant": "acme"})),
            status: Set(Status::Dispatched.as_str().into()),
            attempt: Set(0),
            pool: Set("default".into()),
            lane: Set("bulk".into()),
            credits: Set(1),
            retention_seconds: Set(60),
            traceparent: Set("00-00000000000000000000000000000001-0000000000000001-01".into()),
            requested_at: Set(now),
            updated_at: Set(now),
            rows: Set(0),
            bytes: Set(0),
            ..export::ActiveModel::default()
        };
        export::Entity::insert(row).exec_without_returning(&self.database.db).await.unwrap();
        self.publish(id).await;
        id
    }

    /// Ends the lease of an export and publishes its next job, as the leading notifier does after the exporter has
    /// died.
    pub(crate) async fn replace_exporter(&self, id: ExportId) {
        let renewals = self.row(id).await.renewals;
        let ended = in_flight::end_lease(&self.database.db, id, renewals, SystemClock.now()).await.unwrap();
        assert!(ended.is_some(), "the export is in flight");
        self.publish(id).await;
    }

    /// Publishes the newest job of an export.
    pub(crate) async fn publish(&self, id: ExportId) {
        let number = self.row(id).await.job_number.unsigned_abs();
        let job = Job { export_id: id, owner: Owner::new("acme", "alice"), number };
        let job = Envelope::new(id.to_string(), "trace", job);
        let subject = subject::job("default", Lane::Bulk, id);
        // a new message id each time, because the stream drops duplicates
        self.bus.publish_durable(subject, &ExportId::generate().to_string(), &job).await.unwrap();
    }

    /// Takes the lease of an export for the exporter `worker`, and returns the number of the attempt.
    pub(crate) async fn claim(&self, id: ExportId, worker: &str) -> i32 {
        let job_number = self.row(id).await.job_number.unsigned_abs();
        let claimant = Claimant { worker, job_number, lease: Duration::from_secs(9 * 60) };
        let claim = transition::claim(&self.database.db, id, claimant, SystemClock.now()).await.unwrap();
        let Claim::Won(row) = claim else { panic!("{claim:?}") };
        row.attempt
    }

    pub(crate) async fn row(&self, id: ExportId) -> export::Model {
        export::find(&self.database.db, id).await.unwrap().unwrap()
    }

    /// Waits for the next outcome in NATS, and returns it.
    pub(crate) async fn outcome(&self) -> Envelope<Outcome> {
        let stream = self.bus.jetstream().get_stream(subject::STREAM_OUTCOMES).await.unwrap();
        let config = pull::Config {
            durable_name: Some("test".into()),
            ack_policy: AckPolicy::Explicit,
            ..pull::Config::default()
        };
        let consumer: PullConsumer = stream.get_or_create_consumer("test", config).await.unwrap();
        let mut messages = consumer.batch().max_messages(1).expires(OUTCOME_TIMEOUT).messages().await.unwrap();
        let message = messages.next().await.expect("an outcome in time").unwrap();
        message.double_ack().await.unwrap();
        bus::open(&message.payload).unwrap()
    }

    /// Makes a stream accept messages without confirming them.
    pub(crate) async fn disable_acks(&self, stream: &str) {
        let mut stream = self.bus.jetstream().get_stream(stream).await.unwrap();
        let config = stream.info().await.unwrap().config.clone();
        self.bus.jetstream().update_stream(StreamConfig { no_ack: true, ..config }).await.unwrap();
    }

    pub(crate) async fn messages_in(&self, stream: &str) -> u64 {
        let stream = self.bus.jetstream().get_stream(stream).await.unwrap();
        stream.get_info().await.unwrap().state.messages
    }

    /// Waits until the stream of jobs is empty.
    pub(crate) async fn no_jobs(&self) {
        testkit::eventually("no job is left", || async {
            (self.messages_in(subject::STREAM_JOBS).await == 0).then_some(())
        })
        .await;
    }

    /// Waits until the attempt with this number has written rows.
    pub(crate) async fn running(&self, id: ExportId, attempt: i32) {
        testkit::eventually("rows are written", || async {
            let row = self.row(id).await;
            (row.attempt == attempt && row.rows > 0).then_some(())
        })
        .await;
    }
}

pub(crate) async fn stop(life: Lifecycle) {
    life.soft().cancel();
    life.shut_down(testkit::DEADLINE).await;
    assert_eq!(life.failure(), None);
}

/// A dataset that a test controls. It returns one row every five milliseconds or, with a row policy, the filter of the
/// query as its only row.
pub(crate) struct ControlledDataset {
    info: DatasetInfo,
    rows: usize,
    fails: bool,
}

impl ControlledDataset {
    /// Returns a dataset that sends one of `rows` rows every five milliseconds. If `fails` is true, it fails after the
    /// last row.
    pub(crate) fn ticking(rows: usize, fails: bool) -> Arc<dyn Dataset> {
        let info = DatasetInfo::new("controlled", vec![Column::new("n", ColumnType::Int)]);
        Arc::new(Self { info, rows, fails })
    }

    /// Returns a dataset with a row policy, whose only row is the filter of the query.
    pub(crate) fn guarded(policy: Value) -> Arc<dyn Dataset> {
        let columns = vec![Column::new("tenant", ColumnType::String)];
        let info = DatasetInfo { row_policy: Some(policy), ..DatasetInfo::new("controlled", columns) };
        Arc::new(Self { info, rows: 1, fails: false })
    }
}

#[async_trait]
impl Dataset for ControlledDataset {
    fn info(&self) -> &DatasetInfo {
        &self.info
    }

    async fn open(&self, query: &Query) -> Result<OpenedQuery, DatasetError> {
        if self.info.row_policy.is_some() {
            let filter = format!("{:?}", query.filter);
            let frame = DataFrame::new_infer_height(vec![PolarsColumn::new("tenant".into(), [filter])])?;
            return Ok(stream::iter([Ok(frame)]).boxed().into());
        }
        let rows = stream::iter(0..self.rows).then(|n| async move {
            tokio::time::sleep(Duration::from_millis(5)).await;
            Ok(DataFrame::new_infer_height(vec![PolarsColumn::new("n".into(), [n as i64])])?)
        });
        let failure = self.fails.then(|| Err(DatasetError::Io(std::io::Error::other("the disk is gone"))));
        Ok(rows.chain(stream::iter(failure)).boxed().into())
    }
}
