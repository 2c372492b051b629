//! Advertises the datasets of this exporter to gateways: writes an entry into the NATS key-value bucket of the catalog
//! at a fixed interval, and deletes the entry when the exporter stops.

use std::time::Duration;

use platform::{bus::Bus, clock::SharedClock};
use protocol::{ENVELOPE_VERSION, catalog::CatalogEntry};
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{Current, estimates::Estimates};
use crate::drain::Drain;

/// The number of advertising intervals for which a catalog entry is valid.
const TTL_INTERVALS: u32 = 3;
/// The number of advertising intervals after which the exporter estimates the rows of all datasets again.
const ESTIMATE_INTERVALS: u32 = 3;
/// The maximum time for which the first advertisement of a new registry waits for row estimates.
const FIRST_ESTIMATES: Duration = Duration::from_millis(1_500);

/// Keeps the catalog entry of one exporter up to date.
pub(crate) struct Advertiser {
    pub(crate) bus: Bus,
    pub(crate) catalog: Current,
    pub(crate) clock: SharedClock,
    pub(crate) instance: String,
    pub(crate) pool: String,
    /// The number of slots, and the number of slots that bulk exports may use.
    pub(crate) slots: (usize, usize),
    pub(crate) interval: Duration,
    /// The drain state of the exporter. While the exporter drains, the entry offers no slots.
    pub(crate) drain: Drain,
}

impl Advertiser {
    /// Writes the catalog entry at each interval until `stop` is canceled, and then deletes the entry.
    pub(crate) async fn run(mut self, stop: CancellationToken) -> Result<(), std::convert::Infallible> {
        let mut drained = self.drain.changes();
        let mut estimates = Estimates::of(self.catalog.current());
        // the first entry waits for the estimates, at most for this time
        let mut ticks = interval_at(Instant::now() + FIRST_ESTIMATES, self.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut again =
            interval_at(Instant::now() + self.interval * ESTIMATE_INTERVALS, self.interval * ESTIMATE_INTERVALS);
        again.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                // a new registry is advertised as soon as its estimates are known
                () = self.catalog.changed() => {
                    estimates.start(self.catalog.current());
                    ticks.reset_after(FIRST_ESTIMATES);
                }
                // `self.drain` holds the sender, so that this never fails
                _ = drained.changed() => ticks.reset_immediately(),
                changed = estimates.finished() => if changed {
                    ticks.reset_immediately();
                },
                _ = again.tick() => estimates.refresh(self.catalog.current()),
                _ = ticks.tick() => if let Some(Err(e)) = stop.run_until_cancelled(self.put(&estimates)).await {
                    warn!(error = %e, "failed to advertise the catalog; retrying at the next interval");
                },
            }
        }
        if let Err(e) = self.delete().await {
            warn!(error = %e, "failed to withdraw the catalog entry; it expires by itself");
        }
        Ok(())
    }

    async fn put(&self, estimates: &Estimates) -> Result<(), async_nats::Error> {
        let draining = self.drain.is_on();
        let slots = |slots: usize| if draining { 0 } else { u32::try_from(slots).unwrap_or(u32::MAX) };
        let entry = CatalogEntry {
            v: ENVELOPE_VERSION,
            instance: self.instance.clone(),
            pool: self.pool.clone(),
            at: self.clock.now().into(),
            ttl_ms: (self.interval * TTL_INTERVALS).as_millis() as u64,
            slots: slots(self.slots.0),
            bulk_slots: slots(self.slots.1),
            draining,
            datasets: self.catalog.current().catalog(|name| estimates.rows(name)),
        };
        self.bus.catalog().await?.put(&self.instance, serde_json::to_vec(&entry)?.into()).await?;
        Ok(())
    }

    async fn delete(&self) -> Result<(), async_nats::Error> {
        self.bus.catalog().await?.delete(&self.instance).await?;
        Ok(())
    }
}
