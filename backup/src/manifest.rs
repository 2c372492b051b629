//! The manifest of a backup, and the JSON documents about its contents.

use chrono::{DateTime, Utc};
use platform::store::FileStore;
use protocol::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::BackupError;

/// The version of the layout of a backup. A restore refuses a higher version.
pub(crate) const FORMAT_VERSION: u32 = 1;
/// The name of the manifest. A folder without this object is not a complete backup.
pub(crate) const MANIFEST_NAME: &str = "manifest.json";
/// Largest size of a manifest in bytes. A larger object is treated as damaged.
const MAX_MANIFEST_BYTES: u64 = 1024 * 1024;
/// The folder at the destination that contains all backups.
pub(crate) const BACKUP_FOLDER: &str = "backups";
/// The `chrono` format of a backup id: the start time in UTC.
const ID_FORMAT: &str = "%Y%m%dT%H%M%S%.3fZ";

/// The manifest of a backup, which lists its parts. A backup is complete once its manifest is written. The manifest is
/// never encrypted, so it contains only the fields that are needed to find and verify the parts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The version of the layout of this backup.
    pub format: u32,
    /// The id of the backup: its start in UTC, such as `20261122T031500.000Z`.
    pub id: String,
    /// The time at which the last part was written.
    pub completed_at: Timestamp,
    /// The version of Sluice that made the backup.
    pub sluice_version: String,
    /// Whether the parts (except the list of pool objects) are encrypted with age.
    pub encrypted: bool,
    /// An identifier of the set of keys that decrypt the backup. Two backups with the same keys have the same value; it
    /// is empty without encryption.
    pub key_set: String,
    /// The path of the passphrase-encrypted key at the destination; `None` without a passphrase.
    pub key_object: Option<String>,
    /// The parts, in the order in which they were written.
    pub parts: Vec<Part>,
    /// Number of pool objects that the backup references.
    pub pool_objects: u64,
    /// Stored size of the referenced pool objects in bytes.
    pub pool_bytes: u64,
}

/// One object in the folder of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// The path within the folder of the backup.
    pub name: String,
    /// Stored size in bytes.
    pub size: u64,
    /// SHA-256 of the stored bytes, in hex.
    pub sha256: String,
}

/// The counts and versions of the contents of a backup. This document is encrypted if the backup is encrypted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contents {
    /// The time of the database snapshot, by the clock of the installation.
    pub snapshot_at: Timestamp,
    /// The database engine: `sqlite` or `postgres`.
    pub engine: String,
    /// The version of the database server or library.
    pub engine_version: String,
    /// The names of the applied migrations, in order.
    pub migrations: Vec<String>,
    /// Numbers of rows, files and messages in the backup.
    pub counts: Counts,
    /// Whether the backup includes the files of completed exports.
    pub files: bool,
    /// Number of completed exports whose file was deleted, or whose retention ended, during the backup. The backup does
    /// not include these files.
    pub ended_exports: u64,
    /// The first 100 objects that were missing or damaged in the file store.
    pub lost_objects: Vec<String>,
    /// The names of the secrets that the backup of the settings omits, such as `nats.password`.
    pub omitted_secrets: Vec<String>,
}

/// Numbers of rows, files and messages in a backup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Number of rows in the table of exports.
    pub exports: u64,
    /// Number of completed exports.
    pub completed: u64,
    /// Number of queued, dispatched and running exports.
    pub unfinished: u64,
    /// Number of credit ledger entries.
    pub ledger_entries: u64,
    /// Number of credit accounts.
    pub accounts: u64,
    /// Number of credit accounts that differed from the ledger.
    #[serde(default)]
    pub unbalanced: u64,
    /// Number of rows in the table of segments. A segment is a stored part of a file.
    pub segments: u64,
    /// Number of exports whose files the backup includes.
    pub files: u64,
    /// Number of stored objects of the included files.
    pub objects: u64,
    /// Size of the included files in bytes.
    pub bytes: u64,
    /// Number of unsettled outcomes and commands.
    pub outcomes: u64,
    /// Number of dead letters.
    pub dead_letters: u64,
}

/// An object of the installation's file store, and the pool object with its bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileEntry {
    /// The path in the installation's file store.
    pub(crate) path: String,
    /// Size in bytes and SHA-256 in hex of the object; `None` for a document whose digest is not in the database.
    pub(crate) plain: Option<(u64, String)>,
    /// The path of the pool object at the destination.
    pub(crate) pool: String,
}

impl Manifest {
    /// Returns the path of an object of this backup at the destination.
    pub(crate) fn path(&self, name: &str) -> String {
        path(&self.id, name)
    }

    /// Finds a part by the start of its name, because the suffix depends on the encryption.
    pub(crate) fn part(&self, stem: &str) -> Result<&Part, BackupError> {
        let found = self.parts.iter().find(|part| part.name.starts_with(stem));
        found.ok_or_else(|| {
            BackupError::damaged(&self.path(MANIFEST_NAME), format!("the manifest names no part {stem}"))
        })
    }

    /// Reads the manifest of a backup; returns `None` if the backup has no manifest.
    pub(crate) async fn read(destination: &FileStore, id: &str) -> Result<Option<Self>, BackupError> {
        let path = path(id, MANIFEST_NAME);
        match destination.size(&path).await? {
            None => return Ok(None),
            Some(size) if size > MAX_MANIFEST_BYTES => {
                return Err(BackupError::damaged(&path, "too large for a manifest"));
            }
            Some(_) => {}
        }
        let bytes = destination.get(&path).await?;
        // every layout version has these fields
        #[derive(Deserialize)]
        struct ManifestVersion {
            format: u32,
            sluice_version: String,
        }
        let damaged = |e: serde_json::Error| BackupError::damaged(&path, e);
        let head: ManifestVersion = serde_json::from_slice(&bytes).map_err(damaged)?;
        if head.format > FORMAT_VERSION {
            return Err(BackupError::Newer(head.sluice_version));
        }
        let manifest: Self = serde_json::from_slice(&bytes).map_err(damaged)?;
        if manifest.id != id {
            return Err(BackupError::damaged(&path, format!("the manifest names the backup {}", manifest.id)));
        }
        Ok(Some(manifest))
    }
}

/// Returns the path of an object of a backup at the destination.
pub(crate) fn path(id: &str, name: &str) -> String {
    format!("{BACKUP_FOLDER}/{id}/{name}")
}

/// Returns the id of a backup that starts at this time.
pub(crate) fn id_at(start: DateTime<Utc>) -> String {
    start.format(ID_FORMAT).to_string()
}

/// Parses the start time of a backup from its id; returns `None` if `id` is not a backup id.
pub(crate) fn start_of(id: &str) -> Option<DateTime<Utc>> {
    chrono::NaiveDateTime::parse_from_str(id, ID_FORMAT).ok().map(|time| time.and_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_encodes_the_start_of_the_backup() {
        let now = DateTime::from_timestamp_millis(1_795_316_400_123).unwrap();
        assert_eq!(id_at(now), "20261122T030000.123Z");
        assert_eq!(start_of(&id_at(now)), Some(now));
        for other in ["", "latest", "20261122", "../20261122T030000.123Z"] {
            assert_eq!(start_of(other), None, "{other}");
        }
    }
}
