//! Assembles the gateway and starts it.

use std::{io, time::Duration};

use entity::credit_policy::CreditPolicy;
use metrics_exporter_prometheus::PrometheusHandle;
use platform::{
    bus::Bus,
    catalog::Catalog,
    clock::SharedClock,
    http::Server,
    lifecycle::Lifecycle,
    metrics::{self, Pool, Service},
    startup::{self, ServiceListener},
};
use sea_orm::DatabaseConnection;
use tokio::net::TcpListener;
use tracing::info;

use crate::{
    auth::{self, ApiKeys, Authenticator, IdentityError, OidcError, Rights, SignInLinks, Tickets, Verifier, local},
    config::GatewayConfig,
    credits::Credits,
    delivery::{Downloads, Source},
    drain::Drain,
    embed::EmbedScript,
    events::Events,
    exports::{Exports, Presenter, QueueCache, Submit},
    operate::Operate,
    router,
    saved_exports::SavedExports,
    sessions::Registry,
    state::{AppState, Shared},
};

/// The maximum number of open connections on the internal listener, which serves `/metrics` and `/healthz`.
const INTERNAL_CONNECTIONS: usize = 64;
/// The gateway closes a connection after this time without a byte in either direction. An example is the connection of
/// a paused download. If three heartbeat intervals are longer than this time, [`start`] uses three heartbeat intervals
/// instead, so that pings keep a session open.
const IDLE_TIMEOUT: Duration = Duration::from_secs(5 * 60);
/// How long a request on the internal listener may continue after the drain (the graceful stop of the gateway) has
/// ended.
const INTERNAL_DRAIN_TIMEOUT: Duration = Duration::from_millis(50);

/// The NATS connection, database pool, clock, credit policy and metrics that a gateway shares with the other services
/// of its process.
#[derive(Clone, Debug)]
pub struct Deps {
    /// The connection to NATS.
    pub bus: Bus,
    /// The connection pool of the shared database.
    pub db: DatabaseConnection,
    /// The clock for timestamps and expiry checks; tests replace it.
    pub clock: SharedClock,
    /// The initial balance, the daily grant and the accrual cap of all accounts. Notifiers use the same policy.
    pub credit_policy: CreditPolicy,
    /// The Prometheus recorder that `/metrics` on the internal listener renders. With None, the gateway opens no
    /// internal listener.
    pub metrics: Option<PrometheusHandle>,
}

/// The reason why a gateway does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A setting of `[gateway.identity]` is unsafe, missing or not supported.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The settings of `[gateway.identity.oidc]` are invalid.
    #[error(transparent)]
    Oidc(#[from] OidcError),
    /// The TLS setup failed for the HTTP client that fetches the issuer's key set (RFC 7517).
    #[error("failed to create the HTTP client for key sets: {0}")]
    Http(#[from] reqwest::Error),
    /// The TLS setup failed for the HTTP client that fetches file segments, which are the stored parts of files.
    #[error("failed to create the HTTP client for file segments: {0}")]
    SegmentHttp(io::Error),
    /// The address of the internal listener cannot be bound.
    #[error("gateway.internal_listen {address}: {source}")]
    Listen {
        /// The address from the setting `gateway.internal_listen`.
        address: String,
        /// The error of the operating system.
        source: io::Error,
    },
}

/// Starts a gateway that accepts clients on `listener`, and returns as soon as the gateway runs. When the process
/// begins to stop (the soft stop of `life`), the gateway closes its sessions and lets requests finish for a limited
/// time (see the module `drain`). Then the gateway ends.
///
/// # Errors
/// When a setting is invalid, the TLS setup of an HTTP client fails, or the internal listener can't be bound. While
/// NATS does not answer, this function waits.
pub async fn start(
    config: GatewayConfig,
    deps: Deps,
    listener: impl Into<ServiceListener>,
    life: &Lifecycle,
) -> Result<(), StartError> {
    config.identity.oidc.check()?;
    local::check(&config.identity.local, &config.listen)?;
    let metrics = deps.metrics.clone();
    metrics::register(Service::Gateway);
    let pools = vec![Pool { name: "shared", db: deps.db.clone() }];
    life.spawn(metrics::observe("gateway", deps.bus.clone(), pools, None, life.soft().clone()));
    let app = assemble(config, deps, life).await?;
    let catalog = startup::until_open("the catalog", async || app.bus.catalog().await).await;
    app.catalog.watch(catalog, life);
    app.events.spawn_reader(life, app.drain.ended().clone());
    app.api_keys.spawn_monitor(life, app.drain.ended().clone());
    life.spawn(app.operate.live.clone().run(app.drain.ended().clone()));
    if let (Some(metrics), address) = (metrics, &app.config.internal_listen)
        && !address.is_empty()
    {
        let listener = TcpListener::bind(address)
            .await
            .map_err(|source| StartError::Listen { address: address.clone(), source })?;
        Server::new("gateway internal listener", router::internal_router(metrics), listener)
            .max_connections(INTERNAL_CONNECTIONS)
            .drain_timeout(INTERNAL_DRAIN_TIMEOUT)
            .spawn(app.drain.ended(), life);
    }
    let listener = listener.into().into_listener().await;
    if let Ok(address) = listener.local_addr() {
        info!(gateway.listen = %address, "gateway listening");
    }
    let (max_connections, drain) = (app.config.max_connections, app.drain.clone());
    let idle_timeout = IDLE_TIMEOUT.max(app.config.ws.heartbeat_interval.get().saturating_mul(3));
    Server::new("gateway listener", router::public_router(app), listener)
        .max_connections(max_connections)
        .idle_timeout(idle_timeout)
        .drain_timeout(drain.timeout())
        .tracked_by(drain.tracker())
        .spawn(drain.closing(), life);
    Ok(())
}

async fn assemble(config: GatewayConfig, deps: Deps, life: &Lifecycle) -> Result<AppState, StartError> {
    let Deps { bus, db, clock, credit_policy, .. } = deps;
    let verifier = Verifier::new(config.identity.clone(), auth::jwks_client()?, clock.clone())?;
    let sign_in_links = SignInLinks::new(&config.identity.local, clock.clone());
    let tickets = startup::until_open("the tickets", async || bus.tickets().await).await;
    let tickets = Tickets::new(tickets, clock.clone());
    let (cache_ttl, check_interval) = (config.tuning.key_cache_ttl.get(), config.tuning.key_check_interval.get());
    let api_keys = ApiKeys::new(db.clone(), bus.clone(), clock.clone(), cache_ttl, check_interval);
    let rights = Rights::new(db.clone(), clock.clone());
    rights.spawn_recorder(life);
    let authenticator = Authenticator::new(verifier, api_keys.clone(), tickets.clone(), rights);
    let catalog = Catalog::default();
    let credits = Credits::new(credit_policy, db.clone(), clock.clone());
    let presenter = Presenter::new(QueueCache::new(db.clone(), catalog.clone()));
    let sessions = Registry::new(config.max_sessions_per_user);
    let open = async || Events::open(bus.clone(), sessions.clone(), &config).await;
    let events = startup::until_open("the event stream", open).await;
    let submit = Submit {
        db: db.clone(),
        bus: bus.clone(),
        catalog: catalog.clone(),
        credits: credits.clone(),
        presenter: presenter.clone(),
        clock: clock.clone(),
        max_unfinished: config.max_unfinished_per_user,
        interactive_max_dataset_rows: config.interactive_max_dataset_rows,
    };
    let saved_exports = SavedExports {
        db: db.clone(),
        catalog: catalog.clone(),
        clock: clock.clone(),
        presenter: presenter.clone(),
        submit: submit.clone(),
        credits: credits.clone(),
    };
    let exports = Exports {
        db: db.clone(),
        bus: bus.clone(),
        events: events.clone(),
        presenter: presenter.clone(),
        clock: clock.clone(),
    };
    let operate = Operate::new(bus.clone(), db.clone(), clock.clone());
    let source = Source::new(bus.clone(), config.delivery.read_retry_timeout.get());
    let source = source.map_err(StartError::SegmentHttp)?;
    let downloads = Downloads::new(config.tuning.max_downloads, config.tuning.max_downloads_per_user);
    let drain = Drain::spawn(&config, life);
    let embed = EmbedScript::load(&config.web_dir);
    Ok(AppState::new(Shared {
        config,
        life: life.clone(),
        clock,
        bus,
        db,
        authenticator,
        api_keys,
        sign_in_links,
        tickets,
        catalog,
        credits,
        sessions,
        events,
        submit,
        exports,
        saved_exports,
        presenter,
        operate,
        source,
        downloads,
        drain,
        embed,
    }))
}
