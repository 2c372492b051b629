//! Who is calling: bearer tokens, tickets, and the local identity of `sluice up`.

pub mod jwks;
pub mod local;
pub mod tickets;
pub mod verify;

use axum::http::header;
use chrono::{DateTime, Utc};
use protocol::{id::Owner, problem::Slug};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use verify::Verifier;

use crate::error::Refusal;

/// A caller whose token was verified. There is no other way to get one, so that what takes a `Caller` can't be
/// reached by anybody else.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Caller {
    /// Whose exports these are.
    pub owner: Owner,
    /// What they may export.
    pub scopes: Vec<String>,
    /// All claims, for row policies; `tenant` and `sub` are always among them.
    pub claims: Map<String, Value>,
    /// When the token runs out.
    pub expires_at: DateTime<Utc>,
}

impl Caller {
    /// Whether the scope allows this dataset.
    #[must_use]
    pub fn may_export(&self, dataset: &str) -> bool {
        self.scopes.iter().any(|scope| scope.strip_prefix("export:").is_some_and(|name| name == "*" || name == dataset))
    }
}

/// Why a caller is refused. The text tells the person what to mend, and never repeats the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// Neither a header nor a ticket.
    #[error("Send `Authorization: Bearer <token>`.")]
    Missing,
    /// Something else than a bearer token.
    #[error("The `Authorization` header is not `Bearer <token>`.")]
    Scheme,
    /// Not a JWT, or signed with an algorithm or key that is not accepted.
    #[error("The token is malformed, or its signature is not accepted here.")]
    Signature,
    /// `exp` has passed.
    #[error("The token has expired.")]
    Expired,
    /// `nbf` has not come.
    #[error("The token is not valid yet.")]
    NotYet,
    /// `iss` or `aud` is another one.
    #[error("The token was issued by or for somebody else.")]
    Audience,
    /// `sub` or the tenant is missing.
    #[error("The token names no subject or no tenant.")]
    Claims,
    /// The issuer's keys or the tickets can't be read: nobody's fault but ours.
    #[error("Tokens and tickets can't be checked just now.")]
    Unavailable,
    /// Unknown, used before, or older than 30 seconds.
    #[error("The ticket is unknown, used, or expired; a ticket works once, for 30 seconds.")]
    Ticket,
}

impl From<AuthError> for Refusal {
    fn from(e: AuthError) -> Self {
        if e == AuthError::Unavailable {
            return Self::new(Slug::Unavailable, e.to_string()).with_header(header::RETRY_AFTER, 2);
        }
        metrics::counter!("sluice_gateway_unauthorized_total").increment(1);
        // RFC 6750, section 3.1: who sent nothing is told of no error
        let error = if e == AuthError::Missing { "" } else { ", error=\"invalid_token\"" };
        let challenge = format!("Bearer realm=\"sluice\"{error}");
        Self::new(Slug::Unauthorized, e.to_string()).with_header(header::WWW_AUTHENTICATE, challenge)
    }
}
