//! All commands except `up`, `export` and the services.

pub mod api;
pub mod backup;
pub mod catalog;
pub mod catalog_init;
pub mod config;
pub mod credits;
pub mod keys;
pub mod migrate;
pub mod ops;
pub mod preview;
pub mod restore;
pub mod saved;
pub mod schedule;
pub mod sign_in_link;
pub mod token;

use std::{io, path::PathBuf};

use ::backup::BackupError;
use entity::{StoreError, credit_policy::CreditPolicyError};
use exporter::catalog::init::InitError;
use gateway::auth::local::SignError;
use notifier::BackupRunError;
use protocol::{export::Status, id::ExportId};
use sea_orm::DbErr;

use crate::{export::ExportError, schema::SchemaError, settings::SettingsError, up::UpError};

/// The reason why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The settings have no local identity with a secret to sign a token.
    #[error("{0}; give the data folder of a `sluice up` with --data-dir, or get a token from your issuer")]
    Token(#[from] SignError),
    /// The installation does not offer sign-in by a one-time link.
    #[error("this installation signs nobody in by a link: give the data folder of a `sluice up` with --data-dir")]
    NoSignInLink,
    /// The database can't be reached, or refuses a query.
    #[error("database: {0}")]
    Database(#[from] DbErr),
    /// The tables of the database are missing or old.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// A database row can't be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The `[credits]` settings are invalid.
    #[error(transparent)]
    CreditPolicy(#[from] CreditPolicyError),
    /// A correction would make the balance negative.
    #[error("{owner} has {balance} credits, which can't be changed by {amount:+}; nothing was changed")]
    NegativeBalance {
        /// The user of the account.
        owner: String,
        /// The balance before the correction.
        balance: i64,
        /// The requested change of the balance.
        amount: i64,
    },
    /// Some accounts differ from the ledger. The command has printed each of them.
    #[error("{0} accounts differ from the ledger")]
    Audit(usize),
    /// A catalog file is invalid. The command has printed each fault.
    #[error("{0} is invalid")]
    Catalog(String),
    /// Neither the command line nor the settings name a catalog file.
    #[error("give a catalog file, or set `exporter.catalog`")]
    NoCatalog,
    /// No catalog file can be written for a source.
    #[error(transparent)]
    CatalogInit(Box<InitError>),
    /// The catalog file already exists, and the command must not overwrite the user's changes.
    #[error("{} exists: --update adds what is new and keeps the rest, --force replaces the file", .0.display())]
    CatalogExists(PathBuf),
    /// The catalog file can't be read or written.
    #[error("{}: {}", .0.display(), .1)]
    CatalogFile(PathBuf, io::Error),
    /// The rows of a dataset can't be printed.
    #[error(transparent)]
    Preview(#[from] Box<preview::PreviewError>),
    /// The settings can't be written as TOML.
    #[error("settings: {0}")]
    Toml(#[from] toml::ser::Error),
    /// The settings are invalid, or can't be read.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The data folder of a `sluice up` can't be used.
    #[error(transparent)]
    DataDir(#[from] Box<UpError>),
    /// A step of a backup or a restore failed.
    #[error(transparent)]
    Backup(#[from] Box<BackupError>),
    /// A backup that the command started failed, or another backup is running.
    #[error(transparent)]
    BackupRun(#[from] Box<BackupRunError>),
    /// A backup was created, but objects are missing or damaged in the file store.
    #[error("the backup was created, but the file store has lost objects: {0}")]
    LostObjects(String),
    /// The user did not confirm the restore.
    #[error("nothing was restored: answer yes, or give --yes")]
    NotConfirmed,
    /// No scheduled job has this name.
    #[error("there is no scheduled job `{name}`; there are: {names}")]
    NoJob {
        /// The job name in the request.
        name: String,
        /// The names of all scheduled jobs.
        names: String,
    },
    /// A run of a scheduled job failed.
    #[error("{name} failed: {detail}")]
    JobFailed {
        /// The name of the scheduled job.
        name: String,
        /// The cause of the failure.
        detail: String,
    },
    /// No notifier finished a run of a scheduled job within the timeout.
    #[error(
        "{name} did not finish within {waited_s} s: is a notifier running? The next notifier that starts runs the job"
    )]
    NotRun {
        /// The name of the scheduled job.
        name: String,
        /// The timeout in seconds.
        waited_s: u64,
    },
    /// A request of `sluice keys` or `sluice saved` to a gateway failed.
    #[error(transparent)]
    Api(#[from] api::ApiError),
    /// The file of a saved export's run was not received.
    #[error(transparent)]
    Receive(#[from] Box<ExportError>),
    /// No saved export, or more than one, has the given name.
    #[error("{count} saved exports have the name `{name}`: `sluice saved list` shows the ids")]
    SavedName {
        /// The name on the command line.
        name: String,
        /// The number of saved exports with this name.
        count: usize,
    },
    /// A run of a saved export ended without a file.
    #[error("the export {id} ended as {status}{detail}")]
    RunEnded {
        /// The id of the export.
        id: ExportId,
        /// The status of the export.
        status: Status,
        /// A colon and the cause, or nothing.
        detail: String,
    },
    /// A request of `sluice ops` failed.
    #[error(transparent)]
    Ops(#[from] ops::OpsError),
    /// Standard output is closed.
    #[error("can't print: {0}")]
    Print(#[from] io::Error),
}

impl From<BackupError> for CommandError {
    fn from(e: BackupError) -> Self {
        Self::Backup(Box::new(e))
    }
}

impl From<BackupRunError> for CommandError {
    fn from(e: BackupRunError) -> Self {
        Self::BackupRun(Box::new(e))
    }
}

impl From<UpError> for CommandError {
    fn from(e: UpError) -> Self {
        Self::DataDir(Box::new(e))
    }
}
