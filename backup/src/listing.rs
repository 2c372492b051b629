//! Lists the backups at a destination.

use std::collections::BTreeMap;

use futures::TryStreamExt;
use platform::store::FileStore;
use serde::Serialize;

use crate::{
    error::BackupError,
    manifest::{BACKUP_FOLDER, Manifest, start_of},
};

/// A backup at the destination, complete or not.
#[derive(Clone, Debug, Serialize)]
pub struct ListedBackup {
    /// The id of the backup.
    pub id: String,
    /// The manifest; `None` for a backup that was interrupted or is still running.
    pub manifest: Option<Manifest>,
}

/// Lists all backups, oldest first. Ignores objects that belong to no backup.
///
/// # Errors
/// When the destination fails, or a manifest is damaged or of a newer version.
pub async fn list(destination: &FileStore) -> Result<Vec<ListedBackup>, BackupError> {
    let mut ids: BTreeMap<String, ()> = BTreeMap::new();
    let mut objects = destination.list_stream(BACKUP_FOLDER);
    while let Some(object) = objects.try_next().await? {
        if let Some(id) = object.path.split('/').nth(1).filter(|id| start_of(id).is_some()) {
            ids.entry(id.to_owned()).or_default();
        }
    }
    let mut backups = vec![];
    for id in ids.into_keys() {
        let manifest = Manifest::read(destination, &id).await?;
        backups.push(ListedBackup { id, manifest });
    }
    Ok(backups)
}

/// Reads the manifest of the backup with this id, or of the newest complete backup for `latest`.
///
/// # Errors
/// When the backup does not exist, or the destination fails.
pub(crate) async fn find(destination: &FileStore, id: &str) -> Result<Manifest, BackupError> {
    if id == "latest" {
        let newest = list(destination).await?.into_iter().rev().find_map(|listed| listed.manifest);
        return newest.ok_or_else(|| BackupError::NotFound("the destination has no complete backup".into()));
    }
    let valid = start_of(id).is_some();
    let manifest = if valid { Manifest::read(destination, id).await? } else { None };
    manifest.ok_or_else(|| BackupError::NotFound(id.to_owned()))
}
