//! Starts each service from the settings.

mod exporter_http;

use std::{io, sync::Arc};

use entity::credit_policy::{CreditPolicy, CreditPolicyError};
use exporter::{ExporterError, OwnProcess, catalog::Advertisement};
use gateway::app::StartError;
use notifier::{BackupSetup, NotifierError};
use platform::{
    bus::{Bus, BusError},
    clock::{DatabaseClock, SharedClock},
    lifecycle::Lifecycle,
    startup::{ServiceListener, Startup},
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
    pub(crate) const fn process(self) -> &'static str {
        match self {
            Self::Gateway => "sluice-gateway",
            Self::Exporter => "sluice-exporter",
            Self::Notifier => "sluice-notifier",
        }
    }

    /// Returns the address of `/readyz`, and the name of its setting.
    pub(crate) fn address(self, settings: &Settings) -> (&'static str, &str) {
        match self {
            Self::Gateway => ("gateway.listen", &settings.gateway.listen),
            Self::Exporter => ("exporter.internal_listen", &settings.exporter.internal_listen),
            Self::Notifier => ("notifier.internal_listen", &settings.notifier.internal_listen),
        }
    }
}

/// The reason why a service cannot start, or stopped by itself.
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

impl ServiceError {
    fn listen(setting: &'static str, address: &str, source: io::Error) -> Self {
        Self::Listen { setting, address: address.to_owned(), source }
    }
}

/// The telemetry handles of a process, which exist before the process connects to any server.
pub(crate) struct Handles {
    /// The recorder whose metrics `/metrics` shows.
    metrics: PrometheusHandle,
    /// The trace exporter, which the process flushes before it ends.
    traces: Traces,
}

/// The connections and handles that all services of a process share.
#[derive(Clone)]
pub(crate) struct Common {
    /// The connection pool of the database.
    pub(crate) db: DatabaseConnection,
    /// The clock of all services.
    clock: SharedClock,
    /// The recorder whose metrics `/metrics` shows.
    metrics: PrometheusHandle,
    /// The trace exporter, which the process flushes before it ends.
    pub(crate) traces: Traces,
}

/// The settings, connections and handles that a service needs to start.
pub(crate) struct Starting<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) common: &'a Common,
    /// Waits for the dependencies of the service.
    pub(crate) startup: &'a Startup,
    /// The listener at [`ServiceKind::address`]; None if the settings name no address.
    pub(crate) listener: Option<ServiceListener>,
    pub(crate) life: &'a Lifecycle,
}

impl Handles {
    /// Sets up logs, traces and metrics. Traces carry `process` as the name of the service.
    ///
    /// # Errors
    /// When telemetry can't be set up.
    pub(crate) fn set_up(settings: &Settings, process: &str) -> Result<Self, ServiceError> {
        let traces = telemetry::init(&settings.log, process)?;
        if process != ServiceKind::Gateway.process() {
            warn_of_plain_http(settings);
        }
        Ok(Self { metrics: init_metrics()?, traces })
    }

    /// Waits until the database is available, and returns the connections and handles that all services share.
    ///
    /// # Errors
    /// When the settings of the database are invalid.
    pub(crate) async fn connect(&self, settings: &Settings, startup: &Startup) -> Result<Common, ServiceError> {
        let connect = async || platform::db::connect(&settings.database).await;
        let db = startup.wait_for("database", |e| !entity::is_outage(e), connect).await?;
        let clock = DatabaseClock::follow(&db).await;
        Ok(Common { db, clock, metrics: self.metrics.clone(), traces: self.traces.clone() })
    }
}

/// Logs one warning if these settings make the process send file bytes over plain HTTP.
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

/// Runs one service in this process until a stop signal. While the database, NATS or the file store is unavailable, the
/// service waits, and answers at its `/readyz` that it is not ready.
///
/// # Errors
/// When the service can't start, or stops by itself.
pub async fn run_service(kind: ServiceKind, settings: &Settings) -> Result<(), ServiceError> {
    run(kind, settings, async |starting: Starting<'_>| start(kind, starting).await).await
}

/// Runs the service `kind` as [`run_service`] does, but starts the service with the function `start`. A binary that
/// passes the start function of one service contains only the code of this service.
///
/// # Errors
/// When the service can't start, or stops by itself.
pub(crate) async fn run(
    kind: ServiceKind,
    settings: &Settings,
    start: impl AsyncFnOnce(Starting<'_>) -> Result<(), ServiceError>,
) -> Result<(), ServiceError> {
    let life = Lifecycle::new();
    life.stop_at_signals();
    let handles = Handles::set_up(settings, kind.process())?;
    // a child process that runs a single export must not wait for dependencies, because its parent waits for the child
    let is_child = kind == ServiceKind::Exporter && exporter::is_own_process();
    let startup = if is_child { Startup::without_waiting() } else { Startup::default() };
    let starting = async {
        let (setting, address) = kind.address(settings);
        let listener = if address.is_empty() { None } else { Some(bind(setting, address).await?) };
        let listener = listener.map(|listener| startup.answer(listener, &life)).transpose();
        let listener = listener.map_err(|source| ServiceError::listen(setting, address, source))?;
        let common = handles.connect(settings, &startup).await?;
        let is_final = |e: &SchemaError| !matches!(e, SchemaError::Database(e) if entity::is_outage(e));
        startup.wait_for("schema", is_final, async || schema::check(&common.db).await).await?;
        start(Starting { settings, common: &common, startup: &startup, listener, life: &life }).await
    };
    let started = life.soft().run_until_cancelled(starting).await.unwrap_or(Ok(()));
    stop(settings, &handles.traces, started, &life).await
}

/// Starts one service, after the database is available and migrated.
///
/// # Errors
/// When the service can't start.
pub(crate) async fn start(kind: ServiceKind, starting: Starting<'_>) -> Result<(), ServiceError> {
    match kind {
        ServiceKind::Gateway => start_gateway(starting).await,
        ServiceKind::Exporter => start_exporter(starting).await,
        ServiceKind::Notifier => start_notifier(starting).await,
    }
}

/// Starts a gateway.
///
/// # Errors
/// When the gateway can't start.
pub(crate) async fn start_gateway(starting: Starting<'_>) -> Result<(), ServiceError> {
    let Starting { settings, common, startup, listener, life } = starting;
    let Common { db, clock, metrics, .. } = common.clone();
    let credit_policy = settings.credit_policy()?;
    if settings.gateway_drain() > settings.shutdown_grace.get() {
        warn!(
            drain = ?settings.gateway_drain(), shutdown_grace = %settings.shutdown_grace,
            "the drain of the gateway exceeds shutdown_grace: requests will be aborted at the end"
        );
    }
    let (setting, address) = ServiceKind::Gateway.address(settings);
    let listener = match listener {
        Some(listener) => listener,
        None => bind(setting, address).await?.into(),
    };
    let bus = join(startup, settings, ServiceKind::Gateway, &subject::GATEWAY_STREAMS).await?;
    let deps = gateway::Deps { bus, db, clock, credit_policy, metrics: Some(metrics) };
    Ok(gateway::start(settings.gateway.clone(), deps, listener, life).await?)
}

/// Starts an exporter.
///
/// # Errors
/// When the exporter can't start.
pub(crate) async fn start_exporter(starting: Starting<'_>) -> Result<(), ServiceError> {
    let Starting { settings, common, startup, listener, life } = starting;
    let Common { db, clock, metrics, .. } = common.clone();
    let bus = join(startup, settings, ServiceKind::Exporter, &subject::EXPORTER_STREAMS).await?;
    let store = open_store(startup, settings).await?;
    let deps = exporter::Deps { bus, db, store, clock, advertisement: Advertisement::default() };
    if let Some(listener) = listener {
        exporter_http::serve(deps.clone(), metrics, listener.into_listener().await, life);
    }
    let mut config = settings.exporter.clone();
    config.tuning.own_process.get_or_insert_with(OwnProcess::of_this_command);
    exporter::start(config, deps, life).await?;
    Ok(())
}

/// Starts a notifier.
///
/// # Errors
/// When the notifier can't start.
pub(crate) async fn start_notifier(starting: Starting<'_>) -> Result<(), ServiceError> {
    let Starting { settings, common, startup, listener, life } = starting;
    let Common { db, clock, metrics, .. } = common.clone();
    let (setting, address) = ServiceKind::Notifier.address(settings);
    let listener = match listener {
        Some(listener) => listener,
        None => bind(setting, address).await?.into(),
    };
    let connect = async || Bus::connect(&settings.nats, ServiceKind::Notifier.process()).await;
    let bus = startup.wait_for("nats", BusError::is_final, connect).await?;
    let store = open_store(startup, settings).await?;
    let credit_policy: CreditPolicy = settings.credit_policy()?;
    let backup = Some(Arc::new(BackupSetup {
        config: settings.backup.clone(),
        database: settings.database.clone(),
        settings: settings_text(settings)?,
    }));
    let deps = notifier::Deps { bus, db, store, clock, credit_policy, backup, metrics: Some(metrics) };
    notifier::start(settings.notifier.clone(), deps, listener, life).await?;
    Ok(())
}

/// Connects to NATS. Waits until NATS is available and has the `needed` streams, which a notifier creates.
async fn join(startup: &Startup, settings: &Settings, kind: ServiceKind, needed: &[&str]) -> Result<Bus, BusError> {
    let join = async || Bus::join(&settings.nats, kind.process(), needed).await;
    startup.wait_for("nats", BusError::is_final, join).await
}

/// Opens the file store. Waits while the folder of the file store can't be opened. A bucket needs no wait, because the
/// client opens a bucket without a request.
async fn open_store(startup: &Startup, settings: &Settings) -> Result<FileStore, FileStoreError> {
    let is_final = |e: &FileStoreError| !matches!(e, FileStoreError::Folder { .. });
    startup.wait_for("file_store", is_final, async || FileStore::open(&settings.store)).await
}

/// Waits until shutdown begins and all tasks have ended. If the start has failed, begins the shutdown, so that the
/// services that have already started stop gracefully.
///
/// # Errors
/// The error of the start, or the reason why the process stopped by itself.
pub async fn stop<T>(
    settings: &Settings,
    traces: &Traces,
    started: Result<T, ServiceError>,
    life: &Lifecycle,
) -> Result<T, ServiceError> {
    if started.is_err() {
        life.soft().cancel();
    }
    life.shut_down(settings.shutdown_grace.get()).await;
    traces.shut_down().await;
    let value = started?;
    match life.failure() {
        None => Ok(value),
        Some(reason) => Err(ServiceError::Stopped(reason)),
    }
}

/// Binds the address in a setting.
///
/// # Errors
/// When the address is invalid or in use.
pub(crate) async fn bind(setting: &'static str, address: &str) -> Result<TcpListener, ServiceError> {
    TcpListener::bind(address).await.map_err(|source| ServiceError::listen(setting, address, source))
}
