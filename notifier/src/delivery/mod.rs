//! How bytes get from the file store to a gateway: it asks for grants over NATS, and fetches by the URLs in them.

pub(crate) mod announce;
mod body;
pub(crate) mod grant;
mod listener;
pub(crate) mod metadata;
pub(crate) mod mint;
mod range;
pub(crate) mod requests;
mod restart;
pub(crate) mod serve;
mod token;
