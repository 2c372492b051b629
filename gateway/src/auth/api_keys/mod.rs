//! API keys: secrets of programs, which act as `key:<id>` of the creator's tenant with scopes of the creator.
//!
//! - `secret` generates keys and computes their hashes.
//! - `cache` keeps the answers of the database for a second.
//! - `open_uses` lists the sessions, event streams and downloads with a key.
//! - `monitor` ends them when their key is deleted or has expired, and records the last use of keys.
//! - `manage` creates, lists and deletes keys.

mod cache;
mod manage;
mod monitor;
mod open_uses;
mod secret;

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use entity::{StoreError, api_key};
use platform::{bus::Bus, clock::SharedClock};
use protocol::api_key::ApiKeyId;
use sea_orm::DatabaseConnection;
use tracing::error;

use self::{
    cache::{KeyCache, Lookup},
    open_uses::OpenUses,
};
pub(crate) use self::{
    manage::{ListQuery, not_found},
    open_uses::KeyWatch,
};
use super::caller::{AuthError, Caller};

/// The minimum time between two records of the last use of a key.
const USE_INTERVAL: TimeDelta = TimeDelta::minutes(1);
/// The maximum number of uses that wait to be recorded. Further uses are recorded a minute later.
const MAX_UNRECORDED_USES: usize = 4_096;

/// Verifies and manages API keys. Clones share the state.
#[derive(Clone, Debug)]
pub(crate) struct ApiKeys(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    db: DatabaseConnection,
    bus: Bus,
    clock: SharedClock,
    cache: KeyCache,
    open: OpenUses,
    /// Keys whose last use the monitor will record.
    used: Mutex<HashSet<ApiKeyId>>,
    check_interval: Duration,
}

impl ApiKeys {
    /// `cache_ttl` is the time for which an answer of the database counts. `check_interval` is the time between two
    /// checks of the keys of open sessions. A deleted key is refused, and its sessions end, within the sum of the two
    /// plus the duration of a query. The monitor must be spawned.
    #[must_use]
    pub(crate) fn new(
        db: DatabaseConnection,
        bus: Bus,
        clock: SharedClock,
        cache_ttl: Duration,
        check_interval: Duration,
    ) -> Self {
        Self(Arc::new(Inner {
            db,
            bus,
            clock,
            cache: KeyCache::new(cache_ttl),
            open: OpenUses::default(),
            used: Mutex::default(),
            check_interval,
        }))
    }

    /// Whether this bearer token is an API key. No JSON Web Token begins like a key.
    #[must_use]
    pub(crate) fn is_key(token: &str) -> bool {
        token.starts_with(secret::PREFIX)
    }

    /// Verifies a key and returns the caller.
    ///
    /// # Errors
    /// [`AuthError::Key`] for an unknown, deleted or damaged key, [`AuthError::KeyExpired`] for an expired one, and
    /// [`AuthError::Unavailable`] when the database fails.
    pub(super) async fn verify(&self, key: &str) -> Result<Caller, AuthError> {
        let hash = secret::hash(key).ok_or(AuthError::Key)?;
        let found = self.0.cache.get(&hash, async || self.0.look_up(&hash).await).await?;
        let caller = found.ok_or(AuthError::Key)?;
        if caller.is_expired(self.0.clock.now()) {
            return Err(AuthError::KeyExpired);
        }
        Ok(Caller::clone(&caller))
    }

    /// Whether the key with this id works at the moment.
    ///
    /// # Errors
    /// [`AuthError::Unavailable`] when the database fails.
    pub(super) async fn is_live(&self, id: ApiKeyId) -> Result<bool, AuthError> {
        let live = api_key::find_live(&self.0.db, &[id], self.0.clock.now()).await.map_err(|e| unavailable(&e))?;
        Ok(!live.is_empty())
    }

    /// Registers a session, an event stream or a download of this caller, which must end when its key does.
    #[must_use]
    pub(crate) fn watch(&self, caller: &Caller) -> KeyWatch {
        self.0.open.watch(caller.key)
    }
}

impl Inner {
    async fn look_up(&self, hash: &str) -> Lookup {
        let found = async {
            let Some(row) = api_key::find_by_hash(&self.db, hash).await? else { return Ok(None) };
            let caller = caller(&row)?;
            self.note_use(row.key_id(), row.last_used_at);
            Ok(Some(Arc::new(caller)))
        };
        found.await.map_err(|e: StoreError| unavailable(&e))
    }

    /// Lets the monitor record a use of this key, unless the last record is recent.
    fn note_use(&self, id: ApiKeyId, last_used_at: Option<DateTime<Utc>>) {
        let is_recent = last_used_at.is_some_and(|at| self.clock.now() - at < USE_INTERVAL);
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if !is_recent && used.len() < MAX_UNRECORDED_USES {
            used.insert(id);
        }
    }
}

/// The caller who uses the key of this row. The claims are those of the creator, except for the subject and the scopes.
fn caller(row: &api_key::Model) -> Result<Caller, StoreError> {
    let id = row.key_id();
    let (owner, scopes) = (id.owner(&row.tenant), row.scope_list()?);
    let claims = row.acting_claims()?;
    Ok(Caller { owner, scopes, claims, expires_at: row.expires_at, key: Some(id) })
}

fn unavailable(e: &StoreError) -> AuthError {
    error!(error = %e, "failed to look up an API key");
    AuthError::Unavailable
}
