//! The header of responses that no cache may store, because they contain a token, a ticket, an API key or a browser key.

use axum::http::{HeaderName, header};

/// Add this to a response as `(NO_STORE, body)`.
pub(super) const NO_STORE: [(HeaderName, &str); 1] = [(header::CACHE_CONTROL, "no-store")];
