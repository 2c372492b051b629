//! Starts an exporter: loads the catalog, and starts the tasks that run jobs and answer requests over NATS.

use std::{sync::Arc, time::Duration};

use async_nats::{Subscriber, service::Service};
use platform::{
    lifecycle::Lifecycle,
    metrics::{self, Pool},
};
use protocol::subject;
use serde_json::json;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{info, warn};
use uuid::Uuid;

use crate::{
    catalog::{Advertiser, Current, LoadContext, Reloader, fingerprint, load, report_unavailable},
    config::ExporterConfig,
    deps::Deps,
    drain::{self, Drain},
    error::ExporterError,
    estimate::{self, Estimator},
    registry::Registry,
    worker::{self, Cancellations, WorkerContext},
};

/// The interval at which the exporter checks the catalog file for changes.
const CATALOG_POLL_INTERVAL: Duration = Duration::from_secs(3);

/// A running exporter. Dropping this value does not stop the exporter, which runs until its [`Lifecycle`] ends.
#[derive(Clone, Debug)]
pub struct App {
    /// The name of this exporter in the catalog, in leases and in NATS. A child process that runs one job has the name
    /// that its parent process has passed to it.
    pub instance: String,
}

/// Starts an exporter that offers the built-in templates and formats, and the contents of the catalog file. `life` runs
/// and stops all tasks of the exporter.
///
/// # Errors
/// When a setting or the catalog file is invalid, or NATS is unavailable.
pub async fn start(config: ExporterConfig, deps: Deps, life: &Lifecycle) -> Result<App, ExporterError> {
    start_with(config, Registry::built_in(), deps, life).await
}

/// Starts an exporter that offers the datasets, templates and formats of `registry`, and the datasets and templates of
/// the catalog file. `life` runs and stops all tasks of the exporter.
///
/// # Errors
/// When a setting, the catalog file or a dataset of `registry` is invalid, or NATS is unavailable.
pub async fn start_with(
    config: ExporterConfig,
    registry: Registry,
    deps: Deps,
    life: &Lifecycle,
) -> Result<App, ExporterError> {
    config.validate()?;
    if worker::is_own_process() {
        return start_one_job(config, registry, deps, life).await;
    }
    let instance = format!("exporter-{}", Uuid::new_v4().simple());
    let current = start_catalog(&config, registry, &deps, &instance, life).await?;
    let (cancellations, drain, jobs) = (Cancellations::default(), Drain::default(), TaskTracker::new());
    let canceled = deps.bus.subscribe(subject::CANCEL_ALL.into()).await?;

    let pools = vec![Pool { name: "shared", db: deps.db.clone() }];
    metrics::register(metrics::Service::Exporter);
    let (bus, store) = (deps.bus.clone(), Some(deps.store.clone()));
    life.spawn(metrics::observe("exporter", bus, pools, store, life.soft().clone()));

    let (drained, running) = (drain.clone(), jobs.clone());
    let stats = move || json!({ "draining": drained.is_on(), "running": running.len() });
    let metadata = [("instance", instance.as_str()), ("pool", config.pool.as_str())];
    let service = deps.bus.register("sluice-exporter", "Turns datasets into files", &metadata, stats).await?;
    drain::serve(&drain, &instance, &jobs, &service, life).await?;
    let estimator = Estimator::new(current.clone(), deps.db.clone(), Arc::clone(&deps.clock));
    estimate::serve(estimator, &service, &config.pool, life).await?;

    let advertiser = Advertiser {
        bus: deps.bus.clone(),
        catalog: current.clone(),
        clock: Arc::clone(&deps.clock),
        instance: instance.clone(),
        pool: config.pool.clone(),
        slots: (config.slots(), config.bulk_slots()),
        interval: config.advertise_interval.get(),
        drain: drain.clone(),
        advertisement: deps.advertisement.clone(),
    };
    life.spawn_critical("catalog", advertiser.run(life.soft().clone()));
    let context = Arc::new(WorkerContext {
        config,
        catalog: current,
        bus: deps.bus,
        db: deps.db,
        store: deps.store,
        clock: deps.clock,
        instance: instance.clone(),
        cancellations,
        hand_over: CancellationToken::new(),
        jobs,
        is_own_process: false,
        drain,
    });
    worker::start(&context, life);
    life.spawn(finish(context, canceled, service, life.soft().clone()));
    Ok(App { instance })
}

/// Starts an exporter in a child process. It runs the one job that its parent process passes to it, and then stops. It
/// advertises no datasets. The job can use the datasets, templates and formats of `registry`, and those of the catalog
/// file.
///
/// # Errors
/// When the parent passes no valid job, a setting or the catalog file is invalid, or NATS is unavailable.
async fn start_one_job(
    config: ExporterConfig,
    registry: Registry,
    deps: Deps,
    life: &Lifecycle,
) -> Result<App, ExporterError> {
    let parent = worker::Parent::connect().await.map_err(ExporterError::OwnProcess)?;
    let instance = parent.instance.clone();
    let catalog = start_catalog(&config, registry, &deps, &instance, life).await?;
    let canceled = deps.bus.subscribe(subject::CANCEL_ALL.into()).await?;
    let message = parent.message(deps.bus.jetstream().clone());
    let context = Arc::new(WorkerContext {
        config,
        catalog,
        bus: deps.bus,
        db: deps.db,
        store: deps.store,
        clock: deps.clock,
        instance: instance.clone(),
        cancellations: Cancellations::default(),
        hand_over: CancellationToken::new(),
        jobs: TaskTracker::new(),
        is_own_process: true,
        drain: Drain::default(),
    });
    let (worker, soft) = (Arc::clone(&context), life.soft().clone());
    life.spawn(context.jobs.track_future(async move {
        worker::handle(&worker, message).await;
        soft.cancel();
    }));
    let soft = life.soft().clone();
    life.spawn(async move {
        tokio::select! {
            () = worker::listen(context.cancellations.clone(), canceled) => {}
            () = worker::drain(&context, &soft) => {}
            () = parent.gone.cancelled() => {
                context.hand_over.cancel();
                soft.cancel();
            }
        }
    });
    Ok(App { instance })
}

/// Builds the [`Registry`] of the datasets, templates and formats that the exporter offers, from `base` and the catalog
/// file. If no catalog file is configured, the registry equals `base`. A task reloads the file after each change of the
/// file, and replaces the registry. Returns a [`Current`], from which the caller can get the newest registry at any
/// time.
async fn start_catalog(
    config: &ExporterConfig,
    base: Registry,
    deps: &Deps,
    instance: &str,
    life: &Lifecycle,
) -> Result<Current, ExporterError> {
    let path = config.catalog.clone();
    let context = LoadContext { max_entry_size: deps.bus.max_entry_size(), ..LoadContext::new(config) };
    let (mut registry, mut has_unavailable, mut loaded_fingerprint) = (base.clone(), false, None);
    if !path.as_os_str().is_empty() {
        loaded_fingerprint = fingerprint(&path).await;
        let loaded = load(&path, &context, &base).await?;
        report_unavailable(&loaded.unavailable, true);
        has_unavailable = !loaded.unavailable.is_empty();
        registry = registry.with(loaded);
    }
    registry.validate()?;
    let datasets: Vec<_> = registry.datasets.iter().map(|dataset| dataset.info().name.clone()).collect();
    info!(
        exporter.instance = instance,
        exporter.datasets = ?datasets,
        exporter.slots = config.slots(),
        "starting the exporter"
    );
    if path.as_os_str().is_empty() && datasets.is_empty() {
        warn!("no datasets are offered: set exporter.catalog to a catalog file, see docs/catalog.md");
    }
    let (replace, current) = Current::starting_with(registry);
    if !path.as_os_str().is_empty() {
        let reloader = Reloader {
            path,
            context,
            base,
            replace,
            interval: CATALOG_POLL_INTERVAL,
            fingerprint: loaded_fingerprint,
            has_unavailable,
        };
        life.spawn_critical("catalog file", reloader.run(life.soft().clone()));
    }
    Ok(current)
}

/// Reads messages from `canceled` and cancels the exports that they name. Continues until the process begins to stop
/// (`soft` is canceled) and the last job has ended. Then stops `service`, the NATS service that answers requests to
/// this exporter.
async fn finish(context: Arc<WorkerContext>, canceled: Subscriber, service: Service, soft: CancellationToken) {
    tokio::select! {
        () = worker::listen(context.cancellations.clone(), canceled) => {}
        () = worker::drain(&context, &soft) => {}
    }
    if let Err(e) = service.stop().await {
        warn!(error = %e, "failed to stop the NATS service");
    }
}
