//! The command line of `sluice`.

mod backup;
mod catalog;
mod export;
pub mod keys;
pub mod ops;
pub mod saved;
#[cfg(test)]
mod tests;
mod values;

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand};

use platform::secret::Secret;

use self::values::{duration, nonzero, secret};
pub use self::{
    backup::{BackupCommand, BackupOptions, Keys, RestoreOptions, VerifyOptions},
    catalog::{CatalogCheckOptions, CatalogCommand, CatalogInitOptions, CatalogPreviewOptions},
    export::{AccessOptions, ExportOptions, RequestOptions},
};

/// Export large datasets: start an export, watch its progress, receive the file
#[derive(Debug, Parser)]
#[command(
    name = "sluice",
    version,
    disable_help_subcommand = true,
    after_help = "Settings: defaults, then DIR/sluice.toml of --data-dir, then --config FILE, then the environment \
                  (SLUICE_GATEWAY__LISTEN sets `listen` in [gateway]). `sluice config` prints the effective settings, \
                  `sluice config reference` describes each one.\n\
                  Exit codes: 0 success, 1 failure, 2 wrong command line or settings, 130 interrupted."
)]
pub struct Cli {
    /// The files with settings.
    #[command(flatten)]
    pub files: SettingsFiles,
    /// The command to run.
    #[command(subcommand)]
    pub command: Command,
}

/// The files from which a command reads its settings.
#[derive(Clone, Debug, Default, Args)]
pub struct SettingsFiles {
    /// Read settings from this TOML file
    #[arg(long, global = true, value_name = "FILE", env = "SLUICE_CONFIG")]
    pub config: Option<PathBuf>,
    /// Use this data folder of `sluice up`, with its settings and all its data
    #[arg(long, global = true, value_name = "DIR", env = "SLUICE_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
}

/// The commands of the binary.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run all services and a nats-server on this machine
    Up(UpOptions),
    /// Run a gateway, the only service that clients reach
    Gateway,
    /// Run an exporter, which writes datasets into files
    Exporter,
    /// Run a notifier, which settles exports and delivers their bytes to gateways
    Notifier,
    /// Migrate the tables of the database
    Migrate(MigrateOptions),
    /// Print a one-time link that signs a browser in at the page of a running `sluice up`
    SignInLink,
    /// Print a token of the local identity
    Token(TokenOptions),
    /// Create, list or delete API keys, with which programs use Sluice
    #[command(subcommand)]
    Keys(keys::KeysCommand),
    /// Save export requests under a name, and run them again
    #[command(subcommand)]
    Saved(Box<saved::SavedCommand>),
    /// Show or change the credits of a user, or audit all accounts
    #[command(subcommand)]
    Credits(CreditsCommand),
    /// Show the scheduled jobs, or run one now
    Schedule(ScheduleOptions),
    /// Inspect and control the running services: exports, dead letters, exporters
    Ops(ops::OpsOptions),
    /// Create, list or verify backups
    Backup(BackupOptions),
    /// Restore a backup into an empty installation
    Restore(RestoreOptions),
    /// Export a dataset to a file
    Export(Box<ExportOptions>),
    /// Print the effective settings with secrets hidden, or describe all settings
    Config(ConfigOptions),
    /// Write or check catalog files, or print their JSON Schema
    #[command(subcommand)]
    Catalog(CatalogCommand),
}

/// The options of `sluice up`.
#[derive(Debug, Args)]
pub struct UpOptions {
    /// Offer this source: postgres://…, a SQLite file, a folder or pattern of files, s3://BUCKET/PREFIX, https://…/FILE,
    /// or env:NAME for a variable with the URL of a database. Writes catalog.toml into the data folder if it has none
    #[arg(value_name = "SOURCE", value_parser = secret, conflicts_with_all = ["catalog", "no_catalog"])]
    pub source: Option<Secret>,
    /// Listen on this port of the loopback address; 0 chooses a free port
    #[arg(long, default_value_t = 8080)]
    pub port: u16,
    /// Offer the datasets of this catalog file, now and at later starts (docs/catalog.md)
    #[arg(long, value_name = "FILE")]
    pub catalog: Option<PathBuf>,
    /// Stop offering the datasets of the catalog file that an earlier start named
    #[arg(long, conflicts_with = "catalog")]
    pub no_catalog: bool,
    /// Open the page in a browser, signed in by a one-time link
    #[arg(long)]
    pub open: bool,
}

/// The options of `sluice migrate`.
#[derive(Debug, Args)]
pub struct MigrateOptions {
    /// Revert this many migrations instead of applying the missing ones
    #[arg(long, value_name = "COUNT")]
    pub down: Option<u32>,
}

/// The options of `sluice token`.
#[derive(Debug, Args)]
pub struct TokenOptions {
    /// Sign for this user
    #[arg(long)]
    pub sub: String,
    /// Sign for this tenant
    #[arg(long)]
    pub tenant: String,
    /// Allow these datasets: `export:<dataset>` or `export:*`, separated by spaces
    #[arg(long, default_value = "export:*")]
    pub scope: String,
    /// Set the lifetime: 90s, 15m, 1h, 7d
    #[arg(long, default_value = "1h", value_parser = duration)]
    pub ttl: Duration,
    /// Print `{"token", "expires_at"}` as JSON
    #[arg(long)]
    pub json: bool,
}

/// The subcommands of `sluice credits`.
#[derive(Debug, Subcommand)]
pub enum CreditsCommand {
    /// Add credits to an account
    Grant(GrantOptions),
    /// Correct a balance, up or down
    Adjust(AdjustOptions),
    /// Compare all accounts with the ledger; fail if one differs
    Audit(AuditOptions),
    /// Show an account and its newest entries
    Show(ShowOptions),
}

/// The options of `sluice schedule`.
#[derive(Debug, Args)]
pub struct ScheduleOptions {
    /// Print the result as JSON
    #[arg(long, global = true)]
    pub json: bool,
    /// The subcommand; without one the scheduled jobs are shown.
    #[command(subcommand)]
    pub command: Option<ScheduleCommand>,
}

/// The subcommands of `sluice schedule`.
#[derive(Debug, Subcommand)]
pub enum ScheduleCommand {
    /// Ask a notifier to run a job now
    Run(RunOptions),
}

/// The options of `sluice schedule run`.
#[derive(Debug, Args)]
pub struct RunOptions {
    /// The name of the scheduled job
    pub name: String,
    /// Wait until the run has ended, and fail if the job fails
    #[arg(long)]
    pub wait: bool,
    /// Wait at most this long: 90s, 15m, 1h
    #[arg(long, default_value = "15m", value_parser = duration, requires = "wait")]
    pub timeout: Duration,
}

/// The account of a user.
#[derive(Clone, Debug, Args)]
pub struct Account {
    /// The user who owns the account
    #[arg(long)]
    pub sub: String,
    /// The tenant of the user
    #[arg(long)]
    pub tenant: String,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

/// The options of `sluice credits grant`.
#[derive(Debug, Args)]
pub struct GrantOptions {
    /// The account that receives the credits.
    #[command(flatten)]
    pub account: Account,
    /// Add this many credits
    #[arg(long, value_parser = clap::value_parser!(i64).range(1..))]
    pub amount: i64,
    /// Record this reason in the ledger
    #[arg(long, default_value = "granted by an operator")]
    pub reason: String,
}

/// The options of `sluice credits adjust`.
#[derive(Debug, Args)]
pub struct AdjustOptions {
    /// The account to correct.
    #[command(flatten)]
    pub account: Account,
    /// Change the balance by this signed number: +3, -2
    #[arg(long, allow_negative_numbers = true, value_parser = nonzero)]
    pub amount: i64,
    /// Record this reason in the ledger
    #[arg(long, value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub reason: String,
}

/// The options of `sluice credits audit`.
#[derive(Debug, Args)]
pub struct AuditOptions {
    /// Correct the accounts that differ from the ledger
    #[arg(long)]
    pub rebuild: bool,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

/// The options of `sluice credits show`.
#[derive(Debug, Args)]
pub struct ShowOptions {
    /// The account to show.
    #[command(flatten)]
    pub account: Account,
    /// Show at most this many entries
    #[arg(long, default_value_t = 10)]
    pub limit: u64,
}

/// The options of `sluice config`.
#[derive(Debug, Args)]
pub struct ConfigOptions {
    /// The subcommand; without one the effective settings are printed.
    #[command(subcommand)]
    pub command: Option<ConfigCommand>,
    /// Print JSON instead of TOML
    #[arg(long)]
    pub json: bool,
}

/// The subcommands of `sluice config`.
#[derive(Clone, Copy, Debug, Subcommand)]
pub enum ConfigCommand {
    /// Print the JSON Schema of the settings, for editors
    Schema,
    /// Print the reference of all settings as Markdown
    Reference,
}
