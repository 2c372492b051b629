//! Carries file bytes from the file store to a gateway, which requests grants over NATS and fetches their URLs.

pub(crate) mod announcements;
mod continuation;
pub(crate) mod grant;
pub(crate) mod http;
pub(crate) mod metadata;
pub(crate) mod minter;
mod refusal;
mod segment_body;
mod token;
