//! Pulls jobs and turns datasets into files.
