//! The entry point of the binary that runs a notifier only.

use std::process::ExitCode;

fn main() -> ExitCode {
    sluice::single_service::notifier()
}
