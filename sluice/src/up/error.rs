//! The reasons why `sluice up` does not start, or stops.

use std::{
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    time::Duration,
};

use exporter::catalog::init::InitError;

use super::nats_version::{OLDEST, Version};
use crate::{services::ServiceError, settings::SettingsError};

/// The reason why `sluice up` cannot start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum UpError {
    /// The settings are invalid.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The folder contains files of other programs.
    #[error("{0} holds files of other programs: choose another --data-dir")]
    Foreign(PathBuf),
    /// Another process uses the folder.
    #[error("another `sluice up` runs on {0}: stop it, or choose another --data-dir")]
    Locked(PathBuf),
    /// A file can't be read or written.
    #[error("{path}: {source}")]
    File {
        /// The path of the file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// A file that Sluice wrote has invalid contents.
    #[error("{0} is damaged: delete it and start again")]
    Damaged(PathBuf),
    /// No program can open a browser.
    #[error("can't open a browser with {program}: {source}")]
    NoBrowser {
        /// The name of the program.
        program: &'static str,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The gateway can't listen on the port.
    #[error("{}", port_error(*port, source))]
    Port {
        /// The number of the port.
        port: u16,
        /// The error of the operating system.
        source: io::Error,
    },
    /// No nats-server is installed.
    #[error(
        "no nats-server: install 2.11 or newer, or set SLUICE_NATS_SERVER to its path; `cargo xtask up` downloads one"
    )]
    NoNats,
    /// The nats-server program does not work.
    #[error("{program} is not a working nats-server: {detail}")]
    BadNats {
        /// The path of the program.
        program: PathBuf,
        /// The error or the unexpected output.
        detail: String,
    },
    /// The nats-server is older than required.
    #[error(
        "{program} is nats-server {found}, but Sluice needs {} or newer: set SLUICE_NATS_SERVER to another program",
        OLDEST
    )]
    OldNats {
        /// The path of the program.
        program: PathBuf,
        /// The version that the program printed.
        found: Version,
    },
    /// The nats-server did not become ready.
    #[error("nats-server did not start: {0}")]
    NatsStart(String),
    /// A service failed to start, or stopped.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// The database can't be migrated.
    #[error("can't migrate the database: {0}")]
    Migrate(sea_orm::DbErr),
    /// The services are not ready within the time limit.
    #[error("not ready within {} s: {last}", .waited.as_secs())]
    NotReady {
        /// How long the program waited: the time limit of the start.
        waited: Duration,
        /// The last answer of the readiness check.
        last: String,
    },
    /// The catalog file of `--catalog` does not exist.
    #[error("there is no catalog file {0}")]
    NoCatalog(PathBuf),
    /// No catalog file can be written for the source.
    #[error(transparent)]
    CatalogInit(Box<InitError>),
    /// The data folder has a catalog file for another source.
    #[error("{0} does not read this source: start without a source, or choose another --data-dir")]
    OtherSource(PathBuf),
    /// Standard output is closed.
    #[error("can't print: {0}")]
    Print(io::Error),
}

impl UpError {
    pub(super) fn file(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::File { path, source }
    }
}

fn port_error(port: u16, source: &io::Error) -> String {
    match source.kind() {
        ErrorKind::AddrInUse => {
            format!("port {port} is taken: stop the program that uses it, or choose another with --port")
        }
        ErrorKind::PermissionDenied => {
            format!("port {port} needs privileges: choose one above 1023 with --port")
        }
        _ => format!("port {port} can't be used: {source}"),
    }
}
