//! A file store in a temporary folder for one test.

use std::path::Path;

use platform::{config::StoreConfig, store::FileStore};
use tempfile::TempDir;

/// A file store in a temporary folder. Dropping the value deletes the folder.
pub struct Folder {
    dir: TempDir,
}

/// Creates an empty file store in a temporary folder.
///
/// # Panics
/// When the folder for temporary files is not writable.
#[must_use]
pub fn folder() -> Folder {
    Folder { dir: tempfile::tempdir().expect("the folder for temporary files is writable") }
}

impl Folder {
    /// The path of the folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The settings of the file store.
    #[must_use]
    pub fn config(&self) -> StoreConfig {
        StoreConfig { url: format!("file://{}", self.path().display()), ..StoreConfig::default() }
    }

    /// Opens the file store.
    ///
    /// # Panics
    /// When the store can't be opened.
    #[must_use]
    pub fn store(&self) -> FileStore {
        FileStore::open(&self.config()).expect("a new folder can be opened")
    }
}
