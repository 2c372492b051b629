//! The HTTP/1 server of every listener, with a connection limit and timeouts.
//!
//! axum's own server has neither a connection limit nor timeouts.

mod counted;
mod idle;
mod server;

pub use self::server::Server;
