//! The file store: a local folder or an S3 bucket.

mod partial;

use std::{collections::BTreeMap, ops::Range, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::{Stream, StreamExt, TryStreamExt, stream::BoxStream};
use object_store::{
    GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt, PutPayload, WriteMultipart, aws::AmazonS3Builder,
    chunked::ChunkedStore, local::LocalFileSystem, path::Path, prefix::PrefixStore, signer::Signer,
};
use url::Url;

use crate::{config::StoreConfig, metrics::MeteredStore};

/// The chunk size for reading files of a local folder, in bytes. Each chunk costs a thread switch, so the library's
/// default of 8 KiB is slow.
const FOLDER_CHUNK_BYTES: usize = 256 * 1024;
/// The size of one part of a multipart upload, in bytes. S3 accepts 10,000 parts, so an object has at most 156 GiB.
const PART_BYTES: usize = 16 * 1024 * 1024;
/// The maximum number of concurrent part uploads of one object, besides the part that is being filled.
const PARTS_IN_FLIGHT: usize = 2;

/// The path of the object that [`FileStore::ping`] requests. No service writes it.
const PROBED_OBJECT: &str = "exports/.ready";

/// An error of the file store.
#[derive(Debug, thiserror::Error)]
pub enum FileStoreError {
    /// The setting `store.url` is not a usable folder or bucket.
    #[error("store.url: {0}")]
    Config(String),
    /// The folder of the setting `store.url` can't be created, for example because its disk is not mounted or full.
    #[error("store.url: can't create {folder}: {source}")]
    Folder {
        /// The path of the folder.
        folder: String,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// The store refused the operation or is unavailable.
    #[error("file store: {0}")]
    Store(#[source] object_store::Error),
    /// The bucket does not exist. Sluice never creates a bucket.
    #[error("file store: the bucket does not exist: create it, or name another in the URL: {0}")]
    NoBucket(#[source] object_store::Error),
    /// The caller's stream of bytes to write failed.
    #[error("{0}")]
    Source(#[source] std::io::Error),
    /// The files of unfinished writes can't be listed or deleted.
    #[error("file store: partial objects: {0}")]
    Partial(#[source] std::io::Error),
}

impl From<object_store::Error> for FileStoreError {
    fn from(error: object_store::Error) -> Self {
        // the client has no error kind for a missing bucket; `NotFound` also means a missing object
        let missing =
            matches!(error, object_store::Error::Generic { .. }) && error.to_string().contains("NoSuchBucket");
        if missing { Self::NoBucket(error) } else { Self::Store(error) }
    }
}

impl FileStoreError {
    /// Whether the error means that the object does not exist.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Store(object_store::Error::NotFound { .. }))
    }
}

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
    /// Opens the configured store. Creates a missing folder, but no bucket.
    ///
    /// # Errors
    /// When the URL is not a `file://` or `s3://` URL, the folder can't be created, or the client of the bucket can't
    /// be configured.
    pub fn open(config: &StoreConfig) -> Result<Self, FileStoreError> {
        if let Some(folder) = config.url.strip_prefix("file://") {
            let folder = PathBuf::from(folder);
            std::fs::create_dir_all(&folder)
                .map_err(|source| FileStoreError::Folder { folder: folder.display().to_string(), source })?;
            // Cleanup deletes empty folders, because a bucket has no folders. Fsync makes a stored segment survive a
            // power failure; it takes 5 to 10 ms for a segment of 8 MiB.
            let files = LocalFileSystem::new_with_prefix(&folder)?.with_automatic_cleanup(true).with_fsync(true);
            let objects = Arc::new(ChunkedStore::new(Arc::new(files), FOLDER_CHUNK_BYTES));
            return Ok(Self { objects: Arc::new(MeteredStore(objects)), signer: None, folder: Some(folder) });
        }
        let url = Url::parse(&config.url).map_err(|e| FileStoreError::Config(e.to_string()))?;
        let ("s3", Some(bucket)) = (url.scheme(), url.host_str()) else {
            return Err(FileStoreError::Config(format!("expected file:///… or s3://…, got {}", config.url)));
        };
        let mut builder = AmazonS3Builder::from_env()
            .with_bucket_name(bucket)
            .with_region(&config.s3_region)
            .with_allow_http(config.uses_plain_http());
        if !config.s3_endpoint.is_empty() {
            builder = builder.with_endpoint(&config.s3_endpoint);
        }
        if !config.s3_access_key_id.is_empty() {
            builder = builder
                .with_access_key_id(&config.s3_access_key_id)
                .with_secret_access_key(config.s3_secret_access_key.expose());
        }
        let s3 = Arc::new(builder.build()?);
        let prefix = Path::from_url_path(url.path()).map_err(|e| FileStoreError::Config(e.to_string()))?;
        let objects: Arc<dyn ObjectStore> = if prefix.as_ref().is_empty() {
            s3.clone()
        } else {
            Arc::new(PrefixStore::new(s3.clone(), prefix.clone()))
        };
        Ok(Self { objects: Arc::new(MeteredStore(objects)), signer: Some((s3, prefix)), folder: None })
    }

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

    /// Writes a whole object atomically.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn put(&self, path: &str, bytes: impl Into<PutPayload>) -> Result<(), FileStoreError> {
        self.objects.put(&Path::from(path), bytes.into()).await?;
        Ok(())
    }

    /// Writes an object of any size from a stream, atomically. Returns the size in bytes.
    ///
    /// # Errors
    /// When the store or the stream `bytes` fails. The method then aborts the upload, but a failing store may keep
    /// uploaded parts.
    pub async fn write(
        &self,
        path: &str,
        bytes: impl Stream<Item = std::io::Result<Bytes>> + Send,
    ) -> Result<u64, FileStoreError> {
        let mut bytes = std::pin::pin!(bytes);
        let (mut first, mut buffered) = (Vec::new(), 0);
        while buffered < PART_BYTES {
            let Some(chunk) = bytes.try_next().await.map_err(FileStoreError::Source)? else {
                self.objects.put(&Path::from(path), PutPayload::from_iter(first)).await?;
                return Ok(buffered as u64);
            };
            buffered += chunk.len();
            first.push(chunk);
        }
        let upload = self.objects.put_multipart(&Path::from(path)).await?;
        let mut upload = WriteMultipart::new_with_chunk_size(upload, PART_BYTES);
        let mut size = 0;
        let mut all = futures::stream::iter(first).map(Ok).chain(bytes);
        loop {
            let chunk = match all.next().await {
                Some(Ok(chunk)) => chunk,
                None => break,
                Some(Err(e)) => {
                    upload.abort().await?;
                    return Err(FileStoreError::Source(e));
                }
            };
            size += chunk.len() as u64;
            if let Err(e) = upload.wait_for_capacity(PARTS_IN_FLIGHT).await {
                upload.abort().await?;
                return Err(e.into());
            }
            upload.put(chunk);
        }
        upload.finish().await?;
        Ok(size)
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

    /// Deletes all objects below a folder whose path satisfies `predicate`, and the partial objects that interrupted
    /// writes of such objects left. Returns the number of deleted objects. A missing object counts as deleted. A
    /// running write of such an object fails.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> (tempfile::TempDir, FileStore) {
        let dir = tempfile::tempdir().unwrap();
        let url = format!("file://{}", dir.path().join("files").display());
        let store = FileStore::open(&StoreConfig { url, ..StoreConfig::default() }).unwrap();
        (dir, store)
    }

    #[tokio::test]
    async fn an_object_is_read_whole_or_in_part_and_deleted_by_folder() {
        let (dir, store) = folder();
        store.put("a/1/x", Bytes::from_static(b"hello")).await.unwrap();
        store.put("a/2/x", Bytes::from_static(b"other")).await.unwrap();
        let part = store.read("a/1/x", Some(1..3)).await.unwrap();
        assert_eq!(part.size, 5);
        let bytes: Vec<Bytes> = part.stream.try_collect().await.unwrap();
        assert_eq!(bytes.concat(), b"el");
        assert_eq!(store.delete_where("a", |p| !p.starts_with("a/2/")).await.unwrap(), 1);
        assert!(store.get("a/1/x").await.unwrap_err().is_not_found());
        assert_eq!(store.list("a").await.unwrap(), ["a/2/x"]);
        assert!(!dir.path().join("files/a/1").exists(), "an empty folder is deleted");
        assert_eq!(store.presign("a/2/x", Duration::from_secs(1)).await.unwrap(), None);
    }

    /// Chunks of different bytes. Their size does not divide the size of an upload part.
    fn chunks(count: u8) -> Vec<Bytes> {
        (0..count).map(|n| Bytes::from(vec![n; 1_000_003])).collect()
    }

    #[tokio::test]
    async fn an_object_of_any_size_is_written_whole_or_not_at_all() {
        let (_dir, store) = folder();
        for (path, count) in [("empty", 0), ("small", 1), ("large", 40)] {
            let bytes = chunks(count);
            let written = store.write(path, futures::stream::iter(bytes.clone().into_iter().map(Ok))).await.unwrap();
            assert_eq!(written, u64::from(count) * 1_000_003);
            assert_eq!(store.size(path).await.unwrap(), Some(written));
            assert!(store.get(path).await.unwrap() == bytes.concat(), "{path} has other bytes");
        }
        for count in [1, 40] {
            let failing = chunks(count).into_iter().map(Ok).chain([Err(std::io::Error::other("failed"))]);
            assert!(matches!(
                store.write("failed", futures::stream::iter(failing)).await,
                Err(FileStoreError::Source(_))
            ));
            assert_eq!(store.size("failed").await.unwrap(), None);
        }
        let mut all: Vec<ObjectInfo> = store.list_stream("").try_collect().await.unwrap();
        all.sort_by(|a, b| a.path.cmp(&b.path));
        let sizes: Vec<_> = all.iter().map(|object| (object.path.as_str(), object.size)).collect();
        assert_eq!(sizes, [("empty", 0), ("large", 40_000_120), ("small", 1_000_003)]);
        assert_eq!(store.delete(["small".into()]).await.unwrap(), 1);
        assert_eq!(store.size("small").await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_long_list_is_read_in_steps_and_in_order() {
        let (_dir, store) = folder();
        for path in ["a/2/x", "a/1/y", "a/10/x", "a/1/x", "b/1/x"] {
            store.put(path, Bytes::from_static(b"hello")).await.unwrap();
        }
        let (mut paths, mut after) = (Vec::new(), None::<String>);
        loop {
            let step = store.list_after("a", after.as_deref(), 3).await.unwrap();
            assert!(step.len() <= 3 && paths.len() <= 4);
            let Some(last) = step.last() else { break };
            after = Some(last.path.clone());
            paths.extend(step.into_iter().map(|object| object.path));
        }
        assert_eq!(paths, ["a/1/x", "a/1/y", "a/10/x", "a/2/x"]);
        assert_eq!(store.delete(["a/1/x".to_owned(), "a/missing".to_owned()]).await.unwrap(), 2);
        assert!(store.get("a/1/x").await.unwrap_err().is_not_found());
    }

    #[tokio::test]
    async fn what_an_interrupted_write_left_is_listed_and_deleted_with_its_objects() {
        let (dir, store) = folder();
        for path in ["a/1/x", "a/2/x", "b/1/x"] {
            store.put(path, Bytes::from_static(b"hello")).await.unwrap();
        }
        let file = |path: &str| dir.path().join("files").join(path);
        for path in ["a/1/x#1", "a/1/y#12", "a/2/x#1", "b/1/x#1"] {
            std::fs::write(file(path), "hel").unwrap();
        }
        std::fs::create_dir_all(file("a/3")).unwrap();
        std::fs::write(file("a/3/z#1"), "").unwrap();
        let partials = async |prefix: &str| {
            let mut paths: Vec<_> = store.list_partials(prefix).await.unwrap().into_iter().map(|o| o.path).collect();
            paths.sort();
            paths
        };
        assert_eq!(partials("a").await, ["a/1/x#1", "a/1/y#12", "a/2/x#1", "a/3/z#1"]);
        assert_eq!(partials("c").await, [""; 0]);
        assert_eq!(store.delete_where("a", |path| !path.starts_with("a/2/")).await.unwrap(), 4);
        assert_eq!(partials("").await, ["a/2/x#1", "b/1/x#1"]);
        assert!(!file("a/1").exists() && !file("a/3").exists(), "empty folders are deleted");
        assert_eq!(store.list("a").await.unwrap(), ["a/2/x"]);
        assert_eq!(store.delete_partials(vec!["b/1/x#1".into(), "b/1/missing#1".into()]).await.unwrap(), 2);
        assert!(store.delete_partials(vec!["b/1/x".into()]).await.is_err(), "an object is no partial object");
        assert_eq!(store.list("b").await.unwrap(), ["b/1/x"]);
    }

    #[test]
    fn urls_other_than_file_and_s3_are_refused() {
        for url in ["ftp://x", "files", "s3://"] {
            assert!(FileStore::open(&StoreConfig { url: url.into(), ..StoreConfig::default() }).is_err(), "{url}");
        }
    }
}
