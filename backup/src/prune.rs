//! Deletes backups by the retention policy, and pool objects that no remaining backup references.

use std::collections::HashSet;

use chrono::{DateTime, TimeDelta, Utc};
use futures::TryStreamExt;
use platform::store::FileStore;
use serde::Serialize;

use crate::{
    codec::Decoder,
    config::BackupConfig,
    error::BackupError,
    listing::{ListedBackup, list},
    manifest::{MANIFEST_NAME, path, start_of},
    pool::{self, POOL_FOLDER},
    retention::{RetentionPolicy, retained},
};

/// Age from which a backup without a manifest counts as interrupted.
const INTERRUPTED_AFTER: TimeDelta = TimeDelta::days(1);

/// The backups and objects that [`prune`] deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Pruned {
    /// The ids of the deleted complete backups.
    pub backups: Vec<String>,
    /// The ids of the deleted interrupted backups.
    pub interrupted: Vec<String>,
    /// Number of deleted pool objects.
    pub objects: u64,
    /// Stored size of the deleted pool objects in bytes.
    pub bytes: u64,
    /// The error that stopped the deletion; `None` if it succeeded.
    pub error: Option<String>,
}

/// Deletes the backups that the retention policy does not keep, interrupted backups, and unreferenced pool objects. The
/// caller ensures that no other process creates a backup at the same destination at the same time.
///
/// # Errors
/// When the destination fails, or a manifest or a list of pool objects can't be read. The function deletes nothing
/// after an unreadable manifest or list, because it may reference any pool object.
pub async fn prune(destination: &FileStore, config: &BackupConfig, now: DateTime<Utc>) -> Result<Pruned, BackupError> {
    let policy = RetentionPolicy {
        daily: config.keep_daily,
        weekly: config.keep_weekly,
        monthly: config.keep_monthly,
        time_zone: config.schedule_time_zone,
    };
    let mut pruned = Pruned::default();
    let (complete, incomplete): (Vec<ListedBackup>, Vec<ListedBackup>) =
        list(destination).await?.into_iter().partition(|listed| listed.manifest.is_some());
    let starts: Vec<_> = complete.iter().map(|listed| start_of(&listed.id).unwrap_or(now)).collect();
    let kept = retained(&starts, now, &policy);
    let mut referenced = HashSet::new();
    let decoder = Decoder::new(vec![], config.stall_timeout());
    for (n, listed) in complete.iter().enumerate() {
        let Some(manifest) = listed.manifest.as_ref().filter(|_| kept.contains(&n)) else { continue };
        let mut entries = pool::entries_of(destination, manifest, &decoder).await?;
        while let Some(entry) = entries.next().await? {
            referenced.insert(entry.name);
        }
    }
    for (n, listed) in complete.into_iter().enumerate() {
        if !kept.contains(&n) {
            // deletes the manifest first, because a partly deleted backup must not count as complete
            destination.delete([path(&listed.id, MANIFEST_NAME)]).await?;
            destination.delete_where(&path(&listed.id, ""), |_| true).await?;
            pruned.backups.push(listed.id);
        }
    }
    let is_old = |id: &str| start_of(id).is_some_and(|start| start + INTERRUPTED_AFTER < now);
    for listed in incomplete.into_iter().filter(|listed| is_old(&listed.id)) {
        destination.delete_where(&path(&listed.id, ""), |_| true).await?;
        pruned.interrupted.push(listed.id);
    }
    let mut objects = destination.list_stream(POOL_FOLDER);
    while let Some(object) = objects.try_next().await? {
        // a young object may belong to a backup that has no manifest yet
        if !referenced.contains(&object.path) && pool::writing_backup(&object.path).is_some_and(is_old) {
            destination.delete([object.path]).await?;
            pruned.objects += 1;
            pruned.bytes += object.size;
        }
    }
    // deletes the partial pool objects that killed processes left in a folder store
    let partials = destination.list_partials(POOL_FOLDER).await?.into_iter().map(|partial| partial.path);
    let old = partials.filter(|path| pool::writing_backup(path).is_some_and(is_old)).collect();
    destination.delete_partials(old).await?;
    Ok(pruned)
}
