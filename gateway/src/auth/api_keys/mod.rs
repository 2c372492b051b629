//! API keys: secrets with which programs authenticate. A program with a key acts as the user `key:<id>` of the tenant
//! of the user who created the key, and may only have scopes of that user.
//!
//! - `secret` generates keys and computes their hashes.
//! - `cache` keeps keys that were read from the database, for a second.
//! - `open_uses` lists the sessions, event streams and downloads of callers with a key.
//! - `monitor` ends these sessions, event streams and downloads when their key is deleted or expires. It also records
//!   when each key was last used.
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

/// The minimum time between two updates of the time of last use in the database row of a key.
const USE_INTERVAL: TimeDelta = TimeDelta::minutes(1);
/// The maximum number of keys whose time of last use waits to be recorded in the database. While so many keys wait, the
/// gateway does not record the use of another key.
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
    /// The keys whose time of last use the monitor will record in the database.
    used: Mutex<HashSet<ApiKeyId>>,
    check_interval: Duration,
}

impl ApiKeys {
    /// Creates a verifier of API keys; the caller must then spawn the monitor. `cache_ttl` is the time for which the
    /// gateway trusts a key that it has read from the database. `check_interval` is the time between two checks of the
    /// keys of open sessions. After a deletion, the gateway refuses the key and ends its sessions within `cache_ttl`
    /// plus `check_interval` plus the duration of a query.
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

    /// Whether this bearer token is an API key, which begins with `slk_`. No JSON Web Token begins with this text.
    #[must_use]
    pub(crate) fn is_key(token: &str) -> bool {
        token.starts_with(secret::PREFIX)
    }

    /// Verifies an API key, and returns the caller who uses the key.
    ///
    /// # Errors
    /// [`AuthError::Key`] for an unknown, deleted or mistyped key. [`AuthError::KeyExpired`] for an expired key.
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

    /// Whether the API key with this id exists and has not expired.
    ///
    /// # Errors
    /// [`AuthError::Unavailable`] when the database fails.
    pub(super) async fn is_live(&self, id: ApiKeyId) -> Result<bool, AuthError> {
        let live = api_key::find_live(&self.0.db, &[id], self.0.clock.now()).await.map_err(|e| unavailable(&e))?;
        Ok(!live.is_empty())
    }

    /// Registers a session, an event stream or a download of this caller, so that it can end when the caller's API key
    /// is deleted or expires.
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

    /// Lets the monitor record a use of this key in the database, unless the last recorded use is less than
    /// [`USE_INTERVAL`] ago.
    fn note_use(&self, id: ApiKeyId, last_used_at: Option<DateTime<Utc>>) {
        let is_recent = last_used_at.is_some_and(|at| self.clock.now() - at < USE_INTERVAL);
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if !is_recent && used.len() < MAX_UNRECORDED_USES {
            used.insert(id);
        }
    }
}

/// Returns the caller who uses the API key of this row. The caller has the claims of the key's creator, except for the
/// subject and the scopes.
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
