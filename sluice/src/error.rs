//! Every way in which the binary can fail, and its exit code.

use std::io;

use crate::{
    commands::CommandError, export::ExportError, services::ServiceError, settings::SettingsError, single::HealthError,
    up::UpError,
};

/// A failure that ends the process.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// Settings that can't be used.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// A small command failed.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// A service failed.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// `sluice up` failed.
    #[error(transparent)]
    Up(#[from] UpError),
    /// A service in this container isn't ready.
    #[error(transparent)]
    Health(#[from] HealthError),
    /// An export failed.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// The machine gives no threads.
    #[error("can't start threads: {0}")]
    Runtime(io::Error),
}

/// Something went wrong.
const FAILED: u8 = 1;
/// The command line or the settings are wrong.
const USAGE: u8 = 2;
/// Ctrl-C, as shells have it.
const INTERRUPTED: u8 = 130;

impl CliError {
    /// The process's exit code.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Settings(_)
            | Self::Up(UpError::Settings(_))
            | Self::Export(ExportError::Settings(_) | ExportError::Access(_)) => USAGE,
            Self::Export(ExportError::Interrupted) => INTERRUPTED,
            Self::Command(_)
            | Self::Service(_)
            | Self::Health(_)
            | Self::Up(_)
            | Self::Export(_)
            | Self::Runtime(_) => FAILED,
        }
    }
}
