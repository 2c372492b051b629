//! The local identity: this installation signs tokens with a secret of its own, without an external issuer.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::json;

use super::{origin, verify::IdentityError};
use crate::config::{IdentityConfig, LocalIdentityConfig};

/// The reason why a token cannot be signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// The setting `gateway.identity.local.secret` is empty.
    #[error("this installation has no local identity: gateway.identity.local.secret is empty")]
    NoSecret,
    /// The JWT library failed to sign the token.
    #[error("failed to sign the token: {0}")]
    Sign(#[from] jsonwebtoken::errors::Error),
}

/// Refuses settings with which a client on another machine could sign in without a password. A check of each request's
/// `Host` header is not enough, because a client can forge the header.
///
/// # Errors
/// [`IdentityError::PublicSignIn`] when the setting `sign_in` is on, a secret is set, and the checked address is not a
/// loopback address. The checked address is the setting `loopback_check_address`, or `listen` if that setting is empty.
pub(crate) fn check(config: &LocalIdentityConfig, listen: &str) -> Result<(), IdentityError> {
    let address = if config.loopback_check_address.is_empty() { listen } else { &config.loopback_check_address };
    if config.has_sign_in() && !origin::is_loopback_address(address) {
        return Err(IdentityError::PublicSignIn(address.to_owned()));
    }
    Ok(())
}

/// Signs a token with the secret of this installation. The token names the user `sub` of the tenant `tenant`, and has
/// the claim `scope`. The token is valid for the duration `ttl`, which begins at `now`. Returns the token and its
/// expiry time.
///
/// # Errors
/// When `gateway.identity.local.secret` is empty, or signing fails.
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
    use crate::config::LocalSignIn;

    #[test]
    fn sign_in_without_a_password_requires_a_loopback_address() {
        let checked = |sign_in: LocalSignIn, listen: &str, loopback_check_address: &str| {
            let secret = Secret::new("a secret of thirty-two bytes, or more");
            let config = LocalIdentityConfig {
                secret,
                sign_in,
                loopback_check_address: loopback_check_address.into(),
                ..Default::default()
            };
            check(&config, listen)
        };
        for (listen, loopback_check_address) in [
            ("127.0.0.1:8080", ""),
            ("[::1]:8080", ""),
            ("localhost:8080", ""),
            ("0.0.0.0:8080", "127.0.0.1"),
            ("0.0.0.0:8080", "[::1]"),
        ] {
            checked(LocalSignIn::Anyone, listen, loopback_check_address).expect(listen);
        }
        for (listen, loopback_check_address) in [
            ("0.0.0.0:8080", ""),
            ("[::]:8080", ""),
            (":8080", ""),
            ("192.0.2.7:8080", ""),
            ("0.0.0.0:8080", "0.0.0.0"),
            ("127.0.0.1:8080", "192.0.2.7"),
            ("127.0.0.1:8080", "sluice.example.com"),
        ] {
            let refused = checked(LocalSignIn::Link, listen, loopback_check_address).expect_err(listen).to_string();
            let address = if loopback_check_address.is_empty() { listen } else { loopback_check_address };
            assert!(refused.contains("gateway.identity.local.sign_in") && refused.contains(address), "{refused}");
            checked(LocalSignIn::Off, listen, loopback_check_address)
                .expect("any address is allowed without local sign-in");
        }
    }
}
