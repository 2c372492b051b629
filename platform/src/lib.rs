//! Process plumbing that every service shares: settings, telemetry, lifecycle, clock, health, the bus (NATS), the
//! database pool and the file store.
//!
//! Nothing here knows what an export is; that is the business of the services above.

pub mod backoff;
pub mod bus;
pub mod catalog;
pub mod clock;
pub mod config;
pub mod db;
pub mod health;
pub mod http;
pub mod lifecycle;
pub mod metrics;
pub mod range;
pub mod secret;
pub mod store;
pub mod telemetry;
pub mod units;
