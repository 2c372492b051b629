//! The manifest of a backup, and the documents that describe its contents.

use chrono::{DateTime, Utc};
use platform::store::FileStore;
use protocol::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::BackupError;

/// The version of the layout. A restore refuses a higher version.
pub(crate) const FORMAT: u32 = 1;
/// The name of the object that makes a folder a backup.
pub(crate) const MANIFEST: &str = "manifest.json";
/// Largest size of a manifest in bytes; a larger object is damaged.
const MAX_MANIFEST_BYTES: u64 = 1024 * 1024;
/// The folder of all backups at the destination.
pub(crate) const BACKUPS: &str = "backups";
/// The format of an id: the start of the backup in UTC.
const ID_FORMAT: &str = "%Y%m%dT%H%M%S%.3fZ";

/// The manifest. It is never encrypted, and holds only what is needed to find and verify the parts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The version of the layout.
    pub format: u32,
    /// The id of the backup: its start in UTC, such as `20261122T031500.000Z`.
    pub id: String,
    /// The time at which the last part was complete.
    pub completed_at: Timestamp,
    /// The version of Sluice that made the backup.
    pub sluice_version: String,
    /// Whether the parts (except the list of pool objects) are encrypted with age.
    pub encrypted: bool,
    /// Identifies the set of keys that decrypt the backup: equal for two backups with the same keys, empty without
    /// encryption.
    pub key_set: String,
    /// The path of the key object that the passphrase decrypts, if a passphrase was used.
    pub key_object: Option<String>,
    /// The parts, in the order in which they were written.
    pub parts: Vec<Part>,
    /// Number of pool objects that the backup references.
    pub pool_objects: u64,
    /// Stored size of these pool objects in bytes.
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

/// The encrypted description of a backup's contents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contents {
    /// The time of the database snapshot.
    pub snapshot_at: Timestamp,
    /// The database engine: `sqlite` or `postgres`.
    pub engine: String,
    /// The version of the database server or library.
    pub engine_version: String,
    /// The names of the applied migrations, in order.
    pub migrations: Vec<String>,
    /// The counts of rows, files and messages.
    pub counts: Counts,
    /// Whether the files of completed exports are included.
    pub files: bool,
    /// Number of completed exports that ended while the backup ran; their files are not included.
    pub ended_exports: u64,
    /// Objects that were missing or damaged in the installation's file store; the first hundred.
    pub lost_objects: Vec<String>,
    /// The names of the secrets that the settings part omits.
    pub omitted_secrets: Vec<String>,
}

/// Counts of the contents of a backup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Number of export rows.
    pub exports: u64,
    /// Number of completed exports.
    pub completed: u64,
    /// Number of queued, dispatched and running exports.
    pub unfinished: u64,
    /// Number of credit ledger entries.
    pub ledger_entries: u64,
    /// Number of credit accounts.
    pub accounts: u64,
    /// Number of accounts that differed from the ledger at the time of the backup.
    #[serde(default)]
    pub unbalanced: u64,
    /// Number of segment rows.
    pub segments: u64,
    /// Number of exports whose files are included.
    pub files: u64,
    /// Number of objects of these files.
    pub objects: u64,
    /// Size of these files in bytes.
    pub bytes: u64,
    /// Number of messages in the stream of outcomes.
    pub outcomes: u64,
    /// Number of dead letters.
    pub dead_letters: u64,
}

/// An object of the installation's file store, as the encrypted list of files names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileEntry {
    /// The path in the installation's file store.
    pub(crate) path: String,
    /// Size in bytes and SHA-256 in hex; absent for a document whose digest was not recorded.
    pub(crate) plain: Option<(u64, String)>,
    /// The path of the pool object.
    pub(crate) pool: String,
}

impl Manifest {
    /// The path of an object of this backup.
    pub(crate) fn path(&self, name: &str) -> String {
        path(&self.id, name)
    }

    /// Finds a part by the start of its name.
    pub(crate) fn part(&self, stem: &str) -> Result<&Part, BackupError> {
        let found = self.parts.iter().find(|part| part.name.starts_with(stem));
        found.ok_or_else(|| BackupError::damaged(&self.path(MANIFEST), format!("it names no part {stem}")))
    }

    /// Reads the manifest of a backup; `None` when the backup has no manifest.
    pub(crate) async fn read(destination: &FileStore, id: &str) -> Result<Option<Self>, BackupError> {
        let path = path(id, MANIFEST);
        match destination.size(&path).await? {
            None => return Ok(None),
            Some(size) if size > MAX_MANIFEST_BYTES => {
                return Err(BackupError::damaged(&path, "too large for a manifest"));
            }
            Some(_) => {}
        }
        let bytes = destination.get(&path).await?;
        // of a newer layout only these members are known
        #[derive(Deserialize)]
        struct Head {
            format: u32,
            sluice_version: String,
        }
        let damaged = |e: serde_json::Error| BackupError::damaged(&path, e);
        let head: Head = serde_json::from_slice(&bytes).map_err(damaged)?;
        if head.format > FORMAT {
            return Err(BackupError::Newer(head.sluice_version));
        }
        let manifest: Self = serde_json::from_slice(&bytes).map_err(damaged)?;
        if manifest.id != id {
            return Err(BackupError::damaged(&path, format!("it belongs to {}", manifest.id)));
        }
        Ok(Some(manifest))
    }
}

/// The path of an object of a backup.
pub(crate) fn path(id: &str, name: &str) -> String {
    format!("{BACKUPS}/{id}/{name}")
}

/// The id of a backup that starts at this time.
pub(crate) fn id_at(start: DateTime<Utc>) -> String {
    start.format(ID_FORMAT).to_string()
}

/// The start of the backup with this id; `None` for text that is not an id.
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
