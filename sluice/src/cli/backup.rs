//! The options of `sluice backup` and `sluice restore`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// The options of `sluice backup`.
#[derive(Debug, Args)]
pub struct BackupOptions {
    /// The subcommand. Without a subcommand, the command creates a backup.
    #[command(subcommand)]
    pub command: Option<BackupCommand>,
    /// Use this destination: a folder or s3://bucket/prefix [default: backup.destination of the settings]
    #[arg(long, global = true, value_name = "DESTINATION")]
    pub to: Option<String>,
    /// Print the result as JSON
    #[arg(long, global = true)]
    pub json: bool,
}

/// The subcommands of `sluice backup`.
#[derive(Debug, Subcommand)]
pub enum BackupCommand {
    /// List the backups at the destination, oldest first
    List,
    /// Read a whole backup and compare every digest
    Verify(VerifyOptions),
}

/// The options of `sluice backup verify`.
#[derive(Debug, Args)]
pub struct VerifyOptions {
    /// The id of the backup
    #[arg(default_value = "latest")]
    pub id: String,
    /// The keys that decrypt the backup. Comparing digests needs no key.
    #[command(flatten)]
    pub keys: Keys,
}

/// The files with the keys that decrypt a backup.
#[derive(Clone, Debug, Default, Args)]
pub struct Keys {
    /// Decrypt with the age identities in this file; may be given several times
    #[arg(long, value_name = "FILE")]
    pub identity: Vec<PathBuf>,
    /// Decrypt with the passphrase on the first line of this file
    #[arg(long, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
}

/// The options of `sluice restore`.
#[derive(Debug, Args)]
pub struct RestoreOptions {
    /// The destination of the backup: a folder or s3://bucket/prefix
    pub from: String,
    /// Restore the backup with this id
    #[arg(long, default_value = "latest")]
    pub id: String,
    /// The keys that decrypt the backup.
    #[command(flatten)]
    pub keys: Keys,
    /// Restore without asking for confirmation
    #[arg(long)]
    pub yes: bool,
    /// Restart an interrupted restore of the same target, and delete what it has restored
    #[arg(long)]
    pub force: bool,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}
