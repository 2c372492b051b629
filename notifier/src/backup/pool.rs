//! The pool: objects of files, kept once whichever backups need them.
//!
//! An object's name is a hash of its path and its version, and the id of the backup that wrote it. So it says nothing
//! about the export to those who can't open the list of files, and it is never written over: what an older backup names
//! stays as it is. The version is there because a path alone isn't enough: after a restore of an older backup an export may
//! run again as the same attempt, and write other bytes to the same path.

use std::collections::HashMap;

use bytes::Bytes;
use futures::{Stream, TryStreamExt};
use platform::store::FileStore;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio_util::io::StreamReader;

use super::{
    error::BackupError,
    listing,
    manifest::{Manifest, time_of},
    seal::{Digest, Opener, Pieces, sha256_hex},
};

/// Where it is.
pub(super) const POOL: &str = "files";

/// An object of the pool, as stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PoolEntry {
    /// Its path at the destination.
    pub(super) name: String,
    /// Bytes.
    pub(super) size: u64,
    /// SHA-256, hex.
    pub(super) sha256: String,
}

impl PoolEntry {
    pub(super) fn digest(&self) -> Digest {
        Digest { size: self.size, sha256: self.sha256.clone() }
    }
}

/// Which bytes at which path.
pub(super) fn key(path: &str, version: &str) -> String {
    sha256_hex(format!("{path}\n{version}").as_bytes())
}

/// The name of an object that a backup writes.
pub(super) fn name(hash: &str, backup: &str, suffix: &str) -> String {
    format!("{POOL}/{}/{hash}-{backup}{suffix}", &hash[..2])
}

/// The backup that wrote the object of this name; None for what is none of ours.
pub(super) fn writer(name: &str) -> Option<&str> {
    let id = name.rsplit('/').next()?.split_once('-')?.1.split(".zst").next()?;
    time_of(id).map(|_| id)
}

/// What kept backups of the same lock have in the pool: some hundred bytes for each object.
#[derive(Default)]
pub(super) struct Known {
    entries: HashMap<String, PoolEntry>,
}

impl Known {
    /// Reads the lists of all whole backups that the same keys open.
    pub(super) async fn read(destination: &FileStore, lock: &str, opener: &Opener) -> Result<Self, BackupError> {
        let mut entries = HashMap::new();
        for manifest in listing::list(destination).await?.into_iter().filter_map(|found| found.manifest) {
            if manifest.lock != lock {
                continue;
            }
            let mut lines = entries_of(destination, &manifest, opener).await?;
            while let Some(entry) = lines.next().await? {
                if let Some(hash) = hash_of(&entry.name) {
                    entries.insert(hash.to_owned(), entry);
                }
            }
        }
        Ok(Self { entries })
    }

    /// The object that holds what this [`key`] says already, if it is there with the right size.
    pub(super) async fn find(&self, destination: &FileStore, key: &str) -> Result<Option<&PoolEntry>, BackupError> {
        let Some(entry) = self.entries.get(key) else { return Ok(None) };
        let there = destination.size(&entry.name).await? == Some(entry.size);
        Ok(there.then_some(entry))
    }
}

fn hash_of(name: &str) -> Option<&str> {
    name.rsplit('/').next()?.split('-').next()
}

/// The objects of the pool that a backup needs. The list is never encrypted.
pub(super) async fn entries_of(
    destination: &FileStore,
    manifest: &Manifest,
    opener: &Opener,
) -> Result<Lines<PoolEntry>, BackupError> {
    let part = manifest.part("pool.")?;
    let path = manifest.path(&part.name);
    let pieces = opener.open(destination, &path, &Digest::from(part)).await?;
    Ok(Lines::of(pieces, path))
}

/// One JSON value a line, read as they come.
pub(super) struct Lines<T> {
    lines: tokio::io::Lines<BufReader<StreamReader<Pieces, Bytes>>>,
    path: String,
    of: std::marker::PhantomData<fn() -> T>,
}

impl<T: serde::de::DeserializeOwned> Lines<T> {
    pub(super) fn of(pieces: Pieces, path: String) -> Self {
        let lines = BufReader::new(StreamReader::new(pieces)).lines();
        Self { lines, path, of: std::marker::PhantomData }
    }

    pub(super) async fn next(&mut self) -> Result<Option<T>, BackupError> {
        let line = self.lines.next_line().await.map_err(|e| BackupError::damaged(&self.path, e))?;
        let value = line.map(|line| serde_json::from_str(&line)).transpose();
        value.map_err(|e| BackupError::damaged(&self.path, e))
    }
}

/// A value as a line.
pub(super) fn line(value: &impl Serialize) -> std::io::Result<Bytes> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    Ok(line.into())
}

/// The bytes of a file of this machine.
pub(super) fn file(file: tokio::fs::File) -> impl Stream<Item = std::io::Result<Bytes>> + Send {
    tokio_util::io::ReaderStream::with_capacity(file, 256 * 1024).into_stream()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_who_wrote_it_and_nothing_about_the_export() {
        let path = "exports/0199/1/000000.segment";
        let key = key(path, "5e88");
        assert_ne!(key, super::key(path, "5e89"), "other bytes are another object");
        for suffix in [".zst", ".zst.age"] {
            let name = name(&key, "20261122T031500.000Z", suffix);
            assert_eq!(writer(&name), Some("20261122T031500.000Z"));
            assert_eq!(hash_of(&name), Some(key.as_str()));
            assert!(!name.contains("0199/"), "{name}");
        }
        assert_eq!(writer("files/ab/something-else.zst"), None);
        assert_eq!(writer("files/README"), None);
    }
}
