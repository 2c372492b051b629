//! What can go wrong in a notifier.

use entity::StoreError;
use platform::{bus::BusError, store::FileStoreError};
use sea_orm::DbErr;

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
    /// The scheduler.
    #[error("scheduler: {0}")]
    Schedule(#[from] tokio_cron_scheduler::JobSchedulerError),
    /// The internal HTTP port.
    #[error("internal HTTP port: {0}")]
    Http(#[from] std::io::Error),
    /// The machine gives no random numbers.
    #[error("no random numbers for the grant key")]
    Random,
    /// A subscription ended although nobody ended it.
    #[error("the subscription to {0} ended")]
    Unsubscribed(&'static str),
}

impl From<DbErr> for NotifierError {
    fn from(e: DbErr) -> Self {
        Self::Store(e.into())
    }
}

impl NotifierError {
    /// JetStream's refusals come in a type for each call.
    pub(crate) fn jetstream<E: std::fmt::Display>(doing: &'static str) -> impl FnOnce(E) -> Self {
        move |e| Self::JetStream { doing, detail: e.to_string() }
    }
}
