//! `sluice export`: a client of the gateway that uses only the public protocol, over a WebSocket and REST.
//!
//! - `request` converts the command line to an `export.create` message.
//! - `access` selects the gateway and the token.
//! - `socket` handles one WebSocket connection.
//! - [`transfer`] implements the protocol as a state machine without a socket: each message gives the next steps.
//! - `sink` writes the file, which has the suffix `.part` until it is complete.
//! - `driver` connects and reconnects, and executes the steps of the state machine.
//! - `progress` shows the progress on a terminal.

mod access;
mod driver;
mod progress;
mod request;
mod sink;
mod socket;
pub mod transfer;

use std::{io, path::PathBuf, time::Duration};

use platform::lifecycle::Lifecycle;
use protocol::{export::Export, problem::Problem};
use reqwest::StatusCode;

use self::{access::Access, driver::Driver, progress::Progress, sink::Sink, transfer::Transfer};
use crate::{
    cli::{ExportOptions, SettingsFiles},
    output::{self, grouped},
    settings::SettingsError,
};

/// The time limit for requesting the completed export from the gateway.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);

/// Why `sluice export` failed.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The settings can't be used.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The command line and the settings name no gateway or no token.
    #[error(transparent)]
    Access(#[from] access::AccessError),
    /// The file with the default name exists, and the command does not overwrite it.
    #[error("{0} exists: give a file with -o, or `-` for standard output")]
    Exists(PathBuf),
    /// Another `sluice export` writes the same file.
    #[error("another process is writing {0}")]
    Busy(PathBuf),
    /// The file can't be written.
    #[error("{path}: {source}")]
    File {
        /// The path of the file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The gateway can't be reached.
    #[error("can't reach {url}: {detail}; is Sluice running there?")]
    Unreachable {
        /// The URL of the gateway.
        url: String,
        /// The error of the connection.
        detail: String,
    },
    /// The gateway refuses the session, for example because the token is invalid.
    #[error("the gateway refuses the session ({status}): {detail}")]
    Refused {
        /// The HTTP status of the refusal.
        status: StatusCode,
        /// The detail of the problem in the response.
        detail: String,
    },
    /// The gateway closed the session, and would close another one for the same reason.
    #[error("the gateway ended the session: {0}")]
    Closed(&'static str),
    /// No message arrived within the stall timeout.
    #[error("gave up after {} min without a new byte; last: {last}", driver::STALL_TIMEOUT.as_secs() / 60)]
    GaveUp {
        /// The last error of the connection.
        last: String,
    },
    /// The gateway refused the export, or the export ended without a file.
    #[error("{}", describe(.0))]
    Problem(Problem),
    /// The gateway violated the protocol.
    #[error("the gateway violated the protocol: {0}")]
    Protocol(String),
    /// The received bytes differ from the seal.
    #[error("the file is damaged: {0}")]
    Damaged(String),
    /// The file restarted from its first byte, but standard output cannot discard bytes.
    #[error("the file restarted, but the bytes on standard output can't be taken back: write to a file with -o")]
    Restarted,
    /// The user stopped the command with Ctrl-C.
    #[error("interrupted; the export is canceled")]
    Interrupted,
    /// The completed export can't be requested from the gateway.
    #[error("the file is complete, but the export can't be shown: {0}")]
    Show(String),
    /// Standard output is closed.
    #[error("can't print: {0}")]
    Print(io::Error),
}

impl ExportError {
    /// Whether the export may still run although no client will receive its file.
    const fn leaves_export_running(&self) -> bool {
        match self {
            Self::File { .. }
            | Self::GaveUp { .. }
            | Self::Protocol(_)
            | Self::Damaged(_)
            | Self::Restarted
            | Self::Closed(_)
            | Self::Refused { .. }
            | Self::Interrupted => true,
            Self::Settings(_)
            | Self::Access(_)
            | Self::Exists(_)
            | Self::Busy(_)
            | Self::Unreachable { .. }
            | Self::Problem(_)
            | Self::Show(_)
            | Self::Print(_) => false,
        }
    }
}

impl From<Problem> for ExportError {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

/// Formats a problem and its field errors as one line.
fn describe(problem: &Problem) -> String {
    match problem.errors.as_slice() {
        [] => format!("{}: {}", problem.title, problem.detail),
        errors => {
            let faults: Vec<_> = errors.iter().map(|e| format!("{} (at {})", e.detail, e.pointer)).collect();
            format!("{}: {}", problem.title, faults.join("; "))
        }
    }
}

/// Exports a dataset to a file.
///
/// # Errors
/// When the command receives no complete file. The received bytes stay in a file with the suffix `.part`, except after
/// Ctrl-C.
pub async fn run(options: ExportOptions, files: &SettingsFiles) -> Result<(), ExportError> {
    let access = Access::new(&options, files)?;
    let create = request::create(&options);
    let target = request::target(&options)?;
    let to_stdout = target.is_none();
    let mut sink = Sink::open(target).await?;
    let mut transfer = Transfer::new(create, options.window);
    let life = Lifecycle::new();
    life.stop_at_signals();
    let progress = Progress::new(&options.dataset);

    let mut driver = Driver::new(&access, &mut transfer, &mut sink, &progress, life.soft().clone());
    let seal = match driver.run().await {
        Ok(seal) => seal,
        Err(e) => {
            if e.leaves_export_running() {
                driver.cancel_export().await;
            }
            progress.clear();
            sink.abandon(matches!(e, ExportError::Interrupted)).await;
            return Err(e);
        }
    };
    progress.clear();
    let location = sink.finish().await?;
    if options.json {
        let export = finished(&access, &transfer).await?;
        // standard output already contains the bytes of the file
        if to_stdout {
            let text = serde_json::to_string_pretty(&export).map_err(|e| ExportError::Show(e.to_string()))?;
            output::note(&text);
        } else {
            output::print_json(&export).map_err(ExportError::Print)?;
        }
    } else {
        output::note(&format!(
            "{location}: {} rows, {} bytes, sha256 {}",
            grouped(seal.rows),
            grouped(seal.size),
            seal.sha256
        ));
    }
    Ok(())
}

/// Returns the completed export, from its last event or from the gateway.
async fn finished(access: &Access, transfer: &Transfer) -> Result<Export, ExportError> {
    if let Some(export) = transfer.completed() {
        return Ok(export.clone());
    }
    let id = transfer.export_id().ok_or_else(|| ExportError::Show("it has no id".into()))?;
    let request = async {
        let answer = access
            .get(&format!("/v1/exports/{id}"))?
            .timeout(REQUEST_TIMEOUT)
            .send()
            .await
            .map_err(|e| e.to_string())?;
        let answer = answer.error_for_status().map_err(|e| e.to_string())?;
        answer.json().await.map_err(|e| e.to_string())
    };
    request.await.map_err(ExportError::Show)
}
