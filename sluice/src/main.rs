//! The one binary a person installs.

use std::process::ExitCode;

fn main() -> ExitCode {
    sluice::main()
}
