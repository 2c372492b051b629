//! The reasons why `sluice export` fails.

use std::{io, path::PathBuf, time::Duration};

use protocol::problem::Problem;
use reqwest::StatusCode;

use super::access::AccessError;

/// The reason why `sluice export` failed.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The settings are invalid, or contain no gateway or no token.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// The command line names no output file, and a file with the default name exists. The command does not overwrite
    /// this file.
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
    /// The gateway closed the session, and would close a new session for the same reason. The value is the reason.
    #[error("the gateway ended the session: {0}")]
    Closed(&'static str),
    /// No message arrived within the stall timeout.
    #[error("gave up after {} min without a message of the gateway; last: {last}", .waited.as_secs() / 60)]
    GaveUp {
        /// How long the program waited for a message: the stall timeout.
        waited: Duration,
        /// The last error of the connection.
        last: String,
    },
    /// The gateway refused the export, or the export ended without a file.
    #[error("{}", describe(.0))]
    Problem(Problem),
    /// The gateway violated the protocol.
    #[error("the gateway violated the protocol: {0}")]
    Protocol(String),
    /// The received bytes differ from the size or the digest that the gateway sent at the end of the file.
    #[error("the file is damaged: {0}")]
    Damaged(String),
    /// The file must restart from its first byte, but the output is standard output, a device or a named pipe, which
    /// can't discard the bytes that it has received.
    #[error(
        "the file restarted, but the bytes that were already passed on can't be taken back: write to a file with -o"
    )]
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
    /// Whether the export may still run after this error. The command then cancels the export, because no client will
    /// receive its file.
    pub(super) const fn leaves_export_running(&self) -> bool {
        match self {
            Self::File { .. }
            | Self::GaveUp { .. }
            | Self::Protocol(_)
            | Self::Damaged(_)
            | Self::Restarted
            | Self::Closed(_)
            | Self::Refused { .. }
            | Self::Interrupted => true,
            Self::Access(_)
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
pub(crate) fn describe(problem: &Problem) -> String {
    match problem.errors.as_slice() {
        [] => format!("{}: {}", problem.title, problem.detail),
        errors => {
            let faults: Vec<_> = errors.iter().map(|e| format!("{} (at {})", e.detail, e.pointer)).collect();
            format!("{}: {}", problem.title, faults.join("; "))
        }
    }
}
