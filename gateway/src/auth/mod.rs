//! Authentication: bearer tokens, single-use tickets for WebSocket handshakes, tokens that this installation signs
//! itself, and allowed origins.

mod caller;
mod jwks;
pub mod local;
mod oidc;
pub(crate) mod origin;
mod tickets;
mod verify;

pub(crate) use self::{
    caller::{AuthError, Caller},
    jwks::client as jwks_client,
    tickets::{Ticket, Tickets},
    verify::Verifier,
};
pub use self::{oidc::OidcError, verify::IdentityError};
