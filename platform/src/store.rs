//! The file store: a folder, or a bucket in S3.

use std::{collections::BTreeMap, ops::Range, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::{Stream, StreamExt, TryStreamExt, stream::BoxStream};
use object_store::{
    GetOptions, GetRange, ObjectStore, ObjectStoreExt, PutPayload, WriteMultipart, aws::AmazonS3Builder,
    chunked::ChunkedStore, local::LocalFileSystem, path::Path, prefix::PrefixStore, signer::Signer,
};
use url::Url;

use crate::{config::StoreConfig, metrics::Metered};

/// A folder is read in pieces of this size; left alone, each piece would be 8 KiB and a trip to another thread.
const FOLDER_CHUNK_BYTES: usize = 256 * 1024;
/// Large objects are written in parts of this size. S3 takes 10,000 parts, so that an object may have 156 GiB.
const PART_BYTES: usize = 16 * 1024 * 1024;
/// Parts on their way at once, beside the one that is being filled.
const PARTS_IN_FLIGHT: usize = 2;

/// What can go wrong with files.
#[derive(Debug, thiserror::Error)]
pub enum FileStoreError {
    /// The settings name no usable store.
    #[error("store.url: {0}")]
    Config(String),
    /// The store refused or is away.
    #[error("file store: {0}")]
    Store(#[source] object_store::Error),
    /// Nobody makes the bucket but who owns the storage.
    #[error("file store: the bucket does not exist: make it, or name another in the URL: {0}")]
    NoBucket(#[source] object_store::Error),
    /// What is to be written can't be had.
    #[error("{0}")]
    Source(#[source] std::io::Error),
}

impl From<object_store::Error> for FileStoreError {
    fn from(error: object_store::Error) -> Self {
        // the client has no word of its own for it; what is asked for by name may as well be the object that is missing
        let missing =
            matches!(error, object_store::Error::Generic { .. }) && error.to_string().contains("NoSuchBucket");
        if missing { Self::NoBucket(error) } else { Self::Store(error) }
    }
}

impl FileStoreError {
    /// Whether the object does not exist, as opposed to a store that stumbles.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Store(object_store::Error::NotFound { .. }))
    }
}

/// An object being read.
pub struct Reading {
    /// Bytes of the whole object.
    pub size: u64,
    /// The bytes that will come.
    pub range: Range<u64>,
    /// The bytes.
    pub stream: BoxStream<'static, Result<Bytes, object_store::Error>>,
}

/// An object that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its path.
    pub path: String,
    /// Its bytes.
    pub size: u64,
}

/// An object as a list shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Where it is.
    pub path: String,
    /// When it was written last.
    pub modified: DateTime<Utc>,
}

/// A file store. Clones share it.
#[derive(Clone, Debug)]
pub struct FileStore {
    objects: Arc<dyn ObjectStore>,
    /// Only S3 can presign; the prefix is part of what it signs.
    signer: Option<(Arc<dyn Signer>, Path)>,
    /// Where the objects are, if that is a folder.
    folder: Option<PathBuf>,
}

impl FileStore {
    /// Opens the store that the settings name; a folder is made when it doesn't exist.
    ///
    /// # Errors
    /// When the URL is none of ours, or the folder can't be made.
    pub fn open(config: &StoreConfig) -> Result<Self, FileStoreError> {
        if let Some(folder) = config.url.strip_prefix("file://") {
            let folder = PathBuf::from(folder);
            std::fs::create_dir_all(&folder)
                .map_err(|e| FileStoreError::Config(format!("can't make {}: {e}", folder.display())))?;
            // A folder whose last object is deleted goes too, as it does in a bucket. And what is recorded as written
            // must outlive a power cut: for a segment of 8 MiB that takes some 5 to 10 ms more.
            let files = LocalFileSystem::new_with_prefix(&folder)?.with_automatic_cleanup(true).with_fsync(true);
            let objects = Arc::new(ChunkedStore::new(Arc::new(files), FOLDER_CHUNK_BYTES));
            return Ok(Self { objects: Arc::new(Metered(objects)), signer: None, folder: Some(folder) });
        }
        let url = Url::parse(&config.url).map_err(|e| FileStoreError::Config(e.to_string()))?;
        let ("s3", Some(bucket)) = (url.scheme(), url.host_str()) else {
            return Err(FileStoreError::Config(format!("expected file:///… or s3://…, got {}", config.url)));
        };
        let mut builder = AmazonS3Builder::from_env()
            .with_bucket_name(bucket)
            .with_region(&config.s3_region)
            .with_allow_http(config.s3_allow_http);
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
        Ok(Self { objects: Arc::new(Metered(objects)), signer: Some((s3, prefix)), folder: None })
    }

    /// The disk under a folder: its bytes, and those that are free. None for a bucket, and where the system does not tell.
    pub async fn disk(&self) -> Option<(u64, u64)> {
        let folder = self.folder.clone()?;
        // a disk in the network may hang
        let asked = tokio::task::spawn_blocking(move || nix::sys::statvfs::statvfs(&folder)).await;
        let disk = asked.ok()?.ok()?;
        let bytes = |blocks: u64| blocks.saturating_mul(disk.fragment_size());
        Some((bytes(disk.blocks()), bytes(disk.blocks_available())))
    }

    /// Whether [`FileStore::presign`] works.
    #[must_use]
    pub fn can_presign(&self) -> bool {
        self.signer.is_some()
    }

    /// Writes a whole object: it is there entirely or not at all.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn put(&self, path: &str, bytes: impl Into<PutPayload>) -> Result<(), FileStoreError> {
        self.objects.put(&Path::from(path), bytes.into()).await?;
        Ok(())
    }

    /// Writes an object of any size as its bytes come: it is there entirely or not at all. Gives its bytes.
    ///
    /// # Errors
    /// When the store or the source fails; nothing is left then, as far as the store can still be told.
    pub async fn write(
        &self,
        path: &str,
        bytes: impl Stream<Item = std::io::Result<Bytes>> + Send,
    ) -> Result<u64, FileStoreError> {
        let mut bytes = std::pin::pin!(bytes);
        let (mut first, mut held) = (Vec::new(), 0);
        while held < PART_BYTES {
            let Some(chunk) = bytes.try_next().await.map_err(FileStoreError::Source)? else {
                self.objects.put(&Path::from(path), PutPayload::from_iter(first)).await?;
                return Ok(held as u64);
            };
            held += chunk.len();
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

    /// Reads a whole, small object.
    ///
    /// # Errors
    /// When there is none or the store fails.
    pub async fn get(&self, path: &str) -> Result<Bytes, FileStoreError> {
        Ok(self.objects.get(&Path::from(path)).await?.bytes().await?)
    }

    /// Reads an object as a stream, whole or from one byte to before another.
    ///
    /// # Errors
    /// When there is none, the range lies outside of it, or the store fails.
    pub async fn read(&self, path: &str, range: Option<Range<u64>>) -> Result<Reading, FileStoreError> {
        let options = GetOptions { range: range.map(GetRange::Bounded), ..GetOptions::default() };
        let result = self.objects.get_opts(&Path::from(path), options).await?;
        let (size, range) = (result.meta.size, result.range.clone());
        Ok(Reading { size, range, stream: result.into_stream() })
    }

    /// The bytes of an object; None when there is none.
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

    /// A URL that anybody can GET until it runs out. Only S3 has such; None for a folder.
    ///
    /// # Errors
    /// When credentials can't be had.
    pub async fn presign(&self, path: &str, valid: Duration) -> Result<Option<Url>, FileStoreError> {
        let Some((signer, prefix)) = &self.signer else { return Ok(None) };
        let full: Path = prefix.parts().chain(Path::from(path).parts()).collect();
        Ok(Some(signer.signed_url(http_get(), &full, valid).await?))
    }

    /// The paths of all objects below a folder.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn list(&self, prefix: &str) -> Result<Vec<String>, FileStoreError> {
        let objects = self.objects.list(Some(&Path::from(prefix)));
        Ok(objects.map_ok(|meta| meta.location.to_string()).try_collect().await?)
    }

    /// All objects below a folder as they are found, however many. A bucket gives them in order, a folder does not.
    pub fn listed(&self, prefix: &str) -> BoxStream<'static, Result<Listed, FileStoreError>> {
        let objects = self.objects.list(Some(&Path::from(prefix)));
        objects.map_ok(|meta| Listed { path: meta.location.to_string(), size: meta.size }).err_into().boxed()
    }

    /// The first objects below a folder, in the order of their paths, after this path: at most `limit` of them. A folder
    /// of this machine is read whole for that, but only so many are held.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn list_after(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Object>, FileStoreError> {
        let prefix = Path::from(prefix);
        let mut objects = match after {
            Some(after) => self.objects.list_with_offset(Some(&prefix), &Path::from(after)),
            None => self.objects.list(Some(&prefix)),
        };
        // S3 has an order, a folder has none
        let ordered = self.can_presign();
        let mut first = BTreeMap::new();
        while let Some(meta) = objects.try_next().await? {
            first.insert(meta.location.to_string(), meta.last_modified);
            if first.len() > limit {
                first.pop_last();
                if ordered {
                    break;
                }
            }
        }
        Ok(first.into_iter().map(|(path, modified)| Object { path, modified }).collect())
    }

    /// Deletes these objects; those already gone are fine. How many they were.
    ///
    /// # Errors
    /// When the store fails; some may be gone then, and calling again goes on.
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

    /// Deletes all objects below a folder for which `doomed` holds; those already gone are fine.
    ///
    /// # Errors
    /// When the store fails; some may be gone then, and calling again goes on.
    pub async fn delete_where(&self, prefix: &str, doomed: impl Fn(&str) -> bool) -> Result<usize, FileStoreError> {
        let paths = self.list(prefix).await?;
        self.delete(paths.into_iter().filter(|path| doomed(path))).await
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
    async fn objects_are_read_whole_or_in_part_and_deleted_by_folder() {
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
        assert!(!dir.path().join("files/a/1").exists(), "an empty folder stays");
        assert_eq!(store.presign("a/2/x", Duration::from_secs(1)).await.unwrap(), None);
    }

    /// Some megabytes that differ, in pieces that divide no part evenly.
    fn pieces(count: u8) -> Vec<Bytes> {
        (0..count).map(|n| Bytes::from(vec![n; 1_000_003])).collect()
    }

    #[tokio::test]
    async fn objects_of_any_size_are_written_as_they_come_or_not_at_all() {
        let (_dir, store) = folder();
        for (path, count) in [("empty", 0), ("small", 1), ("large", 40)] {
            let bytes = pieces(count);
            let written = store.write(path, futures::stream::iter(bytes.clone().into_iter().map(Ok))).await.unwrap();
            assert_eq!(written, u64::from(count) * 1_000_003);
            assert_eq!(store.size(path).await.unwrap(), Some(written));
            assert!(store.get(path).await.unwrap() == bytes.concat(), "{path} is another");
        }
        for count in [1, 40] {
            let cut = pieces(count).into_iter().map(Ok).chain([Err(std::io::Error::other("cut"))]);
            assert!(matches!(store.write("cut", futures::stream::iter(cut)).await, Err(FileStoreError::Source(_))));
            assert_eq!(store.size("cut").await.unwrap(), None);
        }
        let mut all: Vec<Listed> = store.listed("").try_collect().await.unwrap();
        all.sort_by(|a, b| a.path.cmp(&b.path));
        let sizes: Vec<_> = all.iter().map(|object| (object.path.as_str(), object.size)).collect();
        assert_eq!(sizes, [("empty", 0), ("large", 40_000_120), ("small", 1_000_003)]);
        assert_eq!(store.delete(["small".into()]).await.unwrap(), 1);
        assert_eq!(store.size("small").await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_long_list_comes_in_steps_and_in_order() {
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
        assert_eq!(store.delete(["a/1/x".to_owned(), "a/gone".to_owned()]).await.unwrap(), 2);
        assert!(store.get("a/1/x").await.unwrap_err().is_not_found());
    }

    #[test]
    fn other_urls_are_refused() {
        for url in ["ftp://x", "files", "s3://"] {
            assert!(FileStore::open(&StoreConfig { url: url.into(), ..StoreConfig::default() }).is_err(), "{url}");
        }
    }
}
