//! The options of `sluice catalog`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use platform::secret::Secret;
use serde_json::Value;

use super::values::{filter, parameter, secret};

/// The subcommands of `sluice catalog`.
#[derive(Debug, Subcommand)]
pub enum CatalogCommand {
    /// Write a catalog file for a database, a folder of files or a bucket
    Init(CatalogInitOptions),
    /// Check a catalog file and the sources in it
    Check(CatalogCheckOptions),
    /// Print rows of a dataset as an export would write them, without the access rules of the dataset
    Preview(CatalogPreviewOptions),
    /// Print the JSON Schema of catalog files, for editors
    Schema,
}

/// The options of `sluice catalog init`.
#[derive(Debug, Args)]
pub struct CatalogInitOptions {
    /// The source: postgres://…, a SQLite file, a folder or pattern of files, s3://BUCKET/PREFIX, https://…/FILE, or
    /// env:NAME for a variable with the URL of a database
    #[arg(value_parser = secret)]
    pub source: Secret,
    /// Write to this file; `-` is standard output
    #[arg(short, long, value_name = "FILE", default_value = "catalog.toml")]
    pub output: PathBuf,
    /// Take only the tables or files that match a pattern, such as `order*` or `sales.*`
    #[arg(long, value_name = "PATTERN", num_args = 1.., value_delimiter = ',')]
    pub tables: Vec<String>,
    /// Take only the tables of this schema of PostgreSQL; may be given several times
    #[arg(long, value_name = "NAME")]
    pub schema: Vec<String>,
    /// Compare tenant columns with this claim of the caller's token
    #[arg(long, value_name = "NAME", default_value = "tenant")]
    pub tenant_claim: String,
    /// Add what is new to an existing file, and keep all that it has
    #[arg(long, conflicts_with = "force")]
    pub update: bool,
    /// Replace an existing file
    #[arg(long)]
    pub force: bool,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

/// The options of `sluice catalog check`.
#[derive(Debug, Args)]
pub struct CatalogCheckOptions {
    /// The catalog file [default: exporter.catalog of the settings]
    pub file: Option<PathBuf>,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

/// The options of `sluice catalog preview`.
#[derive(Debug, Args)]
pub struct CatalogPreviewOptions {
    /// The name of the dataset
    pub dataset: String,
    /// The catalog file [default: exporter.catalog of the settings]
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Print at most this many rows
    #[arg(long, value_name = "ROWS", default_value_t = 20)]
    pub limit: u64,
    /// Print every row instead of the first ones
    #[arg(long, conflicts_with = "limit")]
    pub all: bool,
    /// Print the rows that match this filter, such as '{"origin": {"eq": "SEA"}}'
    #[arg(long, value_name = "JSON", value_parser = filter)]
    pub filter: Option<Value>,
    /// Print these columns in this order, separated by commas
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub columns: Vec<String>,
    /// Set a parameter of the dataset; a value that is not JSON is a text
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = parameter)]
    pub param: Vec<(String, Value)>,
    /// Use this template for the layout of the rows [default: plain]
    #[arg(long, value_name = "NAME")]
    pub template: Option<String>,
    /// Print the rows in this format
    #[arg(long, value_name = "NAME", default_value = "csv")]
    pub format: String,
}
