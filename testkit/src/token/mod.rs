//! An identity provider that signs valid tokens, and invalid tokens that a gateway must refuse.

mod issuer;
mod jwks;

pub use issuer::{Issuer, TokenBuilder};
pub use jwks::JwksServer;
