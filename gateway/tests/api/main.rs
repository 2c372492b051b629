//! Tests of the gateway's public API over real sockets, with a real NATS server and database, in one process.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod conditional;
mod conformance;
mod contract;
mod credits;
mod dataset_access;
mod embed;
mod events;
mod frames;
mod identity;
mod joined_exports;
mod keys;
mod operate;
mod raw_socket;
mod relative_moments;
mod requests;
mod saved_exports;
mod schedules;
mod security_headers;
mod sessions;
mod sse;
mod support;
