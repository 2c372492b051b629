//! A notifier against a real nats-server, SQLite and a folder.

#![expect(clippy::unwrap_used, reason = "a test that can't go on ends there")]

mod delivery;
mod dispatch;
mod harness;
mod midnight;
mod ops;
mod outages;
mod schedule;
mod settle;
mod sweep;
mod turns;
