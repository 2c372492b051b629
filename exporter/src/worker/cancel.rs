//! Cancels that come over core NATS: hints that save a heartbeat's delay. One that is lost is seen in the database.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use async_nats::Subscriber;
use futures::StreamExt;
use protocol::id::ExportId;
use tokio_util::sync::CancellationToken;
use tracing::debug;

/// The running jobs of this process that can be canceled.
#[derive(Clone, Default)]
pub(crate) struct Cancels(Arc<Mutex<HashMap<ExportId, CancellationToken>>>);

impl Cancels {
    /// A token that is cancelled when a cancel for this export comes, for as long as the guard lives.
    pub(crate) fn watch(&self, id: ExportId) -> Watch {
        let token = CancellationToken::new();
        self.running(|running| running.insert(id, token.clone()));
        Watch { cancels: self.clone(), id, token }
    }

    fn cancel(&self, id: ExportId) {
        if let Some(token) = self.running(|running| running.get(&id).cloned()) {
            debug!(export.id = %id, "canceled");
            token.cancel();
        }
    }

    fn running<T>(&self, with: impl FnOnce(&mut HashMap<ExportId, CancellationToken>) -> T) -> T {
        // the map is whole after each of our calls, also when one panicked
        with(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Ends the watch when it is dropped.
pub(crate) struct Watch {
    cancels: Cancels,
    id: ExportId,
    token: CancellationToken,
}

impl Watch {
    pub(crate) const fn token(&self) -> &CancellationToken {
        &self.token
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.cancels.running(|running| running.remove(&self.id));
    }
}

/// Listens for cancels, and never ends: without a client there are heartbeats still.
pub(crate) async fn listen(cancels: Cancels, mut subscriber: Subscriber) {
    while let Some(message) = subscriber.next().await {
        let id = message.subject.rsplit('.').next().and_then(|token| token.parse().ok());
        if let Some(id) = id {
            cancels.cancel(id);
        }
    }
    std::future::pending().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_export_meant_is_canceled_and_none_after_its_end() {
        let cancels = Cancels::default();
        let (one, other) = (ExportId::generate(), ExportId::generate());
        let (first, second) = (cancels.watch(one), cancels.watch(other));
        cancels.cancel(one);
        assert!(first.token().is_cancelled() && !second.token().is_cancelled());
        let token = second.token().clone();
        drop(second);
        cancels.cancel(other);
        assert!(!token.is_cancelled());
    }
}
