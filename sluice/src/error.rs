//! The errors that end the process, and their exit codes.

use std::io;

use crate::{
    commands::{CommandError, api::ApiError},
    export::ExportError,
    health::HealthError,
    services::ServiceError,
    settings::SettingsError,
    up::UpError,
};

/// An error that ends the process.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The settings are invalid, or can't be read.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// A command other than `up` and `export` failed.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// A service failed to start, or stopped by itself.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// `sluice up` failed to start, or stopped by itself.
    #[error(transparent)]
    Up(#[from] UpError),
    /// The service is not ready, or can't be checked.
    #[error(transparent)]
    Health(#[from] HealthError),
    /// An export ended without a file.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// The operating system refuses to start threads.
    #[error("can't start threads: {0}")]
    Runtime(io::Error),
}

/// The exit code of a failure that is neither a usage error nor Ctrl-C.
const FAILED: u8 = 1;
/// The exit code for an invalid command line or invalid settings.
const USAGE: u8 = 2;
/// The exit code after Ctrl-C: 128 + SIGINT, as in shells.
const INTERRUPTED: u8 = 130;

impl CliError {
    /// Returns the exit code of the process.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Settings(_) | Self::Up(UpError::Settings(_)) | Self::Export(ExportError::Access(_)) => USAGE,
            Self::Command(CommandError::Api(ApiError::Access(_)) | CommandError::SavedName { .. }) => USAGE,
            Self::Export(ExportError::Interrupted) => INTERRUPTED,
            Self::Command(CommandError::Receive(e)) if matches!(**e, ExportError::Interrupted) => INTERRUPTED,
            Self::Command(_)
            | Self::Service(_)
            | Self::Health(_)
            | Self::Up(_)
            | Self::Export(_)
            | Self::Runtime(_) => FAILED,
        }
    }
}
