//! The header `Cache-Control: no-store`, for responses that contain a token, a ticket, an API key or a browser key.

use axum::http::{HeaderName, header};

/// The header of a response that no cache may store. A handler returns `(NO_STORE, body)`.
pub(super) const NO_STORE: [(HeaderName, &str); 1] = [(header::CACHE_CONTROL, "no-store")];
