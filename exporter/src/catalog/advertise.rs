//! Tells gateways what this exporter offers, again and again, and takes it back at the end.

use std::time::Duration;

use platform::{bus::Bus, clock::SharedClock};
use protocol::{ENVELOPE_VERSION, catalog::CatalogEntry};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::Current;
use crate::drain::Drain;

/// An entry counts for this many puts.
const TTL_PUTS: u32 = 3;

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
        let mut ticks = interval(self.every);
        let mut drained = self.drain.changes();
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                // a new catalog is told at once
                () = self.catalog.changed() => ticks.reset_immediately(),
                // the sender is ours, so that this never fails
                _ = drained.changed() => ticks.reset_immediately(),
                _ = ticks.tick() => if let Err(e) = self.put().await {
                    warn!(error = %e, "the catalog entry can't be put; tried again");
                },
            }
        }
        if let Err(e) = self.delete().await {
            warn!(error = %e, "the catalog entry can't be deleted; it runs out");
        }
        Ok(())
    }

    async fn put(&self) -> Result<(), async_nats::Error> {
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
            datasets: self.catalog.current().catalog().await,
        };
        self.bus.catalog().await?.put(&self.instance, serde_json::to_vec(&entry)?.into()).await?;
        Ok(())
    }

    async fn delete(&self) -> Result<(), async_nats::Error> {
        self.bus.catalog().await?.delete(&self.instance).await?;
        Ok(())
    }
}
