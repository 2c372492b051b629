//! The authenticated caller of a request, and the reasons why authentication fails.

use std::time::Duration;

use axum::http::header;
use chrono::{DateTime, Utc};
use entity::user_rights::VerifiedToken;
use protocol::{access, api_key::ApiKeyId, id::Owner, operate::OPERATE_SCOPE, problem::Slug, time::Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::Refusal;

/// The duration of a timer for a token or key without expiry: a year. After a year, the timer starts again.
const NO_EXPIRY: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// The caller of an authenticated request. Only [`super::Authenticator`] returns a `Caller`, so a handler with a `Caller`
/// argument never runs for an unauthenticated request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Caller {
    pub(crate) owner: Owner,
    /// The scopes of the API key, or those in the token's `scope` claim, such as `export:*`.
    pub(crate) scopes: Vec<String>,
    /// All claims of the token. An API key has the claims of its creator. The claim `tenant` always contains the
    /// caller's tenant, even if the token names the tenant in another claim. The row policy of a dataset (a filter that
    /// applies to every export of the dataset) may use these claims.
    pub(crate) claims: Map<String, Value>,
    /// The expiry time of the token (its `exp` claim) or of the API key. None for a key that does not expire.
    pub(crate) expires_at: Option<DateTime<Utc>>,
    /// The API key that the caller uses. None for a token.
    #[serde(default)]
    pub(crate) key: Option<ApiKeyId>,
}

impl Caller {
    /// Whether the caller may export this dataset. True if the caller's scopes contain `export:*` or
    /// `export:<dataset>`.
    #[must_use]
    pub(crate) fn may_export(&self, dataset: &str) -> bool {
        access::may_export(&self.scopes, dataset)
    }

    /// Whether the caller may act as an operator. Members of the operators' group have the scope as well.
    #[must_use]
    pub(crate) fn may_operate(&self) -> bool {
        self.scopes.iter().any(|scope| scope == OPERATE_SCOPE)
    }

    /// Whether the caller may give this scope to a new API key. True if the caller has the scope. A caller with
    /// `export:*` may also give `export:<dataset>`.
    #[must_use]
    pub(crate) fn may_grant(&self, scope: &str) -> bool {
        let has = |wanted: &str| self.scopes.iter().any(|scope| scope == wanted);
        has(scope) || (scope.starts_with("export:") && has("export:*"))
    }

    /// Whether the token or the API key has expired.
    #[must_use]
    pub(crate) fn is_expired(&self, now: DateTime<Utc>) -> bool {
        self.expires_at.is_some_and(|at| now >= at)
    }

    /// Returns the time until the token or the API key expires. Zero after the expiry; a year for a key without an
    /// expiry.
    #[must_use]
    pub(crate) fn time_to_expiry(&self, now: DateTime<Utc>) -> Duration {
        self.expires_at.map_or(NO_EXPIRY, |at| (at - now).to_std().unwrap_or_default())
    }

    /// The token of the caller, for the rights of scheduled exports. A token without the claim `iat` counts as issued now.
    #[must_use]
    pub(crate) fn verified_token(&self, now: DateTime<Utc>) -> VerifiedToken {
        let issued_at = self.claims.get("iat").and_then(Value::as_f64).map(|seconds| seconds as i64);
        VerifiedToken {
            owner: self.owner.clone(),
            claims: self.claims.clone(),
            issued_at: issued_at.unwrap_or_else(|| now.timestamp()),
            seen_at: now,
        }
    }

    /// Returns the expiry time of the token or the API key, as messages to the client contain it.
    #[must_use]
    pub(crate) fn token_expires_at(&self) -> Option<Timestamp> {
        self.expires_at.map(Timestamp::from)
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
    /// The subject of the token has the form `key:<id>`, which only API keys may have.
    #[error("The subject of the token has the form of an API key's subject.")]
    KeySubject,
    /// The text is not a complete API key, or the database has no such key.
    #[error("The API key is unknown, deleted or incomplete.")]
    Key,
    #[error("The API key has expired.")]
    KeyExpired,
    #[error("A claim of the token has the character U+0000.")]
    Nul,
    /// The gateway cannot verify the caller at the moment, because it cannot read the issuer's keys, the NATS bucket of
    /// tickets, or the API keys in the database. The caller's token, ticket or key may be valid.
    #[error("Tokens, tickets and API keys cannot be verified at the moment. Retry shortly.")]
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
