//! The issuer's public keys (RFC 7517). The cache is refreshed when it is old or a token names an unknown key id.

use std::{
    sync::{Arc, RwLock},
    time::Duration,
};

use jsonwebtoken::jwk::{Jwk, JwkSet};
use tokio::{sync::Mutex, time::Instant};
use tracing::warn;

use super::caller::AuthError;

/// The deadline of one request to the issuer.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// The age after which known keys are fetched again.
const MAX_AGE: Duration = Duration::from_secs(300);
/// The shortest time between two fetches, so that tokens with invented key ids cannot cause a request each.
const MIN_AGE: Duration = Duration::from_secs(5);

/// The key set behind one URL.
#[derive(Debug)]
pub(super) struct Jwks {
    url: String,
    http: reqwest::Client,
    cache: RwLock<Cached>,
    /// Held during a fetch; concurrent callers continue with the cached keys.
    fetching: Mutex<()>,
}

#[derive(Clone, Debug, Default)]
struct Cached {
    keys: Option<Arc<JwkSet>>,
    /// When the last fetch ended, successful or not.
    fetched_at: Option<Instant>,
}

impl Cached {
    fn age(&self) -> Duration {
        self.fetched_at.map_or(Duration::MAX, |at| at.elapsed())
    }

    fn pick(&self, kid: Option<&str>) -> Option<Jwk> {
        self.keys.as_ref().and_then(|keys| pick(keys, kid))
    }
}

impl Jwks {
    /// The keys are fetched at first use.
    #[must_use]
    pub(super) fn new(url: String, http: reqwest::Client) -> Self {
        Self { url, http, cache: RwLock::default(), fetching: Mutex::default() }
    }

    /// Finds the key with this id. A token without a key id matches a key set of exactly one key.
    ///
    /// # Errors
    /// [`AuthError::Unavailable`] when no key set was ever fetched, [`AuthError::Signature`] when no key matches.
    pub(super) async fn find(&self, kid: Option<&str>) -> Result<Jwk, AuthError> {
        let cached = self.cached();
        let found = cached.pick(kid);
        let age = cached.age();
        // a token with an invented key id must neither cause a fetch each time nor delay tokens with known keys
        if age < MIN_AGE || (found.is_some() && age < MAX_AGE) {
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
        cached.pick(kid).ok_or(AuthError::Signature)
    }

    fn cached(&self) -> Cached {
        self.cache.read().map(|cached| cached.clone()).unwrap_or_default()
    }

    /// Fetches the key set. The old keys stay in use while the issuer does not answer.
    async fn refresh(&self) {
        let fetched = self.fetch().await.inspect_err(|e| warn!(error = %e, "failed to fetch the issuer's keys"));
        if let Ok(mut cached) = self.cache.write() {
            cached.fetched_at = Some(Instant::now());
            if let Ok(keys) = fetched {
                cached.keys = Some(Arc::new(keys));
            }
        }
    }

    async fn fetch(&self) -> Result<JwkSet, reqwest::Error> {
        self.http.get(&self.url).timeout(FETCH_TIMEOUT).send().await?.error_for_status()?.json().await
    }
}

fn pick(keys: &JwkSet, kid: Option<&str>) -> Option<Jwk> {
    match kid {
        Some(kid) => keys.find(kid).cloned(),
        None if keys.keys.len() == 1 => keys.keys.first().cloned(),
        None => None,
    }
}
