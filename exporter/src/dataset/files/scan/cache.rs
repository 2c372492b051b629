//! The cache of the columns of scanned files. An entry belongs to one version of a file, so that a changed file is
//! scanned again.

use std::{
    collections::HashMap,
    fs::File,
    os::unix::fs::MetadataExt,
    sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use chrono::{DateTime, Utc};

use super::{super::super::DatasetError, FileKind, FileScan};

/// The maximum number of columns in the cache, over all files. A full cache is cleared.
const MAX_COLUMNS: usize = 1 << 18;
/// The maximum total size of the column names in the cache, in bytes. A full cache is cleared.
const MAX_NAMES: usize = 32 << 20;
/// The minimum age of the last write of a cached local file. A later write within this time could leave the
/// modification time unchanged, because some file systems give two writes within a few milliseconds the same time.
const SETTLED: Duration = Duration::from_secs(2);

/// The version of a file, and the format in which the file is read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    kind: FileKind,
    version: Version,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Version {
    /// A local file. `modified` and `changed` are the times of the last change of the content and of the inode, in
    /// nanoseconds since 1970-01-01. `size` is in bytes.
    Local { device: u64, inode: u64, size: u64, modified: i128, changed: i128 },
    /// An object in a bucket, as a text that identifies its source, key and version.
    Remote(String),
}

impl Key {
    /// Returns the key of an open file. If the file is the copy of an object, `remote` is the version of that object.
    pub(super) fn of(file: &File, kind: FileKind, remote: Option<String>) -> Result<Self, DatasetError> {
        let metadata = file.metadata()?;
        let nanos = |seconds: i64, nanos: i64| i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
        let version = remote.map_or_else(
            || Version::Local {
                device: metadata.dev(),
                inode: metadata.ino(),
                size: metadata.len(),
                modified: nanos(metadata.mtime(), metadata.mtime_nsec()),
                changed: nanos(metadata.ctime(), metadata.ctime_nsec()),
            },
            Version::Remote,
        );
        Ok(Self { kind, version })
    }

    /// Whether the last write of the file is so old that any later write changes the key.
    pub(super) fn is_settled(&self, now: DateTime<Utc>) -> bool {
        let Version::Local { modified, changed, .. } = &self.version else { return true };
        let now = i128::from(now.timestamp_millis()) * 1_000_000;
        (*modified.max(changed)).saturating_add(SETTLED.as_nanos() as i128) < now
    }
}

#[derive(Default)]
struct Cache {
    scans: HashMap<Key, Arc<FileScan>>,
    columns: usize,
    names: usize,
}

static CACHE: LazyLock<Mutex<Cache>> = LazyLock::new(Mutex::default);

fn cache() -> MutexGuard<'static, Cache> {
    CACHE.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn get(key: &Key) -> Option<Arc<FileScan>> {
    cache().scans.get(key).map(Arc::clone)
}

pub(super) fn put(key: Key, scan: Arc<FileScan>) {
    let mut cache = cache();
    let names = scan.columns.iter().map(|column| column.name.len()).sum::<usize>();
    // an entry without columns takes space too
    let columns = scan.columns.len() + 1;
    if cache.columns + columns > MAX_COLUMNS || cache.names + names > MAX_NAMES {
        *cache = Cache::default();
    }
    if cache.scans.insert(key, scan).is_none() {
        cache.columns += columns;
        cache.names += names;
    }
}
