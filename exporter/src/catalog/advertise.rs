//! Tells gateways what this exporter offers, again and again, and takes it back at the end.

use std::time::Duration;

use platform::{bus::Bus, clock::SharedClock};
use protocol::{ENVELOPE_VERSION, catalog::CatalogEntry};
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{Current, estimates::Estimates};
use crate::drain::Drain;

/// An entry counts for this many puts.
const TTL_PUTS: u32 = 3;
/// Sources are asked how many rows they have once in so many puts.
const ESTIMATE_PUTS: u32 = 3;
/// A new list is told without its numbers of rows when they are not there by then.
const FIRST_ESTIMATES: Duration = Duration::from_millis(1_500);

/// The catalog entry of one exporter.
pub(crate) struct Advertiser {
    pub(crate) bus: Bus,
    pub(crate) catalog: Current,
    pub(crate) clock: SharedClock,
    pub(crate) instance: String,
    pub(crate) pool: String,
    /// Exports at once, and bulk exports among them.
    pub(crate) slots: (usize, usize),
    pub(crate) every: Duration,
    /// With no slots while this is on.
    pub(crate) drain: Drain,
}

impl Advertiser {
    /// Puts the entry until the stop, then deletes it.
    pub(crate) async fn run(mut self, stop: CancellationToken) -> Result<(), std::convert::Infallible> {
        let mut drained = self.drain.changes();
        let mut estimates = Estimates::of(self.catalog.current());
        // the first waits for the estimates, but not for long
        let mut ticks = interval_at(Instant::now() + FIRST_ESTIMATES, self.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut again = interval_at(Instant::now() + self.every * ESTIMATE_PUTS, self.every * ESTIMATE_PUTS);
        again.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                // a new catalog is told as soon as its estimates are there
                () = self.catalog.changed() => {
                    estimates.ask(self.catalog.current());
                    ticks.reset_after(FIRST_ESTIMATES);
                }
                // the sender is ours, so that this never fails
                _ = drained.changed() => ticks.reset_immediately(),
                changed = estimates.answered() => if changed {
                    ticks.reset_immediately();
                },
                _ = again.tick() => estimates.ask_again(self.catalog.current()),
                _ = ticks.tick() => if let Some(Err(e)) = stop.run_until_cancelled(self.put(&estimates)).await {
                    warn!(error = %e, "the catalog entry can't be put; tried again");
                },
            }
        }
        if let Err(e) = self.delete().await {
            warn!(error = %e, "the catalog entry can't be deleted; it runs out");
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
            ttl_ms: (self.every * TTL_PUTS).as_millis() as u64,
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
