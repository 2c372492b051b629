//! The datasets that running exporters offer, read from their advertisements in the catalog bucket.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_nats::jetstream::kv::{Operation, Store};
use futures::StreamExt;
use protocol::{
    catalog::{CatalogDataset, CatalogEntry},
    subject::Lane,
};
use tokio::time::Instant;
use tracing::{debug, warn};

use crate::lifecycle::Lifecycle;

/// The pause before a new watch after a watch has failed.
const WATCH_RETRY_PAUSE: Duration = Duration::from_secs(1);
/// The maximum silence of a watch while no exporter is known.
const MAX_IDLE_SILENCE: Duration = Duration::from_secs(10);

/// The running exporters and their datasets. Clones share the state.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    exporters: Arc<RwLock<HashMap<String, Advertisement>>>,
    filled: Arc<AtomicBool>,
}

#[derive(Debug)]
struct Advertisement {
    entry: CatalogEntry,
    expires_at: Instant,
}

/// A dataset and the pool of the exporters that offer it.
#[derive(Clone, Debug, PartialEq)]
pub struct Offer {
    /// The advertised description of the dataset.
    pub dataset: CatalogDataset,
    /// The pool that receives jobs for the dataset.
    pub pool: String,
}

impl Catalog {
    /// Spawns a task that applies all changes of the catalog bucket until the soft stop.
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

    /// Applies changes of the bucket until the watch fails or exceeds its maximum silence.
    async fn watch_once(&self, bucket: &Store) {
        let mut changes = match bucket.watch_with_history(">").await {
            Ok(changes) => changes,
            Err(e) => return warn!(error = %e, "failed to watch the catalog; retrying"),
        };
        loop {
            // The consumer of a watch survives the recreation of its bucket, and then waits for a sequence number that
            // is far ahead. A long silence therefore ends the watch.
            let Ok(change) = tokio::time::timeout(self.max_silence(), changes.next()).await else {
                return debug!("the catalog watch is silent; watching again");
            };
            let Some(change) = change else { return };
            match change {
                Ok(change) if change.operation == Operation::Put => match serde_json::from_slice(&change.value) {
                    Ok(entry) => self.put(entry),
                    Err(e) => warn!(catalog.key = %change.key, error = %e, "unreadable advertisement of an exporter"),
                },
                Ok(change) => self.remove(&change.key),
                Err(e) => return warn!(error = %e, "the catalog watch failed; watching again"),
            }
        }
    }

    /// The maximum silence of the watch: two thirds of the time until the last advertisement expires.
    fn max_silence(&self) -> Duration {
        let now = Instant::now();
        let last = self.exporters.read().ok().and_then(|known| known.values().map(|known| known.expires_at).max());
        last.filter(|last| *last > now).map_or(MAX_IDLE_SILENCE, |last| ((last - now) * 2 / 3).max(WATCH_RETRY_PAUSE))
    }

    /// Stores an exporter's newest advertisement.
    pub fn put(&self, entry: CatalogEntry) {
        let expires_at = Instant::now() + Duration::from_millis(entry.ttl_ms);
        self.filled.store(true, Ordering::Release);
        if let Ok(mut exporters) = self.exporters.write() {
            // a new watch repeats old advertisements, which must not extend their lifetime
            if exporters.get(&entry.instance).is_some_and(|known| known.entry == entry) {
                return;
            }
            exporters.retain(|_, known| known.expires_at > Instant::now());
            exporters.insert(entry.instance.clone(), Advertisement { entry, expires_at });
        }
    }

    /// Removes the advertisement of a stopped exporter.
    pub fn remove(&self, instance: &str) {
        if let Ok(mut exporters) = self.exporters.write() {
            exporters.remove(instance);
        }
    }

    /// All offered datasets by name. If two pools offer the same name, the result has the pool that sorts first.
    #[must_use]
    pub fn offers(&self) -> BTreeMap<String, Offer> {
        let mut offers = BTreeMap::new();
        let Ok(exporters) = self.exporters.read() else { return offers };
        let mut alive: Vec<_> = exporters.values().filter(|known| known.expires_at > Instant::now()).collect();
        alive.sort_by_key(|known| (&known.entry.pool, &known.entry.instance));
        for known in alive {
            for dataset in &known.entry.datasets {
                let offer = || Offer { dataset: dataset.clone(), pool: known.entry.pool.clone() };
                offers.entry(dataset.info.name.clone()).or_insert_with(offer);
            }
        }
        offers
    }

    /// The dataset of this name; None when no running exporter offers it.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<Offer> {
        self.offers().remove(name)
    }

    /// The number of jobs that the exporters of a pool can run in a lane at once; 0 without an exporter.
    #[must_use]
    pub fn slots(&self, pool: &str, lane: Lane) -> u64 {
        let Ok(exporters) = self.exporters.read() else { return 0 };
        let alive = exporters.values().filter(|known| known.expires_at > Instant::now() && known.entry.pool == pool);
        let slots = alive.map(|known| match lane {
            Lane::Interactive => known.entry.slots,
            Lane::Bulk => known.entry.bulk_slots,
        });
        slots.map(u64::from).sum()
    }

    /// The last advertisement of each running exporter, sorted by pool and instance.
    #[must_use]
    pub fn exporters(&self) -> Vec<CatalogEntry> {
        let Ok(exporters) = self.exporters.read() else { return Vec::new() };
        let alive = exporters.values().filter(|known| known.expires_at > Instant::now());
        let mut entries: Vec<_> = alive.map(|known| known.entry.clone()).collect();
        entries.sort_by(|a, b| (&a.pool, &a.instance).cmp(&(&b.pool, &b.instance)));
        entries
    }

    /// Whether any exporter has advertised itself since the start of this process.
    #[must_use]
    pub fn was_ever_filled(&self) -> bool {
        self.filled.load(Ordering::Acquire)
    }

    /// Whether no running exporter offers a dataset.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.offers().is_empty()
    }
}

#[cfg(test)]
mod tests {
    use protocol::catalog::DatasetInfo;

    use super::*;

    fn entry(instance: &str, dataset: &str, ttl_ms: u64) -> CatalogEntry {
        let info = DatasetInfo {
            name: dataset.into(),
            title: String::new(),
            description: String::new(),
            columns: vec![],
            params: serde_json::json!({}),
            templates: vec![],
            formats: vec![],
            compressions: vec![],
            formats_info: vec![],
            rows_estimate: None,
            credits: 1,
        };
        let at = "2026-11-22T00:00:00Z".parse::<chrono::DateTime<chrono::Utc>>().unwrap().into();
        let dataset = CatalogDataset {
            info,
            param_specs: vec![],
            retention_seconds: 60,
            access: Default::default(),
            total_rows: None,
        };
        let datasets = vec![dataset];
        CatalogEntry {
            v: 1,
            instance: instance.into(),
            pool: instance.into(),
            at,
            ttl_ms,
            slots: 3,
            bulk_slots: 2,
            draining: false,
            datasets,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_exporter_that_stops_advertising_expires() {
        let catalog = Catalog::default();
        catalog.put(entry("a", "flights", 1_000));
        catalog.put(entry("b", "flights", 9_000));
        assert_eq!(catalog.find("flights").unwrap().pool, "a");
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(catalog.find("flights").unwrap().pool, "b");
        assert_eq!(catalog.slots("b", Lane::Bulk), 2);
        assert_eq!(catalog.slots("a", Lane::Interactive), 0);
        catalog.remove("b");
        assert!(catalog.is_empty());
    }
}
