//! The command line of `sluice`.

pub mod ops;
#[cfg(test)]
mod tests;

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand};
use platform::secret::Secret;
use serde_json::{Map, Value};

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

/// The files that settings are read from.
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

/// The options of `sluice backup`.
#[derive(Debug, Args)]
pub struct BackupOptions {
    /// The subcommand; without one a backup is created.
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
    /// The keys that decrypt the backup; comparing digests needs none.
    #[command(flatten)]
    pub keys: Keys,
}

/// The files that decrypt a backup.
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

/// The options of `sluice export`.
#[derive(Debug, Args)]
pub struct ExportOptions {
    /// The name of the dataset
    pub dataset: String,
    /// Export the rows that match this filter, such as '{"origin": {"eq": "SEA"}}'
    #[arg(long, value_name = "JSON", value_parser = filter)]
    pub filter: Option<Value>,
    /// Export these columns in this order, separated by commas
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub columns: Option<Vec<String>>,
    /// Set a parameter of the dataset; a value that is not JSON is a text
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = parameter)]
    pub param: Vec<(String, Value)>,
    /// Set all parameters of the dataset as one JSON object
    #[arg(long, value_name = "JSON", value_parser = object, conflicts_with = "param")]
    pub params: Option<Map<String, Value>>,
    /// Use this time zone for relative times such as now/d: an IANA name (UTC by default)
    #[arg(long, value_name = "ZONE")]
    pub time_zone: Option<String>,
    /// Use this template for the layout of the file
    #[arg(long)]
    pub template: Option<String>,
    /// Write the file in this format [default: by the extension of FILE, or else csv]
    #[arg(long)]
    pub format: Option<String>,
    /// Compress the file with this method [default: by `.gz` or `.zst` at the end of FILE, or else none]
    #[arg(long)]
    pub compression: Option<String>,
    /// Write to this file; `-` is standard output [default: a new file named after the dataset]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Print the finished export as JSON
    #[arg(long)]
    pub json: bool,
    /// Use the gateway at this URL [default: gateway.listen of the settings]
    #[arg(long, env = "SLUICE_URL")]
    pub url: Option<String>,
    /// Use this bearer token [default: a token of the local identity]
    #[arg(long, env = "SLUICE_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// Export as this user of the local identity
    #[arg(long, default_value = "alice")]
    pub sub: String,
    /// Export for this tenant of the local identity
    #[arg(long, default_value = "acme")]
    pub tenant: String,
    /// Limit the bytes in flight
    #[arg(long, value_name = "BYTES", default_value_t = 4 * 1024 * 1024, hide = true,
          value_parser = clap::value_parser!(u64).range(1..))]
    pub window: u64,
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

/// The subcommands of `sluice catalog`.
#[derive(Debug, Subcommand)]
pub enum CatalogCommand {
    /// Write a catalog file for a database, a folder of files or a bucket
    Init(CatalogInitOptions),
    /// Check a catalog file and the sources in it
    Check(CatalogCheckOptions),
    /// Print rows of a dataset as an export would write them, without the access rules of the dataset
    Preview(CatalogPreviewOptions),
    /// Print the JSON Schema of catalog files, for editors
    Schema,
}

/// The options of `sluice catalog init`.
#[derive(Debug, Args)]
pub struct CatalogInitOptions {
    /// The source: postgres://…, a SQLite file, a folder or pattern of files, s3://BUCKET/PREFIX, https://…/FILE, or
    /// env:NAME for a variable with the URL of a database
    #[arg(value_parser = secret)]
    pub source: Secret,
    /// Write to this file; `-` is standard output
    #[arg(short, long, value_name = "FILE", default_value = "catalog.toml")]
    pub output: PathBuf,
    /// Take only the tables or files that match a pattern, such as `order*` or `sales.*`
    #[arg(long, value_name = "PATTERN", num_args = 1.., value_delimiter = ',')]
    pub tables: Vec<String>,
    /// Take only the tables of this schema of PostgreSQL; may be given several times
    #[arg(long, value_name = "NAME")]
    pub schema: Vec<String>,
    /// Compare tenant columns with this claim of the caller's token
    #[arg(long, value_name = "NAME", default_value = "tenant")]
    pub tenant_claim: String,
    /// Add what is new to an existing file, and keep all that it has
    #[arg(long, conflicts_with = "force")]
    pub update: bool,
    /// Replace an existing file
    #[arg(long)]
    pub force: bool,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

/// The options of `sluice catalog check`.
#[derive(Debug, Args)]
pub struct CatalogCheckOptions {
    /// The catalog file [default: exporter.catalog of the settings]
    pub file: Option<PathBuf>,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

/// The options of `sluice catalog preview`.
#[derive(Debug, Args)]
pub struct CatalogPreviewOptions {
    /// The name of the dataset
    pub dataset: String,
    /// The catalog file [default: exporter.catalog of the settings]
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Print at most this many rows
    #[arg(long, value_name = "ROWS", default_value_t = 20)]
    pub limit: u64,
    /// Print every row
    #[arg(long, conflicts_with = "limit")]
    pub all: bool,
    /// Print the rows that match this filter, such as '{"origin": {"eq": "SEA"}}'
    #[arg(long, value_name = "JSON", value_parser = filter)]
    pub filter: Option<Value>,
    /// Print these columns in this order, separated by commas
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub columns: Vec<String>,
    /// Set a parameter of the dataset; a value that is not JSON is a text
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = parameter)]
    pub param: Vec<(String, Value)>,
    /// Use this template for the layout of the rows [default: plain]
    #[arg(long, value_name = "NAME")]
    pub template: Option<String>,
    /// Print the rows in this format
    #[arg(long, value_name = "NAME", default_value = "csv")]
    pub format: String,
}

/// Hides an argument that may hold a password from debug output.
fn secret(text: &str) -> Result<Secret, String> {
    if text.is_empty() { Err("expected a source".to_owned()) } else { Ok(Secret::new(text)) }
}

fn nonzero(text: &str) -> Result<i64, String> {
    let number = text.parse().map_err(|_| "expected a number such as +3 or -2".to_owned())?;
    if number == 0 { Err("expected a number other than 0".to_owned()) } else { Ok(number) }
}

fn duration(text: &str) -> Result<Duration, String> {
    let expected = || "expected a number with s, m, h or d, such as 90s or 1h".to_owned();
    let unit = text.chars().next_back().ok_or_else(expected)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 60 * 60,
        'd' => 24 * 60 * 60,
        _ => return Err(expected()),
    };
    let number: u64 = text[..text.len() - 1].parse().map_err(|_| expected())?;
    let total = number.checked_mul(seconds).filter(|total| (1..=MAX_SECONDS).contains(total));
    total.map(Duration::from_secs).ok_or_else(|| "expected between 1s and 366d".to_owned())
}

/// The longest duration that an option accepts, in seconds: 366 days. The lifetime of a token needs a limit, because a
/// token cannot be revoked before it expires.
const MAX_SECONDS: u64 = 366 * 24 * 60 * 60;

fn filter(text: &str) -> Result<Value, String> {
    protocol::json::parse_filter(text).map_err(|e| format!("not JSON: {e}"))
}

fn object(text: &str) -> Result<Map<String, Value>, String> {
    match serde_json::from_str(text) {
        Ok(Value::Object(members)) => Ok(members),
        Ok(_) => Err("expected a JSON object".to_owned()),
        Err(e) => Err(format!("not JSON: {e}")),
    }
}

fn parameter(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    if name.is_empty() {
        return Err("expected a name before `=`".to_owned());
    }
    Ok((name.to_owned(), serde_json::from_str(value).unwrap_or_else(|_| value.into())))
}
