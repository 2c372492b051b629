//! Layers around all handlers.

pub(crate) mod cors;
pub(crate) mod request_metrics;
pub(crate) mod security_headers;
