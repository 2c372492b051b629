//! The wire types of Sluice: ids, client and server messages, binary frames, close codes, problems, NATS messages and
//! NATS subjects.
//!
//! This crate defines every message that crosses a process boundary. It performs no I/O and depends on neither tokio,
//! axum, NATS nor sea-orm. Clients depend on the public messages, which `docs/protocol.md` describes. The three
//! services exchange the internal messages over NATS.

pub mod access;
pub mod api_key;
pub mod catalog;
pub mod client;
pub mod close;
pub mod credits;
pub mod decimal;
pub mod delivery;
pub mod envelope;
pub mod estimate;
pub mod export;
pub mod filter;
pub mod frame;
pub mod id;
pub mod json;
pub mod operate;
pub mod ops;
pub mod params;
pub mod problem;
pub mod relative;
pub mod saved_export;
pub mod server;
pub mod subject;
pub mod time;
pub mod visibility;

/// The envelope version: the member `v` of every internal message.
pub const ENVELOPE_VERSION: u8 = 1;

/// The name of the WebSocket subprotocol.
pub const SUBPROTOCOL: &str = "sluice.v1";

/// The prefix of the WebSocket subprotocol with which a browser sends its ticket. The ticket follows the prefix.
pub const TICKET_SUBPROTOCOL_PREFIX: &str = "sluice.ticket.";
