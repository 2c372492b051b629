//! Limits the number of jobs that an exporter runs at once. A slot is room for one job. Jobs come from two queues, the
//! lanes `interactive` and `bulk`, and bulk exports can use all slots but one.

use std::sync::Arc;

use protocol::subject::Lane;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::ExporterConfig;

/// The slots of both lanes. Every export needs a permit of `all`, and a bulk export also needs a permit of `bulk`.
/// `bulk` has one permit fewer than `all`, so that bulk exports never use all slots.
#[derive(Clone)]
pub(super) struct Slots {
    all: Arc<Semaphore>,
    bulk: Arc<Semaphore>,
}

/// The right to run one job. Dropping this value frees the slot.
pub(super) struct Slot {
    _all: OwnedSemaphorePermit,
    _bulk: Option<OwnedSemaphorePermit>,
}

impl Slots {
    /// Creates the configured number of slots, and sets the gauges that show this number.
    pub(super) fn new(config: &ExporterConfig) -> Self {
        let (all, bulk) = (config.slots(), config.bulk_slots());
        metrics::gauge!("sluice_exporter_slots").set(all as f64);
        metrics::gauge!("sluice_exporter_bulk_slots").set(bulk as f64);
        Self { all: Arc::new(Semaphore::new(all)), bulk: Arc::new(Semaphore::new(bulk)) }
    }

    /// Waits for a free slot of this lane. The result is never None, because the semaphores of the slots are never
    /// closed.
    pub(super) async fn acquire(&self, lane: Lane) -> Option<Slot> {
        let bulk = match lane {
            Lane::Interactive => None,
            Lane::Bulk => Some(Arc::clone(&self.bulk).acquire_owned().await.ok()?),
        };
        Some(Slot { _bulk: bulk, _all: Arc::clone(&self.all).acquire_owned().await.ok()? })
    }
}

/// Counts one running job in the gauge `sluice_exporter_running`. Dropping this value decrements the gauge.
pub(super) struct RunningJob(Lane);

impl RunningJob {
    pub(super) fn new(lane: Lane) -> Self {
        metrics::gauge!("sluice_exporter_running", "lane" => lane.as_str()).increment(1);
        Self(lane)
    }
}

impl Drop for RunningJob {
    fn drop(&mut self) {
        metrics::gauge!("sluice_exporter_running", "lane" => self.0.as_str()).decrement(1);
    }
}
