//! The authenticated caller of a request, and the reasons why authentication fails.

use axum::http::header;
use chrono::{DateTime, Utc};
use protocol::{id::Owner, problem::Slug};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::Refusal;

/// The caller of an authenticated request. Only [`super::Verifier::verify`] and [`super::Tickets::redeem`] return a
/// `Caller`, so a handler with a `Caller` argument never runs for an unauthenticated request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Caller {
    pub(crate) owner: Owner,
    /// The scopes in the token's `scope` claim, such as `export:*`.
    pub(crate) scopes: Vec<String>,
    /// All claims of the token. The claim `tenant` always contains the caller's tenant, even if the token names the
    /// tenant in another claim. The row policy of a dataset (a filter that applies to every export of the dataset) may
    /// use these claims.
    pub(crate) claims: Map<String, Value>,
    /// The expiry time of the token, its `exp` claim.
    pub(crate) expires_at: DateTime<Utc>,
}

impl Caller {
    /// Whether the token permits exports of this dataset. True if the token's scopes contain `export:*` or
    /// `export:<dataset>`.
    #[must_use]
    pub(crate) fn may_export(&self, dataset: &str) -> bool {
        self.scopes.iter().any(|scope| scope.strip_prefix("export:").is_some_and(|name| name == "*" || name == dataset))
    }
}

/// The reason why authentication failed. The gateway answers `401`, or `503` for [`AuthError::Unavailable`]. The error
/// text tells the caller how to fix the request, and never contains the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AuthError {
    #[error("Send `Authorization: Bearer <token>`.")]
    Missing,
    #[error("The `Authorization` header is not `Bearer <token>`.")]
    Scheme,
    /// The token is malformed, has a wrong signature, or uses an algorithm, key or critical extension (RFC 7515) that
    /// the gateway does not accept.
    #[error("The token is malformed, or its signature is not accepted.")]
    Signature,
    #[error("The token has expired.")]
    Expired,
    #[error("The token is not valid yet.")]
    NotYet,
    #[error("The token has another issuer or audience than this installation accepts.")]
    Audience,
    #[error("The token has no subject or no tenant, or one of more than 255 bytes, or an impossible time of expiry.")]
    Claims,
    #[error("A claim of the token has the character U+0000.")]
    Nul,
    /// The gateway cannot read the issuer's keys or the NATS bucket of tickets. The caller's token or ticket may be
    /// valid.
    #[error("Tokens and tickets cannot be verified at the moment. Retry shortly.")]
    Unavailable,
    #[error("The ticket is unknown, used or expired; a ticket works once, for 30 seconds.")]
    Ticket,
}

impl From<AuthError> for Refusal {
    fn from(e: AuthError) -> Self {
        if e == AuthError::Unavailable {
            return Self::new(Slug::Unavailable, e.to_string()).with_header(header::RETRY_AFTER, 2);
        }
        metrics::counter!("sluice_gateway_unauthorized_total").increment(1);
        // RFC 6750, section 3.1: the challenge for a request without credentials has no error code
        let error = if e == AuthError::Missing { "" } else { ", error=\"invalid_token\"" };
        let challenge = format!("Bearer realm=\"sluice\"{error}");
        Self::new(Slug::Unauthorized, e.to_string()).with_header(header::WWW_AUTHENTICATE, challenge)
    }
}
