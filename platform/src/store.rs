//! The file store: a local folder or an S3 bucket.

mod error;
mod open;
mod partial;
#[cfg(test)]
mod tests;
mod write;

use std::{collections::BTreeMap, ops::Range, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use object_store::{GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt, path::Path, signer::Signer};
use url::Url;

pub use self::error::FileStoreError;

/// The path of the object that [`FileStore::ping`] requests. No service writes this object.
const PROBED_OBJECT: &str = "exports/.ready";

/// A byte stream of an object or of a range of it.
pub struct ObjectReader {
    /// The size of the whole object, in bytes.
    pub size: u64,
    /// The byte range of the object that the stream yields.
    pub range: Range<u64>,
    /// The bytes of the range in order.
    pub stream: BoxStream<'static, Result<Bytes, object_store::Error>>,
}

/// The path, size and write time of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectInfo {
    /// The path of the object within the store.
    pub path: String,
    /// The size of the object, in bytes.
    pub size: u64,
    /// The time of the last write to the object.
    pub modified: DateTime<Utc>,
}

impl From<ObjectMeta> for ObjectInfo {
    fn from(meta: ObjectMeta) -> Self {
        Self { path: meta.location.to_string(), size: meta.size, modified: meta.last_modified }
    }
}

/// The store of all files, such as segments and manifests. Clones share the client.
#[derive(Clone, Debug)]
pub struct FileStore {
    objects: Arc<dyn ObjectStore>,
    /// The client that presigns URLs, and the path prefix of all objects in the bucket; None for a folder.
    signer: Option<(Arc<dyn Signer>, Path)>,
    /// The path of the folder; None for a bucket.
    folder: Option<PathBuf>,
}

impl FileStore {
    /// Returns the size and the free space, in bytes, of the disk that holds the folder. None for a bucket, or when the
    /// system call fails.
    pub async fn disk(&self) -> Option<(u64, u64)> {
        let folder = self.folder.clone()?;
        // the system call may block on a network disk
        let stat = tokio::task::spawn_blocking(move || nix::sys::statvfs::statvfs(&folder)).await;
        let disk = stat.ok()?.ok()?;
        let bytes = |blocks: u64| blocks.saturating_mul(disk.fragment_size());
        Some((bytes(disk.blocks()), bytes(disk.blocks_available())))
    }

    /// Whether [`FileStore::presign`] returns URLs. True for a bucket.
    #[must_use]
    pub fn can_presign(&self) -> bool {
        self.signer.is_some()
    }

    /// Checks that the store answers, by requesting an object that never exists.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn ping(&self) -> Result<(), FileStoreError> {
        self.size(PROBED_OBJECT).await.map(drop)
    }

    /// Reads a whole object into memory.
    ///
    /// # Errors
    /// When the object does not exist or the store fails.
    pub async fn get(&self, path: &str) -> Result<Bytes, FileStoreError> {
        Ok(self.objects.get(&Path::from(path)).await?.bytes().await?)
    }

    /// Reads an object, or a range of it, as a stream.
    ///
    /// # Errors
    /// When the object does not exist, the range lies outside it, or the store fails.
    pub async fn read(&self, path: &str, range: Option<Range<u64>>) -> Result<ObjectReader, FileStoreError> {
        let options = GetOptions { range: range.map(GetRange::Bounded), ..GetOptions::default() };
        let result = self.objects.get_opts(&Path::from(path), options).await?;
        let (size, range) = (result.meta.size, result.range.clone());
        Ok(ObjectReader { size, range, stream: result.into_stream() })
    }

    /// Returns the size of an object in bytes; None when the object does not exist.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn size(&self, path: &str) -> Result<Option<u64>, FileStoreError> {
        match self.objects.head(&Path::from(path)).await {
            Ok(meta) => Ok(Some(meta.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    /// Returns a presigned URL with which a client can GET the object without credentials during the time `valid`; None
    /// for a folder.
    ///
    /// # Errors
    /// When the store's credentials are unavailable.
    pub async fn presign(&self, path: &str, valid: Duration) -> Result<Option<Url>, FileStoreError> {
        let Some((signer, prefix)) = &self.signer else { return Ok(None) };
        let full: Path = prefix.parts().chain(Path::from(path).parts()).collect();
        Ok(Some(signer.signed_url(http_get(), &full, valid).await?))
    }

    /// Returns the paths of all objects below a folder.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn list(&self, prefix: &str) -> Result<Vec<String>, FileStoreError> {
        let objects = self.objects.list(Some(&Path::from(prefix)));
        Ok(objects.map_ok(|meta| meta.location.to_string()).try_collect().await?)
    }

    /// Returns a stream of all objects below a folder. A bucket yields the objects sorted by path, a local folder in
    /// any order.
    pub fn list_stream(&self, prefix: &str) -> BoxStream<'static, Result<ObjectInfo, FileStoreError>> {
        let objects = self.objects.list(Some(&Path::from(prefix)));
        objects.map_ok(ObjectInfo::from).err_into().boxed()
    }

    /// Returns the first `limit` objects below a folder whose paths sort after `after`, sorted by path. If `after` is
    /// None, starts with the first object. For a local folder, the method lists all files, but keeps only `limit` of
    /// them in memory.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn list_after(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<ObjectInfo>, FileStoreError> {
        let prefix = Path::from(prefix);
        let mut objects = match after {
            Some(after) => self.objects.list_with_offset(Some(&prefix), &Path::from(after)),
            None => self.objects.list(Some(&prefix)),
        };
        // a bucket lists objects in order, a folder does not
        let ordered = self.can_presign();
        let mut first = BTreeMap::new();
        while let Some(meta) = objects.try_next().await? {
            first.insert(meta.location.to_string(), meta);
            if first.len() > limit {
                first.pop_last();
                if ordered {
                    break;
                }
            }
        }
        Ok(first.into_values().map(ObjectInfo::from).collect())
    }

    /// Deletes these objects and returns their number. A missing object counts as deleted.
    ///
    /// # Errors
    /// When the store fails. Some objects may be deleted then; the caller may retry.
    pub async fn delete(&self, paths: impl IntoIterator<Item = String>) -> Result<usize, FileStoreError> {
        let paths: Vec<_> = paths.into_iter().map(|path| Ok(Path::from(path))).collect();
        let count = paths.len();
        let mut results = self.objects.delete_stream(futures::stream::iter(paths).boxed());
        while let Some(result) = results.next().await {
            match result {
                Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
                Err(e) => return Err(e.into()),
            }
        }
        Ok(count)
    }

    /// Deletes all objects below a folder whose paths satisfy `predicate`, and the partial files that interrupted
    /// writes of such objects left behind. Returns the number of deleted objects. A missing object counts as deleted. A
    /// process that is writing such an object gets an error.
    ///
    /// # Errors
    /// When the store fails. Some objects may be deleted then; the caller may retry.
    pub async fn delete_where(&self, prefix: &str, predicate: impl Fn(&str) -> bool) -> Result<usize, FileStoreError> {
        let paths = self.list(prefix).await?;
        let deleted = self.delete(paths.into_iter().filter(|path| predicate(path))).await?;
        let partials = self.list_partials(prefix).await?.into_iter().map(|partial| partial.path);
        let partials = partials.filter(|partial| predicate(partial::object_path(partial))).collect();
        Ok(deleted + self.delete_partials(partials).await?)
    }

    /// Returns the partial objects below a folder of a local store. A partial object is a file that a process is
    /// writing, or was writing when the process was killed. Its path is the path of the object with `#` and a number. A
    /// bucket has no partial objects, because it shows an object only after the end of the write.
    ///
    /// # Errors
    /// When the folder can't be read.
    pub async fn list_partials(&self, prefix: &str) -> Result<Vec<ObjectInfo>, FileStoreError> {
        match &self.folder {
            Some(folder) => partial::list(folder, prefix).await,
            None => Ok(Vec::new()),
        }
    }

    /// Deletes these partial objects and returns their number. A missing partial object counts as deleted. For a
    /// bucket, deletes nothing and returns 0.
    ///
    /// # Errors
    /// When a file can't be deleted, or a path is not that of a partial object.
    pub async fn delete_partials(&self, partials: Vec<String>) -> Result<usize, FileStoreError> {
        match &self.folder {
            Some(folder) if !partials.is_empty() => partial::delete(folder, partials).await,
            _ => Ok(0),
        }
    }
}

fn http_get() -> reqwest::Method {
    reqwest::Method::GET
}
