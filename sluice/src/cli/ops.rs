//! `sluice ops`: what operators ask the running services over NATS.

use std::time::Duration;

use clap::{Args, Subcommand};
use protocol::{export::Status, id::ExportId};

/// `sluice ops`
#[derive(Debug, Args)]
pub struct OpsOptions {
    /// Print JSON
    #[arg(long, global = true)]
    pub json: bool,
    /// What to ask
    #[command(subcommand)]
    pub command: OpsCommand,
}

/// What to ask.
#[derive(Debug, Subcommand)]
pub enum OpsCommand {
    /// List exports, whoever they belong to, newest first
    Exports(ExportsOptions),
    /// Show one export
    Export(OneExport),
    /// Cancel an export as its owner would; its credit goes back
    Cancel(OneExport),
    /// List dead letters, newest first
    Dead(DeadOptions),
    /// Take a dead export anew, under a hold of its own, or settle its dead outcome again
    Requeue(OneExport),
    /// List the running exporters
    Exporters,
    /// Have an exporter take no new jobs and finish those it has
    Drain(DrainOptions),
    /// Have an exporter take jobs again
    Undrain(OneExporter),
}

/// `sluice ops exports`
#[derive(Debug, Args)]
pub struct ExportsOptions {
    /// Only those in this status: queued, dispatched, running, completed, failed, canceled, expired
    #[arg(long)]
    pub status: Option<Status>,
    /// Only those of this tenant
    #[arg(long)]
    pub tenant: Option<String>,
    /// Only those of this person
    #[arg(long, requires = "tenant")]
    pub sub: Option<String>,
    /// Only those of this dataset
    #[arg(long)]
    pub dataset: Option<String>,
    /// At most this many
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=200))]
    pub limit: u32,
    /// Only those older than this one: the last id of the page before
    #[arg(long, value_name = "ID")]
    pub cursor: Option<ExportId>,
}

/// Which export.
#[derive(Debug, Args)]
pub struct OneExport {
    /// The id of the export
    pub id: ExportId,
}

/// `sluice ops dead`
#[derive(Debug, Args)]
pub struct DeadOptions {
    /// At most this many
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub limit: u32,
    /// Only those before this number
    #[arg(long, value_name = "NUMBER")]
    pub cursor: Option<u64>,
}

/// Which exporter.
#[derive(Debug, Args)]
pub struct OneExporter {
    /// The name of the exporter, as `sluice ops exporters` shows it
    pub instance: String,
}

/// `sluice ops drain`
#[derive(Debug, Args)]
pub struct DrainOptions {
    /// Which
    #[command(flatten)]
    pub exporter: OneExporter,
    /// Wait until it has nothing in hand
    #[arg(long)]
    pub wait: bool,
    /// How long to wait at most: 90s, 15m, 1h
    #[arg(long, default_value = "15m", value_parser = super::duration, requires = "wait")]
    pub timeout: Duration,
}
