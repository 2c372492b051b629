//! Pulls jobs and turns datasets into files.
pub mod dataset;
pub mod format;
