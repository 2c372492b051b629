//! Samples the queue, JetStream and the catalog of exporters at an interval, and sets their gauges.
//!
//! Every notifier samples, not only the leader (the notifier that dispatches exports), so that the gauges survive a
//! lost leader. Alert rules use the maximum over all notifiers. A sample costs one SQL statement and a few NATS
//! requests.

mod jetstream;
mod queue;

use std::time::Duration;

use platform::catalog::Catalog;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use self::{
    jetstream::JetStreamGauges,
    queue::{InFlightLimits, QueueGauges},
};
use crate::{config::NotifierConfig, deps::Deps, error::NotifierError};

/// The timeout of one sample of the queue, JetStream and the catalog.
const SAMPLE_TIMEOUT: Duration = Duration::from_secs(10);

/// Samples the queue, JetStream and the catalog of exporters, and sets the Prometheus gauges of a notifier.
pub(crate) struct Gauges {
    deps: Deps,
    catalog: Catalog,
    interval: Duration,
    queue: QueueGauges,
    jetstream: JetStreamGauges,
}

impl Gauges {
    pub(crate) fn new(deps: Deps, catalog: Catalog, config: &NotifierConfig) -> Self {
        let queue = QueueGauges::new(InFlightLimits::from(config));
        let interval = config.metrics_interval.get();
        Self { deps, catalog, interval, queue, jetstream: JetStreamGauges::default() }
    }

    /// Samples the gauges at the interval until shutdown begins, and counts successful and failed samples. A gauge
    /// keeps its last value if a sample can't read a new value.
    ///
    /// # Errors
    /// Never: a failed sample is only counted.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) -> Result<(), NotifierError> {
        let mut ticks = interval(self.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return Ok(()),
                _ = ticks.tick() => {}
            }
            let sampled = tokio::select! {
                biased;
                () = shutdown.cancelled() => return Ok(()),
                sampled = timeout(SAMPLE_TIMEOUT, self.sample()) => sampled,
            };
            let sampled = sampled.unwrap_or(Err(NotifierError::Timeout("sampling the gauges")));
            let result = if sampled.is_ok() { "ok" } else { "failed" };
            metrics::counter!("sluice_notifier_metrics_polls_total", "result" => result).increment(1);
            if let Err(e) = sampled {
                // the modules that need the same dependency log its outage at a higher level
                debug!(error = %e, "failed to sample the gauges");
            }
        }
    }

    async fn sample(&mut self) -> Result<(), NotifierError> {
        let exporters = self.catalog.exporters();
        let draining = exporters.iter().filter(|entry| entry.draining).count();
        metrics::gauge!("sluice_catalog_exporters", "state" => "draining").set(draining as f64);
        metrics::gauge!("sluice_catalog_exporters", "state" => "active").set((exporters.len() - draining) as f64);
        metrics::gauge!("sluice_catalog_datasets").set(self.catalog.dataset_count() as f64);
        let queue = self.queue.sample(&self.deps).await;
        // a database outage must not hide the state of NATS
        self.jetstream.sample(&self.deps).await.and(queue)
    }
}
