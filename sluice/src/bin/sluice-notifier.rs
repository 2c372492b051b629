//! The binary `sluice-notifier`, which runs only a notifier.

use std::process::ExitCode;

fn main() -> ExitCode {
    sluice::single_service::notifier()
}
