//! The HTTP/1 server of every port: connections are limited in number and have deadlines.
//!
//! axum's own server accepts any number of connections and waits for each of them without a deadline.

mod idle;
mod server;

pub use self::server::Server;
