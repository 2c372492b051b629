//! The command line.

pub mod ops;

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand};
use serde_json::{Map, Value};

/// Push-based exports: click, watch, and have the file.
#[derive(Debug, Parser)]
#[command(
    name = "sluice",
    version,
    disable_help_subcommand = true,
    after_help = "Settings: defaults, then DIR/sluice.toml of --data-dir, then --config FILE, then the environment \
                  (SLUICE_GATEWAY__LISTEN sets `listen` in [gateway]). `sluice config` shows the effective ones.\n\
                  Exit codes: 0 done, 1 failed, 2 wrong command line or settings, 130 interrupted."
)]
pub struct Cli {
    /// Where settings come from.
    #[command(flatten)]
    pub place: Place,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Where settings come from.
#[derive(Clone, Debug, Default, Args)]
pub struct Place {
    /// A TOML file with settings
    #[arg(long, global = true, value_name = "FILE", env = "SLUICE_CONFIG")]
    pub config: Option<PathBuf>,
    /// The folder of a `sluice up`, with its settings and all its data
    #[arg(long, global = true, value_name = "DIR", env = "SLUICE_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run all of Sluice on this machine, with a nats-server of its own
    Up(UpOptions),
    /// Run a gateway: the only service that clients reach
    Gateway,
    /// Run an exporter: turns datasets into files
    Exporter,
    /// Run a notifier: settles exports and serves their files to gateways
    Notifier,
    /// Bring the database's tables up to date
    Migrate(MigrateOptions),
    /// Print a token of the local identity
    Token(TokenOptions),
    /// Show, grant or correct somebody's credits, or compare all with the ledger
    #[command(subcommand)]
    Credits(CreditsCommand),
    /// Show what runs by the clock, or run some of it now
    Schedule(ScheduleOptions),
    /// Look after the running services: exports, dead letters, exporters
    Ops(ops::OpsOptions),
    /// Make a backup, list them, or read one whole
    Backup(BackupOptions),
    /// Restore a backup into an empty installation
    Restore(RestoreOptions),
    /// Export a dataset to a file
    Export(Box<ExportOptions>),
    /// Print the effective settings, secrets hidden
    Config(ConfigOptions),
    /// Look after catalog files
    #[command(subcommand)]
    Catalog(CatalogCommand),
}

/// `sluice up`
#[derive(Debug, Args)]
pub struct UpOptions {
    /// The port of loopback on which the gateway listens
    #[arg(long, default_value_t = 8080)]
    pub port: u16,
}

/// `sluice migrate`
#[derive(Debug, Args)]
pub struct MigrateOptions {
    /// Undo this many steps instead
    #[arg(long, value_name = "STEPS")]
    pub down: Option<u32>,
}

/// `sluice token`
#[derive(Debug, Args)]
pub struct TokenOptions {
    /// The person
    #[arg(long)]
    pub sub: String,
    /// Their tenant
    #[arg(long)]
    pub tenant: String,
    /// What they may export: `export:<dataset>` or `export:*`, separated by spaces
    #[arg(long, default_value = "export:*")]
    pub scope: String,
    /// How long the token is good: 90s, 15m, 1h, 7d
    #[arg(long, default_value = "1h", value_parser = duration)]
    pub ttl: Duration,
    /// Print `{"token", "expires_at"}`
    #[arg(long)]
    pub json: bool,
}

/// `sluice credits`
#[derive(Debug, Subcommand)]
pub enum CreditsCommand {
    /// Add credits to an account
    Grant(GrantOptions),
    /// Correct a balance, up or down
    Adjust(AdjustOptions),
    /// Compare all accounts with the ledger; fails when one differs
    Audit(AuditOptions),
    /// Show an account and its newest entries
    Show(ShowOptions),
}

/// `sluice schedule`
#[derive(Debug, Args)]
pub struct ScheduleOptions {
    /// Print JSON
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do instead of showing it
    #[command(subcommand)]
    pub command: Option<ScheduleCommand>,
}

/// What to do with the schedule.
#[derive(Debug, Subcommand)]
pub enum ScheduleCommand {
    /// Have a notifier run a job now
    Run(RunOptions),
}

/// `sluice schedule run`
#[derive(Debug, Args)]
pub struct RunOptions {
    /// Which job
    pub name: String,
    /// Wait for the end, and fail if the job does
    #[arg(long)]
    pub wait: bool,
    /// How long to wait at most: 90s, 15m, 1h
    #[arg(long, default_value = "15m", value_parser = duration, requires = "wait")]
    pub timeout: Duration,
}

/// Whose account it is.
#[derive(Clone, Debug, Args)]
pub struct Account {
    /// The person
    #[arg(long)]
    pub sub: String,
    /// Their tenant
    #[arg(long)]
    pub tenant: String,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `sluice credits grant`
#[derive(Debug, Args)]
pub struct GrantOptions {
    /// Whose
    #[command(flatten)]
    pub account: Account,
    /// How many
    #[arg(long, value_parser = clap::value_parser!(i64).range(1..))]
    pub amount: i64,
    /// Why, for the ledger
    #[arg(long, default_value = "granted by an operator")]
    pub reason: String,
}

/// `sluice credits adjust`
#[derive(Debug, Args)]
pub struct AdjustOptions {
    /// Whose
    #[command(flatten)]
    pub account: Account,
    /// How many, with a sign: +3, -2
    #[arg(long, allow_negative_numbers = true, value_parser = some)]
    pub amount: i64,
    /// Why, for the ledger
    #[arg(long, value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub reason: String,
}

/// `sluice credits audit`
#[derive(Debug, Args)]
pub struct AuditOptions {
    /// Set the accounts that differ to what the ledger says
    #[arg(long)]
    pub rebuild: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `sluice credits show`
#[derive(Debug, Args)]
pub struct ShowOptions {
    /// Whose
    #[command(flatten)]
    pub account: Account,
    /// How many entries
    #[arg(long, default_value_t = 10)]
    pub limit: u64,
}

/// `sluice backup`
#[derive(Debug, Args)]
pub struct BackupOptions {
    /// Something else than making one
    #[command(subcommand)]
    pub command: Option<BackupCommand>,
    /// Where backups are: a folder or s3://bucket/prefix [default: backup.to of the settings]
    #[arg(long, global = true, value_name = "PLACE")]
    pub to: Option<String>,
    /// Print JSON
    #[arg(long, global = true)]
    pub json: bool,
}

/// `sluice backup …`
#[derive(Debug, Subcommand)]
pub enum BackupCommand {
    /// List the backups that are there, oldest first
    List,
    /// Read a backup whole and compare every digest
    Verify(VerifyOptions),
}

/// `sluice backup verify`
#[derive(Debug, Args)]
pub struct VerifyOptions {
    /// Which backup
    #[arg(default_value = "latest")]
    pub id: String,
    /// What opens it; digests need no key
    #[command(flatten)]
    pub keys: Keys,
}

/// What opens an encrypted backup.
#[derive(Clone, Debug, Default, Args)]
pub struct Keys {
    /// A file with identities of age; may be given more than once
    #[arg(long, value_name = "FILE")]
    pub identity: Vec<PathBuf>,
    /// A file with a passphrase on its first line
    #[arg(long, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
}

/// `sluice restore`
#[derive(Debug, Args)]
pub struct RestoreOptions {
    /// Where the backup is: a folder or s3://bucket/prefix
    pub from: String,
    /// Which one
    #[arg(long, default_value = "latest")]
    pub id: String,
    /// What opens it
    #[command(flatten)]
    pub keys: Keys,
    /// Don't ask
    #[arg(long)]
    pub yes: bool,
    /// Begin again on a target where a restore began and did not end
    #[arg(long)]
    pub force: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `sluice export`
#[derive(Debug, Args)]
pub struct ExportOptions {
    /// The dataset
    pub dataset: String,
    /// Which rows, such as '{"origin": {"eq": "SEA"}}'
    #[arg(long, value_name = "JSON", value_parser = json)]
    pub filter: Option<Value>,
    /// Which columns, in this order, separated by commas
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub columns: Option<Vec<String>>,
    /// A parameter of the dataset; the value is JSON, or else a text
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = parameter)]
    pub param: Vec<(String, Value)>,
    /// All parameters of the dataset as one object
    #[arg(long, value_name = "JSON", value_parser = object, conflicts_with = "param")]
    pub params: Option<Map<String, Value>>,
    /// How it is laid out
    #[arg(long)]
    pub template: Option<String>,
    /// The format
    #[arg(long)]
    pub format: Option<String>,
    /// The compression
    #[arg(long)]
    pub compression: Option<String>,
    /// Where to write it; `-` for standard output [default: a new file named after the dataset]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Print the finished export as JSON
    #[arg(long)]
    pub json: bool,
    /// The gateway [default: that of the settings]
    #[arg(long, env = "SLUICE_URL")]
    pub url: Option<String>,
    /// A bearer token [default: one of the local identity]
    #[arg(long, env = "SLUICE_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// Who exports, with the local identity
    #[arg(long, default_value = "alice")]
    pub sub: String,
    /// Their tenant
    #[arg(long, default_value = "acme")]
    pub tenant: String,
    /// How many bytes may be on their way at once
    #[arg(long, value_name = "BYTES", default_value_t = 4 * 1024 * 1024, hide = true,
          value_parser = clap::value_parser!(u64).range(1..))]
    pub window: u64,
}

/// `sluice config`
#[derive(Debug, Args)]
pub struct ConfigOptions {
    /// Print JSON instead of TOML
    #[arg(long)]
    pub json: bool,
}

/// `sluice catalog`
#[derive(Debug, Subcommand)]
pub enum CatalogCommand {
    /// Check a catalog file, and look at its sources
    Check(CatalogCheckOptions),
}

/// `sluice catalog check`
#[derive(Debug, Args)]
pub struct CatalogCheckOptions {
    /// The file [default: `exporter.catalog` of the settings]
    pub file: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

fn some(text: &str) -> Result<i64, String> {
    let number = text.parse().map_err(|_| "expected a number such as +3 or -2".to_owned())?;
    if number == 0 { Err("0 corrects nothing".to_owned()) } else { Ok(number) }
}

fn duration(text: &str) -> Result<Duration, String> {
    let wanted = || "expected a number with s, m, h or d, such as 90s or 1h".to_owned();
    let unit = text.chars().next_back().ok_or_else(wanted)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 60 * 60,
        'd' => 24 * 60 * 60,
        _ => return Err(wanted()),
    };
    let number: u64 = text[..text.len() - 1].parse().map_err(|_| wanted())?;
    let total = number.checked_mul(seconds).filter(|total| (1..=MAX_TTL_S).contains(total));
    total.map(Duration::from_secs).ok_or_else(|| "expected between 1s and 366d".to_owned())
}

/// A year: a token can't be taken back.
const MAX_TTL_S: u64 = 366 * 24 * 60 * 60;

fn json(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|e| format!("not JSON: {e}"))
}

fn object(text: &str) -> Result<Map<String, Value>, String> {
    match json(text)? {
        Value::Object(members) => Ok(members),
        _ => Err("expected a JSON object".to_owned()),
    }
}

fn parameter(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    if name.is_empty() {
        return Err("expected a name before `=`".to_owned());
    }
    Ok((name.to_owned(), serde_json::from_str(value).unwrap_or_else(|_| value.into())))
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, error::ErrorKind};
    use serde_json::json;

    use super::*;

    fn export(args: &[&str]) -> ExportOptions {
        let all = ["sluice", "export", "flights"].iter().chain(args);
        match Cli::try_parse_from(all).unwrap().command {
            Command::Export(options) => *options,
            other => panic!("{other:?}"),
        }
    }

    fn refused(args: &[&str]) -> ErrorKind {
        Cli::try_parse_from(["sluice"].iter().chain(args)).unwrap_err().kind()
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_data_dir_stands_before_or_after_the_command() {
        for args in [["sluice", "--data-dir", "d", "up"], ["sluice", "up", "--data-dir", "d"]] {
            assert_eq!(Cli::try_parse_from(args).unwrap().place.data_dir, Some("d".into()));
        }
    }

    #[test]
    fn what_to_export_is_typed() {
        let options = export(&["--filter", r#"{"origin":{"eq":"SEA"}}"#, "--columns", "date,delay", "-o", "sea.csv"]);
        assert_eq!(options.filter, Some(json!({"origin": {"eq": "SEA"}})));
        assert_eq!(options.columns, Some(vec!["date".into(), "delay".into()]));
        assert_eq!((options.sub.as_str(), options.tenant.as_str()), ("alice", "acme"));
        let options = export(&["--param", r#"muscles=["a","b"]"#, "--param", "name=SEA", "--param", "n=3"]);
        let values: Vec<_> = options.param.into_iter().map(|(_, value)| value).collect();
        assert_eq!(values, [json!(["a", "b"]), json!("SEA"), json!(3)]);
    }

    #[test]
    fn what_cannot_work_is_refused_at_once() {
        assert_eq!(refused(&["export", "flights", "--filter", "{"]), ErrorKind::ValueValidation);
        assert_eq!(refused(&["export", "flights", "--params", "[1]"]), ErrorKind::ValueValidation);
        assert_eq!(refused(&["export", "flights", "--param", "=1"]), ErrorKind::ValueValidation);
        assert_eq!(refused(&["export", "a", "--params", "{}", "--param", "a=1"]), ErrorKind::ArgumentConflict);
        assert_eq!(refused(&["export"]), ErrorKind::MissingRequiredArgument);
        assert_eq!(refused(&["up", "--port", "70000"]), ErrorKind::ValueValidation);
        assert_eq!(
            refused(&["credits", "grant", "--sub", "a", "--tenant", "b", "--amount", "0"]),
            ErrorKind::ValueValidation
        );
        let adjust = |amount, reason| {
            refused(&["credits", "adjust", "--sub", "a", "--tenant", "b", "--amount", amount, "--reason", reason])
        };
        assert_eq!((adjust("0", "r"), adjust("x", "r")), (ErrorKind::ValueValidation, ErrorKind::ValueValidation));
        assert_eq!(adjust("1", ""), ErrorKind::InvalidValue);
        assert_eq!(
            refused(&["credits", "adjust", "--sub", "a", "--tenant", "b", "--amount", "1"]),
            ErrorKind::MissingRequiredArgument
        );
        assert_eq!(refused(&["nope"]), ErrorKind::InvalidSubcommand);
        assert_eq!(refused(&["ops", "exports", "--status", "lost"]), ErrorKind::ValueValidation);
        assert_eq!(refused(&["ops", "exports", "--limit", "0"]), ErrorKind::ValueValidation);
        assert_eq!(refused(&["ops", "exports", "--sub", "alice"]), ErrorKind::MissingRequiredArgument);
        assert_eq!(refused(&["ops", "cancel", "x"]), ErrorKind::ValueValidation);
        assert_eq!(refused(&["ops", "drain", "x", "--timeout", "1s"]), ErrorKind::MissingRequiredArgument);
    }

    #[test]
    fn corrections_have_a_sign() {
        for (text, amount) in [("-2", -2), ("+3", 3), ("3", 3)] {
            let args =
                ["sluice", "credits", "adjust", "--sub", "a", "--tenant", "b", "--amount", text, "--reason", "r"];
            let Command::Credits(CreditsCommand::Adjust(options)) = Cli::try_parse_from(args).unwrap().command else {
                panic!("{text}")
            };
            assert_eq!(options.amount, amount);
        }
    }

    #[test]
    fn durations_have_a_unit_and_bounds() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("1h"), Ok(Duration::from_secs(3600)));
        assert_eq!(duration("7d"), Ok(Duration::from_secs(7 * 86_400)));
        for bad in ["", "1", "h", "0s", "1w", "-1h", "367d", "99999999999999999999d", "1é"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
