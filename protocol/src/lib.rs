//! Wire types of Sluice: ids, client and server messages, the binary frame codec, close codes, problem types,
//! job, outcome and event envelopes, and NATS subject builders.
//!
//! This crate is pure: no tokio, no axum, no NATS, no sea-orm. Whatever crosses a process boundary is defined
//! here, once. The public half is the contract in `docs/protocol.md`; the internal half is what the three
//! services say to each other over NATS.

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

/// The version that every internal message carries as `v`.
pub const ENVELOPE_VERSION: u8 = 1;

/// The WebSocket subprotocol of this contract.
pub const SUBPROTOCOL: &str = "sluice.v1";

/// The prefix of the subprotocol that carries a single-use ticket from a browser.
pub const TICKET_SUBPROTOCOL_PREFIX: &str = "sluice.ticket.";
