//! WebSocket sessions: `GET /v1/ws`, subprotocol `sluice.v1`.
//!
//! [`handshake`] authenticates the caller before the upgrade. [`driver`] owns the socket and performs I/O. [`session`]
//! is the state machine of a session and performs no I/O. [`pump`] sends the bytes of one file. The pump never sends
//! more bytes than the file stream's window, which is the number of bytes that the client still accepts. [`outbox`]
//! writes all messages and frames to the socket.

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
