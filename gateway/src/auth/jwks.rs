//! The issuer's public keys (RFC 7517), cached, fetched again when they are old or a token names an unknown one.

use std::{
    sync::{Arc, RwLock},
    time::Duration,
};

use jsonwebtoken::jwk::{Jwk, JwkSet};
use tokio::{sync::Mutex, time::Instant};
use tracing::warn;

use super::AuthError;

/// How long a fetch may take.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// Tokens with made-up key ids make us fetch no more often than this.
const MIN_AGE: Duration = Duration::from_secs(5);

/// The keys behind one URL.
#[derive(Debug)]
pub struct Jwks {
    url: String,
    max_age: Duration,
    http: reqwest::Client,
    cache: RwLock<Cached>,
    /// Held by the one who fetches; others go on with the keys there are.
    fetching: Mutex<()>,
}

#[derive(Clone, Debug, Default)]
struct Cached {
    keys: Option<Arc<JwkSet>>,
    /// When the last try ended, well or not.
    tried: Option<Instant>,
}

impl Cached {
    fn age(&self) -> Duration {
        self.tried.map_or(Duration::MAX, |tried| tried.elapsed())
    }

    fn pick(&self, kid: Option<&str>) -> Option<Jwk> {
        self.keys.as_ref().and_then(|keys| pick(keys, kid))
    }
}

impl Jwks {
    /// Keys from this URL, fetched at first use.
    #[must_use]
    pub fn new(url: String, max_age: Duration, http: reqwest::Client) -> Self {
        Self { url, max_age, http, cache: RwLock::default(), fetching: Mutex::default() }
    }

    /// The key with this id; a token without an id gets the only key there is.
    ///
    /// # Errors
    /// [`AuthError::Unavailable`] when no keys can be had at all, [`AuthError::Signature`] when none fits.
    pub async fn find(&self, kid: Option<&str>) -> Result<Jwk, AuthError> {
        let cached = self.cached();
        let found = cached.pick(kid);
        let age = cached.age();
        // a token with a made-up id must not make us fetch all the time, nor hold up those whose keys are known
        if age < MIN_AGE || (found.is_some() && age < self.max_age) {
            return found.ok_or(if cached.keys.is_some() { AuthError::Signature } else { AuthError::Unavailable });
        }
        match (found, self.fetching.try_lock()) {
            (_, Ok(turn)) => {
                self.refresh().await;
                drop(turn);
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

    /// Fetches; the old keys stay in use while the issuer is away.
    async fn refresh(&self) {
        let fetched = self.fetch().await.inspect_err(|e| warn!(error = %e, "the issuer's keys can't be fetched"));
        if let Ok(mut cached) = self.cache.write() {
            cached.tried = Some(Instant::now());
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
