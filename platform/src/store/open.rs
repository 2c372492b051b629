//! Opens the file store that the settings name.

use std::{path::PathBuf, sync::Arc};

use object_store::{
    ObjectStore, aws::AmazonS3Builder, chunked::ChunkedStore, local::LocalFileSystem, path::Path, prefix::PrefixStore,
};
use url::Url;

use super::{FileStore, FileStoreError};
use crate::{config::StoreConfig, metrics::MeteredStore};

/// The chunk size for reading files of a local folder, in bytes. Each chunk costs a thread switch, so the library's
/// default of 8 KiB is slow.
const FOLDER_CHUNK_BYTES: usize = 256 * 1024;

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
}
