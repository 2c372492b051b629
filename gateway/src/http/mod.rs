//! The REST and SSE endpoints. Each file declares the endpoints of one resource and contains their handlers. A handler
//! extracts its input, calls one use case and converts the result to a response. The middleware in [`problems`] writes
//! the body of every error.

pub(crate) mod conditional;
mod credits;
mod datasets;
mod endpoint;
mod estimate;
mod events;
mod exports;
pub(crate) mod extract;
mod file;
mod file_body;
mod health;
mod keys;
mod local_sign_in;
pub(crate) mod middleware;
mod no_store;
mod operate;
pub(crate) mod problems;
mod saved_exports;
mod sse;
mod tickets;

use std::iter::empty;

pub(crate) use endpoint::Endpoint;
pub(crate) use health::live;

/// Returns all endpoints of this module, inside and outside the public API.
pub(crate) fn endpoints() -> impl Iterator<Item = Endpoint> {
    empty()
        .chain(exports::endpoints())
        .chain(estimate::endpoints())
        .chain(file::endpoints())
        .chain(datasets::endpoints())
        .chain(credits::endpoints())
        .chain(events::endpoints())
        .chain(tickets::endpoints())
        .chain(keys::endpoints())
        .chain(saved_exports::endpoints())
        .chain(operate::endpoints())
        .chain(health::endpoints())
        .chain(problems::endpoints())
        .chain(local_sign_in::endpoints())
}
