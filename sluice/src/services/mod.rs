//! Starts each service from the settings.

mod exporter_http;

use std::{io, net::SocketAddr, sync::Arc};

use entity::credit_policy::{CreditPolicy, CreditPolicyError};
use exporter::{ExporterError, OwnProcess, catalog::Advertisement};
use gateway::app::StartError;
use notifier::{BackupSetup, NotifierError};
use platform::{
    bus::{Bus, BusError},
    clock::{DatabaseClock, SharedClock},
    lifecycle::Lifecycle,
    store::{FileStore, FileStoreError},
    telemetry::{self, PrometheusHandle, TelemetryError, Traces, init_metrics},
};
use protocol::subject;
use sea_orm::{DatabaseConnection, DbErr};
use tokio::net::TcpListener;
use tracing::warn;

use crate::{
    schema::{self, SchemaError},
    settings::Settings,
    settings_text::settings_text,
};

/// The service that a process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceKind {
    /// The gateway, which clients reach.
    Gateway,
    /// The exporter, which writes files.
    Exporter,
    /// The notifier, which settles exports.
    Notifier,
}

impl ServiceKind {
    /// Returns the name of the process in NATS and in traces when the process runs this service only.
    const fn process(self) -> &'static str {
        match self {
            Self::Gateway => "sluice-gateway",
            Self::Exporter => "sluice-exporter",
            Self::Notifier => "sluice-notifier",
        }
    }
}

/// Why a service cannot start, or stopped by itself.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// Logs, traces or metrics can't be set up.
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    /// NATS does not answer, or refuses the connection.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// The database can't be reached.
    #[error("can't reach the database (database.url): {0}")]
    Database(#[from] DbErr),
    /// The tables of the database are missing or old.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// The `[credits]` settings are invalid.
    #[error(transparent)]
    CreditPolicy(#[from] CreditPolicyError),
    /// The file store can't be opened.
    #[error(transparent)]
    Store(#[from] FileStoreError),
    /// The settings can't be written as text for backups.
    #[error("settings: {0}")]
    SettingsText(#[from] toml::ser::Error),
    /// An address can't be bound.
    #[error("can't listen on {address} ({setting}): {source}")]
    Listen {
        /// The name of the setting that contains the address.
        setting: &'static str,
        /// The address in the setting.
        address: String,
        /// The error of the operating system.
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
    /// A critical task ended before the process stopped.
    #[error("stopped by itself: {0}")]
    Stopped(String),
}

/// The connections and handles that all services of a process share.
#[derive(Clone)]
pub struct Common {
    /// The connection pool of the database.
    pub db: DatabaseConnection,
    /// The clock of all services.
    pub clock: SharedClock,
    /// The recorder whose metrics `/metrics` shows.
    pub metrics: PrometheusHandle,
    /// The trace exporter, which the process flushes before it ends.
    pub traces: Traces,
}

impl Common {
    /// Sets up telemetry and connects to the database. Traces carry `process` as the name of the service.
    ///
    /// # Errors
    /// When telemetry can't be set up, or the database can't be reached.
    pub async fn prepare(settings: &Settings, process: &str) -> Result<Self, ServiceError> {
        let traces = telemetry::init(&settings.log, process)?;
        if process != ServiceKind::Gateway.process() {
            warn_of_plain_http(settings);
        }
        let metrics = init_metrics()?;
        let db = platform::db::connect(&settings.database).await?;
        let clock = DatabaseClock::follow(&db).await;
        Ok(Self { db, clock, metrics, traces })
    }
}

/// Logs one warning if the settings send file bytes over plain HTTP.
fn warn_of_plain_http(settings: &Settings) {
    let endpoints = [
        ("store.s3_endpoint", settings.store.uses_plain_http()),
        ("backup.s3_endpoint", settings.backup.uses_plain_http()),
    ];
    let plain: Vec<_> = endpoints.iter().filter(|(_, is_plain)| *is_plain).map(|(name, _)| *name).collect();
    if !plain.is_empty() {
        warn!(
            settings = plain.join(", "),
            "file bytes are sent over plain HTTP: use an https:// endpoint outside a private network"
        );
    }
}

/// Runs one service in this process until a stop signal.
///
/// # Errors
/// When the service can't start, or stops by itself.
pub async fn run_service(kind: ServiceKind, settings: &Settings) -> Result<(), ServiceError> {
    run(kind.process(), settings, async |common, life| start(kind, settings, common, life).await).await
}

/// Starts services with `start`, and runs them until a stop signal. Traces carry `process` as the name of the service.
///
/// # Errors
/// When a service can't start, or stops by itself.
pub async fn run<T>(
    process: &str,
    settings: &Settings,
    start: impl AsyncFnOnce(&Common, &Lifecycle) -> Result<T, ServiceError>,
) -> Result<T, ServiceError> {
    let life = Lifecycle::new();
    life.stop_at_signals();
    let common = Common::prepare(settings, process).await?;
    schema::check(&common.db).await?;
    let started = start(&common, &life).await;
    stop(settings, &common, started, &life).await
}

/// Starts one service on the address in its settings.
///
/// # Errors
/// When the service can't start.
pub async fn start(
    kind: ServiceKind,
    settings: &Settings,
    common: &Common,
    life: &Lifecycle,
) -> Result<(), ServiceError> {
    match kind {
        ServiceKind::Gateway => bind_and_start_gateway(settings, common, life).await,
        ServiceKind::Exporter => start_exporter(settings, common, life).await,
        ServiceKind::Notifier => start_notifier(settings, common, life).await.map(drop),
    }
}

/// Starts a gateway on the address in the settings.
///
/// # Errors
/// When the gateway can't start.
pub async fn bind_and_start_gateway(
    settings: &Settings,
    common: &Common,
    life: &Lifecycle,
) -> Result<(), ServiceError> {
    let listener = bind("gateway.listen", &settings.gateway.listen).await?;
    start_gateway(settings, common, listener, life).await
}

/// Starts a gateway on a listener that is already bound.
///
/// # Errors
/// When the gateway can't start.
pub async fn start_gateway(
    settings: &Settings,
    common: &Common,
    listener: TcpListener,
    life: &Lifecycle,
) -> Result<(), ServiceError> {
    let Common { db, clock, metrics, .. } = common.clone();
    let credit_policy = settings.credit_policy()?;
    if settings.gateway_drain() > settings.shutdown_grace.get() {
        warn!(
            drain = ?settings.gateway_drain(), shutdown_grace = %settings.shutdown_grace,
            "the drain of the gateway exceeds shutdown_grace: requests will be aborted at the end"
        );
    }
    let bus = Bus::join(&settings.nats, ServiceKind::Gateway.process(), &subject::GATEWAY_STREAMS).await?;
    let deps = gateway::Deps { bus, db, clock, credit_policy, metrics: Some(metrics) };
    Ok(gateway::start(settings.gateway.clone(), deps, listener, life).await?)
}

/// Starts an exporter.
///
/// # Errors
/// When the exporter can't start.
pub async fn start_exporter(settings: &Settings, common: &Common, life: &Lifecycle) -> Result<(), ServiceError> {
    let Common { db, clock, metrics, .. } = common.clone();
    let bus = Bus::join(&settings.nats, ServiceKind::Exporter.process(), &subject::EXPORTER_STREAMS).await?;
    let store = FileStore::open(&settings.store)?;
    let deps = exporter::Deps { bus, db, store, clock, advertisement: Advertisement::default() };
    let address = &settings.exporter.internal_listen;
    if !address.is_empty() {
        let listener = bind("exporter.internal_listen", address).await?;
        exporter_http::serve(deps.clone(), metrics, listener, life);
    }
    let mut config = settings.exporter.clone();
    config.tuning.own_process.get_or_insert_with(OwnProcess::of_this_command);
    exporter::start(config, deps, life).await?;
    Ok(())
}

/// Starts a notifier, and returns the address of its internal listener.
///
/// # Errors
/// When the notifier can't start.
pub async fn start_notifier(
    settings: &Settings,
    common: &Common,
    life: &Lifecycle,
) -> Result<SocketAddr, ServiceError> {
    let Common { db, clock, metrics, .. } = common.clone();
    let listener = bind("notifier.internal_listen", &settings.notifier.internal_listen).await?;
    let bus = Bus::connect(&settings.nats, ServiceKind::Notifier.process()).await?;
    let store = FileStore::open(&settings.store)?;
    let credit_policy: CreditPolicy = settings.credit_policy()?;
    let backup = Some(Arc::new(BackupSetup {
        config: settings.backup.clone(),
        database: settings.database.clone(),
        settings: settings_text(settings)?,
    }));
    let deps = notifier::Deps { bus, db, store, clock, credit_policy, backup, metrics: Some(metrics) };
    Ok(notifier::start(settings.notifier.clone(), deps, listener, life).await?.address)
}

/// Waits until shutdown begins and all tasks have ended. A failed start begins the shutdown, so that the services that
/// have already started stop gracefully.
///
/// # Errors
/// The error of the start, or the reason why the process stopped by itself.
pub async fn stop<T>(
    settings: &Settings,
    common: &Common,
    started: Result<T, ServiceError>,
    life: &Lifecycle,
) -> Result<T, ServiceError> {
    if started.is_err() {
        life.soft().cancel();
    }
    life.shut_down(settings.shutdown_grace.get()).await;
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
