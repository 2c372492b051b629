//! Which backups are at a destination.

use std::collections::BTreeMap;

use futures::TryStreamExt;
use platform::store::FileStore;
use serde::Serialize;

use super::{
    error::BackupError,
    manifest::{BACKUPS, Manifest, time_of},
};

/// A folder at the destination.
#[derive(Clone, Debug, Serialize)]
pub struct Found {
    /// Its id.
    pub id: String,
    /// Its manifest; None for one that did not end, or is being made.
    pub manifest: Option<Manifest>,
}

/// All of them, oldest first. What is no backup's folder is passed over.
///
/// # Errors
/// When the destination fails, or a manifest is damaged or of a newer Sluice.
pub async fn list(destination: &FileStore) -> Result<Vec<Found>, BackupError> {
    let mut ids: BTreeMap<String, ()> = BTreeMap::new();
    let mut objects = destination.listed(BACKUPS);
    while let Some(object) = objects.try_next().await? {
        if let Some(id) = object.path.split('/').nth(1).filter(|id| time_of(id).is_some()) {
            ids.entry(id.to_owned()).or_default();
        }
    }
    let mut found = vec![];
    for id in ids.into_keys() {
        let manifest = Manifest::read(destination, &id).await?;
        found.push(Found { id, manifest });
    }
    Ok(found)
}

/// The manifest of one backup: by its id, or the newest whole one by `latest`.
///
/// # Errors
/// When there is none, or the destination fails.
pub(super) async fn find(destination: &FileStore, id: &str) -> Result<Manifest, BackupError> {
    if id == "latest" {
        let newest = list(destination).await?.into_iter().rev().find_map(|found| found.manifest);
        return newest.ok_or_else(|| BackupError::NoBackup("at all".into()));
    }
    let known = time_of(id).is_some();
    let manifest = if known { Manifest::read(destination, id).await? } else { None };
    manifest.ok_or_else(|| BackupError::NoBackup(id.to_owned()))
}
