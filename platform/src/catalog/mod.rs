//! The datasets that running exporters offer, read from their advertisements in the catalog bucket.
//!
//! For each exporter, the bucket has an entry for each of its datasets, and a heartbeat that names these datasets. The
//! module `entry` encodes the values and limits their sizes. The module `state` decides which datasets are offered, and
//! `validate` checks requests for them.

mod entry;
mod state;
#[cfg(test)]
mod tests;
mod validate;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_nats::jetstream::kv::{Entry, Operation, Store};
use futures::StreamExt;
use protocol::{
    catalog::{CatalogDataset, ExporterHeartbeat},
    subject::Lane,
};
use tokio::time::Instant;
use tracing::{debug, warn};

pub use self::entry::{
    DatasetEntry, EntryError, MAX_CATALOG_SIZE, MAX_DATASET_SIZE, MAX_DATASETS, MAX_ENTRY_SIZE, decode_dataset,
    decode_heartbeat, encode_heartbeat,
};
pub(crate) use self::state::ENTRY_LIFETIME;
use self::state::{Arrival, Completeness, Offered, State};
pub use self::validate::{ValidRequest, authorize_and_validate};
use crate::lifecycle::Lifecycle;

/// The pause before a new watch after a watch has failed.
const WATCH_RETRY_PAUSE: Duration = Duration::from_secs(1);
/// The maximum time for which a watch may bring no message while no exporter has a valid heartbeat. After this time,
/// the catalog replaces the watch by a new watch.
const MAX_IDLE_SILENCE: Duration = Duration::from_secs(10);
/// If this many consecutive heartbeats of one exporter name entries that have not arrived, the catalog reads the whole
/// bucket again.
const MAX_INCOMPLETE_HEARTBEATS: u32 = 2;

/// The running exporters and their datasets. Clones share the state.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    state: Arc<RwLock<State>>,
    filled: Arc<AtomicBool>,
    /// The error of the last attempt to watch the bucket; None while a watch runs.
    watch_fault: Arc<RwLock<Option<String>>>,
}

/// A dataset and the pool of the exporters that offer it.
#[derive(Clone, Debug, PartialEq)]
pub struct Offer {
    /// The advertised description of the dataset, with the estimated rows.
    pub dataset: CatalogDataset,
    /// The pool that receives jobs for the dataset.
    pub pool: String,
}

/// The reason why no running exporter offers a dataset.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CatalogGap {
    /// No exporter has advertised all its datasets since the start of this process.
    #[error("no exporter has advertised a dataset yet")]
    NeverFilled,
    /// The bucket of the catalog can't be read. The text is the error.
    #[error("the catalog can't be read: {0}")]
    Unreadable(String),
    /// No exporter has a heartbeat that is still valid.
    #[error("no exporter runs, or none can advertise its datasets; see /readyz of the exporters")]
    NoExporter,
    /// Exporters run, but no readable entry of one of their datasets has arrived.
    #[error("the running exporters offer no dataset; see /readyz of the exporters")]
    NoDataset,
}

impl From<Offered> for Offer {
    fn from(offered: Offered) -> Self {
        Self { dataset: offered.named.with_rows(CatalogDataset::clone(&offered.dataset)), pool: offered.pool }
    }
}

impl Catalog {
    /// Spawns a task that applies all changes of the catalog bucket, until the soft stop of the process.
    pub fn watch(&self, bucket: Store, life: &Lifecycle) {
        let (catalog, stop) = (self.clone(), life.soft().clone());
        life.spawn(async move {
            loop {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = catalog.watch_once(&bucket) => {}
                }
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(WATCH_RETRY_PAUSE) => {}
                }
            }
        });
    }

    /// Applies changes of the bucket until the watch fails, has lost entries, or brings no message for the time
    /// [`Self::max_silence`].
    async fn watch_once(&self, bucket: &Store) {
        let mut changes = match bucket.watch_with_history(">").await {
            Ok(changes) => changes,
            Err(e) => {
                self.set_watch_fault(Some(e.to_string()));
                return warn!(error = %e, "failed to watch the catalog; retrying");
            }
        };
        self.set_watch_fault(None);
        let mut incomplete: HashMap<String, u32> = HashMap::new();
        loop {
            // The consumer of a watch survives the recreation of its bucket, and then waits for a sequence number that
            // is far ahead. A long silence therefore ends the watch.
            let Ok(change) = tokio::time::timeout(self.max_silence(), changes.next()).await else {
                return debug!("the catalog watch is silent; watching again");
            };
            let Some(change) = change else { return };
            let change = match change {
                Ok(change) => change,
                Err(e) => return warn!(error = %e, "the catalog watch failed; watching again"),
            };
            match self.apply(&change) {
                Some(Completeness::Complete) => drop(incomplete.remove(&change.key)),
                // the first messages of a watch may repeat a heartbeat before its entries
                Some(Completeness::Incomplete) if change.seen_current => {
                    let count = incomplete.entry(change.key.clone()).or_default();
                    *count += 1;
                    // a watch that continues in a recreated bucket may skip entries
                    if *count >= MAX_INCOMPLETE_HEARTBEATS {
                        return warn!(catalog.key = %change.key, "catalog entries are missing; reading all again");
                    }
                }
                _ => {}
            }
        }
    }

    /// Applies one change of the bucket. For a heartbeat, returns whether the entries of all its datasets have arrived.
    /// Returns None for any other change.
    fn apply(&self, change: &Entry) -> Option<Completeness> {
        let nanoseconds = change.created.unix_timestamp_nanos();
        let stored_at = i64::try_from(nanoseconds / 1_000_000).unwrap_or_default();
        let arrival = Arrival { stored_at, is_repeated: !change.seen_current };
        let unreadable = |e: EntryError| {
            warn!(catalog.key = %change.key, error = %e, "unreadable entry in the catalog");
        };
        match (change.key.split_once('.'), change.operation) {
            (None, Operation::Put) => match decode_heartbeat(&change.value) {
                Ok(heartbeat) => return Some(self.put_heartbeat(heartbeat, arrival)),
                Err(e) => unreadable(e),
            },
            (Some(key), Operation::Put) => {
                if let Err(e) = self.put_dataset(key, &change.value, arrival) {
                    unreadable(e);
                }
            }
            (None, _) => self.write(|state| state.remove_exporter(&change.key)),
            (Some((exporter, dataset)), _) => self.write(|state| state.remove_dataset(exporter, dataset)),
        }
        None
    }

    /// Returns the maximum time for which the watch may receive no message. This is two thirds of the time until the
    /// last heartbeat expires, but at least [`WATCH_RETRY_PAUSE`]. Without an unexpired heartbeat, it is
    /// [`MAX_IDLE_SILENCE`].
    fn max_silence(&self) -> Duration {
        let now = Instant::now();
        let last = self.read(State::last_expiry);
        last.filter(|last| *last > now).map_or(MAX_IDLE_SILENCE, |last| ((last - now) * 2 / 3).max(WATCH_RETRY_PAUSE))
    }

    /// Stores the newest heartbeat of an exporter, and returns whether the entries of all its datasets have arrived.
    fn put_heartbeat(&self, heartbeat: ExporterHeartbeat, arrival: Arrival) -> Completeness {
        let completeness = self.write(|state| state.put_heartbeat(heartbeat, arrival));
        if completeness == Completeness::Complete {
            self.filled.store(true, Ordering::Release);
        }
        completeness
    }

    /// Stores the newest entry of a dataset. `exporter` and `dataset` are the two parts of the entry's key in the
    /// bucket.
    ///
    /// # Errors
    /// When the value can't be decoded. The entry then counts as received, but its dataset is not offered.
    fn put_dataset(&self, (exporter, dataset): (&str, &str), value: &[u8], arrival: Arrival) -> Result<(), EntryError> {
        let key = (dataset.to_owned(), entry::revision(value));
        // decode large entries without holding the lock
        let (dataset, outcome) = match self.read(|state| state.known_dataset(&key)) {
            Some(known) => (Some(known), Ok(())),
            None => match decode_dataset(value) {
                Ok(dataset) => (Some(Arc::new(dataset)), Ok(())),
                Err(e) => (None, Err(e)),
            },
        };
        self.write(|state| state.put_dataset(exporter, key, dataset, arrival));
        outcome
    }

    /// Returns the offered datasets whose names satisfy `is_wanted`, by name. If two pools offer the same name, the
    /// result has the dataset of the pool that sorts first. While no exporter has a live heartbeat, such as during an
    /// outage of NATS, the last known datasets stay offered.
    #[must_use]
    pub fn offers(&self, is_wanted: impl Fn(&str) -> bool) -> BTreeMap<String, Offer> {
        // release the lock before the descriptions are copied
        let offered = self.read(|state| state.offered(is_wanted));
        offered.into_iter().map(|(name, offered)| (name, offered.into())).collect()
    }

    /// Returns the dataset of this name, as [`Self::offers`] does; None when no exporter offers the dataset.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<Offer> {
        self.offers(|offered| offered == name).remove(name)
    }

    /// Returns the number of jobs that the exporters of a pool can run concurrently in a lane (the interactive or the
    /// bulk queue). Returns 0 if the pool has no exporter.
    #[must_use]
    pub fn slots(&self, pool: &str, lane: Lane) -> u64 {
        let live = self.read(State::live);
        let slots = live.iter().filter(|heartbeat| heartbeat.pool == pool).map(|heartbeat| match lane {
            Lane::Interactive => heartbeat.slots,
            Lane::Bulk => heartbeat.bulk_slots,
        });
        slots.map(u64::from).sum()
    }

    /// Returns the last heartbeat of each running exporter, sorted by pool and instance.
    #[must_use]
    pub fn exporters(&self) -> Vec<Arc<ExporterHeartbeat>> {
        self.read(State::live)
    }

    /// Returns the number of datasets that running exporters offer.
    #[must_use]
    pub fn dataset_count(&self) -> usize {
        if self.is_empty() { 0 } else { self.read(|state| state.offered(|_| true)).len() }
    }

    /// Whether no running exporter offers a dataset.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.read(State::offers_any)
    }

    /// Checks that a running exporter offers a dataset.
    ///
    /// # Errors
    /// The reason why no running exporter offers a dataset.
    pub fn check(&self) -> Result<(), CatalogGap> {
        if !self.is_empty() {
            self.filled.store(true, Ordering::Release);
            return Ok(());
        }
        let fault = self.watch_fault.read().unwrap_or_else(PoisonError::into_inner).clone();
        Err(match fault {
            Some(fault) => CatalogGap::Unreadable(fault),
            None if !self.filled.load(Ordering::Acquire) => CatalogGap::NeverFilled,
            None if self.exporters().is_empty() => CatalogGap::NoExporter,
            None => CatalogGap::NoDataset,
        })
    }

    fn set_watch_fault(&self, fault: Option<String>) {
        *self.watch_fault.write().unwrap_or_else(PoisonError::into_inner) = fault;
    }

    fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.write().unwrap_or_else(PoisonError::into_inner))
    }
}
