//! An exporter between a real nats-server, a migrated database and a folder, and datasets that misbehave.

#![expect(clippy::unwrap_used, reason = "a test that can't be set up fails")]

use std::{sync::Arc, time::Duration};

use async_nats::jetstream::{
    consumer::{AckPolicy, PullConsumer, pull},
    stream::Config as StreamConfig,
};
use async_trait::async_trait;
use entity::export;
use exporter::{
    Deps, ExporterConfig, Registry,
    dataset::{Dataset, DatasetError, Frames, Query},
};
use futures::{StreamExt, stream};
use platform::{
    bus::{self, Bus},
    clock::{Clock, SystemClock},
    config::DatabaseConfig,
    lifecycle::Lifecycle,
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
    nats::NatsServer,
    store::{self, Folder},
};

/// How long an outcome may take: some exports are large for a machine that has much else to do.
const PATIENCE: Duration = Duration::from_secs(200);

pub(crate) struct House {
    pub(crate) nats: NatsServer,
    pub(crate) bus: Bus,
    pub(crate) database: TestDatabase,
    pub(crate) folder: Folder,
    pub(crate) datasets: tempfile::TempDir,
}

impl House {
    pub(crate) async fn new() -> Self {
        Self::over(db::sqlite().await).await
    }

    pub(crate) async fn over(database: TestDatabase) -> Self {
        let nats = NatsServer::start().await;
        let bus = nats.bus().await;
        let datasets = tempfile::tempdir().unwrap();
        Self { bus, nats, database, folder: store::folder(), datasets }
    }

    /// With signs of life as often as can be, and leases that outlive a machine that stands still for a while.
    pub(crate) fn config(&self) -> ExporterConfig {
        ExporterConfig {
            datasets_dir: self.datasets.path().into(),
            heartbeat_ms: 50,
            drain_ms: 100,
            ..ExporterConfig::default()
        }
    }

    /// Another exporter, with a misbehaving dataset beside the usual ones.
    pub(crate) async fn exporter(&self, config: ExporterConfig, dataset: Option<Arc<dyn Dataset>>) -> Lifecycle {
        let life = Lifecycle::new();
        let deps = Deps {
            bus: Bus::connect(&self.nats.config(), "exporter").await.unwrap(),
            db: self.pool(2).await,
            reads: self.pool(config.read_connections()).await,
            store: self.folder.store(),
            clock: SystemClock::shared(),
        };
        let mut registry = Registry::standard(&config.datasets_dir, &deps.reads);
        registry.datasets.extend(dataset);
        exporter::start_with(config, registry, deps, &life).await.unwrap();
        life
    }

    async fn pool(&self, max_connections: u32) -> DatabaseConnection {
        let config = DatabaseConfig { max_connections, ..self.database.config.clone() };
        platform::db::connect(&config).await.unwrap()
    }

    /// Commits an export and publishes its job, as gateway and dispatcher do.
    pub(crate) async fn submit(&self, dataset: &str, request: Value) -> ExportId {
        let id = ExportId::generate();
        let now = SystemClock.now();
        let row = export::ActiveModel {
            id: Set(id.0),
            tenant: Set("acme".into()),
            user_id: Set("alice".into()),
            dataset: Set(dataset.into()),
            template: Set("default".into()),
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
            retention_s: Set(60),
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

    pub(crate) async fn publish(&self, id: ExportId) {
        let job = Envelope::new(id.to_string(), "trace", Job { export_id: id, owner: Owner::new("acme", "alice") });
        let subject = subject::job("default", Lane::Bulk, id);
        // by another id each time, as the stream takes none twice
        self.bus.publish_durable(subject, &ExportId::generate().to_string(), &job).await.unwrap();
    }

    pub(crate) async fn row(&self, id: ExportId) -> export::Model {
        export::find(&self.database.db, id).await.unwrap().unwrap()
    }

    /// The next outcome.
    pub(crate) async fn outcome(&self) -> Envelope<Outcome> {
        let stream = self.bus.jetstream().get_stream(subject::STREAM_OUTCOMES).await.unwrap();
        let config = pull::Config {
            durable_name: Some("test".into()),
            ack_policy: AckPolicy::Explicit,
            ..pull::Config::default()
        };
        let consumer: PullConsumer = stream.get_or_create_consumer("test", config).await.unwrap();
        let mut messages = consumer.batch().max_messages(1).expires(PATIENCE).messages().await.unwrap();
        let message = messages.next().await.expect("an outcome in time").unwrap();
        message.double_ack().await.unwrap();
        bus::open(&message.payload).unwrap()
    }

    /// From now on the stream takes messages without saying so.
    pub(crate) async fn without_acks(&self, stream: &str) {
        let mut stream = self.bus.jetstream().get_stream(stream).await.unwrap();
        let config = stream.info().await.unwrap().config.clone();
        self.bus.jetstream().update_stream(StreamConfig { no_ack: true, ..config }).await.unwrap();
    }

    pub(crate) async fn messages_in(&self, stream: &str) -> u64 {
        let stream = self.bus.jetstream().get_stream(stream).await.unwrap();
        stream.get_info().await.unwrap().state.messages
    }

    /// All jobs are done.
    pub(crate) async fn no_jobs(&self) {
        testkit::eventually("no job is left", || async {
            (self.messages_in(subject::STREAM_JOBS).await == 0).then_some(())
        })
        .await;
    }

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

/// One row every few milliseconds, up to a number of them, then an end or an error.
pub(crate) struct Odd {
    pub(crate) rows: usize,
    pub(crate) fails: bool,
    pub(crate) policy: Option<Value>,
    pub(crate) columns: [Column; 1],
}

impl Odd {
    pub(crate) fn ticking(rows: usize, fails: bool) -> Arc<dyn Dataset> {
        Arc::new(Self { rows, fails, policy: None, columns: [Column::new("n", ColumnType::Int)] })
    }

    pub(crate) fn guarded(policy: Value) -> Arc<dyn Dataset> {
        Arc::new(Self {
            rows: 1,
            fails: false,
            policy: Some(policy),
            columns: [Column::new("tenant", ColumnType::String)],
        })
    }
}

#[async_trait]
impl Dataset for Odd {
    fn name(&self) -> &str {
        "odd"
    }

    fn title(&self) -> &str {
        "Odd"
    }

    fn description(&self) -> &str {
        ""
    }

    fn columns(&self) -> &[Column] {
        &self.columns
    }

    fn row_policy(&self) -> Option<&Value> {
        self.policy.as_ref()
    }

    async fn rows_estimate(&self) -> Option<u64> {
        None
    }

    async fn count(&self, _: &Query) -> Result<Option<u64>, DatasetError> {
        Ok(None)
    }

    async fn open(&self, query: &Query) -> Result<Frames, DatasetError> {
        if self.policy.is_some() {
            // the filter itself is the row
            let filter = format!("{:?}", query.filter);
            let frame = DataFrame::new_infer_height(vec![PolarsColumn::new("tenant".into(), [filter])])?;
            return Ok(stream::iter([Ok(frame)]).boxed());
        }
        let rows = stream::iter(0..self.rows).then(|n| async move {
            tokio::time::sleep(Duration::from_millis(5)).await;
            Ok(DataFrame::new_infer_height(vec![PolarsColumn::new("n".into(), [n as i64])])?)
        });
        let end = self.fails.then(|| Err(DatasetError::Io(std::io::Error::other("the disk is gone"))));
        Ok(rows.chain(stream::iter(end)).boxed())
    }
}
