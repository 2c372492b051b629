//! The issuer's public keys (RFC 7517), cached, fetched again when they are old or a token names an unknown one.

use std::{sync::Arc, time::Duration};

use jsonwebtoken::jwk::{Jwk, JwkSet};
use tokio::{sync::RwLock, time::Instant};
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
    cache: RwLock<Option<Cached>>,
}

#[derive(Clone, Debug)]
struct Cached {
    keys: Arc<JwkSet>,
    fetched: Instant,
}

impl Jwks {
    /// Keys from this URL, fetched at first use.
    #[must_use]
    pub fn new(url: String, max_age: Duration, http: reqwest::Client) -> Self {
        Self { url, max_age, http, cache: RwLock::new(None) }
    }

    /// The key with this id; a token without an id gets the only key there is.
    ///
    /// # Errors
    /// [`AuthError::Unavailable`] when no keys can be had at all, [`AuthError::Signature`] when none fits.
    pub async fn find(&self, kid: Option<&str>) -> Result<Jwk, AuthError> {
        let cached = self.cache.read().await.clone();
        if let Some(cached) = &cached {
            let age = cached.fetched.elapsed();
            let found = pick(&cached.keys, kid);
            let settled = if found.is_some() { age < self.max_age } else { age < MIN_AGE };
            if settled {
                return found.ok_or(AuthError::Signature);
            }
        }
        let keys = self.refresh(cached).await?;
        pick(&keys, kid).ok_or(AuthError::Signature)
    }

    /// One caller fetches; the others wait for its answer. Old keys stay in use while the issuer is away.
    async fn refresh(&self, seen: Option<Cached>) -> Result<Arc<JwkSet>, AuthError> {
        let mut cache = self.cache.write().await;
        if let (Some(now), seen) = (cache.as_ref(), seen.as_ref())
            && seen.is_none_or(|seen| seen.fetched != now.fetched)
        {
            return Ok(now.keys.clone());
        }
        match self.fetch().await {
            Ok(keys) => {
                let keys = Arc::new(keys);
                *cache = Some(Cached { keys: keys.clone(), fetched: Instant::now() });
                Ok(keys)
            }
            Err(e) => {
                warn!(error = %e, "the issuer's keys can't be fetched");
                let old = cache.as_mut().ok_or(AuthError::Unavailable)?;
                old.fetched = Instant::now();
                Ok(old.keys.clone())
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
