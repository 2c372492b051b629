//! The local identity of `sluice up`: tokens that this installation signs itself.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::json;

use crate::config::IdentityConfig;

/// A token that can't be signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// The settings hold no secret.
    #[error("there is no local identity here: gateway.identity.local.secret is empty")]
    NoSecret,
    /// The signature failed.
    #[error("can't sign: {0}")]
    Sign(#[from] jsonwebtoken::errors::Error),
}

/// A signed token and when it runs out.
///
/// # Errors
/// When there is no secret to sign with.
pub fn sign(
    config: &IdentityConfig,
    tenant: &str,
    sub: &str,
    scope: &str,
    ttl: Duration,
    now: DateTime<Utc>,
) -> Result<(String, DateTime<Utc>), SignError> {
    let secret = &config.local.secret;
    if secret.is_empty() {
        return Err(SignError::NoSecret);
    }
    let ttl = TimeDelta::from_std(ttl).unwrap_or(TimeDelta::hours(1));
    let expires_at = now + ttl;
    let mut claims = json!({
        "iss": config.issuer, "aud": config.audience, "sub": sub, "scope": scope,
        "iat": now.timestamp(), "nbf": now.timestamp(), "exp": expires_at.timestamp(),
    });
    claims[&config.tenant_claim] = tenant.into();
    let token = encode(&Header::new(Algorithm::HS256), &claims, &EncodingKey::from_secret(secret.expose().as_bytes()))?;
    Ok((token, expires_at))
}
