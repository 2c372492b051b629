//! The known exporters, with their heartbeats and the entries of their datasets. A heartbeat is live until it expires.
//!
//! An exporter writes a changed entry before the heartbeat that names the entry. The old and the new entry of a dataset
//! are therefore both kept until that heartbeat arrives. A dataset is offered while a live heartbeat names the revision
//! of one of its entries.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use protocol::{
    catalog::{CatalogDataset, DatasetRef, ExporterHeartbeat},
    subject,
};
use tokio::time::Instant;

use super::entry::MAX_DATASETS;

/// The time for which the entries of an exporter without a live heartbeat are kept. The bucket deletes entries at the
/// same age. If the exporter returns within this time, its entries are still known.
pub(crate) const ENTRY_LIFETIME: Duration = Duration::from_secs(10 * 60);

/// The maximum number of kept entries of one exporter, which are two revisions of each dataset.
const MAX_KEPT_ENTRIES: usize = 2 * MAX_DATASETS;

/// The key of an entry within its exporter: the dataset's name as a token of the bucket key, and the revision of the
/// entry.
pub(super) type EntryKey = (String, String);

/// All known exporters, by the key of their heartbeat.
#[derive(Debug, Default)]
pub(super) struct State {
    exporters: HashMap<String, Exporter>,
    /// The time at which NATS stored the newest message, in milliseconds since 1970 by the server's clock.
    last_stored_at: i64,
}

/// One exporter, which may have entries before its first heartbeat arrives.
#[derive(Debug)]
struct Exporter {
    heartbeat: Option<Heartbeat>,
    /// The entries by dataset key and revision; None for an entry that can't be read.
    entries: HashMap<EntryKey, Option<Arc<CatalogDataset>>>,
    changed_at: Instant,
}

#[derive(Debug)]
struct Heartbeat {
    content: Arc<ExporterHeartbeat>,
    expires_at: Instant,
    /// The time at which NATS stored a repeated heartbeat, in milliseconds since 1970 by the server's clock. None if
    /// the heartbeat is not repeated (see [`Arrival::is_repeated`]).
    repeated_from: Option<i64>,
}

/// How a message of the bucket arrived at this process.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival {
    /// The time at which NATS stored the message, in milliseconds since 1970 by the server's clock.
    pub(super) stored_at: i64,
    /// Whether the message existed before the watch began. A new watch first repeats the current messages of the
    /// bucket. A repeated message may be old.
    pub(super) is_repeated: bool,
}

/// The state of an exporter's entries: whether the entries of all datasets that the heartbeat names have arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Completeness {
    Complete,
    /// Some entries are missing. They have not arrived yet, or the watch has lost them.
    Incomplete,
}

impl Heartbeat {
    /// Whether the heartbeat is still valid. A repeated heartbeat may come from an exporter that died long ago. It is
    /// therefore valid only if its lifetime had not passed when NATS stored the newest message of the bucket.
    fn is_live(&self, last_stored_at: i64) -> bool {
        let is_outdated = self.repeated_from.is_some_and(|stored_at| {
            last_stored_at.saturating_sub(stored_at) > i64::try_from(self.content.ttl_ms).unwrap_or(i64::MAX)
        });
        self.expires_at > Instant::now() && !is_outdated
    }
}

/// Returns the key under which the entry of a dataset is kept.
fn entry_key(named: &DatasetRef) -> EntryKey {
    (subject::token(&named.name), named.revision.clone())
}

impl Exporter {
    fn new() -> Self {
        Self { heartbeat: None, entries: HashMap::new(), changed_at: Instant::now() }
    }

    /// Returns the description of a dataset that a heartbeat names; None if the entry of the dataset is missing or
    /// unreadable.
    fn dataset(&self, named: &DatasetRef) -> Option<&Arc<CatalogDataset>> {
        self.entries.get(&entry_key(named))?.as_ref()
    }

    fn completeness(&self) -> Completeness {
        let Some(heartbeat) = &self.heartbeat else { return Completeness::Complete };
        let has = |one: &DatasetRef| self.entries.contains_key(&entry_key(one));
        if heartbeat.content.datasets.iter().all(has) { Completeness::Complete } else { Completeness::Incomplete }
    }

    /// Removes every entry that the heartbeat does not name.
    fn drop_unnamed(&mut self) {
        let Some(heartbeat) = &self.heartbeat else { return };
        let named: HashSet<_> = heartbeat.content.datasets.iter().map(entry_key).collect();
        self.entries.retain(|key, _| named.contains(key));
    }
}

impl State {
    /// Stores the newest heartbeat of an exporter, and returns whether its entries have arrived. Removes every exporter
    /// whose heartbeat and entries are too old.
    pub(super) fn put_heartbeat(&mut self, content: ExporterHeartbeat, arrival: Arrival) -> Completeness {
        self.last_stored_at = arrival.stored_at;
        let last = self.last_stored_at;
        let is_kept = |known: &Exporter| {
            known.heartbeat.as_ref().is_some_and(|known| known.is_live(last))
                || known.changed_at.elapsed() < ENTRY_LIFETIME
        };
        self.exporters.retain(|_, known| is_kept(known));
        let exporter = self.exporters.entry(subject::catalog_exporter(&content.instance)).or_insert_with(Exporter::new);
        // a new watch repeats old heartbeats, which must not extend their lifetime
        if exporter.heartbeat.as_ref().is_none_or(|known| *known.content != content) {
            exporter.changed_at = Instant::now();
            exporter.heartbeat = Some(Heartbeat {
                expires_at: Instant::now() + Duration::from_millis(content.ttl_ms),
                content: Arc::new(content),
                repeated_from: arrival.is_repeated.then_some(arrival.stored_at),
            });
            exporter.drop_unnamed();
        }
        exporter.completeness()
    }

    /// Returns the description of a dataset with this key and revision. Returns None if no exporter has sent this
    /// description yet. Exporters with equal entries share one description.
    pub(super) fn known_dataset(&self, key: &EntryKey) -> Option<Arc<CatalogDataset>> {
        self.exporters.values().find_map(|known| known.entries.get(key).cloned().flatten())
    }

    /// Stores the entry of a dataset. If the entry can't be read, `dataset` is None. Such an entry counts as received,
    /// but its dataset is not offered.
    pub(super) fn put_dataset(
        &mut self,
        exporter: &str,
        key: EntryKey,
        dataset: Option<Arc<CatalogDataset>>,
        arrival: Arrival,
    ) {
        self.last_stored_at = arrival.stored_at;
        let known = self.exporters.entry(exporter.to_owned()).or_insert_with(Exporter::new);
        known.changed_at = Instant::now();
        if known.entries.len() >= MAX_KEPT_ENTRIES {
            known.drop_unnamed();
        }
        if known.entries.len() < MAX_KEPT_ENTRIES {
            known.entries.insert(key, dataset);
        }
    }

    /// Removes an exporter that has stopped, with all its entries.
    pub(super) fn remove_exporter(&mut self, exporter: &str) {
        self.exporters.remove(exporter);
    }

    /// Removes the entries of a dataset that its exporter has deleted.
    pub(super) fn remove_dataset(&mut self, exporter: &str, dataset: &str) {
        if let Some(known) = self.exporters.get_mut(exporter) {
            known.entries.retain(|(key, _), _| key != dataset);
        }
    }

    /// Returns the live heartbeats, sorted by pool and instance.
    pub(super) fn live(&self) -> Vec<Arc<ExporterHeartbeat>> {
        let mut live: Vec<_> = self.live_exporters().map(|(heartbeat, _)| Arc::clone(heartbeat)).collect();
        live.sort_by(|a, b| (&a.pool, &a.instance).cmp(&(&b.pool, &b.instance)));
        live
    }

    /// Returns the latest time at which a heartbeat expires; None without a heartbeat.
    pub(super) fn last_expiry(&self) -> Option<Instant> {
        self.exporters.values().filter_map(|known| known.heartbeat.as_ref()).map(|known| known.expires_at).max()
    }

    /// Returns the offered datasets whose names satisfy `is_wanted`. If two pools offer the same name, the result has
    /// the dataset of the pool that sorts first.
    ///
    /// While no exporter is live, the datasets of all known exporters stay offered. NATS may be unavailable or may
    /// store no heartbeats, and an accepted export waits in the database until an exporter takes it.
    pub(super) fn offered(&self, is_wanted: impl Fn(&str) -> bool) -> BTreeMap<String, Offered> {
        let mut exporters: Vec<_> = self.live_exporters().collect();
        if exporters.is_empty() {
            let known = self.exporters.values();
            exporters = known.filter_map(|known| Some((&known.heartbeat.as_ref()?.content, known))).collect();
        }
        exporters.sort_by_key(|(heartbeat, _)| (&heartbeat.pool, &heartbeat.instance));
        let mut offered = BTreeMap::new();
        for (heartbeat, known) in exporters {
            for one in heartbeat.datasets.iter().filter(|one| is_wanted(&one.name)) {
                if let Some(dataset) = known.dataset(one)
                    && !offered.contains_key(&one.name)
                {
                    let (dataset, pool) = (Arc::clone(dataset), heartbeat.pool.clone());
                    offered.insert(one.name.clone(), Offered { dataset, named: one.clone(), pool });
                }
            }
        }
        offered
    }

    /// Whether at least one exporter with a live heartbeat offers a dataset.
    pub(super) fn offers_any(&self) -> bool {
        let has_any = |(heartbeat, known): (&Arc<ExporterHeartbeat>, &Exporter)| {
            heartbeat.datasets.iter().any(|one| known.dataset(one).is_some())
        };
        self.live_exporters().any(has_any)
    }

    fn live_exporters(&self) -> impl Iterator<Item = (&Arc<ExporterHeartbeat>, &Exporter)> {
        self.exporters.values().filter_map(|known| {
            let heartbeat = known.heartbeat.as_ref().filter(|heartbeat| heartbeat.is_live(self.last_stored_at))?;
            Some((&heartbeat.content, known))
        })
    }
}

/// An offered dataset: its description, the reference in the heartbeat of its exporter (`named`), and the pool of the
/// exporter.
#[derive(Debug)]
pub(super) struct Offered {
    pub(super) dataset: Arc<CatalogDataset>,
    pub(super) named: DatasetRef,
    pub(super) pool: String,
}
