//! Backup and restore: the database, the messages that it can't rebuild, the settings, and the files.
//!
//! The rooms, in the order in which a backup passes them:
//! - [`make()`]: streams, then the database, then the files, then the settings; the manifest comes last, and a folder
//!   without one is no backup.
//! - [`by_hand()`]: the same from outside of the notifiers, noted as a run of the job.
//! - `database`: one consistent moment of SQLite or PostgreSQL, and what it held.
//! - `seal`: every part is compressed, encrypted if so configured, and hashed on both sides, in flat memory.
//! - `pool`: objects of files are kept once, whichever backups need them, and never written over.
//! - [`prune`]: what [`retention`] no longer keeps, and what no kept backup names.
//! - [`verify`], [`restore()`]: every digest is checked before anything is touched, and everything once more after.
//!
//! At the destination:
//!
//! ```text
//! backups/20261122T031500.000Z/contents.json.zst[.age]        what is in it: counts, schema, versions
//!                              streams/SLUICE_OUTCOMES.ndjson.zst[.age], streams/SLUICE_DEAD.ndjson.zst[.age]
//!                              database.sqlite.zst[.age] or database.pgdump.zst[.age]
//!                              files.ndjson.zst[.age]          path, size and SHA-256 of each object, and where it is
//!                              settings.toml.zst[.age]
//!                              pool.ndjson.zst                 names in the pool that say nothing, sizes, SHA-256
//!                              manifest.json                   last: the parts with sizes and SHA-256
//! files/3f/3f…-20261122T031500.000Z.zst[.age]                  the pool
//! keys/….age                                                   with a passphrase: the key that it opens
//! ```

mod by_hand;
mod config;
mod database;
mod error;
mod files;
pub(crate) mod job;
mod keys;
mod listing;
mod make;
mod manifest;
mod pool;
mod prune;
mod restore;
mod retention;
mod seal;
mod streams;
mod verify;

use platform::{bus::Bus, clock::SharedClock, config::DatabaseConfig, secret::Secret, store::FileStore};
use sea_orm::DatabaseConnection;

pub use self::{
    by_hand::{aside, by_hand},
    config::BackupConfig,
    error::BackupError,
    job::Setup,
    keys::Unlock,
    listing::{Found, list},
    make::{Report, make},
    manifest::{Contents, Counts, Manifest},
    prune::{Pruned, prune},
    restore::{Plan as RestorePlan, Restored, Target, restore},
    retention::{Keep, keep},
    verify::{Verified, verify},
};

/// What is backed up, and with what. Clones share it.
#[derive(Clone, Debug)]
pub struct Source {
    /// The `[backup]` settings.
    pub config: BackupConfig,
    /// The database.
    pub db: DatabaseConnection,
    /// How to reach it, for the tools of PostgreSQL.
    pub database: DatabaseConfig,
    /// NATS.
    pub bus: Bus,
    /// The file store.
    pub store: FileStore,
    /// The time.
    pub clock: SharedClock,
    /// The effective settings.
    pub settings: SettingsText,
}

/// The effective settings as text.
#[derive(Clone, Debug, Default)]
pub struct SettingsText {
    /// TOML without its secrets.
    pub without_secrets: String,
    /// TOML with them, for an encrypted backup.
    pub with_secrets: Secret,
    /// The names of the secrets that are set.
    pub secrets: Vec<String>,
}
