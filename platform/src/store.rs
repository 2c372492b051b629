//! The file store: a folder, or a bucket in S3.

use std::{ops::Range, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use object_store::{
    GetOptions, GetRange, ObjectStore, ObjectStoreExt, PutPayload, aws::AmazonS3Builder, chunked::ChunkedStore,
    local::LocalFileSystem, path::Path, prefix::PrefixStore, signer::Signer,
};
use url::Url;

use crate::config::StoreConfig;

/// A folder is read in pieces of this size; left alone, each piece would be 8 KiB and a trip to another thread.
const FOLDER_CHUNK_BYTES: usize = 256 * 1024;

/// What can go wrong with files.
#[derive(Debug, thiserror::Error)]
pub enum FileStoreError {
    /// The settings name no usable store.
    #[error("store.url: {0}")]
    Config(String),
    /// The store refused or is away.
    #[error("file store: {0}")]
    Store(#[from] object_store::Error),
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

/// A file store. Clones share it.
#[derive(Clone, Debug)]
pub struct FileStore {
    objects: Arc<dyn ObjectStore>,
    /// Only S3 can presign; the prefix is part of what it signs.
    signer: Option<(Arc<dyn Signer>, Path)>,
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
            let folder = LocalFileSystem::new_with_prefix(folder)?.with_automatic_cleanup(true).with_fsync(true);
            let folder = Arc::new(folder);
            let objects = Arc::new(ChunkedStore::new(folder, FOLDER_CHUNK_BYTES));
            return Ok(Self { objects, signer: None });
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
        Ok(Self { objects, signer: Some((s3, prefix)) })
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

    /// Deletes all objects below a folder for which `doomed` holds; those already gone are fine.
    ///
    /// # Errors
    /// When the store fails; some may be gone then, and calling again goes on.
    pub async fn delete_where(&self, prefix: &str, doomed: impl Fn(&str) -> bool) -> Result<usize, FileStoreError> {
        let paths: Vec<_> =
            self.list(prefix).await?.into_iter().filter(|p| doomed(p)).map(|p| Ok(Path::from(p))).collect();
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

    #[test]
    fn other_urls_are_refused() {
        for url in ["ftp://x", "files", "s3://"] {
            assert!(FileStore::open(&StoreConfig { url: url.into(), ..StoreConfig::default() }).is_err(), "{url}");
        }
    }
}
