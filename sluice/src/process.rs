//! The start and the end of every process: the TLS provider, the printed error and the exit code.

use std::process::ExitCode;

use crate::{error::CliError, output};

/// Selects the TLS provider. Dependencies compile in two providers, and rustls cannot choose one of them itself.
pub(crate) fn install_tls() {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    if provider.install_default().is_err() {
        output::error("a TLS provider is installed already");
    }
}

/// Prints the error of the process, and returns its exit code.
pub(crate) fn exit(result: Result<(), CliError>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            output::error(&e.to_string());
            ExitCode::from(e.exit_code())
        }
    }
}
