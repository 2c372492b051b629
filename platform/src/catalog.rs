//! What the running exporters offer, as they advertise it in the catalog bucket.

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

/// How long to wait before watching again after the watch broke.
const RETRY: Duration = Duration::from_secs(1);
/// How long to listen while no exporter is known before watching anew.
const IDLE: Duration = Duration::from_secs(10);

/// The catalog as this process knows it. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    exporters: Arc<RwLock<HashMap<String, Known>>>,
    filled: Arc<AtomicBool>,
}

#[derive(Debug)]
struct Known {
    entry: CatalogEntry,
    until: Instant,
}

/// A dataset and the pool whose exporters offer it.
#[derive(Clone, Debug, PartialEq)]
pub struct Offer {
    /// The dataset.
    pub dataset: CatalogDataset,
    /// Where its jobs go.
    pub pool: String,
}

impl Catalog {
    /// Follows the bucket until the process stops.
    pub fn watch(&self, bucket: Store, life: &Lifecycle) {
        let (catalog, stop) = (self.clone(), life.soft().clone());
        life.spawn(async move {
            loop {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = catalog.follow(&bucket) => {}
                }
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(RETRY) => {}
                }
            }
        });
    }

    async fn follow(&self, bucket: &Store) {
        let mut changes = match bucket.watch_with_history(">").await {
            Ok(changes) => changes,
            Err(e) => return warn!(error = %e, "the catalog can't be watched; trying again"),
        };
        loop {
            // The consumer behind a watch goes on by itself, also on a bucket that was made anew, where it would wait for a
            // number that is far away. So a long silence is not believed.
            let Ok(change) = tokio::time::timeout(self.patience(), changes.next()).await else {
                return debug!("no exporter was heard of; watching the catalog anew");
            };
            let Some(change) = change else { return };
            match change {
                Ok(change) if change.operation == Operation::Put => match serde_json::from_slice(&change.value) {
                    Ok(entry) => self.put(entry),
                    Err(e) => warn!(catalog.key = %change.key, error = %e, "an exporter advertises what can't be read"),
                },
                Ok(change) => self.remove(&change.key),
                Err(e) => return warn!(error = %e, "the catalog watch broke; watching again"),
            }
        }
    }

    /// Most of the time after which the last exporter that is known would count as gone.
    fn patience(&self) -> Duration {
        let now = Instant::now();
        let last = self.exporters.read().ok().and_then(|known| known.values().map(|known| known.until).max());
        last.filter(|until| *until > now).map_or(IDLE, |until| ((until - now) * 2 / 3).max(RETRY))
    }

    /// Takes an exporter's newest advertisement.
    pub fn put(&self, entry: CatalogEntry) {
        let until = Instant::now() + Duration::from_millis(entry.ttl_ms);
        self.filled.store(true, Ordering::Release);
        if let Ok(mut exporters) = self.exporters.write() {
            // a watch that begins anew tells again what was told before, which is no sign of life
            if exporters.get(&entry.instance).is_some_and(|known| known.entry == entry) {
                return;
            }
            exporters.retain(|_, known| known.until > Instant::now());
            exporters.insert(entry.instance.clone(), Known { entry, until });
        }
    }

    /// Forgets an exporter that stopped.
    pub fn remove(&self, instance: &str) {
        if let Ok(mut exporters) = self.exporters.write() {
            exporters.remove(instance);
        }
    }

    /// Everything on offer, by name. Of two exporters that offer the same name, the one whose pool sorts first counts.
    #[must_use]
    pub fn offers(&self) -> BTreeMap<String, Offer> {
        let mut offers = BTreeMap::new();
        let Ok(exporters) = self.exporters.read() else { return offers };
        let mut alive: Vec<_> = exporters.values().filter(|known| known.until > Instant::now()).collect();
        alive.sort_by_key(|known| (&known.entry.pool, &known.entry.instance));
        for known in alive {
            for dataset in &known.entry.datasets {
                let offer = || Offer { dataset: dataset.clone(), pool: known.entry.pool.clone() };
                offers.entry(dataset.info.name.clone()).or_insert_with(offer);
            }
        }
        offers
    }

    /// One dataset, if an exporter offers it now.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<Offer> {
        self.offers().remove(name)
    }

    /// How many exports the exporters of a pool can run in a lane at once; 0 when none is there.
    #[must_use]
    pub fn slots(&self, pool: &str, lane: Lane) -> u64 {
        let Ok(exporters) = self.exporters.read() else { return 0 };
        let alive = exporters.values().filter(|known| known.until > Instant::now() && known.entry.pool == pool);
        let slots = alive.map(|known| match lane {
            Lane::Interactive => known.entry.slots,
            Lane::Bulk => known.entry.bulk_slots,
        });
        slots.map(u64::from).sum()
    }

    /// What each exporter that is there advertised last, by pool and name.
    #[must_use]
    pub fn exporters(&self) -> Vec<CatalogEntry> {
        let Ok(exporters) = self.exporters.read() else { return Vec::new() };
        let alive = exporters.values().filter(|known| known.until > Instant::now());
        let mut entries: Vec<_> = alive.map(|known| known.entry.clone()).collect();
        entries.sort_by(|a, b| (&a.pool, &a.instance).cmp(&(&b.pool, &b.instance)));
        entries
    }

    /// Whether any exporter has been there since the start.
    #[must_use]
    pub fn was_ever_filled(&self) -> bool {
        self.filled.load(Ordering::Acquire)
    }

    /// Whether no exporter is there.
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
            retention_s: 60,
            access: Default::default(),
            rows_in_all: None,
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
    async fn an_exporter_that_gives_no_sign_of_life_is_forgotten() {
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
