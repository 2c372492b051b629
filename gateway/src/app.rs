//! Puts the gateway together.

use std::{io, time::Duration};

use entity::terms::Terms;
use metrics_exporter_prometheus::PrometheusHandle;
use platform::{
    bus::{Bus, BusError},
    clock::SharedClock,
    lifecycle::Lifecycle,
    metrics::{self, Pool, Service},
};
use sea_orm::DatabaseConnection;
use tokio::net::TcpListener;
use tracing::info;

use crate::{
    auth::{Verifier, local, tickets::Tickets, verify::IdentityError},
    catalog::Catalog,
    config::GatewayConfig,
    credits::Credits,
    delivery::Source,
    drain::Drain,
    events::Events,
    exports::Exports,
    http,
    oidc::OidcError,
    queue::Queue,
    serve::serve,
    submit::Submit,
    ws::registry::Registry,
};

/// Connections of operators at once.
const INTERNAL_CONNECTIONS: usize = 64;

/// What a gateway is given.
#[derive(Clone, Debug)]
pub struct Deps {
    /// NATS.
    pub bus: Bus,
    /// The shared database.
    pub db: DatabaseConnection,
    /// The time.
    pub clock: SharedClock,
    /// The terms of credits.
    pub terms: Terms,
    /// Renders metrics for `/metrics`, which is served where `internal_listen` says.
    pub metrics: Option<PrometheusHandle>,
}

/// A gateway that can't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// NATS does not play along.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// Nobody could be let in safely.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The page could sign nobody in.
    #[error(transparent)]
    Oidc(#[from] OidcError),
    /// No HTTP client.
    #[error("http client: {0}")]
    Http(#[from] reqwest::Error),
    /// The internal address can't be used.
    #[error("gateway.internal_listen {address}: {source}")]
    Listen {
        /// The address.
        address: String,
        /// Why.
        source: io::Error,
    },
}

/// Everything that handlers and sessions use. Clones share it.
#[derive(Clone, Debug)]
pub struct App {
    /// Settings.
    pub config: GatewayConfig,
    /// The process's life.
    pub life: Lifecycle,
    /// The time.
    pub clock: SharedClock,
    /// NATS.
    pub bus: Bus,
    /// The shared database.
    pub db: DatabaseConnection,
    /// Who is calling.
    pub verifier: Verifier,
    /// Tickets for browsers.
    pub tickets: Tickets,
    /// What is on offer.
    pub catalog: Catalog,
    /// Credits.
    pub credits: Credits,
    /// Open sessions.
    pub registry: Registry,
    /// User events.
    pub events: Events,
    /// Takes exports.
    pub submit: Submit,
    /// Reads and ends exports.
    pub exports: Exports,
    /// File bytes.
    pub source: Source,
    /// The end.
    pub drain: Drain,
}

impl App {
    async fn assemble(config: GatewayConfig, deps: Deps, life: &Lifecycle) -> Result<Self, StartError> {
        let Deps { bus, db, clock, terms, .. } = deps;
        let http = reqwest::Client::builder().build()?;
        let verifier = Verifier::new(config.identity.clone(), http, clock.clone())?;
        let tickets = Tickets::new(bus.tickets().await?, clock.clone());
        let catalog = Catalog::default();
        let credits = Credits::new(terms, db.clone(), clock.clone());
        let queue = Queue::new(db.clone(), catalog.clone(), Duration::from_millis(config.queue_ms));
        let registry = Registry::new(config.ws.sessions_per_user);
        let events = Events::open(bus.clone(), registry.clone(), config.events.clone()).await?;
        let submit = Submit {
            db: db.clone(),
            bus: bus.clone(),
            catalog: catalog.clone(),
            credits: credits.clone(),
            queue,
            clock: clock.clone(),
            max_unfinished: config.max_unfinished_per_user,
            interactive_rows: config.interactive_rows,
        };
        let exports = Exports {
            db: db.clone(),
            bus: bus.clone(),
            events: events.clone(),
            submit: submit.clone(),
            clock: clock.clone(),
        };
        let source = Source::new(bus.clone(), clock.clone(), config.delivery.clone())?;
        let drain = Drain::of(&config.drain, life);
        let life = life.clone();
        Ok(Self {
            config,
            life,
            clock,
            bus,
            db,
            verifier,
            tickets,
            catalog,
            credits,
            registry,
            events,
            submit,
            exports,
            source,
            drain,
        })
    }
}

/// Starts a gateway on a bound listener; it runs until the soft stop.
///
/// # Errors
/// When a setting can't be used or NATS does not answer.
pub async fn start(
    config: GatewayConfig,
    deps: Deps,
    listener: TcpListener,
    life: &Lifecycle,
) -> Result<(), StartError> {
    config.identity.oidc.check()?;
    local::check(&config.identity.local, &config.listen)?;
    let metrics = deps.metrics.clone();
    metrics::begin(Service::Gateway);
    let pools = vec![Pool { name: "shared", db: deps.db.clone() }];
    life.spawn(metrics::observe("gateway", deps.bus.clone(), pools, None, life.soft().clone()));
    let app = App::assemble(config, deps, life).await?;
    app.catalog.watch(app.bus.catalog().await?, life);
    app.events.follow(life, app.drain.ended().clone());
    if let (Some(metrics), address) = (metrics, &app.config.internal_listen)
        && !address.is_empty()
    {
        let listener = TcpListener::bind(address)
            .await
            .map_err(|source| StartError::Listen { address: address.clone(), source })?;
        serve(
            "gateway: internal",
            http::internal(metrics),
            listener,
            INTERNAL_CONNECTIONS,
            app.drain.ended(),
            None,
            life,
        );
    }
    if let Ok(address) = listener.local_addr() {
        info!(gateway.listen = %address, "gateway: open");
    }
    let (connections, drain) = (app.config.connections, app.drain.clone());
    serve("gateway", http::router(app), listener, connections, drain.closing(), Some(&drain), life);
    Ok(())
}
