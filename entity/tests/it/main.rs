//! Tests of the database's models, on SQLite and PostgreSQL.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stdout, reason = "a test prints what it measured")]

mod api_key;
mod ledger;
mod pause;
mod saved_export;
mod schedule;
mod store;
