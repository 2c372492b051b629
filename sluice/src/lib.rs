//! The one binary a person installs: all of Sluice on one machine (`up`), each service alone, and the commands around
//! them.
//!
//! - [`cli`] says what can be typed; [`settings`] says what can be set, and where it comes from.
//! - [`up`] makes a data folder, runs nats-server as a child, and puts the three services into this process.
//! - [`services`] starts one service from the settings; [`single`] is a binary of its own for each.
//! - [`export`] is a client like any other: it speaks the public protocol and nothing else.
//! - [`commands`] are the small ones.
//!
//! Every failure is one line on standard error; the exit code is 1, or 2 for a wrong command line or wrong settings.

pub mod cli;
pub mod commands;
pub mod error;
pub mod export;
pub mod output;
pub mod services;
pub mod settings;
pub mod single;
pub mod up;

use std::process::ExitCode;

use clap::Parser;
use tokio::runtime::Runtime;

use crate::{
    cli::{CatalogCommand, Cli, Command, CreditsCommand},
    error::CliError,
};

/// Runs what the command line says.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    install_tls();
    exit(Runtime::new().map_err(CliError::Runtime).and_then(|runtime| runtime.block_on(run(cli))))
}

/// Two providers are compiled in, one of them by dependencies alone; this is the one to use.
fn install_tls() {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    if provider.install_default().is_err() {
        output::error("a TLS provider was installed before");
    }
}

fn exit(result: Result<(), CliError>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            output::error(&e.to_string());
            ExitCode::from(e.exit_code())
        }
    }
}

async fn run(cli: Cli) -> Result<(), CliError> {
    let place = cli.place;
    match cli.command {
        Command::Up(options) => up::run(&options, &place).await?,
        Command::Gateway => services::alone(services::Kind::Gateway, &place.load()?).await?,
        Command::Exporter => services::alone(services::Kind::Exporter, &place.load()?).await?,
        Command::Notifier => services::alone(services::Kind::Notifier, &place.load()?).await?,
        Command::Migrate(options) => commands::migrate::run(&options, &place.load()?).await?,
        Command::Token(options) => commands::token::run(&options, &place.load()?)?,
        Command::Credits(CreditsCommand::Grant(options)) => commands::credits::grant(&options, &place.load()?).await?,
        Command::Credits(CreditsCommand::Adjust(options)) => {
            commands::credits::adjust(&options, &place.load()?).await?;
        }
        Command::Credits(CreditsCommand::Audit(options)) => commands::credits::audit(&options, &place.load()?).await?,
        Command::Credits(CreditsCommand::Show(options)) => commands::credits::show(&options, &place.load()?).await?,
        Command::Ops(options) => commands::ops::run(&options, &place.load()?).await?,
        Command::Schedule(options) => commands::schedule::run(&options, &place.load()?).await?,
        Command::Backup(options) => commands::backup::run(&options, &place).await?,
        Command::Restore(options) => commands::restore::run(&options, &place).await?,
        Command::Export(options) => export::run(*options, &place).await?,
        Command::Catalog(CatalogCommand::Check(options)) => commands::catalog::check(&options, &place.load()?).await?,
        Command::Config(options) => commands::config::run(&options, &place.load()?)?,
    }
    Ok(())
}
