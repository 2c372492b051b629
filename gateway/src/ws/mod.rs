//! WebSocket sessions: `GET /v1/ws`, subprotocol `sluice.v1`.
//!
//! [`handshake`] authenticates the caller before the upgrade. [`driver`] owns the socket and performs I/O. [`session`]
//! holds the rules of a session and knows neither sockets nor NATS. [`pump`] moves the bytes of one file under the
//! window that the client has granted, and [`outbox`] writes everything to the socket.

mod closing;
mod driver;
mod handshake;
mod outbox;
mod pump;
mod rate_limit;
mod requests;
mod session;
mod stop;
mod streams;
mod window;

pub(crate) use handshake::endpoint;
