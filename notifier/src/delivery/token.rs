//! The token in a segment URL. The token contains claims, and a signature of the claims with the key of this process.
//! The claims name the object that the gateway may read, and the expiry.

use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// The claims of a token: the object that a gateway may read with the token, and the expiry. The JSON keys are one
/// letter long, because the claims are part of a URL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claims {
    /// The path of the object in the file store.
    #[serde(rename = "p")]
    pub(crate) path: String,
    /// The size of the object in bytes.
    #[serde(rename = "n")]
    pub(crate) size: u64,
    /// The SHA-256 of the object in hex. The internal HTTP port sends it as the entity tag.
    #[serde(rename = "h")]
    pub(crate) sha256: String,
    /// The time at which the grant expires, in milliseconds since the Unix epoch.
    #[serde(rename = "x")]
    pub(crate) expires_ms: i64,
}

/// The reason why a notifier refuses the token in a segment URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TokenError {
    /// The token is malformed, or the key of this process did not sign it.
    #[error("This notifier did not sign the grant.")]
    Forged,
    /// The key of this process signed the token, but the grant has expired.
    #[error("The grant has expired.")]
    Expired,
}

/// Encodes the claims as base64url JSON, followed by a period and the HMAC signature.
pub(crate) fn sign(key: &hmac::Key, claims: &Claims) -> String {
    let payload = serde_json::to_vec(claims).unwrap_or_else(|e| unreachable!("claims always serialize: {e}"));
    let payload = URL_SAFE_NO_PAD.encode(payload);
    let signature = URL_SAFE_NO_PAD.encode(hmac::sign(key, payload.as_bytes()));
    format!("{payload}.{signature}")
}

/// Returns the claims of a token if `key` signed the token and the grant has not expired. Compares the signature in
/// constant time.
///
/// # Errors
/// The reason why the token is not valid.
pub(crate) fn verify(key: &hmac::Key, token: &str, now: DateTime<Utc>) -> Result<Claims, TokenError> {
    let (payload, signature) = token.split_once('.').ok_or(TokenError::Forged)?;
    let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| TokenError::Forged)?;
    hmac::verify(key, payload.as_bytes(), &signature).map_err(|_| TokenError::Forged)?;
    let payload = URL_SAFE_NO_PAD.decode(payload).map_err(|_| TokenError::Forged)?;
    let claims: Claims = serde_json::from_slice(&payload).map_err(|_| TokenError::Forged)?;
    if now.timestamp_millis() >= claims.expires_ms {
        return Err(TokenError::Expired);
    }
    Ok(claims)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(seed: u8) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, &[seed; 32])
    }

    fn at(ms: i64) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(ms).unwrap()
    }

    fn claims() -> Claims {
        Claims { path: "exports/x/1/000000.segment".into(), size: 5, sha256: "ab".into(), expires_ms: 1_000 }
    }

    #[test]
    fn a_token_is_valid_until_its_expiry_and_under_its_key_only() {
        let token = sign(&key(1), &claims());
        assert_eq!(verify(&key(1), &token, at(999)), Ok(claims()));
        assert_eq!(verify(&key(1), &token, at(1_000)), Err(TokenError::Expired));
        assert_eq!(verify(&key(2), &token, at(0)), Err(TokenError::Forged));
        assert!(token.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)));
    }

    #[test]
    fn a_changed_token_is_refused() {
        let token = sign(&key(1), &claims());
        let other = sign(&key(1), &Claims { path: "exports/y/1/000000.segment".into(), ..claims() });
        let (payload, signature) = token.split_once('.').unwrap();
        let (swapped, _) = other.split_once('.').unwrap();
        let short = &signature[..signature.len() - 2];
        for forged in [
            String::new(),
            ".".into(),
            payload.into(),
            format!("{payload}."),
            format!("{payload}.{short}"),
            format!("{swapped}.{signature}"),
            format!("{token}.{signature}"),
            format!("{payload}.*"),
        ] {
            assert_eq!(verify(&key(1), &forged, at(0)), Err(TokenError::Forged), "{forged}");
        }
    }
}
