//! Cancels a running job when a cancellation of its export arrives over core NATS. If the message is lost, the next
//! lease renewal detects the cancellation in the database.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use async_nats::Subscriber;
use futures::StreamExt;
use protocol::id::ExportId;
use tokio_util::sync::CancellationToken;
use tracing::debug;

/// The cancellation tokens of the running jobs of this process.
#[derive(Clone, Default)]
pub(crate) struct Cancellations(Arc<Mutex<HashMap<ExportId, CancellationToken>>>);

impl Cancellations {
    /// Registers a running export until the returned guard is dropped. While the export is registered, a cancellation
    /// of the export cancels the token of the guard.
    pub(super) fn register(&self, id: ExportId) -> CancellationGuard {
        let token = CancellationToken::new();
        self.with_tokens(|tokens| tokens.insert(id, token.clone()));
        CancellationGuard { cancellations: self.clone(), id, token }
    }

    /// Whether an attempt at this export runs in this process.
    pub(super) fn is_registered(&self, id: ExportId) -> bool {
        self.with_tokens(|tokens| tokens.contains_key(&id))
    }

    fn cancel(&self, id: ExportId) {
        if let Some(token) = self.with_tokens(|tokens| tokens.get(&id).cloned()) {
            debug!(export.id = %id, "received a cancellation");
            token.cancel();
        }
    }

    fn with_tokens<T>(&self, access: impl FnOnce(&mut HashMap<ExportId, CancellationToken>) -> T) -> T {
        // each access is a single call of the map, so a panic leaves the map valid
        access(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The registration of a running export. Dropping this value unregisters the export.
pub(super) struct CancellationGuard {
    cancellations: Cancellations,
    id: ExportId,
    token: CancellationToken,
}

impl CancellationGuard {
    pub(super) const fn token(&self) -> &CancellationToken {
        &self.token
    }
}

impl Drop for CancellationGuard {
    fn drop(&mut self) {
        self.cancellations.with_tokens(|tokens| tokens.remove(&self.id));
    }
}

/// Applies cancellations from NATS, and never returns. After the subscription has ended, only lease renewals detect
/// cancellations.
pub(crate) async fn listen(cancellations: Cancellations, mut subscriber: Subscriber) {
    while let Some(message) = subscriber.next().await {
        let id = message.subject.rsplit('.').next().and_then(|token| token.parse().ok());
        if let Some(id) = id {
            cancellations.cancel(id);
        }
    }
    std::future::pending().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cancellation_reaches_only_its_export_while_the_export_runs() {
        let cancellations = Cancellations::default();
        let (one, other) = (ExportId::generate(), ExportId::generate());
        let (first, second) = (cancellations.register(one), cancellations.register(other));
        cancellations.cancel(one);
        assert!(first.token().is_cancelled() && !second.token().is_cancelled());
        let token = second.token().clone();
        assert!(cancellations.is_registered(other));
        drop(second);
        assert!(!cancellations.is_registered(other));
        cancellations.cancel(other);
        assert!(!token.is_cancelled());
    }
}
