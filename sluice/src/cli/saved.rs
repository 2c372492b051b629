//! The command line of `sluice saved`.

use std::path::PathBuf;

use clap::{Args, Subcommand, builder::NonEmptyStringValueParser};

use super::export::{AccessOptions, RequestOptions};

/// The subcommands of `sluice saved`.
#[derive(Debug, Subcommand)]
pub enum SavedCommand {
    /// List your saved exports, and those that others share with your tenant
    List(ListOptions),
    /// Show a saved export and its newest runs
    Show(ShowOptions),
    /// Save an export request under a name
    Create(CreateOptions),
    /// Run a saved export now
    Run(RunOptions),
    /// Change a saved export
    Edit(EditOptions),
    /// Delete a saved export; its runs stay
    Delete(DeleteOptions),
}

/// The options that all subcommands have.
#[derive(Debug, Args)]
pub struct CommonOptions {
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
    /// The gateway and the user.
    #[command(flatten)]
    pub access: AccessOptions,
}

/// The options of `sluice saved list`.
#[derive(Debug, Args)]
pub struct ListOptions {
    /// The options of all subcommands.
    #[command(flatten)]
    pub common: CommonOptions,
}

/// The options of `sluice saved show`.
#[derive(Debug, Args)]
pub struct ShowOptions {
    /// The id or the name of the saved export
    pub name: String,
    /// Show at most this many runs
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=100))]
    pub limit: u64,
    /// The options of all subcommands.
    #[command(flatten)]
    pub common: CommonOptions,
}

/// The options of `sluice saved create`.
#[derive(Debug, Args)]
pub struct CreateOptions {
    /// Save the request under this name
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub name: String,
    /// The name of the dataset
    pub dataset: String,
    /// The rows and the layout of the file.
    #[command(flatten)]
    pub request: RequestOptions,
    /// Let every user of the tenant see and run it who may export the dataset
    #[arg(long)]
    pub shared: bool,
    /// Run it by itself at the moments of this cron expression: minute, hour, day, month, day of the week
    #[arg(long, value_name = "FIELDS")]
    pub cron: Option<String>,
    /// Evaluate the cron expression in this time zone: an IANA name
    #[arg(long, value_name = "ZONE", default_value = "UTC", requires = "cron")]
    pub zone: String,
    /// Let a run end without a file and without cost when its rows are those of the last run
    #[arg(long, requires = "cron")]
    pub only_if_changed: bool,
    /// The options of all subcommands.
    #[command(flatten)]
    pub common: CommonOptions,
}

/// The options of `sluice saved run`.
#[derive(Debug, Args)]
pub struct RunOptions {
    /// The id or the name of the saved export
    pub name: String,
    /// Receive the file and write it here; `-` is standard output [default: start the export only]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Wait until the export has ended, and fail if it has no file
    #[arg(long, conflicts_with = "output")]
    pub wait: bool,
    /// The options of all subcommands.
    #[command(flatten)]
    pub common: CommonOptions,
}

/// The options of `sluice saved edit`. An option that is not given keeps its member.
#[derive(Debug, Args)]
pub struct EditOptions {
    /// The id or the name of the saved export
    pub name: String,
    /// Give the saved export this name
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub rename: Option<String>,
    /// Export this dataset instead
    #[arg(long)]
    pub dataset: Option<String>,
    /// The rows and the layout of the file.
    #[command(flatten)]
    pub request: RequestOptions,
    /// Reset a member of the request to its default; may be given several times
    #[arg(long, value_name = "MEMBER", value_parser = ["filter", "columns", "params", "time_zone", "template", "format", "compression"])]
    pub reset: Vec<String>,
    /// Let every user of the tenant see and run it who may export the dataset
    #[arg(long, conflicts_with = "private")]
    pub shared: bool,
    /// Let no other user see it
    #[arg(long)]
    pub private: bool,
    /// Run it by itself at the moments of this cron expression
    #[arg(long, value_name = "FIELDS", conflicts_with = "no_schedule")]
    pub cron: Option<String>,
    /// Evaluate the cron expression in this time zone: an IANA name
    #[arg(long, value_name = "ZONE", conflicts_with = "no_schedule")]
    pub zone: Option<String>,
    /// Let a run end without a file when its rows are those of the last run: true or false
    #[arg(long, value_name = "BOOL", conflicts_with = "no_schedule")]
    pub only_if_changed: Option<bool>,
    /// Run the schedule, or stop it: true or false. True ends a pause
    #[arg(long, value_name = "BOOL", conflicts_with = "no_schedule")]
    pub enabled: Option<bool>,
    /// Remove the schedule of the saved export
    #[arg(long)]
    pub no_schedule: bool,
    /// The options of all subcommands.
    #[command(flatten)]
    pub common: CommonOptions,
}

/// The options of `sluice saved delete`.
#[derive(Debug, Args)]
pub struct DeleteOptions {
    /// The id or the name of the saved export
    pub name: String,
    /// The options of all subcommands.
    #[command(flatten)]
    pub common: CommonOptions,
}
