//! The local identity of `sluice up`: tokens that this installation signs itself.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::json;

use super::verify::IdentityError;
use crate::{
    config::{IdentityConfig, LocalIdentityConfig},
    http::origin,
};

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

/// Refuses to let people in without a password where more than this machine comes in. What a request says of itself, as its
/// `Host` does, anybody can write; where the door is, only the settings say.
///
/// # Errors
/// When `sign_in` is on and the address of the door, which is `listen` unless `published_on` names another, isn't loopback.
pub fn check(config: &LocalIdentityConfig, listen: &str) -> Result<(), IdentityError> {
    let door = if config.published_on.is_empty() { listen } else { &config.published_on };
    if config.sign_in && !config.secret.is_empty() && !origin::is_this_machine(door) {
        return Err(IdentityError::OpenDoor(door.to_owned()));
    }
    Ok(())
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

#[cfg(test)]
mod tests {
    use platform::secret::Secret;

    use super::*;

    #[test]
    fn nobody_elsewhere_signs_in_without_a_password() {
        let checked = |sign_in: bool, listen: &str, published_on: &str| {
            let secret = Secret::new("a secret of thirty-two bytes, or more");
            let config =
                LocalIdentityConfig { secret, sign_in, published_on: published_on.into(), ..Default::default() };
            check(&config, listen)
        };
        for (listen, published_on) in [
            ("127.0.0.1:8080", ""),
            ("[::1]:8080", ""),
            ("localhost:8080", ""),
            ("0.0.0.0:8080", "127.0.0.1"),
            ("0.0.0.0:8080", "[::1]"),
        ] {
            checked(true, listen, published_on).expect(listen);
        }
        for (listen, published_on) in [
            ("0.0.0.0:8080", ""),
            ("[::]:8080", ""),
            (":8080", ""),
            ("192.0.2.7:8080", ""),
            ("0.0.0.0:8080", "0.0.0.0"),
            ("127.0.0.1:8080", "192.0.2.7"),
            ("127.0.0.1:8080", "sluice.example.com"),
        ] {
            let refused = checked(true, listen, published_on).expect_err(listen).to_string();
            let door = if published_on.is_empty() { listen } else { published_on };
            assert!(refused.contains("gateway.identity.local.sign_in") && refused.contains(door), "{refused}");
            checked(false, listen, published_on).expect("without sign_in it is nobody's business");
        }
    }
}
