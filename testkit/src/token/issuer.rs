//! Signing keys of every supported algorithm, and tokens signed with them.

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    rand::SystemRandom,
    rsa::{KeyPair, KeySize},
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair},
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use chrono::{DateTime, Duration, Utc};
use jsonwebtoken::{Algorithm, EncodingKey, Header, jwk::Jwk};
use platform::clock::{Clock, SystemClock};
use serde_json::{Map, Value, json};
use uuid::Uuid;

/// The default `iss` of tokens.
const ISSUER: &str = "sluice";
/// The default `aud` of tokens.
const AUDIENCE: &str = "sluice";
/// The age of `nbf` in a new token. A gateway with a stopped test clock must accept tokens that a test signs later.
const VALID_SINCE: Duration = Duration::minutes(5);

/// A token issuer: a signing key, and the issuer and audience of its tokens.
#[derive(Clone)]
pub struct Issuer {
    algorithm: Algorithm,
    key: EncodingKey,
    kid: String,
    secret: Option<String>,
    /// The `iss` claim of the tokens.
    pub issuer: String,
    /// The `aud` claim of the tokens.
    pub audience: String,
    /// The name of the claim that holds the tenant.
    pub tenant_claim: String,
}

impl Issuer {
    /// Creates an HS256 issuer with this shared secret, as in `sluice up`.
    #[must_use]
    pub fn local(secret: &str) -> Self {
        let key = EncodingKey::from_secret(secret.as_bytes());
        Self { secret: Some(secret.to_owned()), ..Self::new(Algorithm::HS256, key) }
    }

    /// Creates an RS256 issuer with a new key of 2048 bits.
    ///
    /// # Panics
    /// When no key can be generated.
    #[must_use]
    pub fn rs256() -> Self {
        let pair = KeyPair::generate(KeySize::Rsa2048).expect("an RSA key can be generated");
        let der: Pkcs8V1Der<'_> = pair.as_der().expect("a new key can be written");
        let pem =
            format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(der.as_ref()));
        Self::new(Algorithm::RS256, EncodingKey::from_rsa_pem(pem.as_bytes()).expect("the key was just generated"))
    }

    /// Creates an ES256 issuer with a new key.
    ///
    /// # Panics
    /// When no key can be generated.
    #[must_use]
    pub fn es256() -> Self {
        let der = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
        let der = der.expect("an EC key can be generated");
        Self::new(Algorithm::ES256, EncodingKey::from_ec_der(der.as_ref()))
    }

    /// Creates an EdDSA (Ed25519) issuer with a new key.
    ///
    /// # Panics
    /// When no key can be generated.
    #[must_use]
    pub fn eddsa() -> Self {
        let der = Ed25519KeyPair::generate_pkcs8v1(&SystemRandom::new()).expect("an Ed25519 key can be generated");
        Self::new(Algorithm::EdDSA, EncodingKey::from_ed_der(der.as_ref()))
    }

    fn new(algorithm: Algorithm, key: EncodingKey) -> Self {
        Self {
            algorithm,
            key,
            kid: Uuid::new_v4().to_string(),
            secret: None,
            issuer: ISSUER.into(),
            audience: AUDIENCE.into(),
            tenant_claim: "tenant".into(),
        }
    }

    /// The shared secret of [`Issuer::local`]; None for other issuers.
    #[must_use]
    pub fn secret(&self) -> Option<&str> {
        self.secret.as_deref()
    }

    /// The id of the key in the JWKS document and in token headers.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The public key as a JWK.
    ///
    /// # Panics
    /// For an issuer with a shared secret, which has no public key.
    #[must_use]
    pub fn jwk(&self) -> Value {
        assert!(self.secret.is_none(), "a shared secret is not published");
        let mut jwk = Jwk::from_encoding_key(&self.key, self.algorithm).expect("the key was just generated");
        jwk.common.key_id = Some(self.kid.clone());
        serde_json::to_value(jwk).expect("a key can be written as JSON")
    }

    /// The JWKS document with the public keys of these issuers.
    #[must_use]
    pub fn jwks<'a>(issuers: impl IntoIterator<Item = &'a Self>) -> Value {
        json!({"keys": issuers.into_iter().map(Self::jwk).collect::<Vec<_>>()})
    }

    /// Creates a builder for a token that is valid for one hour and allows all datasets.
    #[must_use]
    pub fn token(&self, sub: &str, tenant: &str) -> TokenBuilder<'_> {
        let now = SystemClock.now();
        let mut claims = Map::new();
        claims.insert("iss".into(), self.issuer.clone().into());
        claims.insert("aud".into(), self.audience.clone().into());
        claims.insert("sub".into(), sub.into());
        claims.insert(self.tenant_claim.clone(), tenant.into());
        claims.insert("scope".into(), "export:*".into());
        let builder = TokenBuilder { issuer: self, claims, fault: None };
        builder.at("iat", now).at("nbf", now - VALID_SINCE).at("exp", now + Duration::hours(1))
    }

    fn header(&self) -> Header {
        let mut header = Header::new(self.algorithm);
        header.kid = Some(self.kid.clone()).filter(|_| self.secret.is_none());
        header
    }
}

#[derive(Clone, Copy)]
enum Fault {
    AlgNone,
    Critical,
    BadSignature,
    Unsigned,
}

/// Builds a valid or an invalid token.
#[derive(Clone)]
pub struct TokenBuilder<'a> {
    issuer: &'a Issuer,
    claims: Map<String, Value>,
    fault: Option<Fault>,
}

impl TokenBuilder<'_> {
    /// Sets the `scope` claim: scopes separated by spaces.
    #[must_use]
    pub fn scope(self, scope: &str) -> Self {
        self.claim("scope", scope)
    }

    /// Makes the token expire after this duration from now.
    #[must_use]
    pub fn expires_in(self, ttl: Duration) -> Self {
        self.at("exp", SystemClock.now() + ttl)
    }

    /// Makes the token expired for ten minutes, which exceeds every clock leeway.
    #[must_use]
    pub fn expired(self) -> Self {
        self.expires_in(-Duration::minutes(10))
    }

    /// Makes the token valid only in ten minutes, which exceeds every clock leeway.
    #[must_use]
    pub fn not_yet_valid(self) -> Self {
        self.at("nbf", SystemClock.now() + Duration::minutes(10))
    }

    /// Sets the `aud` claim to another audience.
    #[must_use]
    pub fn wrong_audience(self) -> Self {
        self.claim("aud", "another-audience")
    }

    /// Sets the `iss` claim to another issuer.
    #[must_use]
    pub fn wrong_issuer(self) -> Self {
        self.claim("iss", "https://another-issuer.test")
    }

    /// Sets the header to `alg: none` and removes the signature.
    #[must_use]
    pub fn alg_none(mut self) -> Self {
        self.fault = Some(Fault::AlgNone);
        self
    }

    /// Signs a header that requires an extension (`crit`, RFC 7515), which no recipient knows.
    #[must_use]
    pub fn critical(mut self) -> Self {
        self.fault = Some(Fault::Critical);
        self
    }

    /// Flips one bit of the signature.
    #[must_use]
    pub fn bad_signature(mut self) -> Self {
        self.fault = Some(Fault::BadSignature);
        self
    }

    /// Keeps the algorithm in the header and removes the signature.
    #[must_use]
    pub fn unsigned(mut self) -> Self {
        self.fault = Some(Fault::Unsigned);
        self
    }

    /// Sets a claim to this value.
    #[must_use]
    pub fn claim(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.claims.insert(name.to_owned(), value.into());
        self
    }

    /// Removes a claim from the token.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.claims.remove(name);
        self
    }

    /// Signs the token, and applies the fault if one is set.
    ///
    /// # Panics
    /// When the key can't sign.
    #[must_use]
    pub fn sign(&self) -> String {
        let mut header = self.issuer.header();
        if matches!(self.fault, Some(Fault::Critical)) {
            header.crit = Some(vec!["unknown".into()]);
        }
        let token = jsonwebtoken::encode(&header, &self.claims, &self.issuer.key);
        let token = token.expect("the key fits its algorithm");
        let (signed, signature) = token.rsplit_once('.').expect("a token has three parts");
        match self.fault {
            None | Some(Fault::Critical) => token,
            Some(Fault::Unsigned) => format!("{signed}."),
            Some(Fault::BadSignature) => {
                let mut bytes = URL_SAFE_NO_PAD.decode(signature).expect("the signature was just encoded");
                bytes[0] ^= 1;
                format!("{signed}.{}", URL_SAFE_NO_PAD.encode(bytes))
            }
            Some(Fault::AlgNone) => {
                let header = URL_SAFE_NO_PAD.encode(r#"{"typ":"JWT","alg":"none"}"#);
                let (_, claims) = signed.split_once('.').expect("a token has three parts");
                format!("{header}.{claims}.")
            }
        }
    }

    fn at(self, name: &str, time: DateTime<Utc>) -> Self {
        self.claim(name, time.timestamp())
    }
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{DecodingKey, Validation, decode, errors::ErrorKind, jwk::JwkSet};

    use super::*;

    fn verify(issuer: &Issuer, token: &str) -> Result<Value, ErrorKind> {
        let key = match issuer.secret() {
            Some(secret) => DecodingKey::from_secret(secret.as_bytes()),
            None => {
                let set: JwkSet = serde_json::from_value(Issuer::jwks([issuer])).unwrap();
                DecodingKey::from_jwk(set.find(issuer.kid()).unwrap()).unwrap()
            }
        };
        let mut validation = Validation::new(issuer.algorithm);
        validation.set_audience(&[AUDIENCE]);
        validation.set_issuer(&[ISSUER]);
        validation.validate_nbf = true;
        decode::<Value>(token, &key, &validation).map(|data| data.claims).map_err(|e| e.into_kind())
    }

    #[test]
    fn every_algorithm_signs_tokens_that_the_public_key_verifies() {
        for issuer in [Issuer::local("secret"), Issuer::rs256(), Issuer::es256(), Issuer::eddsa()] {
            let claims = verify(&issuer, &issuer.token("alice", "acme").scope("export:flights").sign()).unwrap();
            assert_eq!((&claims["sub"], &claims["tenant"]), (&json!("alice"), &json!("acme")));
            let token = issuer.token("alice", "acme");
            for bad in [
                token.clone().expired(),
                token.clone().not_yet_valid(),
                token.clone().wrong_audience(),
                token.clone().wrong_issuer(),
                token.clone().alg_none(),
                token.clone().bad_signature(),
                token.unsigned(),
            ] {
                verify(&issuer, &bad.sign()).unwrap_err();
            }
        }
    }
}
