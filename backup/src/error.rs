//! The error type of backups, verifications and restores.

use std::io;

use entity::StoreError;
use platform::{bus::BusError, store::FileStoreError};
use sea_orm::DbErr;

/// The reason why a backup, a verification or a restore failed.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// A setting in `[backup]` is invalid.
    #[error("settings: backup.{name} {detail}")]
    Setting {
        /// The name of the setting within `[backup]`.
        name: String,
        /// The reason why the value is invalid.
        detail: String,
    },
    /// The destination or the file store of the installation failed.
    #[error(transparent)]
    Files(#[from] FileStoreError),
    /// The database failed, or holds an invalid row.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The NATS connection failed.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// JetStream refused a request.
    #[error("JetStream: can't {action} {stream}: {detail}")]
    JetStream {
        /// The operation that failed, as a verb phrase.
        action: &'static str,
        /// The name of the stream.
        stream: &'static str,
        /// The error of the JetStream client.
        detail: String,
    },
    /// A local file can't be read or written.
    #[error("{name}: {source}")]
    Local {
        /// The path or the purpose of the file.
        name: String,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The copy of a SQLite database does not fit into the system's folder for temporary files.
    #[error("{folder} has no room for a copy of the database: set TMPDIR to a folder with more free space")]
    TemporaryFolderFull {
        /// The path of the folder.
        folder: String,
    },
    /// The program `pg_dump` or `pg_restore` failed.
    #[error("{program}: {detail}")]
    Tool {
        /// The name of the program, such as `pg_dump`.
        program: String,
        /// The standard error output of the program.
        detail: String,
    },
    /// An operation exceeded its time limit. The value names the operation.
    #[error("{0} timed out")]
    Timeout(&'static str),
    /// The destination has no backup with this id.
    #[error("backup not found: {0}")]
    NotFound(String),
    /// The bytes of a part or pool object are missing, or differ from their recorded digest or format.
    #[error("the backup is damaged: {object}: {detail}")]
    Damaged {
        /// The path of the object at the destination.
        object: String,
        /// The reason why the object counts as damaged.
        detail: String,
    },
    /// The backup is encrypted, and the key or the passphrase that decrypts the backup is missing or wrong.
    #[error("the backup is encrypted: {0}")]
    Locked(String),
    /// A newer version of Sluice created the backup.
    #[error("the backup was made by a newer Sluice ({0}): restore it with that version")]
    Newer(String),
    /// The target of a restore already holds data.
    #[error("the target isn't empty: {0}; a restore writes into an empty installation only")]
    NotEmpty(String),
    /// An earlier restore into this target was interrupted, and the operator did not request a restart.
    #[error("a restore of {0} into this target was interrupted: start it again with --force")]
    Interrupted(String),
    /// The marker of an interrupted restore names another database or other streams than the settings.
    #[error(
        "a restore of {id} was started on {marked}, but the settings name {configured}: use the earlier settings, or \
         empty the target and delete the object restore/begun of its file store"
    )]
    OtherTarget {
        /// The id of the backup.
        id: String,
        /// The database and the streams that the marker names.
        marked: String,
        /// The database and the streams that the settings name.
        configured: String,
    },
    /// The restored data differs from the backup.
    #[error("restored, but the data differs from the backup: {0}")]
    Mismatch(String),
    /// A background task panicked, which is a bug in Sluice. The value names the task.
    #[error("{0} panicked")]
    Panicked(&'static str),
}

impl BackupError {
    pub(crate) fn setting(name: &str, detail: &str) -> Self {
        Self::Setting { name: name.to_owned(), detail: detail.to_owned() }
    }

    pub(crate) fn local(name: impl std::fmt::Display) -> impl FnOnce(io::Error) -> Self {
        let name = name.to_string();
        move |source| Self::Local { name, source }
    }

    pub(crate) fn damaged(object: &str, detail: impl std::fmt::Display) -> Self {
        Self::Damaged { object: object.to_owned(), detail: detail.to_string() }
    }

    /// Returns a function for `map_err` that converts an error of async-nats. The function is generic, because
    /// async-nats has a different error type for each call.
    pub(crate) fn jetstream<E: std::fmt::Display>(
        action: &'static str,
        stream: &'static str,
    ) -> impl FnOnce(E) -> Self {
        move |e| Self::JetStream { action, stream, detail: e.to_string() }
    }
}

impl From<DbErr> for BackupError {
    fn from(e: DbErr) -> Self {
        Self::Store(e.into())
    }
}
