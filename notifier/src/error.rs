//! What can go wrong in a notifier.

use entity::StoreError;
use platform::{bus::BusError, store::FileStoreError};
use sea_orm::{DbErr, RuntimeErr, sqlx};

use crate::backup::BackupError;

/// A failure inside a notifier. None of these reaches a client as it is.
#[derive(Debug, thiserror::Error)]
pub enum NotifierError {
    /// A setting can't work.
    #[error("settings: {0}")]
    Config(String),
    /// The bus.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// JetStream refused something that [`platform::bus::Bus`] has no call for.
    #[error("JetStream: {doing}: {detail}")]
    JetStream {
        /// What was tried.
        doing: &'static str,
        /// Why it failed.
        detail: String,
    },
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file store.
    #[error(transparent)]
    Files(#[from] FileStoreError),
    /// A document in the file store isn't JSON.
    #[error("{path} is damaged: {source}")]
    Document {
        /// Where it is.
        path: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// Something did not end in time.
    #[error("{0} took too long")]
    Timeout(&'static str),
    /// A defect of ours.
    #[error("{0} panicked")]
    Panicked(&'static str),
    /// The scheduler.
    #[error("scheduler: {0}")]
    Schedule(#[from] tokio_cron_scheduler::JobSchedulerError),
    /// The internal HTTP port.
    #[error("internal HTTP port: {0}")]
    Http(#[from] std::io::Error),
    /// The machine gives no random numbers.
    #[error("no random numbers for the grant key")]
    Random,
    /// A backup.
    #[error(transparent)]
    Backup(#[from] Box<BackupError>),
    /// A lease is somebody else's by now.
    #[error("the lease is lost")]
    Fenced,
    /// The process is to stop, and this waits for another.
    #[error("stopping")]
    Stopping,
    /// Some of a scheduled job was done, and some was not.
    #[error("{0}")]
    Partly(String),
    /// A subscription ended although nobody ended it.
    #[error("the subscription to {0} ended")]
    Unsubscribed(&'static str),
}

impl From<BackupError> for NotifierError {
    fn from(e: BackupError) -> Self {
        match e {
            BackupError::Setting { .. } => Self::Config(e.to_string()),
            e => Self::Backup(Box::new(e)),
        }
    }
}

impl From<DbErr> for NotifierError {
    fn from(e: DbErr) -> Self {
        Self::Store(e.into())
    }
}

impl NotifierError {
    /// Whether the same may work a little later, when whoever it needs is back: such a failure is waited out, however
    /// long it lasts. Every other comes again with the same message.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Bus(e) => !matches!(e, BusError::Unreadable(_) | BusError::Version(_)),
            Self::Store(StoreError::Db(e)) => !is_of_the_data(e),
            Self::Files(e) => matches!(e, FileStoreError::Store(_) | FileStoreError::NoBucket(_)),
            Self::JetStream { .. } | Self::Timeout(_) | Self::Fenced | Self::Stopping | Self::Partly(_) => true,
            Self::Store(StoreError::Damaged { .. })
            | Self::Config(_)
            | Self::Backup(_)
            | Self::Document { .. }
            | Self::Schedule(_)
            | Self::Http(_)
            | Self::Panicked(_)
            | Self::Random
            | Self::Unsubscribed(_) => false,
        }
    }

    /// JetStream's refusals come in a type for each call.
    pub(crate) fn jetstream<E: std::fmt::Display>(doing: &'static str) -> impl FnOnce(E) -> Self {
        move |e| Self::JetStream { doing, detail: e.to_string() }
    }
}

/// Whether a database works and refuses these very values. Everything else may be its own trouble: a connection, a
/// lock, a full disk, a schema that is just being changed.
fn is_of_the_data(e: &DbErr) -> bool {
    let (DbErr::Exec(RuntimeErr::SqlxError(e)) | DbErr::Query(RuntimeErr::SqlxError(e))) = e else {
        return matches!(e, DbErr::Type(_) | DbErr::Json(_) | DbErr::TryIntoErr { .. });
    };
    match e.as_ref() {
        sqlx::Error::Database(e) => {
            // SQL's class of values that don't fit
            !matches!(e.kind(), sqlx::error::ErrorKind::Other) || e.code().is_some_and(|code| code.starts_with("22"))
        }
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::Encode(_) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outages_are_told_from_what_will_never_work() {
        let publish = BusError::Publish { subject: "x".into(), detail: "timed out".into() };
        let away = DbErr::Conn(RuntimeErr::Internal("refused".into()));
        let full = DbErr::Query(RuntimeErr::SqlxError(sqlx::Error::PoolTimedOut.into()));
        for outage in [publish.into(), away.into(), full.into(), NotifierError::Timeout("settling")] {
            assert!(outage.is_transient(), "{outage}");
        }
        let damaged = StoreError::Damaged { row: "export".into(), detail: "status".into() };
        let decoded = DbErr::Query(RuntimeErr::SqlxError(sqlx::Error::Decode("no number".into()).into()));
        for hopeless in [damaged.into(), decoded.into(), BusError::Version(9).into()] {
            let hopeless: NotifierError = hopeless;
            assert!(!hopeless.is_transient(), "{hopeless}");
        }
    }
}
