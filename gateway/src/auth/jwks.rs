//! Caches the issuer's public keys (RFC 7517), and fetches them again after five minutes or for an unknown key id.

use std::{
    sync::{Arc, RwLock},
    time::Duration,
};

use jsonwebtoken::jwk::{Jwk, JwkSet};
use reqwest::redirect::Policy;
use tokio::{sync::Mutex, time::Instant};
use tracing::warn;

use super::caller::AuthError;

/// The timeout of one request to the issuer.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// The maximum size of a key set, in bytes: 1 MiB.
const MAX_BYTES: usize = 1 << 20;
/// The maximum number of redirects of one request.
const MAX_REDIRECTS: usize = 5;
/// The age of the cached keys after which the next token causes a new fetch of the keys.
const MAX_AGE: Duration = Duration::from_secs(300);
/// The minimum time between two fetches, so that tokens with invented key ids cannot flood the issuer with requests.
const MIN_FETCH_INTERVAL: Duration = Duration::from_secs(5);

/// The cached key set of one JWKS URL.
#[derive(Debug)]
pub(super) struct Jwks {
    url: String,
    http: reqwest::Client,
    cache: RwLock<CachedKeys>,
    /// Locked during a fetch, so that only one fetch runs at a time. During the fetch, the gateway verifies a token
    /// with the cached key that the token names. Tokens without a cached key wait for the fetch.
    fetching: Mutex<()>,
}

#[derive(Clone, Debug, Default)]
struct CachedKeys {
    keys: Option<Arc<JwkSet>>,
    /// The time at which the last fetch ended, with success or failure; None before the first fetch.
    fetched_at: Option<Instant>,
}

impl CachedKeys {
    fn age(&self) -> Duration {
        self.fetched_at.map_or(Duration::MAX, |at| at.elapsed())
    }

    fn find_key(&self, kid: Option<&str>) -> Option<Jwk> {
        self.keys.as_ref().and_then(|keys| find_key(keys, kid))
    }
}

impl Jwks {
    /// Creates an empty cache; the first [`Jwks::find`] fetches the keys.
    #[must_use]
    pub(super) fn new(url: String, http: reqwest::Client) -> Self {
        Self { url, http, cache: RwLock::default(), fetching: Mutex::default() }
    }

    /// Returns the public key with the id `kid`. If `kid` is None, returns the only key of the key set; fails if the
    /// set has several keys.
    ///
    /// # Errors
    /// [`AuthError::Unavailable`] when no key set was ever fetched. [`AuthError::Signature`] when no key matches.
    pub(super) async fn find(&self, kid: Option<&str>) -> Result<Jwk, AuthError> {
        let cached = self.cached();
        let found = cached.find_key(kid);
        let age = cached.age();
        // fetch if no cached key matches or the cached keys are old, but not shortly after the last fetch, so that
        // tokens with invented key ids cannot cause a fetch each
        if age < MIN_FETCH_INTERVAL || (found.is_some() && age < MAX_AGE) {
            return found.ok_or(if cached.keys.is_some() { AuthError::Signature } else { AuthError::Unavailable });
        }
        match (found, self.fetching.try_lock()) {
            (_, Ok(guard)) => {
                self.refresh().await;
                drop(guard);
            }
            (Some(old), Err(_)) => return Ok(old),
            (None, Err(_)) => drop(self.fetching.lock().await),
        }
        let cached = self.cached();
        if cached.keys.is_none() {
            return Err(AuthError::Unavailable);
        }
        cached.find_key(kid).ok_or(AuthError::Signature)
    }

    fn cached(&self) -> CachedKeys {
        self.cache.read().map(|cached| cached.clone()).unwrap_or_default()
    }

    /// Fetches the key set. If the fetch fails, the old keys stay in use.
    async fn refresh(&self) {
        let fetched = self.fetch().await.inspect_err(|e| warn!(error = %e, "failed to fetch the issuer's keys"));
        if let Ok(mut cached) = self.cache.write() {
            cached.fetched_at = Some(Instant::now());
            if let Ok(keys) = fetched {
                cached.keys = Some(Arc::new(keys));
            }
        }
    }

    async fn fetch(&self) -> Result<JwkSet, FetchError> {
        let mut response = self.http.get(&self.url).timeout(FETCH_TIMEOUT).send().await?.error_for_status()?;
        if !response.status().is_success() {
            return Err(FetchError::Status(response.status()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            body.extend_from_slice(&chunk);
            if body.len() > MAX_BYTES {
                return Err(FetchError::TooLarge);
            }
        }
        Ok(serde_json::from_slice(&body)?)
    }
}

/// The reason why the gateway could not fetch a key set.
#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error(transparent)]
    Http(#[from] reqwest::Error),
    /// The issuer answered with this status, which is neither a success (2xx) nor an error (4xx or 5xx). An example is
    /// a redirect to another origin, which the client does not follow.
    #[error("the issuer answered {0}: jwks_url must be the address of the key set itself")]
    Status(reqwest::StatusCode),
    #[error("the key set has more than {MAX_BYTES} bytes")]
    TooLarge,
    #[error("the answer is no key set: {0}")]
    Json(#[from] serde_json::Error),
}

/// Returns the client that fetches key sets. The client follows a redirect only within the origin of the URL. If the
/// client followed other redirects, another origin could supply keys, and the gateway would accept tokens that this
/// origin has signed.
///
/// # Errors
/// When the system's certificates can't be read.
pub(crate) fn client() -> Result<reqwest::Client, reqwest::Error> {
    let same_origin = Policy::custom(|attempt| {
        let first = attempt.previous().first();
        let is_same = first.is_some_and(|first| first.origin() == attempt.url().origin());
        if is_same && attempt.previous().len() <= MAX_REDIRECTS { attempt.follow() } else { attempt.stop() }
    });
    reqwest::Client::builder().redirect(same_origin).build()
}

fn find_key(keys: &JwkSet, kid: Option<&str>) -> Option<Jwk> {
    match kid {
        Some(kid) => keys.find(kid).cloned(),
        None if keys.keys.len() == 1 => keys.keys.first().cloned(),
        None => None,
    }
}
