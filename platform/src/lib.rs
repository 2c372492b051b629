//! The foundation of every service: settings, units, telemetry, lifecycle, clock, readiness, HTTP server, retries, the
//! bus (NATS), the database pool and the file store.
//!
//! This crate has no code about exports, except for the catalog of datasets that exporters advertise, which checks
//! requests, and the moments of schedules.

pub mod backoff;
pub mod bus;
pub mod catalog;
pub mod clock;
pub mod config;
pub mod cron;
pub mod db;
pub mod health;
pub mod http;
pub mod lifecycle;
pub mod metrics;
pub mod quiet;
pub mod range;
pub mod secret;
pub mod startup;
pub mod store;
pub mod telemetry;
pub mod units;
