//! Writes one entry for each dataset into the NATS bucket of the catalog. The bucket deletes an entry after a maximum
//! age, so this module writes unchanged entries again before that age.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use async_nats::jetstream::kv;
use futures::{StreamExt, stream};
use platform::catalog::DatasetEntry;
use protocol::{catalog::DatasetRef, subject};
use tokio::time::Instant;
use tracing::warn;

use super::{advertisement::AdvertiseError, estimates::Estimates, sizes::Room};
use crate::Registry;

/// The maximum number of entries that are written or deleted concurrently.
const CONCURRENCY: usize = 16;
/// An unchanged entry is written again when it is older than the bucket's maximum age divided by this number.
const RENEWALS: u32 = 3;

/// The entries of the datasets that one exporter offers, and a record of the entries that it has written to the bucket.
pub(super) struct Entries {
    instance: String,
    current: Vec<Current>,
    /// The errors of the datasets that are not advertised, for example because a dataset exceeds a size limit.
    refused: Vec<AdvertiseError>,
    /// The entries that the exporter has tried to write to the bucket, by their keys in the bucket. The value is None
    /// if NATS has not confirmed the last write of a new or changed entry. The bucket may then have the old or the new
    /// content.
    written: HashMap<String, Option<Written>>,
    /// The time at which the bucket was created, in nanoseconds since 1970-01-01; None before the first write. A
    /// different time at a later write means that NATS has lost the bucket's data.
    bucket_created_at: Option<i128>,
}

/// A dataset that the exporter offers now, with its encoded entry.
struct Current {
    name: String,
    key: String,
    rows_hidden: bool,
    entry: DatasetEntry,
}

/// The revision of an entry that NATS has stored, and the time at which NATS confirmed the write.
struct Written {
    revision: String,
    at: Instant,
}

impl Entries {
    /// Creates an empty record: the exporter offers no dataset, and has not written any entry yet. `instance` is the
    /// name of the exporter.
    pub(super) fn new(instance: String) -> Self {
        Self { instance, current: vec![], refused: vec![], written: HashMap::new(), bucket_created_at: None }
    }

    /// Sets the datasets that the exporter offers to those of `registry`. Refuses a dataset that exceeds a limit, for
    /// example if its compressed entry has more than `max_entry_size` bytes.
    pub(super) fn replace(&mut self, registry: &Registry, max_entry_size: usize) {
        let mut room = Room::new(max_entry_size);
        self.current.clear();
        self.refused.clear();
        for dataset in &registry.datasets {
            let info = dataset.info();
            match room.take(&registry.describe(info)) {
                Ok(entry) => self.current.push(Current {
                    key: subject::catalog_dataset(&self.instance, &info.name),
                    name: info.name.clone(),
                    rows_hidden: info.row_policy.is_some(),
                    entry,
                }),
                Err(e) => self.refused.push(e),
            }
        }
    }

    /// Returns the error of the first dataset that [`Self::replace`] refused; None if it refused no dataset.
    pub(super) fn refused(&self) -> Option<&AdvertiseError> {
        self.refused.first()
    }

    /// Writes each entry that is new, that has changed, or that the bucket would otherwise delete because of its age.
    /// Stops at the first failure, because further writes would fail for the same reason.
    pub(super) async fn write(&mut self, bucket: &kv::Store) -> Result<(), AdvertiseError> {
        let info = bucket.stream.cached_info();
        let created_at = Some(info.created.unix_timestamp_nanos());
        if self.bucket_created_at != created_at {
            // NATS has lost its data
            self.written.clear();
            self.bucket_created_at = created_at;
        }
        let max_age = info.config.max_age;
        let renew_after = if max_age.is_zero() { Duration::MAX } else { max_age / RENEWALS };
        let due = self.current.iter().filter(|one| !self.is_fresh(one, renew_after));
        let due: Vec<_> = due.map(|one| (one.name.clone(), one.key.clone(), one.entry.clone())).collect();
        for (_, key, entry) in &due {
            let written = self.written.entry(key.clone()).or_default();
            // if the write of a changed entry fails, the bucket may have the old or the new entry; a failed renewal
            // leaves the entry unchanged
            if written.as_ref().is_some_and(|written| written.revision != entry.revision) {
                *written = None;
            }
        }
        let puts = due.into_iter().map(|(dataset, key, entry)| async move {
            let result = bucket.put(&key, entry.value).await;
            (dataset, key, entry.revision, result)
        });
        let mut results = stream::iter(puts).buffer_unordered(CONCURRENCY);
        while let Some((dataset, key, revision, result)) = results.next().await {
            match result {
                Ok(_) => drop(self.written.insert(key, Some(Written { revision, at: Instant::now() }))),
                Err(e) => return Err(AdvertiseError::NotStored { dataset, detail: e.to_string() }),
            }
        }
        Ok(())
    }

    fn is_fresh(&self, one: &Current, renew_after: Duration) -> bool {
        let written = self.written.get(&one.key).and_then(Option::as_ref);
        written.is_some_and(|written| written.revision == one.entry.revision && written.at.elapsed() < renew_after)
    }

    /// Returns the datasets whose current entries are in the bucket, with their estimated row counts.
    pub(super) fn named(&self, estimates: &Estimates) -> Vec<DatasetRef> {
        let is_written = |one: &&Current| self.is_fresh(one, Duration::MAX);
        let named = self.current.iter().filter(is_written).map(|one| DatasetRef {
            name: one.name.clone(),
            revision: one.entry.revision.clone(),
            rows: estimates.rows(&one.name),
            rows_hidden: one.rows_hidden,
        });
        named.collect()
    }

    /// Deletes the entries of datasets that the exporter no longer offers. If a deletion fails, the next call tries
    /// again. If no later call succeeds, the bucket deletes the entry after its maximum age.
    pub(super) async fn delete_gone(&mut self, bucket: &kv::Store) {
        let current: HashSet<_> = self.current.iter().map(|one| &one.key).collect();
        let gone: Vec<String> = self.written.keys().filter(|key| !current.contains(key)).cloned().collect();
        let deletions = gone.into_iter().map(|key| async move {
            let result = bucket.delete(&key).await;
            (key, result)
        });
        let mut results = stream::iter(deletions).buffer_unordered(CONCURRENCY);
        while let Some((key, result)) = results.next().await {
            match result {
                Ok(()) => drop(self.written.remove(&key)),
                Err(e) => return warn!(error = %e, "failed to delete a catalog entry; it expires by itself"),
            }
        }
    }

    /// Deletes all entries that the exporter has written.
    pub(super) async fn delete_all(&mut self, bucket: &kv::Store) {
        self.current.clear();
        self.delete_gone(bucket).await;
    }
}
