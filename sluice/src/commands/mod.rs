//! The small commands.

pub mod backup;
pub mod catalog;
pub mod config;
pub mod credits;
pub mod migrate;
pub mod restore;
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
