//! Looks now and then at what nobody counts: the queue, and JetStream.
//!
//! Every notifier looks, so that the numbers do not depend on who leads; an alert takes the highest. A look is one statement
//! and a few requests.

mod jetstream;
mod queue;

use std::time::Duration;

use platform::catalog::Catalog;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use self::{jetstream::Streams, queue::Lanes};
use crate::{app::Deps, config::NotifierConfig, error::NotifierError};

/// How long one look may take.
const DEADLINE: Duration = Duration::from_secs(10);

/// What is looked at.
pub(crate) struct Gauges {
    deps: Deps,
    catalog: Catalog,
    every: Duration,
    lanes: Lanes,
    streams: Streams,
}

impl Gauges {
    pub(crate) fn new(deps: Deps, catalog: Catalog, config: &NotifierConfig) -> Self {
        let lanes = Lanes::new(i64::from(config.tenant_in_flight));
        Self { deps, catalog, every: Duration::from_millis(config.gauges_ms), lanes, streams: Streams::default() }
    }

    /// Looks until the soft stop. A look that fails is counted, and leaves the numbers as they were.
    ///
    /// # Errors
    /// Never.
    pub(crate) async fn run(mut self, soft: CancellationToken) -> Result<(), NotifierError> {
        let mut ticks = interval(self.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = soft.cancelled() => return Ok(()),
                _ = ticks.tick() => {}
            }
            let looked = tokio::select! {
                biased;
                () = soft.cancelled() => return Ok(()),
                looked = timeout(DEADLINE, self.look()) => looked,
            };
            let looked = looked.unwrap_or(Err(NotifierError::Timeout("a look at the queue")));
            let result = if looked.is_ok() { "ok" } else { "failed" };
            metrics::counter!("sluice_jetstream_looks_total", "result" => result).increment(1);
            if let Err(e) = looked {
                // whoever works with what is away says so louder
                debug!(error = %e, "the queue can't be looked at");
            }
        }
    }

    async fn look(&mut self) -> Result<(), NotifierError> {
        let exporters = self.catalog.exporters();
        let draining = exporters.iter().filter(|entry| entry.draining).count();
        metrics::gauge!("sluice_catalog_exporters", "state" => "draining").set(draining as f64);
        metrics::gauge!("sluice_catalog_exporters", "state" => "taking").set((exporters.len() - draining) as f64);
        let queue = self.lanes.look(&self.deps).await;
        // a database that is away says nothing about NATS
        self.streams.look(&self.deps).await.and(queue)
    }
}
