//! Verifies the JSON Web Tokens of callers (RFC 7519, RFC 8725).

use std::sync::Arc;

use chrono::DateTime;
use jsonwebtoken::{
    Algorithm, DecodingKey, Validation, decode, decode_header,
    errors::ErrorKind,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk},
};
use platform::clock::SharedClock;
use protocol::{api_key::ApiKeyId, id::Owner, operate::OPERATE_SCOPE};
use serde_json::{Map, Value};

use super::{
    caller::{AuthError, Caller},
    jwks::Jwks,
};
use crate::config::IdentityConfig;

/// The maximum length of `sub` and of the tenant, in bytes. OpenID Connect Core 1.0, section 2, has the same limit for
/// `sub`.
const MAX_OWNER_PART_BYTES: usize = 255;

/// The minimum length of an HS256 secret in bytes: the size of a SHA-256 hash (RFC 7518, section 3.2).
const MIN_SECRET_BYTES: usize = 32;

/// An unsafe, missing or unsupported setting of `[gateway.identity]`. The gateway refuses to start with such a setting.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// Neither a JWKS URL nor a local secret is set.
    #[error("gateway.identity: set jwks_url or local.secret; without a key no token can be verified")]
    NoKeys,
    /// The local secret has fewer than 32 bytes.
    #[error("gateway.identity.local.secret must have at least {MIN_SECRET_BYTES} bytes")]
    ShortSecret,
    /// The setting `sign_in` is on, but the checked address is not a loopback address. So clients on other machines
    /// could sign in without a password. The value is the checked address: the setting `loopback_check_address`, or
    /// `gateway.listen` if that setting is empty.
    #[error(
        "gateway.identity.local.sign_in: clients that reach {0} could sign in without a password; use a loopback address \
         (gateway.listen, or gateway.identity.local.loopback_check_address for a published port)"
    )]
    PublicSignIn(String),
    /// The setting `algorithms` lists an unsupported signature algorithm. The value is the name of this algorithm.
    #[error("gateway.identity.algorithms: `{0}` is not one of RS256, ES256 and EdDSA")]
    Algorithm(String),
}

/// Verifies JSON Web Tokens that the external issuer or this installation has signed. Clones share the key cache.
#[derive(Clone, Debug)]
pub(crate) struct Verifier {
    inner: Arc<Inner>,
}

struct Inner {
    config: IdentityConfig,
    algorithms: Vec<Algorithm>,
    jwks: Option<Jwks>,
    local: Option<DecodingKey>,
    clock: SharedClock,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verifier").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Verifier {
    /// Creates a verifier, but fetches no keys yet. `http` is the client that fetches the issuer's key set.
    ///
    /// # Errors
    /// When the settings provide no key, name an unsupported signature algorithm, or contain a secret that is too
    /// short.
    pub(crate) fn new(
        config: IdentityConfig,
        http: reqwest::Client,
        clock: SharedClock,
    ) -> Result<Self, IdentityError> {
        let algorithms = config
            .algorithms
            .iter()
            .map(|name| match name.as_str() {
                "RS256" => Ok(Algorithm::RS256),
                "ES256" => Ok(Algorithm::ES256),
                "EdDSA" => Ok(Algorithm::EdDSA),
                other => Err(IdentityError::Algorithm(other.to_owned())),
            })
            .collect::<Result<_, _>>()?;
        let jwks = (!config.jwks_url.is_empty()).then(|| Jwks::new(config.jwks_url.clone(), http));
        let secret = config.local.secret.expose().as_bytes();
        if !secret.is_empty() && secret.len() < MIN_SECRET_BYTES {
            return Err(IdentityError::ShortSecret);
        }
        let local = (!secret.is_empty()).then(|| DecodingKey::from_secret(secret));
        if jwks.is_none() && local.is_none() {
            return Err(IdentityError::NoKeys);
        }
        Ok(Self { inner: Arc::new(Inner { config, algorithms, jwks, local, clock }) })
    }

    /// Verifies signature, issuer, audience, lifetime and identity claims of a token, and returns the caller.
    ///
    /// # Errors
    /// The [`AuthError`] of the first check that fails.
    pub(crate) async fn verify(&self, token: &str) -> Result<Caller, AuthError> {
        let inner = &*self.inner;
        let header = decode_header(token).map_err(|_| AuthError::Signature)?;
        // RFC 7515, section 4.1.11: a recipient must refuse a token with a critical extension that the recipient does
        // not support; the gateway supports no extension
        if header.crit.is_some() {
            return Err(AuthError::Signature);
        }
        // RFC 8725, section 3.1: the algorithm selects the kind of key, so that a public key never serves as an HMAC
        // secret
        let claims = match (header.alg, &inner.local, &inner.jwks) {
            (Algorithm::HS256, Some(secret), _) => inner.decode(token, secret, Algorithm::HS256)?,
            (algorithm, _, Some(jwks)) if inner.algorithms.contains(&algorithm) => {
                let jwk = jwks.find(header.kid.as_deref()).await?;
                if !supports_algorithm(&jwk, algorithm) {
                    return Err(AuthError::Signature);
                }
                let key = DecodingKey::from_jwk(&jwk).map_err(|_| AuthError::Signature)?;
                inner.decode(token, &key, algorithm)?
            }
            _ => return Err(AuthError::Signature),
        };
        inner.caller(claims)
    }
}

impl Inner {
    fn decode(&self, token: &str, key: &DecodingKey, algorithm: Algorithm) -> Result<Map<String, Value>, AuthError> {
        let mut rules = Validation::new(algorithm);
        rules.set_required_spec_claims(&["exp", "iss", "aud"]);
        rules.set_audience(&[&self.config.audience]);
        rules.set_issuer(&[&self.config.issuer]);
        // `caller` checks the times against the injected clock
        rules.validate_exp = false;
        rules.validate_nbf = false;
        decode(token, key, &rules).map(|data| data.claims).map_err(|e| match e.kind() {
            ErrorKind::InvalidIssuer | ErrorKind::InvalidAudience => AuthError::Audience,
            ErrorKind::MissingRequiredClaim(claim) if claim == "exp" => AuthError::Expired,
            ErrorKind::MissingRequiredClaim(_) => AuthError::Audience,
            _ => AuthError::Signature,
        })
    }

    fn caller(&self, claims: Map<String, Value>) -> Result<Caller, AuthError> {
        // the library accepts a list of issuers, but a token has one (RFC 7519, section 4.1.1)
        if !claims.get("iss").is_some_and(Value::is_string) {
            return Err(AuthError::Audience);
        }
        if claims.iter().any(|(name, value)| name.contains('\0') || has_nul(value)) {
            return Err(AuthError::Nul);
        }
        let leeway = i64::try_from(self.config.clock_leeway.as_millis()).unwrap_or(0);
        let now = self.clock.now().timestamp_millis();
        let seconds = |name: &str| claims.get(name).and_then(Value::as_f64).map(|s| s as i64);
        let exp = seconds("exp").ok_or(AuthError::Expired)?;
        if now >= exp.saturating_mul(1000).saturating_add(leeway) {
            return Err(AuthError::Expired);
        }
        if claims.contains_key("nbf")
            && seconds("nbf").is_none_or(|nbf| nbf.saturating_mul(1000) > now.saturating_add(leeway))
        {
            return Err(AuthError::NotYet);
        }
        let text = |name: &str| claims.get(name).and_then(Value::as_str).filter(|t| !t.is_empty()).map(str::to_owned);
        // `sub` and tenant become parts of NATS subjects, and the NATS server limits the length of a subject
        let name = |claim: &str| text(claim).filter(|name| name.len() <= MAX_OWNER_PART_BYTES).ok_or(AuthError::Claims);
        let user = name("sub")?;
        if ApiKeyId::from_subject(&user).is_some() {
            return Err(AuthError::KeySubject);
        }
        let tenant = name(&self.config.tenant_claim)?;
        let mut scopes: Vec<String> =
            text("scope").unwrap_or_default().split_ascii_whitespace().map(str::to_owned).collect();
        if is_operator(&claims, &self.config.operator_group) && !scopes.iter().any(|scope| scope == OPERATE_SCOPE) {
            scopes.push(OPERATE_SCOPE.to_owned());
        }
        let expires_at = DateTime::from_timestamp(exp, 0).ok_or(AuthError::Claims)?;
        let mut claims = claims;
        claims.insert("tenant".into(), tenant.clone().into());
        Ok(Caller { owner: Owner::new(tenant, user), scopes, claims, expires_at: Some(expires_at), key: None })
    }
}

/// Whether the claim `groups` contains the operators' group. Without such a group in the settings, no group does.
fn is_operator(claims: &Map<String, Value>, group: &str) -> bool {
    let is_group = |name: &Value| name.as_str() == Some(group);
    !group.is_empty()
        && match claims.get("groups") {
            Some(Value::Array(groups)) => groups.iter().any(is_group),
            Some(name) => is_group(name),
            None => false,
        }
}

/// Whether the value of a claim contains the character U+0000, in a string or in the name of an object's member.
/// PostgreSQL cannot store this character.
fn has_nul(claim: &Value) -> bool {
    match claim {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(has_nul),
        Value::Object(members) => members.iter().any(|(name, value)| name.contains('\0') || has_nul(value)),
        _ => false,
    }
}

fn supports_algorithm(jwk: &Jwk, algorithm: Algorithm) -> bool {
    match (&jwk.algorithm, algorithm) {
        (AlgorithmParameters::RSA(_), Algorithm::RS256) => true,
        (AlgorithmParameters::EllipticCurve(ec), Algorithm::ES256) => ec.curve == EllipticCurve::P256,
        (AlgorithmParameters::OctetKeyPair(okp), Algorithm::EdDSA) => okp.curve == EllipticCurve::Ed25519,
        _ => false,
    }
}
