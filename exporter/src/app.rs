//! Puts an exporter together.

use std::sync::Arc;

use platform::{
    bus::Bus,
    clock::SharedClock,
    health::{Dependency, Readiness},
    lifecycle::Lifecycle,
    metrics::{self, Pool, Service},
    store::FileStore,
};
use protocol::subject;
use sea_orm::DatabaseConnection;
use serde_json::json;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{info, warn};
use uuid::Uuid;

use crate::{
    ExporterConfig, ExporterError, Registry,
    catalog::{Advertiser, Current, Means, Reloader, fingerprint, load, tell},
    drain::{self, Drain},
    estimate::{self, Estimator},
    worker::{self, Cancels, Worker},
};

/// What an exporter works with. Clones share it.
#[derive(Clone)]
pub struct Deps {
    /// NATS.
    pub bus: Bus,
    /// The database that all services share.
    pub db: DatabaseConnection,
    /// The same database for the rows of table datasets, in a pool of its own of
    /// [`ExporterConfig::read_connections`]: an export holds a connection of it for as long as it reads. From one pool
    /// with `db`, readers that wait until their rows are stored would starve the very transactions that store them.
    pub reads: DatabaseConnection,
    /// Where files go.
    pub store: FileStore,
    /// The time.
    pub clock: SharedClock,
}

impl Deps {
    /// Whether each dependency can be used now.
    pub async fn readiness(&self) -> Readiness {
        let database = platform::db::ping(&self.db).await;
        vec![Dependency::from_result("database", database), Dependency::from_result("nats", self.bus.ping())].into()
    }
}

/// A running exporter. It runs until the [`Lifecycle`] ends, whether or not this is kept.
#[derive(Clone, Debug)]
pub struct App {
    /// Its name in the catalog, in leases and in NATS.
    pub instance: String,
}

/// Starts an exporter with everything that comes with Sluice: all its tasks run on `life`.
///
/// # Errors
/// When a setting can't work or NATS does not answer.
pub async fn start(config: ExporterConfig, deps: Deps, life: &Lifecycle) -> Result<App, ExporterError> {
    let registry = Registry::standard(&config.datasets_dir, &deps.reads);
    start_with(config, registry, deps, life).await
}

/// The same with datasets, templates and formats of one's own.
///
/// # Errors
/// As [`start`].
pub async fn start_with(
    config: ExporterConfig,
    registry: Registry,
    deps: Deps,
    life: &Lifecycle,
) -> Result<App, ExporterError> {
    config.validate()?;
    let instance = format!("exporter-{}", Uuid::new_v4().simple());
    let catalog = config.catalog.clone();
    let means = Means::of(&config, &deps.reads);
    let (base, seen, mut away) = (registry.clone(), fingerprint(&catalog).await, false);
    let mut registry = registry;
    if !catalog.as_os_str().is_empty() {
        let loaded = load(&catalog, &means, &registry).await?;
        tell(&loaded, true);
        away = !loaded.unavailable.is_empty();
        registry = registry.with(loaded);
    }
    registry.validate()?;
    let names: Vec<_> = registry.datasets.iter().map(|dataset| dataset.name()).collect();
    info!(exporter.instance = %instance, exporter.datasets = ?names, exporter.slots = config.slots(), "exporter starts");

    let (replace, current) = Current::starting_with(registry);
    if !catalog.as_os_str().is_empty() {
        let every = config.catalog_poll();
        let reloader = Reloader { path: catalog, means, base, replace, every, seen, away };
        life.spawn_critical("catalog file", reloader.run(life.soft().clone()));
    }
    let cancels = Cancels::default();
    let canceled = deps.bus.subscribe(subject::CANCEL_ALL.into()).await?;
    let drain = Drain::default();
    let advertiser = Advertiser {
        bus: deps.bus.clone(),
        catalog: current.clone(),
        clock: Arc::clone(&deps.clock),
        instance: instance.clone(),
        pool: config.pool.clone(),
        slots: (config.slots(), config.bulk_slots()),
        every: config.catalog(),
        drain: drain.clone(),
    };
    metrics::begin(Service::Exporter);
    let pools = vec![Pool { name: "shared", db: deps.db.clone() }, Pool { name: "reads", db: deps.reads.clone() }];
    let (bus, store) = (deps.bus.clone(), Some(deps.store.clone()));
    life.spawn(metrics::observe("exporter", bus, pools, store, life.soft().clone()));
    let jobs = TaskTracker::new();
    let (drained, running) = (drain.clone(), jobs.clone());
    let data = move || json!({ "draining": drained.is_on(), "running": running.len() });
    let metadata = [("instance", instance.as_str()), ("pool", config.pool.as_str())];
    let service = deps.bus.register("sluice-exporter", "Turns datasets into files", &metadata, data).await?;
    drain::serve(&drain, &instance, &jobs, &service, life).await?;
    let estimator = Estimator::new(current.clone(), deps.db.clone(), Arc::clone(&deps.clock));
    estimate::serve(estimator, &service, &config.pool, life).await?;
    let worker = Arc::new(Worker {
        config,
        catalog: current,
        bus: deps.bus,
        db: deps.db,
        store: deps.store,
        clock: deps.clock,
        instance: instance.clone(),
        cancels: cancels.clone(),
        hand_over: CancellationToken::new(),
        jobs,
        drain,
    });

    life.spawn_critical("catalog", advertiser.run(life.soft().clone()));
    worker::start(&worker, life);
    let soft = life.soft().clone();
    life.spawn(async move {
        // cancels are heard for as long as jobs run
        tokio::select! {
            () = worker::listen(cancels, canceled) => {}
            () = worker::drain(&worker, &soft) => {}
        }
        if let Err(e) = service.stop().await {
            warn!(error = %e, "the NATS service can't be stopped");
        }
    });
    Ok(App { instance })
}
