//! The sea-orm models of the database, with their queries and conditional updates. Each model has one file.
//!
//! Every change of the status of an export is one conditional update, which checks the current status and, for the
//! result of an attempt, the attempt number. The attempt number is the fencing token, so the outcome of a stale attempt
//! changes nothing. Every hold, capture and release has a unique key in the ledger, so a retry adds no second entry.
//! This crate accesses the database, but neither NATS nor the file store.

mod abandoned;
pub mod account;
pub mod api_key;
pub mod credit_policy;
pub mod dispatch_queue;
pub mod entry;
pub mod export;
pub mod history;
pub mod idempotency_key;
pub mod in_flight;
pub mod lease;
pub mod ledger;
pub mod maintenance;
pub mod operator;
pub mod operator_act;
mod outage;
pub mod pause;
pub mod saved_export;
pub mod saved_export_run;
pub mod schedule;
pub mod scheduled_job;
pub mod segment;
pub mod transition;
pub mod user_rights;
pub mod view;

use sea_orm::DbErr;

pub use self::outage::is_outage;

/// A database error, or a row that violates an invariant.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database refused the statement or is not reachable.
    #[error("database: {0}")]
    Db(#[from] DbErr),
    /// A row holds a value that Sluice never writes.
    #[error("row {row} is damaged: {detail}")]
    Damaged {
        /// The table and the key of the row.
        row: String,
        /// The invariant that the row violates.
        detail: String,
    },
}

impl StoreError {
    /// Whether a retry may succeed, for example after a lost connection, an exhausted pool or a lock timeout.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Db(DbErr::Conn(_) | DbErr::ConnectionAcquire(_) | DbErr::Exec(_) | DbErr::Query(_)))
    }

    /// Whether the database is unavailable or has no space, as determined by [`is_outage`].
    #[must_use]
    pub fn is_outage(&self) -> bool {
        matches!(self, Self::Db(e) if is_outage(e))
    }
}
