//! Advertises the datasets of this exporter to gateways, in the NATS key-value bucket of the catalog. Each dataset has
//! an entry there. At a fixed interval, the exporter also writes an [`ExporterHeartbeat`] that names all entries. A
//! stopping exporter deletes its heartbeat and its entries.

use std::time::Duration;

use platform::{bus::Bus, catalog::encode_heartbeat, clock::SharedClock};
use protocol::{ENVELOPE_VERSION, catalog::ExporterHeartbeat, subject};
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{
    Current,
    advertisement::{AdvertiseError, Advertisement},
    entries::Entries,
    estimates::Estimates,
};
use crate::drain::Drain;

/// The number of advertising intervals for which an [`ExporterHeartbeat`] is valid.
const TTL_INTERVALS: u32 = 3;
/// The minimum time for which a heartbeat is valid. On a busy machine the next heartbeat may be late. With this
/// minimum, gateways keep the exporter even if the advertising interval is short.
const MIN_TTL: Duration = Duration::from_secs(10);
/// The number of advertising intervals after which the exporter estimates the row counts of all datasets again.
const ESTIMATE_INTERVALS: u32 = 3;
/// The maximum time for which the first advertisement after a start, or after a reload of the catalog file, waits for
/// estimates of the row counts. After this time, the exporter advertises the datasets with the estimates that it has.
const FIRST_ESTIMATES: Duration = Duration::from_millis(1_500);
/// The maximum time that a stopping exporter spends on deleting its entries.
const WITHDRAWAL: Duration = Duration::from_secs(2);

/// Keeps the advertisement of one exporter up to date.
pub(crate) struct Advertiser {
    pub(crate) bus: Bus,
    pub(crate) catalog: Current,
    pub(crate) clock: SharedClock,
    pub(crate) instance: String,
    pub(crate) pool: String,
    /// The total number of slots, and the number of slots that bulk exports may use. A slot is room for one running
    /// export.
    pub(crate) slots: (usize, usize),
    pub(crate) interval: Duration,
    /// The drain state of the exporter. While the exporter drains, each [`ExporterHeartbeat`] states that it has no
    /// slots.
    pub(crate) drain: Drain,
    /// Whether NATS has stored the last advertisement, for `/readyz`.
    pub(crate) advertisement: Advertisement,
}

impl Advertiser {
    /// Advertises at each interval until `stop` is canceled. Then deletes the heartbeat and all entries.
    pub(crate) async fn run(mut self, stop: CancellationToken) -> Result<(), std::convert::Infallible> {
        let mut drained = self.drain.changes();
        let mut estimates = Estimates::of(self.catalog.current());
        let mut entries = Entries::new(self.instance.clone());
        let mut max_entry_size = self.bus.max_entry_size();
        entries.replace(&self.catalog.current(), max_entry_size);
        // the first heartbeat waits for the estimates, at most for this time
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
                    entries.replace(&self.catalog.current(), max_entry_size);
                    estimates.start(self.catalog.current());
                    ticks.reset_after(FIRST_ESTIMATES);
                }
                // `self.drain` holds the sender, so that this never fails
                _ = drained.changed() => ticks.reset_immediately(),
                changed = estimates.finished() => if changed {
                    ticks.reset_immediately();
                },
                _ = again.tick() => estimates.refresh(self.catalog.current()),
                _ = ticks.tick() => {
                    // another server of a cluster may accept messages of another size
                    if self.bus.max_entry_size() != max_entry_size {
                        max_entry_size = self.bus.max_entry_size();
                        entries.replace(&self.catalog.current(), max_entry_size);
                    }
                    let advertised = stop.run_until_cancelled(self.advertise(&mut entries, &estimates)).await;
                    self.report(advertised, &entries);
                }
            }
        }
        match tokio::time::timeout(WITHDRAWAL, self.withdraw(&mut entries)).await {
            Ok(Ok(())) => {}
            Ok(Err(e)) => warn!(error = %e, "failed to withdraw the datasets; they expire by themselves"),
            Err(_) => warn!("timed out withdrawing the datasets; they expire by themselves"),
        }
        Ok(())
    }

    /// Writes the entries that are new, changed or due for renewal, and then the heartbeat. The heartbeat names each
    /// dataset whose current entry is in the bucket, with its row count from `estimates`. If NATS refuses an entry, the
    /// heartbeat is still written, so that gateways offer the other datasets. Last, deletes the entries of datasets
    /// that the exporter no longer offers.
    async fn advertise(&self, entries: &mut Entries, estimates: &Estimates) -> Result<(), AdvertiseError> {
        let bucket = self.bus.catalog().await?;
        let written = entries.write(&bucket).await;
        let draining = self.drain.is_on();
        let slots = |slots: usize| if draining { 0 } else { u32::try_from(slots).unwrap_or(u32::MAX) };
        let heartbeat = ExporterHeartbeat {
            v: ENVELOPE_VERSION,
            instance: self.instance.clone(),
            pool: self.pool.clone(),
            at: self.clock.now().into(),
            ttl_ms: self.ttl().as_millis() as u64,
            slots: slots(self.slots.0),
            bulk_slots: slots(self.slots.1),
            draining,
            datasets: entries.named(estimates),
        };
        let value = encode_heartbeat(&heartbeat)?;
        let (size, max) = (value.len(), self.bus.max_entry_size());
        if size > max {
            return Err(AdvertiseError::HeartbeatTooLarge { size, max });
        }
        let put = bucket.put(subject::catalog_exporter(&self.instance), value).await.map(drop);
        self.bus.record_write(subject::KV_CATALOG, &put);
        put.map_err(|e| AdvertiseError::HeartbeatNotStored(e.to_string()))?;
        entries.delete_gone(&bucket).await;
        written
    }

    /// Records the result of an advertisement for `/readyz` and in a metric, and logs a failure. `advertised` is the
    /// result of the writes to NATS. If it is None, the exporter began to stop during the writes, and this method does
    /// nothing. The advertisement also counts as failed if a dataset in `entries` exceeds a limit of the catalog.
    fn report(&self, advertised: Option<Result<(), AdvertiseError>>, entries: &Entries) {
        let Some(advertised) = advertised else { return };
        let result = match (&advertised, entries.refused()) {
            (Err(e), _) => Err(e),
            (Ok(()), Some(refused)) => Err(refused),
            (Ok(()), None) => Ok(()),
        };
        if let Err(e) = result {
            warn!(error = %e, "failed to advertise the datasets; retrying at the next interval");
        }
        self.advertisement.record(result, self.ttl());
    }

    /// Returns the time for which a heartbeat is valid.
    fn ttl(&self) -> Duration {
        (self.interval * TTL_INTERVALS).max(MIN_TTL)
    }

    /// Deletes the heartbeat and then the entries. Without the heartbeat, gateways no longer offer the datasets of this
    /// exporter.
    async fn withdraw(&self, entries: &mut Entries) -> Result<(), AdvertiseError> {
        let bucket = self.bus.catalog().await?;
        let deleted = bucket.delete(subject::catalog_exporter(&self.instance)).await;
        entries.delete_all(&bucket).await;
        deleted.map_err(|e| AdvertiseError::HeartbeatNotStored(e.to_string()))
    }
}
