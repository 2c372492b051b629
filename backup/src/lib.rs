//! Backup and restore of an installation: the database, the messages that the database can't rebuild, the settings, and
//! the files of completed exports.
//!
//! The modules:
//! - [`create()`] copies the streams, the database, the files and the settings, in this order, and writes the manifest
//!   last. A folder without a manifest is not a backup.
//! - `database` takes one consistent snapshot of SQLite or PostgreSQL, and counts the rows in it.
//! - `codec` compresses, encrypts (if configured) and hashes each part as a stream, in constant memory.
//! - `pool` stores each object of an export's file once for all backups, and never overwrites an object.
//! - [`prune`] deletes the backups that the retention policy ([`retained`]) no longer keeps, and the objects that only
//!   deleted backups referenced.
//! - [`verify`] compares all stored bytes with their digests. [`restore()`] makes the same comparison before it changes
//!   the target, and reads all restored data again at the end.
//!
//! The layout of the destination:
//!
//! ```text
//! backups/20261122T031500.000Z/contents.json.zst[.age]        counts, migrations, versions
//!                              streams/SLUICE_OUTCOMES.ndjson.zst[.age], streams/SLUICE_DEAD.ndjson.zst[.age]
//!                              database.sqlite.zst[.age] or database.pgdump.zst[.age]
//!                              files.ndjson.zst[.age]          path, size, SHA-256 and pool object of each object
//!                              settings.toml.zst[.age]
//!                              pool.ndjson.zst                 hashed names, sizes and SHA-256 of the pool objects
//!                              manifest.json                   written last: the parts with sizes and SHA-256
//! files/3f/3f…-20261122T031500.000Z.zst[.age]                  the object pool
//! keys/….age                                                   the destination's key, encrypted with the passphrase
//! ```
//!
//! This crate implements neither schedules nor leases. Its callers, the scheduled job of the notifier and the commands
//! of the binary, ensure that only one process at a time creates or prunes backups at a destination.

mod channel;
mod codec;
mod config;
mod create;
mod database;
mod digest;
mod error;
mod files;
mod keys;
mod listing;
mod manifest;
mod pool;
mod prune;
mod restore;
mod retention;
mod streams;
mod verify;

use platform::{bus::Bus, clock::SharedClock, config::DatabaseConfig, secret::Secret, store::FileStore};
use sea_orm::DatabaseConnection;

pub use self::{
    config::{BackupConfig, BackupTuning},
    create::{Report, create},
    error::BackupError,
    keys::KeyFiles,
    listing::{ListedBackup, list},
    manifest::{Contents, Counts, Manifest, Part},
    prune::{Pruned, prune},
    restore::{RestorePlan, Restored, Target, restore},
    retention::{RetentionPolicy, retained},
    verify::{Verified, verify},
};

/// The dependencies and settings for a backup of one installation. Clones share the connections.
#[derive(Clone, Debug)]
pub struct Source {
    /// The `[backup]` settings, such as the destination.
    pub config: BackupConfig,
    /// The connection pool of the database.
    pub db: DatabaseConnection,
    /// The address and credentials of the database, for `pg_dump`.
    pub database: DatabaseConfig,
    /// The NATS connection from which the streams are read.
    pub bus: Bus,
    /// The file store of the installation.
    pub store: FileStore,
    /// The clock whose time becomes the id of the backup.
    pub clock: SharedClock,
    /// The effective settings of Sluice, which the backup contains.
    pub settings: SettingsText,
}

/// The effective settings of the process as TOML text.
#[derive(Clone, Debug, Default)]
pub struct SettingsText {
    /// The settings without secrets, for an unencrypted backup.
    pub without_secrets: String,
    /// The settings with secrets, for an encrypted backup.
    pub with_secrets: Secret,
    /// The names of the secrets that are set, such as `nats.password`.
    pub secrets: Vec<String>,
}
