//! The object pool, which stores each object of an export's file once for all backups.
//!
//! The name of a pool object is a hash of the object's path and version, followed by the id of the backup that wrote
//! the object. So the name reveals nothing about the export, and no backup overwrites the object of another backup. The
//! hash includes the version, because the same path may hold other bytes later: after the restore of an older backup,
//! an export may run again with the same attempt number.

use std::{collections::HashMap, marker::PhantomData};

use bytes::Bytes;
use futures::{Stream, TryStreamExt};
use platform::store::FileStore;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio_util::io::StreamReader;

use crate::{
    codec::Decoder,
    digest::{ByteStream, Digest, sha256_hex},
    error::BackupError,
    listing,
    manifest::{Manifest, start_of},
};

/// The folder of the pool at the destination.
pub(crate) const POOL_FOLDER: &str = "files";

/// An entry in a backup's list of pool objects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PoolEntry {
    /// The path at the destination.
    pub(crate) name: String,
    /// The size of the stored object, in bytes.
    pub(crate) size: u64,
    /// SHA-256 of the stored bytes, in hex.
    pub(crate) sha256: String,
}

impl PoolEntry {
    pub(crate) fn digest(&self) -> Digest {
        Digest { size: self.size, sha256: self.sha256.clone() }
    }
}

/// Returns the hash that identifies one version of an object: the SHA-256, in hex, of the object's path and version.
pub(crate) fn object_key(path: &str, version: &str) -> String {
    sha256_hex(format!("{path}\n{version}").as_bytes())
}

/// Returns the path of the pool object that a backup writes for an [`object_key`].
pub(crate) fn object_name(key: &str, backup: &str, suffix: &str) -> String {
    format!("{POOL_FOLDER}/{}/{key}-{backup}{suffix}", &key[..2])
}

/// Returns the id of the backup that wrote the pool object with this name; `None` if this is not the name of a pool
/// object.
pub(crate) fn writing_backup(name: &str) -> Option<&str> {
    let id = name.rsplit('/').next()?.split_once('-')?.1.split(".zst").next()?;
    start_of(id).map(|_| id)
}

/// The pool objects of all complete backups with the same keys. A new backup references these objects instead of
/// storing them again. Needs about 300 bytes of memory for each object.
#[derive(Default)]
pub(crate) struct KnownObjects {
    entries: HashMap<String, PoolEntry>,
}

impl KnownObjects {
    /// Reads the lists of all complete backups with this set of keys.
    pub(crate) async fn read(destination: &FileStore, key_set: &str, decoder: &Decoder) -> Result<Self, BackupError> {
        let mut entries = HashMap::new();
        for manifest in listing::list(destination).await?.into_iter().filter_map(|listed| listed.manifest) {
            if manifest.key_set != key_set {
                continue;
            }
            let mut lines = entries_of(destination, &manifest, decoder).await?;
            while let Some(entry) = lines.next().await? {
                if let Some(key) = key_of(&entry.name) {
                    entries.insert(key.to_owned(), entry);
                }
            }
        }
        Ok(Self { entries })
    }

    /// Finds the pool object with this [`object_key`]. Returns `None` if the destination has no such object, or an
    /// object of another size than recorded.
    pub(crate) async fn find(&self, destination: &FileStore, key: &str) -> Result<Option<&PoolEntry>, BackupError> {
        let Some(entry) = self.entries.get(key) else { return Ok(None) };
        let exists = destination.size(&entry.name).await? == Some(entry.size);
        Ok(exists.then_some(entry))
    }
}

fn key_of(name: &str) -> Option<&str> {
    name.rsplit('/').next()?.split('-').next()
}

/// Reads the list of pool objects that a backup references. The list is never encrypted.
pub(crate) async fn entries_of(
    destination: &FileStore,
    manifest: &Manifest,
    decoder: &Decoder,
) -> Result<Lines<PoolEntry>, BackupError> {
    let part = manifest.part("pool.")?;
    let path = manifest.path(&part.name);
    let decoded = decoder.read(destination, &path, &Digest::from(part)).await?;
    Ok(Lines::new(decoded, path))
}

/// Reads JSON values from a byte stream that contains one value in each line.
pub(crate) struct Lines<T> {
    lines: tokio::io::Lines<BufReader<StreamReader<ByteStream, Bytes>>>,
    path: String,
    value: PhantomData<fn() -> T>,
}

impl<T: serde::de::DeserializeOwned> Lines<T> {
    pub(crate) fn new(bytes: ByteStream, path: String) -> Self {
        let lines = BufReader::new(StreamReader::new(bytes)).lines();
        Self { lines, path, value: PhantomData }
    }

    pub(crate) async fn next(&mut self) -> Result<Option<T>, BackupError> {
        let line = self.lines.next_line().await.map_err(|e| BackupError::damaged(&self.path, e))?;
        let value = line.map(|line| serde_json::from_str(&line)).transpose();
        value.map_err(|e| BackupError::damaged(&self.path, e))
    }
}

/// Serializes a value as JSON with a newline at the end.
pub(crate) fn json_line(value: &impl Serialize) -> std::io::Result<Bytes> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    Ok(line.into())
}

/// Reads a local file as a stream of chunks of 256 KiB.
pub(crate) fn stream_file(file: tokio::fs::File) -> impl Stream<Item = std::io::Result<Bytes>> + Send {
    tokio_util::io::ReaderStream::with_capacity(file, 256 * 1024).into_stream()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_name_contains_the_backup_id_and_no_export_id() {
        let path = "exports/0199/1/000000.segment";
        let key = object_key(path, "5e88");
        assert_ne!(key, super::object_key(path, "5e89"), "another version is another object");
        for suffix in [".zst", ".zst.age"] {
            let name = object_name(&key, "20261122T031500.000Z", suffix);
            assert_eq!(writing_backup(&name), Some("20261122T031500.000Z"));
            assert_eq!(key_of(&name), Some(key.as_str()));
            assert!(!name.contains("0199/"), "{name}");
        }
        assert_eq!(writing_backup("files/ab/something-else.zst"), None);
        assert_eq!(writing_backup("files/README"), None);
    }
}
