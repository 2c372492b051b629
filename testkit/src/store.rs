//! A file store of this test's own.

use std::path::Path;

use platform::{config::StoreConfig, store::FileStore};
use tempfile::TempDir;

/// A folder as file store; deleted with this value.
pub struct Folder {
    dir: TempDir,
}

/// A new, empty one.
///
/// # Panics
/// When the folder for temporary files isn't writable.
#[must_use]
pub fn folder() -> Folder {
    Folder { dir: tempfile::tempdir().expect("the folder for temporary files is writable") }
}

impl Folder {
    /// Where the files are.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// How to open it.
    #[must_use]
    pub fn config(&self) -> StoreConfig {
        StoreConfig { url: format!("file://{}", self.path().display()), ..StoreConfig::default() }
    }

    /// The store itself.
    ///
    /// # Panics
    /// When it can't be opened.
    #[must_use]
    pub fn store(&self) -> FileStore {
        FileStore::open(&self.config()).expect("a new folder can be opened")
    }
}
