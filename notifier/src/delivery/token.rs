//! The token in the URL of a grant: what may be read until when, and a signature that only this process can make.

use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// What a grant allows. The names are short because they travel in a URL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claims {
    /// The object.
    #[serde(rename = "p")]
    pub(crate) path: String,
    /// Its bytes.
    #[serde(rename = "n")]
    pub(crate) size: u64,
    /// Its SHA-256, for the entity tag.
    #[serde(rename = "h")]
    pub(crate) sha256: String,
    /// Until when, milliseconds since the Unix epoch.
    #[serde(rename = "x")]
    pub(crate) expires_ms: i64,
}

/// Why a token opens nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TokenError {
    /// This process did not make it.
    #[error("this grant was not made here")]
    Forged,
    /// Its time is over.
    #[error("this grant has run out")]
    Expired,
}

/// The token of these claims.
pub(crate) fn seal(key: &hmac::Key, claims: &Claims) -> String {
    let payload = serde_json::to_vec(claims).unwrap_or_else(|e| unreachable!("claims always serialise: {e}"));
    let payload = URL_SAFE_NO_PAD.encode(payload);
    let signature = URL_SAFE_NO_PAD.encode(hmac::sign(key, payload.as_bytes()));
    format!("{payload}.{signature}")
}

/// The claims of a token, if this key made it and its time is not over. The signature is compared in constant time.
///
/// # Errors
/// Which of the two it is.
pub(crate) fn open(key: &hmac::Key, token: &str, now: DateTime<Utc>) -> Result<Claims, TokenError> {
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
    fn a_token_is_good_until_its_time_and_for_its_key_only() {
        let token = seal(&key(1), &claims());
        assert_eq!(open(&key(1), &token, at(999)), Ok(claims()));
        assert_eq!(open(&key(1), &token, at(1_000)), Err(TokenError::Expired));
        assert_eq!(open(&key(2), &token, at(0)), Err(TokenError::Forged));
        assert!(token.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)));
    }

    #[test]
    fn whatever_was_changed_is_refused() {
        let token = seal(&key(1), &claims());
        let other = seal(&key(1), &Claims { path: "exports/y/1/000000.segment".into(), ..claims() });
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
            assert_eq!(open(&key(1), &forged, at(0)), Err(TokenError::Forged), "{forged}");
        }
    }
}
