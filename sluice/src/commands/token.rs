//! `sluice token`: signs a token of the local identity.

use chrono::{DateTime, Utc};
use gateway::{auth::local, config::IdentityConfig};
use platform::clock::{Clock, SystemClock};
use protocol::time::Timestamp;
use serde_json::json;

use super::CommandError;
use crate::{cli::TokenOptions, output, settings::Settings};

/// Prints a token on one line, for use in shells.
///
/// # Errors
/// When the settings have no local identity, or standard output is closed.
pub fn run(options: &TokenOptions, settings: &Settings) -> Result<(), CommandError> {
    let (token, expires_at) = sign(options, &settings.gateway.identity, SystemClock.now())?;
    if options.json {
        output::print_json(&json!({"token": token, "expires_at": Timestamp::from(expires_at)}))?;
    } else {
        output::print(&token)?;
    }
    Ok(())
}

fn sign(
    options: &TokenOptions,
    identity: &IdentityConfig,
    now: DateTime<Utc>,
) -> Result<(String, DateTime<Utc>), CommandError> {
    Ok(local::sign(identity, &options.tenant, &options.sub, &options.scope, options.ttl, now)?)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jsonwebtoken::{DecodingKey, Validation, decode};
    use platform::secret::Secret;
    use serde_json::Value;

    use super::*;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    fn options() -> TokenOptions {
        TokenOptions {
            sub: "alice".into(),
            tenant: "acme".into(),
            scope: "export:flights".into(),
            ttl: Duration::from_secs(60),
            json: false,
        }
    }

    #[test]
    fn a_token_carries_the_requested_claims_and_is_signed_with_the_secret() {
        let mut identity = IdentityConfig { issuer: "here".into(), ..IdentityConfig::default() };
        identity.local.secret = Secret::new(SECRET);
        let now = SystemClock.now();
        let (token, expires_at) = sign(&options(), &identity, now).unwrap();
        assert_eq!((expires_at - now).num_seconds(), 60);

        let mut validation = Validation::new(jsonwebtoken::Algorithm::HS256);
        validation.set_issuer(&["here"]);
        validation.set_audience(&[&identity.audience]);
        let read = |secret: &str| decode::<Value>(&token, &DecodingKey::from_secret(secret.as_bytes()), &validation);
        let claims = read(SECRET).unwrap().claims;
        assert_eq!(claims["sub"], "alice");
        assert_eq!(claims["tenant"], "acme");
        assert_eq!(claims["scope"], "export:flights");
        assert!(read("another secret of some length, too").is_err());
    }

    #[test]
    fn without_a_secret_no_token_is_signed() {
        let error = sign(&options(), &IdentityConfig::default(), SystemClock.now()).unwrap_err();
        assert!(error.to_string().contains("--data-dir"), "{error}");
    }
}
