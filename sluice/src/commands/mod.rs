//! The small commands.

pub mod config;
pub mod credits;
pub mod migrate;
pub mod token;

use std::io;

use entity::{StoreError, terms::TermsError};
use gateway::auth::local::SignError;
use sea_orm::DbErr;

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
    /// The settings can't be written as TOML.
    #[error("settings: {0}")]
    Toml(#[from] toml::ser::Error),
    /// Nobody reads what we print.
    #[error("can't print: {0}")]
    Print(#[from] io::Error),
}
