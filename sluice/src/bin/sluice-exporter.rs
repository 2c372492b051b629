//! The binary `sluice-exporter`, which runs only an exporter.

use std::process::ExitCode;

fn main() -> ExitCode {
    sluice::single_service::exporter()
}
