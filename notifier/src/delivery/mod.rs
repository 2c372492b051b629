//! Delivers file bytes to gateways. A gateway requests grants over NATS; a grant is a short-lived URL of one segment.
//! The gateway then fetches the bytes of the segment from this URL.

pub(crate) mod announcements;
mod continuation;
pub(crate) mod grant;
pub(crate) mod http;
pub(crate) mod metadata;
pub(crate) mod minter;
mod refusal;
mod segment_body;
mod token;
