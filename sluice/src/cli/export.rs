//! The options of `sluice export`.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Map, Value};

use super::values::{filter, object, parameter};

/// The options of `sluice export`.
#[derive(Debug, Args)]
pub struct ExportOptions {
    /// The name of the dataset
    pub dataset: String,
    /// The rows and the layout of the file.
    #[command(flatten)]
    pub request: RequestOptions,
    /// Write to this file; `-` is standard output [default: a new file named after the dataset]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Print the finished export as JSON
    #[arg(long)]
    pub json: bool,
    /// The gateway and the user.
    #[command(flatten)]
    pub access: AccessOptions,
    /// Limit the bytes in flight
    #[arg(long, value_name = "BYTES", default_value_t = 4 * 1024 * 1024, hide = true,
          value_parser = clap::value_parser!(u64).range(1..))]
    pub window: u64,
}

/// The members of an export request except its dataset.
#[derive(Clone, Debug, Default, Args)]
pub struct RequestOptions {
    /// Export the rows that match this filter, such as '{"origin": {"eq": "SEA"}}'
    #[arg(long, value_name = "JSON", value_parser = filter)]
    pub filter: Option<Value>,
    /// Export these columns in this order, separated by commas
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub columns: Option<Vec<String>>,
    /// Set a parameter of the dataset; a value that is not JSON is a text
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = parameter)]
    pub param: Vec<(String, Value)>,
    /// Set all parameters of the dataset as one JSON object
    #[arg(long, value_name = "JSON", value_parser = object, conflicts_with = "param")]
    pub params: Option<Map<String, Value>>,
    /// Use this time zone for relative times such as now/d: an IANA name (UTC by default)
    #[arg(long, value_name = "ZONE")]
    pub time_zone: Option<String>,
    /// Use this template for the layout of the file
    #[arg(long)]
    pub template: Option<String>,
    /// Write the file in this format [default: csv; `export` goes by the extension of its file]
    #[arg(long)]
    pub format: Option<String>,
    /// Compress the file with this method [default: none; `export` goes by `.gz` or `.zst` at the end of its file]
    #[arg(long)]
    pub compression: Option<String>,
}

/// The gateway to which a command sends requests, and the user of these requests.
#[derive(Clone, Debug, Args)]
pub struct AccessOptions {
    /// Use the gateway at this URL [default: gateway.listen of the settings]
    #[arg(long, env = "SLUICE_URL")]
    pub url: Option<String>,
    /// Use this bearer token or API key [default: a token of the local identity]
    #[arg(long, env = "SLUICE_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// Act as this user of the local identity
    #[arg(long, default_value = "alice")]
    pub sub: String,
    /// Act for this tenant of the local identity
    #[arg(long, default_value = "acme")]
    pub tenant: String,
}
