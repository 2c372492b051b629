//! The gateway: the only door. It verifies callers, holds WebSocket sessions, serves REST, the page and the
//! machine-readable contract, writes the export row with its credit hold, and passes file bytes on.
//!
//! It has no polars, no data-source and no file-store credentials: taking the edge yields no data. Bytes come by
//! short-lived grants that the notifier gives out, and only as many as the client has granted.

pub mod app;
pub mod auth;
pub mod config;
pub mod contract;
pub mod credits;
pub mod delivery;
mod drain;
pub mod error;
pub mod events;
pub mod exports;
pub mod http;
mod join;
pub mod oidc;
pub mod queue;
mod serve;
pub mod submit;
pub mod validate;
pub mod web;
pub mod ws;

pub use app::{Deps, start};
pub use config::GatewayConfig;
pub use platform::catalog;
