//! The notifier and nothing else.

use std::process::ExitCode;

fn main() -> ExitCode {
    sluice::single::notifier()
}
