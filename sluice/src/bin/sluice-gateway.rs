//! The entry point of the binary that runs a gateway only.

use std::process::ExitCode;

fn main() -> ExitCode {
    sluice::single_service::gateway()
}
