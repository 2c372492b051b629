//! A file store for one test.

use std::path::Path;

use platform::{config::StoreConfig, store::FileStore};
use tempfile::TempDir;

/// A folder as file store. Dropping the value deletes the folder.
pub struct Folder {
    dir: TempDir,
}

/// Creates a new, empty folder.
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

    /// The settings to open the store.
    #[must_use]
    pub fn config(&self) -> StoreConfig {
        StoreConfig { url: format!("file://{}", self.path().display()), ..StoreConfig::default() }
    }

    /// Opens the store.
    ///
    /// # Panics
    /// When the store can't be opened.
    #[must_use]
    pub fn store(&self) -> FileStore {
        FileStore::open(&self.config()).expect("a new folder can be opened")
    }
}
