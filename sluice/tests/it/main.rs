//! Tests of the binary and of the export client.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod catalog_init;
mod export_client;
mod preview;
mod services;
mod up;
