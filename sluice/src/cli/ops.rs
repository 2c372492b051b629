//! The options of `sluice ops`, which sends requests of operators to the running services over NATS.

use std::time::Duration;

use clap::{Args, Subcommand};
use protocol::{export::Status, id::ExportId};

/// The options of `sluice ops`.
#[derive(Debug, Args)]
pub struct OpsOptions {
    /// Print the result as JSON
    #[arg(long, global = true)]
    pub json: bool,
    /// The request to send.
    #[command(subcommand)]
    pub command: OpsCommand,
}

/// The subcommands of `sluice ops`.
#[derive(Debug, Subcommand)]
pub enum OpsCommand {
    /// List the exports of all users, newest first
    Exports(ExportsOptions),
    /// Show all details of one export
    Export(OneExport),
    /// Tell the whole story of one export: events, attempts, segments, operators' acts, dead letters and trace id
    Story(OneExport),
    /// Cancel an export and return its credits
    Cancel(ActOnExport),
    /// List dead letters, newest first
    DeadLetters(DeadLettersOptions),
    /// Retry a dead letter: run its export again as a new export that costs credits, or settle its outcome again
    Requeue(ActOnExport),
    /// Pause a tenant or a user: their exports wait until they are resumed; running ones continue
    Pause(PauseOptions),
    /// Resume a paused tenant or user
    Resume(ResumeOptions),
    /// List the paused tenants and users
    Pauses,
    /// List the running exporters
    Exporters,
    /// Make an exporter finish its jobs and accept no new ones
    Drain(DrainOptions),
    /// Make a draining exporter accept jobs again
    Undrain(OneExporter),
}

/// The options of `sluice ops exports`.
#[derive(Debug, Args)]
pub struct ExportsOptions {
    /// List exports with this status only: queued, dispatched, running, completed, failed, canceled, expired
    #[arg(long)]
    pub status: Option<Status>,
    /// List exports of this tenant only
    #[arg(long)]
    pub tenant: Option<String>,
    /// List exports of this user only
    #[arg(long, requires = "tenant")]
    pub sub: Option<String>,
    /// List exports of this dataset only
    #[arg(long)]
    pub dataset: Option<String>,
    /// List exports whose tenant, user or dataset contains this text, or whose id or trace id it is
    #[arg(long)]
    pub text: Option<String>,
    /// List at most this many exports
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=200))]
    pub limit: u32,
    /// List exports older than this one: the last id of the previous page
    #[arg(long, value_name = "ID")]
    pub cursor: Option<ExportId>,
}

/// The argument of commands on one export.
#[derive(Debug, Args)]
pub struct OneExport {
    /// The id of the export
    pub id: ExportId,
}

/// The options of commands that change one export.
#[derive(Debug, Args)]
pub struct ActOnExport {
    /// The id of the export
    pub id: ExportId,
    /// Why; `sluice ops story` shows it
    #[arg(long)]
    pub reason: Option<String>,
}

/// The tenant or user of a pause.
#[derive(Debug, Args)]
pub struct PausedOwner {
    /// The tenant whose exports pause
    #[arg(long)]
    pub tenant: String,
    /// The user; without it, the whole tenant
    #[arg(long)]
    pub sub: Option<String>,
}

/// The options of `sluice ops pause`.
#[derive(Debug, Args)]
pub struct PauseOptions {
    /// The tenant or user to pause.
    #[command(flatten)]
    pub owner: PausedOwner,
    /// Why, for the other operators
    #[arg(long)]
    pub reason: String,
}

/// The options of `sluice ops resume`.
#[derive(Debug, Args)]
pub struct ResumeOptions {
    /// The tenant or user to resume.
    #[command(flatten)]
    pub owner: PausedOwner,
    /// Why, for the other operators
    #[arg(long)]
    pub reason: Option<String>,
}

/// The options of `sluice ops dead-letters`.
#[derive(Debug, Args)]
pub struct DeadLettersOptions {
    /// List at most this many dead letters
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub limit: u32,
    /// List dead letters older than this one: the number that the previous page printed as its cursor
    #[arg(long, value_name = "NUMBER")]
    pub cursor: Option<u64>,
}

/// The argument of commands on one exporter.
#[derive(Debug, Args)]
pub struct OneExporter {
    /// The name of the exporter, as `sluice ops exporters` shows it
    pub instance: String,
}

/// The options of `sluice ops drain`.
#[derive(Debug, Args)]
pub struct DrainOptions {
    /// The exporter to drain.
    #[command(flatten)]
    pub exporter: OneExporter,
    /// Wait until the exporter has no running job
    #[arg(long)]
    pub wait: bool,
    /// Wait at most this long: 90s, 15m, 1h
    #[arg(long, default_value = "15m", value_parser = super::duration, requires = "wait")]
    pub timeout: Duration,
}
