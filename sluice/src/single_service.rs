//! The binaries of container images that run one service: `sluice-gateway`, `sluice-exporter`, `sluice-notifier`.
//!
//! The entry function of each binary starts only one service, so that the linker drops the code of the other services.
//! For example, the image of a gateway does not contain the data engine polars. The options are `--config`,
//! `--data-dir` and `--health`. With `--health`, a container checks the readiness of its service without a shell or
//! curl.

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser};
use tokio::runtime::Runtime;

use crate::{
    cli::SettingsFiles,
    error::CliError,
    health::check_readiness,
    process,
    services::{self, ServiceError, ServiceKind, Starting},
};

/// The command line of a binary for one service.
#[derive(Debug, Parser)]
#[command(
    version,
    about = "Run one service of Sluice",
    after_help = "Settings: defaults, then --config FILE, then the environment (SLUICE_GATEWAY__LISTEN sets `listen` in \
                  [gateway], SLUICE_NATS__PASSWORD_FILE names a file with `password` in [nats])."
)]
struct Options {
    #[command(flatten)]
    files: SettingsFiles,
    /// Check the readiness of the service that runs on this machine, and exit with 0 if it is ready
    #[arg(long)]
    health: bool,
}

/// Runs the binary `sluice-gateway`, and returns the exit code of the process.
#[must_use]
pub fn gateway() -> ExitCode {
    main(ServiceKind::Gateway, async |starting: Starting<'_>| services::start_gateway(starting).await)
}

/// Runs the binary `sluice-exporter`, and returns the exit code of the process.
#[must_use]
pub fn exporter() -> ExitCode {
    main(ServiceKind::Exporter, async |starting: Starting<'_>| services::start_exporter(starting).await)
}

/// Runs the binary `sluice-notifier`, and returns the exit code of the process.
#[must_use]
pub fn notifier() -> ExitCode {
    main(ServiceKind::Notifier, async |starting: Starting<'_>| services::start_notifier(starting).await)
}

fn main(kind: ServiceKind, start: impl AsyncFnOnce(Starting<'_>) -> Result<(), ServiceError>) -> ExitCode {
    let name = kind.process();
    let matches = Options::command().name(name).bin_name(name).get_matches();
    let options = Options::from_arg_matches(&matches).unwrap_or_else(|e| e.exit());
    process::install_tls();
    let result = Runtime::new().map_err(CliError::Runtime).and_then(|runtime| {
        runtime.block_on(async {
            let settings = options.files.load()?;
            if options.health {
                let (setting, address) = kind.address(&settings);
                check_readiness(setting, address).await?;
            } else {
                services::run(kind, &settings, start).await?;
            }
            Ok(())
        })
    });
    process::exit(result)
}
