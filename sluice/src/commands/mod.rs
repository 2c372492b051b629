//! The small commands.

pub mod backup;
pub mod catalog;
pub mod config;
pub mod credits;
pub mod migrate;
pub mod ops;
pub mod restore;
pub mod schedule;
pub mod token;

use std::io;

use entity::{StoreError, terms::TermsError};
use gateway::auth::local::SignError;
use notifier::backup::BackupError;
use sea_orm::DbErr;

use crate::{settings::SettingsError, up::UpError};

/// Why a small command failed.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// There is no local identity.
    #[error("{0}; name the data folder of a `sluice up` with --data-dir, or get a token from your issuer")]
    Token(#[from] SignError),
    /// The database can't be reached or refuses.
    #[error("database: {0}")]
    Database(#[from] DbErr),
    /// The tables are missing or old.
    #[error("the database is not up to date: run `sluice migrate` first")]
    NotMigrated,
    /// Rows can't be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The terms of credits can't work.
    #[error(transparent)]
    Terms(#[from] TermsError),
    /// A correction would leave less than nothing.
    #[error("{owner} has {balance} to spend, which can't be changed by {amount:+}; nothing was done")]
    BelowNothing {
        /// Whose.
        owner: String,
        /// What they have.
        balance: i64,
        /// What was asked for.
        amount: i64,
    },
    /// The accounts are not what the ledger says; each was printed.
    #[error("{0} accounts differ from the ledger")]
    Audit(usize),
    /// A catalog file is wrong; each fault was printed.
    #[error("{0} is wrong")]
    Catalog(String),
    /// Nobody said which catalog file.
    #[error("name a catalog file, or set `exporter.catalog`")]
    NoCatalog,
    /// The settings can't be written as TOML.
    #[error("settings: {0}")]
    Toml(#[from] toml::ser::Error),
    /// A setting or a file of settings.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// A data folder can't be used.
    #[error(transparent)]
    DataDir(#[from] Box<UpError>),
    /// A backup or a restore.
    #[error(transparent)]
    Backup(#[from] Box<BackupError>),
    /// A backup was made, and the file store itself lacks something.
    #[error("the backup was made, but the file store has lost what it should hold: {0}")]
    Lost(String),
    /// Nobody said yes.
    #[error("nothing was restored: say yes, or give --yes")]
    NotAsked,
    /// There is no such scheduled job.
    #[error("there is no scheduled job `{name}`; there are: {names}")]
    NoJob {
        /// What was asked for.
        name: String,
        /// All there are.
        names: String,
    },
    /// A scheduled job ran, and failed.
    #[error("{name} failed: {detail}")]
    JobFailed {
        /// Which.
        name: String,
        /// Why.
        detail: String,
    },
    /// No notifier ran a scheduled job in time.
    #[error("{name} did not end within {waited_s} s: is a notifier running? It runs as soon as one does")]
    NotRun {
        /// Which.
        name: String,
        /// How long that was, seconds.
        waited_s: u64,
    },
    /// An operator did not get what they asked for.
    #[error(transparent)]
    Ops(#[from] ops::OpsError),
    /// Nobody reads what we print.
    #[error("can't print: {0}")]
    Print(#[from] io::Error),
}

impl From<BackupError> for CommandError {
    fn from(e: BackupError) -> Self {
        Self::Backup(Box::new(e))
    }
}

impl From<UpError> for CommandError {
    fn from(e: UpError) -> Self {
        Self::DataDir(Box::new(e))
    }
}
