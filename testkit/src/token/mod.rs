//! An identity provider, which signs valid tokens and the invalid ones that a gateway must refuse.

mod issuer;
mod jwks;

pub use issuer::{Issuer, TokenBuilder};
pub use jwks::JwksServer;
