//! The exporter takes export jobs and turns datasets into files.
//!
//! The modules, in the order in which an export uses them:
//! - `worker`: takes a job when a slot is free, runs an attempt at its export, renews the lease of the export and
//!   reports the outcome.
//! - `plan`: finds the dataset, layout and format of a request, and hides the rows and values of the dataset that the
//!   owner of the export must not see.
//! - [`registry`]: the offered datasets, templates and formats. [`catalog`] loads datasets and templates from a file,
//!   and advertises the registry to gateways.
//! - [`dataset`]: reads rows from files and databases, as a stream of polars data frames.
//! - [`template`]: chooses and styles the columns, as a [`layout`].
//! - [`mod@format`]: encodes data frames as the bytes of a file. This is the crate `formats`.
//! - [`pipeline`]: passes the rows through the layout, the format and the compression. [`segment`] splits the resulting
//!   bytes into segments, hashes them and stores them.
//! - [`progress`]: counts rows and bytes, for progress reports.
//! - `drain`: makes the exporter take no more jobs, at an operator's request.
//! - `estimate`: predicts the size and duration of an export, with a preview of its rows.
//!
//! To add a dataset, a template or a format, implement one trait and add the implementation to a [`Registry`].

mod app;
pub mod catalog;
pub mod config;
pub mod dataset;
mod deps;
mod drain;
pub mod error;
mod estimate;
pub mod pipeline;
mod plan;
pub mod progress;
pub mod registry;
pub mod segment;
pub mod template;
mod worker;

pub use app::{App, start, start_with};
pub use config::ExporterConfig;
pub use deps::Deps;
pub use error::ExporterError;
pub use formats::{self as format, layout};
pub use registry::Registry;
pub use worker::{OwnProcess, is_own_process};

use formats::{frame_spool, value};
use platform::quiet;
