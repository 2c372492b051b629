//! Whole-system scenarios: the real binary as separate processes, a real NATS server, PostgreSQL or SQLite, a folder.
//!
//! [`Fleet`] starts them; the scenarios are in `tests/`, one file a theme.

pub mod balancer;
pub mod csv;
pub mod fleet;
pub mod gate;
pub mod source;

pub use balancer::Balancer;
pub use fleet::{Fleet, Plan};
pub use gate::Gate;
pub use source::{Catalog, Source};

use std::path::PathBuf;

/// The flights file: `SLUICE_FLIGHTS`, else where `npm ci` in `web/` puts it.
///
/// # Panics
/// When it is in neither place.
#[must_use]
pub fn flights() -> PathBuf {
    let default =
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../web/node_modules/vega-datasets/data/flights-3m.parquet");
    let path = std::env::var_os("SLUICE_FLIGHTS").map_or_else(default, PathBuf::from);
    assert!(path.is_file(), "no flights at {}: run `npm ci` in web/, or set SLUICE_FLIGHTS", path.display());
    path
}
