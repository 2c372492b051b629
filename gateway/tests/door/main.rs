//! The gateway at its door: real sockets, a real NATS server and a real database, in one process.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod access;
mod credits;
mod events;
mod identity;
mod joining;
mod requests;
mod safety;
mod sse;
mod support;
