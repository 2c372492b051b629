//! Middleware for the requests of all endpoints.

pub(crate) mod compression;
pub(crate) mod cors;
pub(crate) mod host;
pub(crate) mod request_metrics;
pub(crate) mod security_headers;
pub(crate) mod unread_body;
