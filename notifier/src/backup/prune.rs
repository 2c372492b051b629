//! Deletes the backups that are no longer kept, and what no kept backup names.

use std::collections::HashSet;

use chrono::{DateTime, TimeDelta, Utc};
use futures::TryStreamExt;
use platform::store::FileStore;
use serde::Serialize;

use super::{
    config::BackupConfig,
    error::BackupError,
    listing::{Found, list},
    manifest::{MANIFEST, path, time_of},
    pool::{self, POOL},
    retention::{Keep, keep},
    seal::Opener,
};

/// What has no manifest for this long is no longer being made.
const HALF_MADE: TimeDelta = TimeDelta::days(1);

/// What was deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Pruned {
    /// Whole backups.
    pub backups: Vec<String>,
    /// Folders of such that did not end.
    pub half_made: Vec<String>,
    /// Objects of the pool.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Why it was not done, or not all of it.
    pub failed: Option<String>,
}

/// Deletes what the settings no longer keep. The caller holds the lease.
///
/// # Errors
/// When the destination fails, or any manifest or list in it can't be read: then nothing of the pool is deleted, as it
/// can't be known what is needed.
pub async fn prune(destination: &FileStore, config: &BackupConfig, now: DateTime<Utc>) -> Result<Pruned, BackupError> {
    let rule = Keep {
        daily: config.keep_daily,
        weekly: config.keep_weekly,
        monthly: config.keep_monthly,
        zone: config.zone()?,
    };
    let mut pruned = Pruned::default();
    let (whole, half): (Vec<Found>, Vec<Found>) =
        list(destination).await?.into_iter().partition(|f| f.manifest.is_some());
    let times: Vec<_> = whole.iter().map(|found| time_of(&found.id).unwrap_or(now)).collect();
    let kept = keep(&times, now, &rule);
    let mut needed = HashSet::new();
    let opener = Opener::new(vec![], config.stall());
    for (n, found) in whole.iter().enumerate() {
        let Some(manifest) = found.manifest.as_ref().filter(|_| kept.contains(&n)) else { continue };
        let mut entries = pool::entries_of(destination, manifest, &opener).await?;
        while let Some(entry) = entries.next().await? {
            needed.insert(entry.name);
        }
    }
    for (n, found) in whole.into_iter().enumerate() {
        if !kept.contains(&n) {
            // without its manifest it is no backup any more, even if what follows fails
            destination.delete([path(&found.id, MANIFEST)]).await?;
            destination.delete_where(&path(&found.id, ""), |_| true).await?;
            pruned.backups.push(found.id);
        }
    }
    let old = |id: &str| time_of(id).is_some_and(|began| began + HALF_MADE < now);
    for found in half.into_iter().filter(|found| old(&found.id)) {
        destination.delete_where(&path(&found.id, ""), |_| true).await?;
        pruned.half_made.push(found.id);
    }
    let mut objects = destination.listed(POOL);
    while let Some(object) = objects.try_next().await? {
        // what a backup wrote that is being made is named by none yet
        if !needed.contains(&object.path) && pool::writer(&object.path).is_some_and(old) {
            destination.delete([object.path]).await?;
            pruned.objects += 1;
            pruned.bytes += object.size;
        }
    }
    Ok(pruned)
}
