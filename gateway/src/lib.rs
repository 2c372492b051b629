//! The gateway is the only service that clients reach. The gateway authenticates callers, and serves REST, WebSocket
//! sessions, SSE, the web page and the API descriptions. It stores requested exports, holds the credits that each
//! export costs, and forwards the bytes of files to clients.
//!
//! The gateway has no credentials for data sources or the file store. The notifier issues grants to the gateway. A
//! grant is a short-lived URL that gives access to the bytes of one segment of a file. The gateway fetches bytes only
//! as fast as the client accepts them.

pub mod app;
pub mod auth;
pub mod config;
mod contract;
mod credits;
mod delivery;
mod drain;
mod embed;
mod error;
mod events;
mod exports;
mod http;
mod operate;
mod router;
mod saved_exports;
mod sessions;
mod state;
mod web;
mod ws;

pub use app::{Deps, start};
pub use config::GatewayConfig;
pub use contract::asyncapi;
pub use drain::CLOSE_GRACE;
pub use router::openapi;
