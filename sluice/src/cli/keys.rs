//! The command line of `sluice keys`.

use std::time::Duration;

use clap::{Args, Subcommand};
use protocol::api_key::ApiKeyId;

use super::{AccessOptions, duration};

/// The subcommands of `sluice keys`.
#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Create an API key and print it; it is shown only this once
    Create(CreateOptions),
    /// List the API keys of the tenant, without their secrets
    List(ListOptions),
    /// Delete an API key and the keys that it created; their sessions end
    Delete(DeleteOptions),
}

/// The options of `sluice keys create`.
#[derive(Debug, Args)]
pub struct CreateOptions {
    /// Give the key this name
    #[arg(long, value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub name: String,
    /// Give the key this scope, such as `export:flights` or `export:*`; may be given several times
    #[arg(long, required = true)]
    pub scope: Vec<String>,
    /// Let the key expire after this time: 12h, 90d [default: the key works until it is deleted]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub expires_in: Option<Duration>,
    /// Print the key with its id and expiry as JSON
    #[arg(long)]
    pub json: bool,
    /// The gateway and the user.
    #[command(flatten)]
    pub access: AccessOptions,
}

/// The options of `sluice keys list`.
#[derive(Debug, Args)]
pub struct ListOptions {
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
    /// The gateway and the user.
    #[command(flatten)]
    pub access: AccessOptions,
}

/// The options of `sluice keys delete`.
#[derive(Debug, Args)]
pub struct DeleteOptions {
    /// The id of the key
    pub id: ApiKeyId,
    /// Print `{"deleted"}` as JSON
    #[arg(long)]
    pub json: bool,
    /// The gateway and the user.
    #[command(flatten)]
    pub access: AccessOptions,
}
