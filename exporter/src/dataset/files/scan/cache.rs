//! Caches the columns that scans have found in text files. The key of an entry is the version of the file. A changed
//! file has another version, so it is scanned again.

use std::{
    collections::HashMap,
    fs::File,
    os::unix::fs::MetadataExt,
    sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use chrono::{DateTime, Utc};

use super::{super::super::DatasetError, FileKind, FileScan};

/// The maximum number of columns in the cache, over all files. Each file counts as one further column. When the cache
/// is full, it is cleared.
const MAX_COLUMNS: usize = 1 << 18;
/// The maximum total size of the column names in the cache, in bytes. When the cache is full, it is cleared.
const MAX_NAMES: usize = 32 << 20;
/// The minimum age of the last write to a local file before the file is cached. Some file systems give two writes
/// within a few milliseconds the same time, so a second write soon after the first could leave the modification time
/// unchanged.
const SETTLED: Duration = Duration::from_secs(2);

/// The key of a scanned file in the cache: the version of the file, and the format in which the file is read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    kind: FileKind,
    version: Version,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Version {
    /// A local file, or the local copy of a remote file whose version is unknown. `modified` says when the
    /// content last changed (mtime), and `changed` when the inode last changed (ctime). Both are in nanoseconds since
    /// 1970-01-01. `size` is in bytes.
    Local { device: u64, inode: u64, size: u64, modified: i128, changed: i128 },
    /// An object in a bucket. The text identifies the source, the key and the version of the object.
    Remote(String),
}

impl Key {
    /// Returns the key of an open file. If the file is the copy of an object, `remote` is the text that identifies the
    /// version of that object. `remote` is None for a local file, and for a remote file whose version is unknown.
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

    /// Whether the last write of the file is so old that any later write will change the key. Always true for an object
    /// with a known version.
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
