//! The errors of the file store.

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
    /// The stream from which the store reads the bytes of a new object failed.
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
