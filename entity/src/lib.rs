//! sea-orm models, one file each, with owner-scoped finders, and the conditional updates that move them.
//!
//! Every change of an export's state is one conditional update on `(status, attempt)`: the attempt number is the
//! fencing token, so a stale worker's finish is refused. Every step of a credit is keyed in the ledger, so that it
//! happens once however often it is tried. Nothing here talks to anything but the database.

pub mod account;
pub mod credit_policy;
pub mod dispatch_queue;
pub mod entry;
pub mod export;
pub mod idempotency_key;
pub mod lease;
pub mod ledger;
pub mod maintenance;
pub mod operator;
pub mod scheduled_job;
pub mod segment;
pub mod transition;
pub mod view;

use sea_orm::DbErr;

/// What can go wrong below the services.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database refused or is away.
    #[error("database: {0}")]
    Db(#[from] DbErr),
    /// A row holds what no code of ours writes.
    #[error("row {row} is damaged: {detail}")]
    Damaged {
        /// Which row.
        row: String,
        /// What is wrong with it.
        detail: String,
    },
}

impl StoreError {
    /// Whether the same may work a little later: the connection was lost, the pool was empty or a lock was held.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Db(DbErr::Conn(_) | DbErr::ConnectionAcquire(_) | DbErr::Exec(_) | DbErr::Query(_)))
    }
}
