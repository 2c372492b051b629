//! The data folder, which contains all files of one installation.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError},
    io::{ErrorKind, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use super::error::UpError;

/// The name of the file that a running `sluice up` locks.
const LOCK: &str = "sluice.lock";
/// The name of the SQLite database file. SQLite creates further files beside this file, with the same permissions.
const DATABASE: &str = "sluice.db";
/// The name of the folder of dataset files. The user may create this folder before the first start.
const DATASETS: &str = "datasets";

/// A data folder that this process has locked. Dropping this value releases the lock.
#[derive(Debug)]
pub(super) struct DataDir {
    path: PathBuf,
    /// The path as the user typed it, for the commands that `sluice up` prints.
    named: PathBuf,
    _lock: File,
}

impl DataDir {
    /// Creates the data folder if it does not exist, and locks the folder for this process.
    pub(super) fn claim(named: &Path) -> Result<Self, UpError> {
        DirBuilder::new().recursive(true).mode(0o700).create(named).map_err(UpError::file(named))?;
        let path = fs::canonicalize(named).map_err(UpError::file(named))?;
        if !is_ours(&path)? {
            return Err(UpError::Foreign(named.to_path_buf()));
        }
        let file = path.join(LOCK);
        let mut options = OpenOptions::new();
        let lock = options.create(true).truncate(false).write(true).mode(0o600).open(&file);
        let lock = lock.map_err(UpError::file(&file))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(UpError::Locked(named.to_path_buf())),
            Err(TryLockError::Error(source)) => return Err(UpError::File { path: file, source }),
        }
        // the folder holds secrets and the data of all users
        fs::set_permissions(&path, Permissions::from_mode(0o700)).map_err(UpError::file(&path))?;
        let dir = Self { path, named: named.to_path_buf(), _lock: lock };
        dir.restrict_database()?;
        for folder in [dir.datasets(), dir.files(), dir.nats(), dir.secrets()] {
            DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(UpError::file(&folder))?;
        }
        Ok(dir)
    }

    /// Removes the permissions of other users from the database files of an earlier version.
    fn restrict_database(&self) -> Result<(), UpError> {
        for suffix in ["", "-wal", "-shm"] {
            let file = self.path.join(format!("{DATABASE}{suffix}"));
            match fs::set_permissions(&file, Permissions::from_mode(0o600)) {
                Err(e) if e.kind() != ErrorKind::NotFound => return Err(UpError::file(&file)(e)),
                _ => {}
            }
        }
        Ok(())
    }

    /// Returns the absolute path of the data folder, without symbolic links.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the path of the data folder as the user typed it.
    pub(super) fn named(&self) -> &Path {
        &self.named
    }

    pub(super) fn datasets(&self) -> PathBuf {
        self.path.join(DATASETS)
    }

    pub(super) fn files(&self) -> PathBuf {
        self.path.join("files")
    }

    pub(super) fn database(&self) -> PathBuf {
        self.path.join(DATABASE)
    }

    pub(super) fn secrets(&self) -> PathBuf {
        self.path.join("secrets")
    }

    /// Returns the path of the page that `--open` opens in the browser. The page redirects to the sign-in link.
    pub(super) fn sign_in_page(&self) -> PathBuf {
        self.path.join("sign-in.html")
    }

    /// Returns the path of the catalog file that `sluice up SOURCE` writes.
    pub(super) fn catalog(&self) -> PathBuf {
        self.path.join("catalog.toml")
    }

    fn nats(&self) -> PathBuf {
        self.path.join("nats")
    }

    pub(super) fn nats_store(&self) -> PathBuf {
        self.nats().join("jetstream")
    }

    pub(super) fn nats_config(&self) -> PathBuf {
        self.nats().join("nats-server.conf")
    }

    pub(super) fn nats_pid(&self) -> PathBuf {
        self.nats().join("nats-server.pid")
    }
}

/// Whether the folder is empty or belongs to Sluice. [`DataDir::claim`] refuses other folders, because it changes the
/// permissions of the folder.
fn is_ours(path: &Path) -> Result<bool, UpError> {
    let mut entries = fs::read_dir(path).map_err(UpError::file(path))?;
    Ok(entries.next().is_none() || path.join(LOCK).exists() || path.join(DATASETS).is_dir())
}

/// Writes a file that only its owner can read. Replaces an existing file atomically.
pub(super) fn write_private(path: &Path, text: &str) -> Result<(), UpError> {
    let part = path.with_added_extension("part");
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(&part)
        .map_err(UpError::file(&part))?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(UpError::file(&part))?;
    fs::rename(&part, path).map_err(UpError::file(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_folder_is_claimed_once_and_kept_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/data");
        let claimed = DataDir::claim(&path).unwrap();
        assert_eq!((mode(&path), mode(&claimed.secrets())), (0o700, 0o700));
        assert!(matches!(DataDir::claim(&path), Err(UpError::Locked(_))));
        drop(claimed);
        let database = path.join(format!("{DATABASE}-wal"));
        fs::write(&database, "").unwrap();
        fs::set_permissions(&database, Permissions::from_mode(0o644)).unwrap();
        DataDir::claim(&path).unwrap();
        assert_eq!(mode(&database), 0o600);
    }

    #[test]
    fn a_folder_with_datasets_is_claimed_and_one_with_foreign_files_is_not() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("thesis.tex"), "").unwrap();
        assert!(matches!(DataDir::claim(dir.path()), Err(UpError::Foreign(_))));
        fs::create_dir(dir.path().join(DATASETS)).unwrap();
        DataDir::claim(dir.path()).unwrap();
    }

    #[test]
    fn a_private_file_is_readable_by_its_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.toml");
        write_private(&path, "x").unwrap();
        write_private(&path, "y").unwrap();
        assert_eq!((mode(&path), fs::read_to_string(&path).unwrap()), (0o600, "y".into()));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
