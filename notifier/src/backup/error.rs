//! What can go wrong in a backup or a restore.

use std::io;

use entity::StoreError;
use platform::{bus::BusError, store::FileStoreError};
use sea_orm::DbErr;

use crate::error::NotifierError;

/// Why there is no backup, or no restore.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// A setting can't work.
    #[error("settings: backup.{name} {detail}")]
    Setting {
        /// Which, within `[backup]`.
        name: String,
        /// What is wrong with it.
        detail: String,
    },
    /// The destination, or the platform's file store.
    #[error(transparent)]
    Files(#[from] FileStoreError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// NATS.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// JetStream refused something.
    #[error("JetStream: {doing} {stream}: {detail}")]
    JetStream {
        /// What was tried.
        doing: &'static str,
        /// With which stream.
        stream: &'static str,
        /// Why it failed.
        detail: String,
    },
    /// A file of this machine.
    #[error("{what}: {source}")]
    Local {
        /// Which.
        what: String,
        /// Why.
        source: io::Error,
    },
    /// `pg_dump` or `pg_restore`.
    #[error("{program}: {detail}")]
    Tool {
        /// Which.
        program: String,
        /// What it said.
        detail: String,
    },
    /// The lease is somebody else's.
    #[error("another backup is running; try again when it is done")]
    Busy,
    /// The lease was lost on the way.
    #[error("the backup was stopped: another process holds its lease now")]
    Fenced,
    /// It took too long.
    #[error("{0} took too long")]
    Timeout(&'static str),
    /// There is no such backup.
    #[error("no backup {0} there")]
    NoBackup(String),
    /// Something in a backup isn't what its manifest says.
    #[error("the backup is damaged: {object}: {detail}")]
    Damaged {
        /// Which object of the destination.
        object: String,
        /// What is wrong with it.
        detail: String,
    },
    /// It is encrypted for somebody else.
    #[error("the backup is encrypted: {0}")]
    Locked(String),
    /// A newer Sluice made it.
    #[error("the backup was made by a newer Sluice ({0}): restore it with that one")]
    Newer(String),
    /// What is to be restored into isn't empty.
    #[error("the target isn't empty: {0}; a restore writes into an empty installation only")]
    NotEmpty(String),
    /// A restore that began here did not end.
    #[error("a restore of {0} into this target began and did not end: begin it again with --force")]
    HalfDone(String),
    /// The mark of a restore is about another database or other streams.
    #[error(
        "a restore of {id} began on {began}, and the settings name {here} now: begin it again with the settings of then, \
         or empty the target and delete the object restore/begun of its file store"
    )]
    Elsewhere {
        /// The backup.
        id: String,
        /// Where it began.
        began: String,
        /// What the settings name now.
        here: String,
    },
    /// What was restored isn't what the backup held.
    #[error("restored, but not what the backup held: {0}")]
    Unproven(String),
    /// A defect of ours.
    #[error("{0} panicked")]
    Panicked(&'static str),
}

impl BackupError {
    pub(super) fn setting(name: &str, detail: &str) -> Self {
        Self::Setting { name: name.to_owned(), detail: detail.to_owned() }
    }

    pub(super) fn local(what: impl std::fmt::Display) -> impl FnOnce(io::Error) -> Self {
        let what = what.to_string();
        move |source| Self::Local { what, source }
    }

    pub(super) fn damaged(object: &str, detail: impl std::fmt::Display) -> Self {
        Self::Damaged { object: object.to_owned(), detail: detail.to_string() }
    }

    /// JetStream's refusals come in a type for each call.
    pub(super) fn jetstream<E: std::fmt::Display>(doing: &'static str, stream: &'static str) -> impl FnOnce(E) -> Self {
        move |e| Self::JetStream { doing, stream, detail: e.to_string() }
    }
}

impl From<DbErr> for BackupError {
    fn from(e: DbErr) -> Self {
        Self::Store(e.into())
    }
}

impl From<NotifierError> for BackupError {
    fn from(e: NotifierError) -> Self {
        match e {
            NotifierError::Store(e) => Self::Store(e),
            NotifierError::Bus(e) => Self::Bus(e),
            NotifierError::Files(e) => Self::Files(e),
            _ => Self::Fenced,
        }
    }
}
