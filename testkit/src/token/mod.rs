//! An identity provider: signs good tokens, and the bad ones that must be refused.

mod issuer;
mod jwks;

pub use issuer::{Issuer, TokenBuilder};
pub use jwks::JwksServer;
