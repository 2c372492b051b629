//! WebSocket sessions: `GET /v1/ws`, subprotocol `sluice.v1`.
//!
//! [`handshake`] turns a request into a verified caller before any upgrade; [`driver`] owns the socket; the rules of
//! a session live in [`session`], which knows neither sockets nor NATS; [`pump`] moves one file's bytes under the
//! window that the client has granted.

mod driver;
pub mod handshake;
mod outbox;
mod pump;
mod rate;
pub mod registry;
mod requests;
mod session;
mod stop;
pub(crate) mod told;
mod window;
