//! Each service, started from the settings.

mod internal;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use entity::credit_policy::{CreditPolicy, CreditPolicyError};
use exporter::ExporterError;
use gateway::app::StartError;
use notifier::NotifierError;
use platform::{
    bus::{Bus, BusError},
    clock::{SharedClock, SystemClock},
    config::DatabaseConfig,
    lifecycle::Lifecycle,
    store::{FileStore, FileStoreError},
    telemetry::{self, PrometheusHandle, TelemetryError, Traces, init_metrics},
};
use protocol::subject;
use sea_orm::{DatabaseConnection, DbErr};
use tokio::net::TcpListener;
use tracing::warn;

use crate::{
    commands::{self, CommandError, migrate},
    settings::Settings,
};

/// Which service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The gateway.
    Gateway,
    /// An exporter.
    Exporter,
    /// A notifier.
    Notifier,
}

impl Kind {
    /// What NATS and collectors of traces call a process that runs this alone.
    const fn process(self) -> &'static str {
        match self {
            Self::Gateway => "sluice-gateway",
            Self::Exporter => "sluice-exporter",
            Self::Notifier => "sluice-notifier",
        }
    }
}

/// A service that can't start, or that stopped by itself.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// Logs or metrics can't be set up.
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    /// NATS does not answer or refuses us.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// The database can't be reached.
    #[error("can't reach the database (database.url): {0}")]
    Database(#[from] DbErr),
    /// The tables are missing or old.
    #[error(transparent)]
    Schema(#[from] CommandError),
    /// The terms of credits can't work.
    #[error(transparent)]
    CreditPolicy(#[from] CreditPolicyError),
    /// The file store can't be opened.
    #[error(transparent)]
    Store(#[from] FileStoreError),
    /// An address can't be listened on.
    #[error("can't listen on {address} ({setting}): {source}")]
    Listen {
        /// Which setting.
        setting: &'static str,
        /// The address.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// The gateway refuses to start.
    #[error("gateway: {0}")]
    Gateway(#[from] StartError),
    /// The exporter refuses to start.
    #[error("exporter: {0}")]
    Exporter(#[from] ExporterError),
    /// The notifier refuses to start.
    #[error("notifier: {0}")]
    Notifier(#[from] NotifierError),
    /// A critical part ended.
    #[error("stopped by itself: {0}")]
    Stopped(String),
}

/// What all services of a process share.
#[derive(Clone)]
pub struct Common {
    /// The database.
    pub db: DatabaseConnection,
    /// The time.
    pub clock: SharedClock,
    /// What `/metrics` renders.
    pub metrics: PrometheusHandle,
    /// Follows spans.
    pub traces: Traces,
}

impl Common {
    /// Sets telemetry up and connects to the database. `process` is the name under which spans are sent.
    ///
    /// # Errors
    /// When one of them fails.
    pub async fn prepare(settings: &Settings, process: &str) -> Result<Self, ServiceError> {
        let traces = telemetry::init(&settings.log, process)?;
        let metrics = init_metrics()?;
        let db = platform::db::connect(&settings.database).await?;
        Ok(Self { db, clock: SystemClock::shared(), metrics, traces })
    }
}

/// Runs one service until it is told to stop.
///
/// # Errors
/// When it can't start, or stops by itself.
pub async fn alone(kind: Kind, settings: &Settings) -> Result<(), ServiceError> {
    run(kind.process(), settings, async |common, life| start(kind, settings, common, life).await).await
}

/// Runs what is started so until it is told to stop. `process` is the name under which spans are sent.
///
/// # Errors
/// When it can't start, or stops by itself.
pub async fn run<T>(
    process: &str,
    settings: &Settings,
    start: impl AsyncFnOnce(&Common, &Lifecycle) -> Result<T, ServiceError>,
) -> Result<T, ServiceError> {
    let life = Lifecycle::new();
    life.stop_at_signals();
    let common = Common::prepare(settings, process).await?;
    migrate::check(&common.db).await?;
    let started = start(&common, &life).await;
    end(settings, &common, started, &life).await
}

/// Starts one service on its own listener.
///
/// # Errors
/// When it can't start.
pub async fn start(kind: Kind, settings: &Settings, common: &Common, life: &Lifecycle) -> Result<(), ServiceError> {
    match kind {
        Kind::Gateway => gateway_alone(settings, common, life).await,
        Kind::Exporter => exporter(settings, common, life).await,
        Kind::Notifier => notifier(settings, common, life).await.map(drop),
    }
}

/// Starts a gateway on the listener of the settings.
///
/// # Errors
/// When it can't start.
pub async fn gateway_alone(settings: &Settings, common: &Common, life: &Lifecycle) -> Result<(), ServiceError> {
    let listener = bind("gateway.listen", &settings.gateway.listen).await?;
    gateway(settings, common, listener, life).await
}

/// Starts a gateway on this listener.
///
/// # Errors
/// When it can't start.
pub async fn gateway(
    settings: &Settings,
    common: &Common,
    listener: TcpListener,
    life: &Lifecycle,
) -> Result<(), ServiceError> {
    let Common { db, clock, metrics, .. } = common.clone();
    let credit_policy = CreditPolicy::new(&settings.credits, &settings.time_zone)?;
    let drain = &settings.gateway.drain;
    let drain_ms = drain.look_away_ms.saturating_add(drain.requests_ms.max(drain.spread_ms));
    if drain_ms > settings.shutdown_grace_s.saturating_mul(1000) {
        warn!(drain_ms, "gateway.drain does not fit into shutdown_grace_s: what is under way at the end will be cut");
    }
    let bus = Bus::join(&settings.nats, Kind::Gateway.process(), &subject::GATEWAY_STREAMS).await?;
    let deps = gateway::Deps { bus, db, clock, credit_policy, metrics: Some(metrics) };
    Ok(gateway::start(settings.gateway.clone(), deps, listener, life).await?)
}

/// Starts an exporter.
///
/// # Errors
/// When it can't start.
pub async fn exporter(settings: &Settings, common: &Common, life: &Lifecycle) -> Result<(), ServiceError> {
    let Common { db, clock, metrics, .. } = common.clone();
    let bus = Bus::join(&settings.nats, Kind::Exporter.process(), &subject::EXPORTER_STREAMS).await?;
    let store = FileStore::open(&settings.store)?;
    let connections = settings.exporter.read_connections();
    let reads = DatabaseConfig { max_connections: connections, ..settings.database.clone() };
    let reads = platform::db::connect(&reads).await?;
    let deps = exporter::Deps { bus, db, reads, store, clock };
    let address = &settings.exporter.internal_listen;
    if !address.is_empty() {
        let listener = bind("exporter.internal_listen", address).await?;
        internal::serve(deps.clone(), metrics, listener, life);
    }
    exporter::start(settings.exporter.clone(), deps, life).await?;
    Ok(())
}

/// Starts a notifier; gives the address of its internal port.
///
/// # Errors
/// When it can't start.
pub async fn notifier(settings: &Settings, common: &Common, life: &Lifecycle) -> Result<SocketAddr, ServiceError> {
    let Common { db, clock, metrics, .. } = common.clone();
    let listener = bind("notifier.internal_listen", &settings.notifier.internal_listen).await?;
    let bus = Bus::connect(&settings.nats, Kind::Notifier.process()).await?;
    let store = FileStore::open(&settings.store)?;
    let credit_policy = CreditPolicy::new(&settings.credits, &settings.time_zone)?;
    let backup = notifier::backup::Setup {
        config: settings.backup.clone(),
        database: settings.database.clone(),
        settings: commands::backup::text(settings).map_err(CommandError::from)?,
    };
    let deps = notifier::Deps { bus, db, store, clock, credit_policy, backup: Some(Arc::new(backup)), metrics: Some(metrics) };
    Ok(notifier::start(settings.notifier.clone(), deps, listener, life).await?.address)
}

/// Waits for the end, also when something did not start: what did must not be left in the middle of its work.
///
/// # Errors
/// What went wrong at the start, or why the process stopped by itself.
pub async fn end<T>(
    settings: &Settings,
    common: &Common,
    started: Result<T, ServiceError>,
    life: &Lifecycle,
) -> Result<T, ServiceError> {
    if started.is_err() {
        life.soft().cancel();
    }
    life.shut_down(Duration::from_secs(settings.shutdown_grace_s)).await;
    common.traces.shut_down().await;
    let value = started?;
    match life.failure() {
        None => Ok(value),
        Some(reason) => Err(ServiceError::Stopped(reason)),
    }
}

async fn bind(setting: &'static str, address: &str) -> Result<TcpListener, ServiceError> {
    let bound = TcpListener::bind(address).await;
    bound.map_err(|source| ServiceError::Listen { setting, address: address.to_owned(), source })
}
