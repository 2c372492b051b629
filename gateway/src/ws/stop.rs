//! Stopping one stream because its client asked for that.

use std::sync::{Arc, OnceLock};

use tokio_util::sync::CancellationToken;

/// Stops a pump. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Stop {
    token: CancellationToken,
    reference: Arc<OnceLock<Option<String>>>,
}

impl Stop {
    /// Stops it; its answer carries this `ref`.
    pub(super) fn stop(&self, reference: Option<String>) {
        // whoever stops first is answered
        let _ = self.reference.set(reference);
        self.token.cancel();
    }

    /// Stops it because its session ends: nobody asked, so nobody is answered.
    pub(super) fn abandon(&self) {
        self.token.cancel();
    }

    /// Waits for the stop, and gives the `ref` for the answer; None: there is none to be given.
    pub(super) async fn stopped(&self) -> Option<Option<String>> {
        self.token.cancelled().await;
        self.reference.get().cloned()
    }

    /// Whether it was stopped.
    #[cfg(test)]
    pub(super) fn is_stopped(&self) -> bool {
        self.token.is_cancelled()
    }
}
