//! Ends the sessions, event streams and downloads of API keys that were deleted or have expired, and records when each
//! key was last used. Each gateway runs one such task.
//!
//! The task reads the keys from the database at an interval, and at once when a gateway reports a deletion over NATS.
//! Such a report may be lost; the next interval then finds the deletion.

use std::collections::HashSet;

use entity::{StoreError, api_key};
use futures::StreamExt;
use platform::{bus, lifecycle::Lifecycle};
use protocol::{
    api_key::{ApiKeyId, DeletedApiKeys},
    subject,
};
use tokio::time::{Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::{ApiKeys, Inner, USE_INTERVAL};

/// The maximum number of keys in one database query.
const BATCH: usize = 1_000;

impl ApiKeys {
    /// Spawns the monitor, which runs until `stop` is cancelled.
    pub(crate) fn spawn_monitor(&self, life: &Lifecycle, stop: CancellationToken) {
        let keys = self.clone();
        life.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = keys.0.monitor() => {}
            }
        });
    }
}

impl Inner {
    async fn monitor(&self) {
        let mut ticks = self.ticks();
        let mut hints = match self.bus.subscribe(subject::KEY_DELETED.to_owned()).await {
            Ok(hints) => Some(hints),
            Err(e) => {
                warn!(error = %e, "failed to subscribe to deletions of API keys; they are noticed a little later");
                None
            }
        };
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                hint = async { hints.as_mut()?.next().await }, if hints.is_some() => match hint {
                    Some(hint) => self.on_hint(&hint.payload),
                    None => hints = None,
                },
            }
            if let Err(e) = self.check().await {
                warn!(error = %e, "failed to check the API keys of open sessions; retrying");
            }
            if let Err(e) = self.record_uses().await {
                debug!(error = %e, "failed to record the last use of API keys");
            }
        }
    }

    fn ticks(&self) -> Interval {
        let mut ticks = tokio::time::interval(self.check_interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks
    }

    fn on_hint(&self, payload: &[u8]) {
        match bus::open::<DeletedApiKeys>(payload) {
            Ok(envelope) => self.cache.forget(&envelope.body.ids),
            Err(e) => debug!(error = %e, "skipped an unreadable report of deleted API keys"),
        }
    }

    /// Ends the sessions, event streams and downloads of keys that were deleted or have expired. While the database is
    /// unavailable, they continue, because no gateway can delete a key.
    async fn check(&self) -> Result<(), StoreError> {
        for ids in self.open.ids().chunks(BATCH) {
            let live = api_key::find_live(&self.db, ids, self.clock.now()).await?;
            let mut ended: HashSet<ApiKeyId> = ids.iter().copied().collect();
            for (id, last_used_at) in live {
                ended.remove(&id);
                self.note_use(id, last_used_at);
            }
            self.open.revoke(&ended.into_iter().collect::<Vec<_>>());
        }
        Ok(())
    }

    async fn record_uses(&self) -> Result<(), StoreError> {
        let used = self.used.lock().map(|mut used| std::mem::take(&mut *used)).unwrap_or_default();
        for id in used {
            api_key::record_use(&self.db, id, self.clock.now(), USE_INTERVAL).await?;
        }
        Ok(())
    }
}
