//! The signal that stops the [pump](super::pump) of one file stream, the task that sends the bytes of the file.

use std::sync::{Arc, OnceLock};

use tokio_util::sync::CancellationToken;

/// Stops one [pump](super::pump). Clones stop the same pump.
#[derive(Clone, Debug, Default)]
pub(super) struct StopSignal {
    token: CancellationToken,
    reference: Arc<OnceLock<Option<String>>>,
}

impl StopSignal {
    /// Stops the pump on behalf of the client; the pump answers `file.closed` with this `ref`.
    pub(super) fn stop(&self, reference: Option<String>) {
        // an error means that an earlier stop has set its `ref`; the pump answers only that one
        let _ = self.reference.set(reference);
        self.token.cancel();
    }

    /// Stops the pump because its session ends; the pump sends no answer.
    pub(super) fn abandon(&self) {
        self.token.cancel();
    }

    /// Waits until the pump must stop. Returns None if the pump must send no answer. Otherwise returns the `ref` of the
    /// client's `file.close`, which is None if the client sent none.
    pub(super) async fn stopped(&self) -> Option<Option<String>> {
        self.token.cancelled().await;
        self.reference.get().cloned()
    }

    #[cfg(test)]
    pub(super) fn is_stopped(&self) -> bool {
        self.token.is_cancelled()
    }
}
