//! The gateway: the only service that clients reach. The gateway authenticates callers, serves REST, WebSocket
//! sessions, SSE, the web page and the API descriptions, stores each export with its credit hold, and forwards file
//! bytes.
//!
//! The gateway has no credentials for data sources or the file store. It reads file bytes with short-lived grants of
//! the notifier, and only as many bytes as the client's window allows.

pub mod app;
pub mod auth;
pub mod config;
mod contract;
mod credits;
mod delivery;
mod drain;
mod error;
mod events;
mod exports;
mod http;
mod router;
mod sessions;
mod state;
mod web;
mod ws;

pub use app::{Deps, start};
pub use config::GatewayConfig;
pub use contract::asyncapi;
pub use router::openapi;
