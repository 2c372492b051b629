//! The error type of the notifier, and the distinction between transient and permanent errors.

use backup::BackupError;
use entity::StoreError;
use platform::{bus::BusError, store::FileStoreError};
use sea_orm::{DbErr, RuntimeErr, sqlx};

/// A failure inside a notifier. The text of an error is for logs and operators. Clients never receive this text; they
/// receive a problem (RFC 9457) instead.
#[derive(Debug, thiserror::Error)]
pub enum NotifierError {
    /// A setting is invalid. The text names the key of the setting.
    #[error("settings: {0}")]
    Config(String),
    /// NATS failed, or delivered a message that can't be read.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// An operation of the notifier on JetStream failed.
    #[error("JetStream: {operation}: {detail}")]
    JetStream {
        /// The operation that failed, as a verb phrase.
        operation: &'static str,
        /// The error text of the NATS client.
        detail: String,
    },
    /// The database failed, or holds a damaged row.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file store failed.
    #[error(transparent)]
    Files(#[from] FileStoreError),
    /// A JSON document can't be parsed or serialized.
    #[error("{path} is damaged: {source}")]
    Document {
        /// The path of the document in the file store, or a description of the document.
        path: String,
        /// The error of the JSON parser or serializer.
        source: serde_json::Error,
    },
    /// An operation exceeded its timeout. The value describes the operation, such as `a dispatch round`.
    #[error("{0} timed out")]
    Timeout(&'static str),
    /// An operation panicked, which is a bug in Sluice. The value describes the operation, such as `a scheduled job`.
    #[error("{0} panicked")]
    Panicked(&'static str),
    /// The cron scheduler failed to start or stop.
    #[error("scheduler: {0}")]
    Schedule(#[from] tokio_cron_scheduler::JobSchedulerError),
    /// The internal HTTP port failed.
    #[error("internal HTTP port: {0}")]
    Http(#[from] std::io::Error),
    /// The operating system returned no random numbers for the key that signs grants.
    #[error("no random numbers for the grant key")]
    Random,
    /// A backup failed; the error names the step.
    #[error(transparent)]
    Backup(#[from] Box<BackupError>),
    /// This process no longer holds its lease: another process acquired the lease, or this process could not renew the
    /// lease in time.
    #[error("another process holds the lease")]
    Fenced,
    /// The process is shutting down.
    #[error("the notifier is shutting down")]
    Stopping,
    /// Some steps of a scheduled job failed; the text names the steps and the number of failures.
    #[error("{0}")]
    Partial(String),
    /// NATS ended a subscription that the notifier still needs. The value says what the subscription receives, such as
    /// `requests`.
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
    /// Whether the failure is transient: a retry may succeed as soon as a dependency recovers. The caller retries a
    /// transient failure without limit. Any other failure would recur at every retry.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Bus(e) => !matches!(e, BusError::Unreadable(_) | BusError::Version(_)),
            Self::Store(StoreError::Db(e)) => !rejects_the_data(e),
            Self::Files(e) => {
                matches!(e, FileStoreError::Store(_) | FileStoreError::NoBucket(_) | FileStoreError::Partial(_))
            }
            Self::JetStream { .. } | Self::Timeout(_) | Self::Fenced | Self::Stopping | Self::Partial(_) => true,
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

    /// Returns a function for `map_err` that converts an error of async-nats to [`NotifierError::JetStream`].
    /// `operation` is a verb phrase for the failed operation. The function is generic, because async-nats has a
    /// different error type for each call.
    pub(crate) fn jetstream<E: std::fmt::Display>(operation: &'static str) -> impl FnOnce(E) -> Self {
        move |e| Self::JetStream { operation, detail: e.to_string() }
    }
}

/// Whether an invalid value in a statement or in a row caused the error, while the database itself works. Other errors
/// may be an outage: a lost connection, a lock, a full disk, or a schema in migration.
fn rejects_the_data(e: &DbErr) -> bool {
    let (DbErr::Exec(RuntimeErr::SqlxError(e)) | DbErr::Query(RuntimeErr::SqlxError(e))) = e else {
        return matches!(e, DbErr::Type(_) | DbErr::Json(_) | DbErr::TryIntoErr { .. });
    };
    match e.as_ref() {
        sqlx::Error::Database(e) => {
            // SQLSTATE class 22: data exception
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
    fn outages_are_transient_and_rejected_data_is_permanent() {
        let publish = BusError::Publish { subject: "x".into(), detail: "timed out".into() };
        let refused = DbErr::Conn(RuntimeErr::Internal("refused".into()));
        let exhausted = DbErr::Query(RuntimeErr::SqlxError(sqlx::Error::PoolTimedOut.into()));
        for outage in [publish.into(), refused.into(), exhausted.into(), NotifierError::Timeout("settling")] {
            assert!(outage.is_transient(), "{outage}");
        }
        let damaged = StoreError::Damaged { row: "export".into(), detail: "status".into() };
        let decoded = DbErr::Query(RuntimeErr::SqlxError(sqlx::Error::Decode("no number".into()).into()));
        for permanent in [damaged.into(), decoded.into(), BusError::Version(9).into()] {
            let permanent: NotifierError = permanent;
            assert!(!permanent.is_transient(), "{permanent}");
        }
    }
}
