//! A cache of API keys from the database. The cache keeps each result for a short time only, so that the gateway soon
//! refuses a deleted key, even if the message about the deletion is lost.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use protocol::api_key::ApiKeyId;
use tokio::{sync::Semaphore, time::Instant};

use crate::auth::{AuthError, Caller};

/// The maximum number of cached keys. The gateway reads further keys from the database at each request.
const MAX_KEYS: usize = 4_096;
/// The maximum number of concurrent lookups of keys that the gateway has not found before. Without this limit, requests
/// with invented keys could use all database connections.
const MAX_UNKNOWN_LOOKUPS: usize = 8;
/// The longest time for which a request waits to begin a lookup, while [`MAX_UNKNOWN_LOOKUPS`] other lookups run.
const LOOKUP_WAIT: Duration = Duration::from_secs(5);

/// The result of looking up a key in the database: the caller who uses the key, or None for an unknown or deleted key.
pub(super) type Lookup = Result<Option<Arc<Caller>>, AuthError>;

/// The cached results of lookups, by the hash of the key.
#[derive(Debug)]
pub(super) struct KeyCache {
    slots: Mutex<HashMap<String, Arc<Slot>>>,
    ttl: Duration,
    unknown_lookups: Semaphore,
}

/// The cache entry of one key. While the slot is locked, a lookup of the key runs, and other requests with the same key
/// wait for the result.
type Slot = tokio::sync::Mutex<Answer>;

#[derive(Debug, Default)]
struct Answer {
    /// The time at which the last lookup began, and its result.
    last: Option<(Instant, Lookup)>,
    /// Whether an earlier lookup has found the key in the database.
    was_found: bool,
}

impl Answer {
    fn fresh(&self, ttl: Duration) -> Option<Lookup> {
        self.last.as_ref().filter(|(at, _)| at.elapsed() < ttl).map(|(_, answer)| answer.clone())
    }
}

impl KeyCache {
    pub(super) fn new(ttl: Duration) -> Self {
        Self { slots: Mutex::default(), ttl, unknown_lookups: Semaphore::new(MAX_UNKNOWN_LOOKUPS) }
    }

    /// Returns the result for the key with this hash. Calls `lookup` unless the cached result is younger than the
    /// cache's TTL. The cache keeps the result of a failed lookup too, so that requests do not queue up while the
    /// database is down.
    pub(super) async fn get(&self, hash: &str, lookup: impl AsyncFnOnce() -> Lookup) -> Lookup {
        let slot = self.slot(hash);
        let mut answer = slot.lock().await;
        if let Some(fresh) = answer.fresh(self.ttl) {
            return fresh;
        }
        let _permit = if answer.was_found {
            None
        } else {
            let permit = tokio::time::timeout(LOOKUP_WAIT, self.unknown_lookups.acquire()).await;
            Some(permit.map_err(|_| AuthError::Unavailable)?)
        };
        let began_at = Instant::now();
        let found = lookup().await;
        answer.was_found |= matches!(found, Ok(Some(_)));
        answer.last = Some((began_at, found.clone()));
        found
    }

    /// Removes these keys from the cache. Also discards the results of all running lookups, because a lookup may have
    /// read one of these keys before the deletion.
    pub(super) fn forget(&self, ids: &[ApiKeyId]) {
        // a running lookup then stores its answer in a slot that no later request sees
        self.lock().retain(|_, slot| {
            slot.try_lock().is_ok_and(|answer| match &answer.last {
                Some((_, Ok(Some(caller)))) => !caller.key.is_some_and(|id| ids.contains(&id)),
                _ => true,
            })
        });
    }

    /// Returns the slot of the key with this hash. If the cache is full of fresh results, returns a new slot that no
    /// other request sees.
    fn slot(&self, hash: &str) -> Arc<Slot> {
        let mut slots = self.lock();
        if let Some(slot) = slots.get(hash) {
            return Arc::clone(slot);
        }
        if slots.len() >= MAX_KEYS {
            slots.retain(|_, slot| slot.try_lock().map_or(true, |answer| answer.fresh(self.ttl).is_some()));
        }
        let slot = Arc::default();
        if slots.len() < MAX_KEYS {
            slots.insert(hash.to_owned(), Arc::clone(&slot));
        }
        slot
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Slot>>> {
        // no code can panic between two changes of the map
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::pending,
        sync::atomic::{AtomicUsize, Ordering},
    };

    use super::*;

    const TTL: Duration = Duration::from_secs(1);

    fn caller(id: ApiKeyId) -> Arc<Caller> {
        Arc::new(Caller {
            owner: id.owner("acme"),
            scopes: vec![],
            claims: serde_json::Map::new(),
            expires_at: None,
            key: Some(id),
        })
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_kept_for_the_ttl_counted_from_the_begin_of_its_lookup() {
        let (cache, lookups, id) = (KeyCache::new(TTL), AtomicUsize::new(0), ApiKeyId::generate());
        let get = async || {
            let lookup = async || {
                lookups.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(TTL / 4).await;
                Ok(Some(caller(id)))
            };
            cache.get("hash", lookup).await.unwrap().unwrap().key
        };
        // concurrent requests share one lookup
        assert_eq!(tokio::join!(get(), get(), get()), (Some(id), Some(id), Some(id)));
        assert_eq!(lookups.load(Ordering::Relaxed), 1);
        tokio::time::advance(TTL / 2).await;
        get().await;
        assert_eq!(lookups.load(Ordering::Relaxed), 1);
        tokio::time::advance(TTL / 4).await;
        get().await;
        assert_eq!(lookups.load(Ordering::Relaxed), 2);
        cache.forget(&[ApiKeyId::generate()]);
        get().await;
        assert_eq!(lookups.load(Ordering::Relaxed), 2);
        cache.forget(&[id]);
        get().await;
        assert_eq!(lookups.load(Ordering::Relaxed), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn the_answer_of_a_lookup_that_ran_during_a_deletion_is_not_kept() {
        let (cache, id) = (Arc::new(KeyCache::new(TTL)), ApiKeyId::generate());
        let (found, running) = tokio::sync::oneshot::channel();
        let reader = cache.clone();
        let request = tokio::spawn(async move { reader.get("hash", async || running.await.unwrap()).await });
        tokio::task::yield_now().await;
        cache.forget(&[id]);
        found.send(Ok(Some(caller(id)))).unwrap();
        assert!(request.await.unwrap().unwrap().is_some());
        assert!(cache.get("hash", async || Ok(None)).await.unwrap().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn invented_keys_neither_fill_the_cache_nor_delay_known_ones() {
        let cache = Arc::new(KeyCache::new(TTL));
        for number in 0..MAX_KEYS + 10 {
            cache.get(&number.to_string(), async || Ok(None)).await.unwrap();
        }
        assert_eq!(cache.lock().len(), MAX_KEYS);
        tokio::time::advance(TTL).await;
        let id = ApiKeyId::generate();
        let get = async || cache.get("known", async || Ok(Some(caller(id)))).await;
        get().await.unwrap();
        assert_eq!(cache.lock().len(), 1);

        for number in 0..MAX_UNKNOWN_LOOKUPS {
            let cache = Arc::clone(&cache);
            tokio::spawn(async move { cache.get(&format!("stuck {number}"), async || pending().await).await });
        }
        tokio::task::yield_now().await;
        tokio::time::advance(TTL).await;
        assert_eq!(get().await.unwrap().unwrap().key, Some(id));
        let refused = cache.get("unknown", async || Ok(None)).await;
        assert_eq!(refused.err(), Some(AuthError::Unavailable));
    }
}
