//! The open sessions, event streams and downloads of callers with an API key, and the signal that ends them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use protocol::api_key::ApiKeyId;
use tokio_util::sync::CancellationToken;

/// The API keys of the open sessions, event streams and downloads on this gateway. Clones share the state.
#[derive(Clone, Debug, Default)]
pub(super) struct OpenUses(Arc<Mutex<HashMap<ApiKeyId, OpenKey>>>);

#[derive(Debug, Default)]
struct OpenKey {
    uses: usize,
    revoked: CancellationToken,
}

/// Tells a session or download when the caller's API key is deleted or expires. Until this value is dropped, the
/// gateway checks the key at an interval.
#[derive(Debug)]
pub(crate) struct KeyWatch(Option<Watched>);

#[derive(Debug)]
struct Watched {
    open: OpenUses,
    id: ApiKeyId,
    revoked: CancellationToken,
}

impl KeyWatch {
    /// Waits until the caller's API key is deleted or expires. Never completes for a caller without a key.
    pub(crate) async fn revoked(&self) {
        match &self.0 {
            Some(watched) => watched.revoked.cancelled().await,
            None => std::future::pending().await,
        }
    }
}

impl OpenUses {
    /// Registers a session, an event stream or a download with this API key. `key` is None for a caller without a key.
    pub(super) fn watch(&self, key: Option<ApiKeyId>) -> KeyWatch {
        KeyWatch(key.map(|id| {
            let mut keys = self.lock();
            let key = keys.entry(id).or_default();
            key.uses += 1;
            Watched { open: self.clone(), id, revoked: key.revoked.clone() }
        }))
    }

    /// Returns the ids of the API keys with an open session, event stream or download.
    pub(super) fn ids(&self) -> Vec<ApiKeyId> {
        self.lock().keys().copied().collect()
    }

    /// Ends all sessions, event streams and downloads with these API keys.
    pub(super) fn revoke(&self, ids: &[ApiKeyId]) {
        let keys = self.lock();
        for key in ids.iter().filter_map(|id| keys.get(id)) {
            key.revoked.cancel();
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ApiKeyId, OpenKey>> {
        // no code can panic between two changes of the map
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let mut keys = self.open.lock();
        if let Some(key) = keys.get_mut(&self.id) {
            key.uses -= 1;
            if key.uses == 0 {
                keys.remove(&self.id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn a_revoked_key_ends_its_own_uses_only() {
        let (open, one, other) = (OpenUses::default(), ApiKeyId::generate(), ApiKeyId::generate());
        let is_revoked = |watch: &KeyWatch| watch.revoked().now_or_never().is_some();
        let (first, second, foreign, user) =
            (open.watch(Some(one)), open.watch(Some(one)), open.watch(Some(other)), open.watch(None));
        open.revoke(&[one, ApiKeyId::generate()]);
        assert_eq!([&first, &second, &foreign, &user].map(is_revoked), [true, true, false, false]);
        drop(first);
        assert_eq!(open.ids().len(), 2);
        drop((second, foreign));
        assert_eq!(open.ids(), []);
    }
}
