//! Authentication: bearer tokens, API keys, single-use tickets for WebSocket handshakes, tokens and sign-in links that this
//! installation signs itself, and allowed origins.

pub(crate) mod api_keys;
mod authenticator;
mod caller;
mod jwks;
pub mod local;
mod oidc;
pub(crate) mod origin;
mod rights;
pub mod sign_in_link;
mod tickets;
mod verify;

pub(crate) use self::{
    api_keys::{ApiKeys, KeyWatch},
    authenticator::Authenticator,
    caller::{AuthError, Caller},
    jwks::client as jwks_client,
    rights::Rights,
    sign_in_link::SignInLinks,
    tickets::{Ticket, Tickets},
    verify::Verifier,
};
pub use self::{oidc::OidcError, verify::IdentityError};
