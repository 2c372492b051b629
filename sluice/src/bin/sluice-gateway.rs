//! The binary `sluice-gateway`, which runs only a gateway.

use std::process::ExitCode;

fn main() -> ExitCode {
    sluice::single_service::gateway()
}
