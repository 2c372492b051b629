//! Backups and restores with a real nats-server, PostgreSQL or SQLite, and folders.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod contents;
mod installation;
mod pool;
mod restore;
