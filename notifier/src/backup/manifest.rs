//! What a backup says about itself.

use chrono::{DateTime, Utc};
use platform::store::FileStore;
use protocol::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::error::BackupError;

/// The version of this layout; a restore refuses a higher one.
pub(super) const FORMAT: u32 = 1;
/// The object that makes a folder a backup.
pub(super) const MANIFEST: &str = "manifest.json";
/// A manifest is small; a larger object isn't one.
const MANIFEST_BYTES: u64 = 1024 * 1024;
/// Where backups are.
pub(super) const BACKUPS: &str = "backups";
/// The form of an id: the UTC time at which it began.
const ID_FORMAT: &str = "%Y%m%dT%H%M%S%.3fZ";

/// The outer manifest, never encrypted: what is needed to find the parts and to check them, and nothing more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The version of the layout.
    pub format: u32,
    /// The UTC time at which it began.
    pub id: String,
    /// When it was done.
    pub completed_at: Timestamp,
    /// The Sluice that made it.
    pub sluice: String,
    /// Whether all but this and the list of the pool is encrypted with age.
    pub encrypted: bool,
    /// Names the set of keys that open it, for telling whether two backups have the same; empty without encryption.
    pub lock: String,
    /// The object of the key that a passphrase opens, if there is one.
    pub key: Option<String>,
    /// The parts, in the order in which they were made.
    pub parts: Vec<Part>,
    /// How many objects of the pool it needs.
    pub pool_objects: u64,
    /// Their bytes, as stored.
    pub pool_bytes: u64,
}

/// One object of a backup's folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Its path within the folder.
    pub name: String,
    /// Bytes as stored.
    pub size: u64,
    /// SHA-256 of the bytes as stored, hex.
    pub sha256: String,
}

/// The sealed part of the manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contents {
    /// When the database was as it is in here.
    pub taken_at: Timestamp,
    /// `sqlite` or `postgres`.
    pub engine: String,
    /// The version of the database's server or library.
    pub engine_version: String,
    /// The steps of the schema, in order.
    pub steps: Vec<String>,
    /// What it holds.
    pub counts: Counts,
    /// Whether files are part of it.
    pub files: bool,
    /// Completed exports whose files are not in it, as they ended while it was made.
    pub left_out: u64,
    /// Objects that were missing or damaged in the file store itself; at most the first hundred are named.
    pub lost: Vec<String>,
    /// Secrets that are not in its settings.
    pub secrets_left_out: Vec<String>,
}

/// How much of what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Rows of exports.
    pub exports: u64,
    /// Of these completed ones.
    pub completed: u64,
    /// Of these such in which work was going on or waiting.
    pub unfinished: u64,
    /// Entries of the ledger.
    pub ledger_entries: u64,
    /// Accounts.
    pub accounts: u64,
    /// Of these such that did not add up with the ledger already then; an older backup did not count them.
    #[serde(default)]
    pub unbalanced: u64,
    /// Segments that the database knows.
    pub segments: u64,
    /// Exports whose files are in the backup.
    pub files: u64,
    /// Objects of these files.
    pub objects: u64,
    /// Bytes of these files.
    pub bytes: u64,
    /// Messages of the stream of outcomes.
    pub outcomes: u64,
    /// Dead letters.
    pub dead: u64,
}

/// An object of the platform's file store, in the sealed list of files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FileEntry {
    /// Its path in the file store.
    pub(super) path: String,
    /// Its bytes and their SHA-256, hex; unknown of a document that an older backup copied.
    pub(super) plain: Option<(u64, String)>,
    /// Its name in the pool.
    pub(super) pool: String,
}

impl Manifest {
    /// Where an object of this backup is.
    pub(super) fn path(&self, name: &str) -> String {
        path(&self.id, name)
    }

    /// A part by the beginning of its name.
    pub(super) fn part(&self, stem: &str) -> Result<&Part, BackupError> {
        let found = self.parts.iter().find(|part| part.name.starts_with(stem));
        found.ok_or_else(|| BackupError::damaged(&self.path(MANIFEST), format!("it names no {stem}")))
    }

    /// Reads one; None when there is none.
    pub(super) async fn read(destination: &FileStore, id: &str) -> Result<Option<Self>, BackupError> {
        let path = path(id, MANIFEST);
        match destination.size(&path).await? {
            None => return Ok(None),
            Some(size) if size > MANIFEST_BYTES => return Err(BackupError::damaged(&path, "too large for a manifest")),
            Some(_) => {}
        }
        let bytes = destination.get(&path).await?;
        #[derive(Deserialize)]
        struct Head {
            format: u32,
            sluice: String,
        }
        let damaged = |e: serde_json::Error| BackupError::damaged(&path, e);
        let head: Head = serde_json::from_slice(&bytes).map_err(damaged)?;
        if head.format > FORMAT {
            return Err(BackupError::Newer(head.sluice));
        }
        let manifest: Self = serde_json::from_slice(&bytes).map_err(damaged)?;
        if manifest.id != id {
            return Err(BackupError::damaged(&path, format!("it is that of {}", manifest.id)));
        }
        Ok(Some(manifest))
    }
}

/// Where an object of a backup is.
pub(super) fn path(id: &str, name: &str) -> String {
    format!("{BACKUPS}/{id}/{name}")
}

/// The id of a backup that begins now.
pub(super) fn id_of(now: DateTime<Utc>) -> String {
    now.format(ID_FORMAT).to_string()
}

/// When a backup of this id began; None for what is no id.
pub(super) fn time_of(id: &str) -> Option<DateTime<Utc>> {
    chrono::NaiveDateTime::parse_from_str(id, ID_FORMAT).ok().map(|time| time.and_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_its_time() {
        let now = DateTime::from_timestamp_millis(1_795_316_400_123).unwrap();
        assert_eq!(id_of(now), "20261122T030000.123Z");
        assert_eq!(time_of(&id_of(now)), Some(now));
        for other in ["", "latest", "20261122", "../20261122T030000.123Z"] {
            assert_eq!(time_of(other), None, "{other}");
        }
    }
}
