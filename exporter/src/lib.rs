//! Pulls jobs and turns datasets into files.
//!
//! The rooms, in the order in which an export passes them:
//! - `worker`: takes a job when there is a slot, claims its export, keeps the claim alive, and says what became of it.
//! - [`registry`]: the datasets, templates and formats on offer; [`catalog`] reads those of a file, and tells the gateways.
//! - [`dataset`]: rows out of Parquet files and SQL, as a stream of polars frames.
//! - [`template`]: which columns, in which order.
//! - [`mod@format`]: frames into bytes.
//! - [`pipeline`] and [`segment`]: the bytes, hashed in order, into segments in the file store.
//! - [`progress`]: how far it is.
//! - `drain`: no new jobs, when an operator wants that.
//! - `estimate`: what an export would be, before anybody asks for it.
//!
//! To add a dataset, a template or a format, implement one trait and add a line to [`Registry::standard`].

mod app;
pub mod catalog;
pub mod config;
pub mod dataset;
mod drain;
pub mod error;
mod estimate;
pub mod format;
pub mod pipeline;
pub mod progress;
pub mod registry;
pub mod segment;
pub mod template;
mod worker;

pub use app::{App, Deps, start, start_with};
pub use config::ExporterConfig;
pub use error::ExporterError;
pub use registry::Registry;
