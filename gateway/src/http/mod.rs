//! The REST and SSE endpoints. Each file declares the endpoints of one resource and contains their handlers. A handler
//! extracts its input, calls one use case and converts the result to a response. The middleware in [`problems`] writes
//! the body of every error.

mod credits;
mod datasets;
mod endpoint;
mod estimate;
mod etag;
mod events;
mod exports;
pub(crate) mod extract;
mod file;
mod file_body;
mod health;
mod keys;
mod local_sign_in;
pub(crate) mod middleware;
pub(crate) mod problems;
mod sse;
mod tickets;

use std::iter::empty;

use axum::http::{HeaderName, header};
pub(crate) use endpoint::Endpoint;
pub(crate) use health::live;

/// The header of responses that no cache may store, because they contain a token, a ticket or a key.
const NO_STORE: [(HeaderName, &str); 1] = [(header::CACHE_CONTROL, "no-store")];

/// All endpoints of this module, inside and outside the public API.
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
        .chain(health::endpoints())
        .chain(problems::endpoints())
        .chain(local_sign_in::endpoints())
}
