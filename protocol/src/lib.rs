//! Wire types of Sluice: ids, client and server messages, the binary frame codec, close codes, problem types,
//! job, outcome and event envelopes, and NATS subject builders.
//!
//! This crate defines every message that crosses a process boundary. It performs no I/O and depends on neither tokio,
//! axum, NATS nor sea-orm. The public messages are the contract in `docs/protocol.md`. The internal messages are those
//! that the three services exchange over NATS.

pub mod access;
pub mod catalog;
pub mod client;
pub mod close;
pub mod credits;
pub mod delivery;
pub mod envelope;
pub mod estimate;
pub mod export;
pub mod filter;
pub mod frame;
pub mod id;
pub mod json;
pub mod ops;
pub mod params;
pub mod problem;
pub mod server;
pub mod subject;
pub mod time;

/// The envelope version: the member `v` of every internal message.
pub const ENVELOPE_VERSION: u8 = 1;

/// The name of the WebSocket subprotocol.
pub const SUBPROTOCOL: &str = "sluice.v1";

/// The prefix of the subprotocol that carries a single-use ticket from a browser.
pub const TICKET_SUBPROTOCOL_PREFIX: &str = "sluice.ticket.";
