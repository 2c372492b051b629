//! Integration tests of a notifier, with a real nats-server, SQLite or PostgreSQL, and a folder as the file store.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod backup;
mod daily_credits;
mod delivery;
mod dispatch;
mod dispatch_order;
mod gauges;
mod harness;
mod leftovers;
mod ops;
mod outages;
mod pause;
mod requeue;
mod saved_exports;
mod schedule;
mod settle;
mod sweep;
mod takeover;
