//! Pulls jobs and turns datasets into files.
pub mod format;
