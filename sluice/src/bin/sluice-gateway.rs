//! The gateway and nothing else.

use std::process::ExitCode;

fn main() -> ExitCode {
    sluice::single::gateway()
}
