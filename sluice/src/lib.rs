//! The binary that operators and users install. The binary runs all services on one machine (`up`) or a single service,
//! and has commands for operators and users.
//!
//! A module depends only on modules that stand before it in this list:
//! - [`cli`] defines the command line; [`settings`] defines and loads the settings.
//! - [`schema`] checks the tables of the database; [`settings_text`] writes the settings for a backup.
//! - `hidden_source` hides the password of a source from other users of the machine.
//! - [`init_summary`] tells users which datasets a new catalog file contains.
//! - [`sign_in_link`] creates the one-time link with which a browser may sign in at a local installation.
//! - [`services`] starts each service; [`health`] checks the readiness of one service.
//! - [`up`] claims a data folder, runs nats-server as a child, and runs all services in this process.
//! - [`export`] is a client of the gateway that uses the public protocol only.
//! - [`commands`] contains all other commands.
//! - [`error`] combines the errors of all modules; `process` prints the error and sets the exit code.
//! - [`single_service`] contains the entry points of the binaries that run one service.
//!
//! Every failure is one line on standard error. The exit code is 2 for a wrong command line or wrong settings, 130
//! after Ctrl-C, and 1 for every other failure.

pub mod cli;
pub mod commands;
pub mod error;
pub mod export;
pub mod health;
mod hidden_source;
pub mod init_summary;
pub mod output;
mod process;
pub mod schema;
pub mod services;
pub mod settings;
pub mod settings_reference;
pub mod settings_text;
pub mod sign_in_link;
pub mod single_service;
pub mod up;

use std::process::ExitCode;

use clap::Parser;
use tokio::runtime::Runtime;

use crate::{
    cli::{CatalogCommand, Cli, Command, ConfigCommand, CreditsCommand},
    error::CliError,
    services::ServiceKind,
};

/// The allocator of all release binaries. The default allocator of Linux keeps the freed memory of closed sessions and finished
/// exports in the arena of each thread. jemalloc returns this memory to the system within seconds.
#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Parses the command line, runs the command, and returns the exit code of the process.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    hidden_source::hide(&cli.command);
    process::install_tls();
    process::exit(Runtime::new().map_err(CliError::Runtime).and_then(|runtime| runtime.block_on(run(cli))))
}

async fn run(cli: Cli) -> Result<(), CliError> {
    let files = cli.files;
    match cli.command {
        Command::Up(options) => up::run(&options, &files).await?,
        Command::Gateway => services::run_service(ServiceKind::Gateway, &files.load()?).await?,
        Command::Exporter => services::run_service(ServiceKind::Exporter, &files.load()?).await?,
        Command::Notifier => services::run_service(ServiceKind::Notifier, &files.load()?).await?,
        Command::Migrate(options) => commands::migrate::run(&options, &files.load()?).await?,
        Command::SignInLink => commands::sign_in_link::run(&files.load()?)?,
        Command::Token(options) => commands::token::run(&options, &files.load()?)?,
        Command::Keys(command) => commands::keys::run(&command, &files).await?,
        Command::Saved(command) => commands::saved::run(&command, &files).await?,
        Command::Credits(CreditsCommand::Grant(options)) => commands::credits::grant(&options, &files.load()?).await?,
        Command::Credits(CreditsCommand::Adjust(options)) => {
            commands::credits::adjust(&options, &files.load()?).await?;
        }
        Command::Credits(CreditsCommand::Audit(options)) => commands::credits::audit(&options, &files.load()?).await?,
        Command::Credits(CreditsCommand::Show(options)) => commands::credits::show(&options, &files.load()?).await?,
        Command::Ops(options) => commands::ops::run(&options, &files.load()?).await?,
        Command::Schedule(options) => commands::schedule::run(&options, &files.load()?).await?,
        Command::Backup(options) => commands::backup::run(&options, &files).await?,
        Command::Restore(options) => commands::restore::run(&options, &files).await?,
        Command::Export(options) => export::run(*options, &files).await?,
        Command::Catalog(CatalogCommand::Init(options)) => {
            commands::catalog_init::run(&options, &files.load()?).await?;
        }
        Command::Catalog(CatalogCommand::Check(options)) => commands::catalog::check(&options, &files.load()?).await?,
        Command::Catalog(CatalogCommand::Preview(options)) => {
            commands::preview::preview(&options, &files.load()?).await?;
        }
        Command::Catalog(CatalogCommand::Schema) => commands::catalog::print_schema()?,
        Command::Config(options) => match options.command {
            None => commands::config::print_effective(&options, &files.load()?)?,
            Some(ConfigCommand::Schema) => commands::config::print_schema()?,
            Some(ConfigCommand::Reference) => commands::config::print_reference()?,
        },
    }
    Ok(())
}
