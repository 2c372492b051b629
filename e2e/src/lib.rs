//! End-to-end tests of the whole system: the `sluice` binary as separate processes, a NATS server, PostgreSQL or SQLite, and
//! a file store.
//!
//! [`Fleet`] starts all processes. The tests are in `tests/`, one file for each topic.

pub mod catalog_file;
pub mod csv;
pub mod export_pause;
pub mod fleet;
pub mod load_balancer;
pub mod source_database;

pub use catalog_file::CatalogFile;
pub use export_pause::ExportPause;
pub use fleet::{DataDirs, Datasets, Fleet, Plan, Setting};
pub use load_balancer::LoadBalancer;
pub use source_database::SourceDatabase;

use std::path::PathBuf;

/// The path of the flights file: the variable `SLUICE_FLIGHTS`, else the file that `npm ci` installs in `web/`.
///
/// # Panics
/// When the file does not exist.
#[must_use]
pub fn flights() -> PathBuf {
    let default =
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../web/node_modules/vega-datasets/data/flights-3m.parquet");
    let path = std::env::var_os("SLUICE_FLIGHTS").map_or_else(default, PathBuf::from);
    assert!(path.is_file(), "no flights at {}: run `npm ci` in web/, or set SLUICE_FLIGHTS", path.display());
    path
}
