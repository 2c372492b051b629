//! `sluice export`: a client like any other. It speaks the public protocol over a WebSocket, and nothing else.
//!
//! - `request`: the command line as an `export.create`.
//! - `access`: which gateway, and with which token.
//! - `socket`: one connection.
//! - [`transfer`]: the protocol as a machine without a socket: what to say and what to write after each message.
//! - `sink`: the file, under another name until it is whole.
//! - `drive`: connects, connects again, and carries out what the machine says.
//! - `progress`: what a person sees meanwhile.

mod access;
mod backoff;
mod drive;
mod progress;
mod request;
mod sink;
mod socket;
pub mod transfer;

use std::{io, path::PathBuf, time::Duration};

use platform::lifecycle::Lifecycle;
use protocol::{export::Export, problem::Problem};
use reqwest::StatusCode;

use self::{access::Access, drive::Driver, progress::Progress, sink::Sink, transfer::Transfer};
use crate::{
    cli::{ExportOptions, Place},
    output::{self, grouped},
    settings::SettingsError,
};

/// How long asking for the finished export may take.
const ASK: Duration = Duration::from_secs(20);

/// Why there is no file.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The settings are wrong.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// No gateway or no token is named.
    #[error(transparent)]
    Access(#[from] access::AccessError),
    /// The file exists, and nobody said that it may go.
    #[error("{0} exists: name a file with -o, or `-` for standard output")]
    Exists(PathBuf),
    /// Another `sluice export` writes the same file.
    #[error("another process writes {0}")]
    Busy(PathBuf),
    /// The file can't be written.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The gateway can't be reached.
    #[error("can't reach {url}: {detail}; does Sluice run there?")]
    Unreachable {
        /// Where.
        url: String,
        /// Why.
        detail: String,
    },
    /// The gateway lets nobody in with this token.
    #[error("the gateway refuses the session ({status}): {detail}")]
    Refused {
        /// The HTTP status.
        status: StatusCode,
        /// Why.
        detail: String,
    },
    /// The session was closed, and another one would be as well.
    #[error("the gateway ended the session: {0}")]
    Closed(&'static str),
    /// Nothing came for too long.
    #[error("gave up after {} min without a new byte; last: {last}", drive::GIVE_UP.as_secs() / 60)]
    GaveUp {
        /// The last fault.
        last: String,
    },
    /// The gateway said no, or the export ended without a file.
    #[error("{}", describe(.0))]
    Problem(Problem),
    /// The gateway broke the protocol.
    #[error("the gateway broke the protocol: {0}")]
    Protocol(String),
    /// What came isn't what was sealed.
    #[error("the file is damaged: {0}")]
    Damaged(String),
    /// The file begins anew, but standard output can't.
    #[error("the file was made anew, and what is on standard output can't be taken back: write to a file with -o")]
    Restarted,
    /// Ctrl-C.
    #[error("interrupted; the export is canceled")]
    Interrupted,
    /// The export object can't be had.
    #[error("the file is whole, but the export can't be shown: {0}")]
    Show(String),
    /// Nobody reads what we print.
    #[error("can't print: {0}")]
    Print(io::Error),
}

impl ExportError {
    /// Whether the export may still go on without anybody to take its file.
    const fn leaves_work(&self) -> bool {
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

/// A problem as one line, each fault once.
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
/// Why there is no file. What came so far is then in the file's `.part` neighbour, except after Ctrl-C.
pub async fn run(options: ExportOptions, place: &Place) -> Result<(), ExportError> {
    let access = Access::of(&options, place)?;
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
            if e.leaves_work() {
                driver.give_up().await;
            }
            progress.clear();
            sink.leave(matches!(e, ExportError::Interrupted)).await;
            return Err(e);
        }
    };
    progress.clear();
    let place = sink.finish().await?;
    if options.json {
        let export = finished(&access, &transfer).await?;
        // the bytes have standard output for themselves
        if to_stdout {
            let text = serde_json::to_string_pretty(&export).map_err(|e| ExportError::Show(e.to_string()))?;
            output::note(&text);
        } else {
            output::print_json(&export).map_err(ExportError::Print)?;
        }
    } else {
        output::note(&format!(
            "{place}: {} rows, {} bytes, sha256 {}",
            grouped(seal.rows),
            grouped(seal.size),
            seal.sha256
        ));
    }
    Ok(())
}

/// The export as it is now: from its last event, or else asked for.
async fn finished(access: &Access, transfer: &Transfer) -> Result<Export, ExportError> {
    if let Some(export) = transfer.completed() {
        return Ok(export.clone());
    }
    let id = transfer.export_id().ok_or_else(|| ExportError::Show("it has no id".into()))?;
    let ask = async {
        let answer = access.get(&format!("/v1/exports/{id}"))?.timeout(ASK).send().await.map_err(|e| e.to_string())?;
        let answer = answer.error_for_status().map_err(|e| e.to_string())?;
        answer.json().await.map_err(|e| e.to_string())
    };
    ask.await.map_err(ExportError::Show)
}
