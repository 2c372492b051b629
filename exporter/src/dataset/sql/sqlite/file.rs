//! Opens a SQLite file, which another program may replace while the exporter runs.

use std::{
    fs::Metadata,
    path::{Path, PathBuf},
    time::Duration,
};

use sea_orm::DatabaseConnection;
use tokio::sync::Mutex;

use super::super::super::DatasetError;

/// The maximum number of connections to one SQLite file.
const CONNECTIONS: u32 = 8;

/// A SQLite file that is opened for reading only. After another file was renamed over it, new queries read the new
/// file, and running queries continue to read the old file.
#[derive(Debug)]
pub struct SqliteFile {
    path: PathBuf,
    lock_timeout: Duration,
    opened: Mutex<Option<(Identity, DatabaseConnection)>>,
}

/// The device and the inode of a file. They show whether the path still names the file that the open connections read.
/// While these connections are open, no other file can get the inode. So if another file is renamed over the path, the
/// inode of the path changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    #[cfg(unix)]
    fn of(metadata: &Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        Self { device: metadata.dev(), inode: metadata.ino() }
    }

    #[cfg(not(unix))]
    fn of(_: &Metadata) -> Self {
        // on this system, an open file can't be replaced
        Self { device: 0, inode: 0 }
    }
}

impl SqliteFile {
    /// Returns the SQLite file at `path`, which is opened for the first query. If another program holds the lock of the
    /// file, a statement waits at most `lock_timeout` for the lock.
    #[must_use]
    pub fn new(path: &Path, lock_timeout: Duration) -> Self {
        Self { path: path.to_owned(), lock_timeout, opened: Mutex::new(None) }
    }

    /// Returns a pool of connections to the file at the path. Opens a new pool if the file has been replaced since the
    /// last call.
    ///
    /// # Errors
    /// When there is no file at the path, or the file can't be opened.
    pub async fn connection(&self) -> Result<DatabaseConnection, DatasetError> {
        let mut opened = self.opened.lock().await;
        let current = Identity::of(&tokio::fs::metadata(&self.path).await?);
        if let Some((identity, db)) = &*opened
            && *identity == current
        {
            return Ok(db.clone());
        }
        let db = platform::db::connect_read_only(&self.path, CONNECTIONS, self.lock_timeout).await?;
        // queries that still run keep the connections to the old file until they end
        *opened = Some((current, db.clone()));
        Ok(db)
    }
}
