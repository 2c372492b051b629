//! The signal that stops the [pump](super::pump) of one file stream. A pump is the task that sends the bytes of a file.

use std::sync::{Arc, OnceLock};

use tokio_util::sync::CancellationToken;

/// Stops one [pump](super::pump) (the task that sends the bytes of one file). Clones stop the same pump.
#[derive(Clone, Debug, Default)]
pub(super) struct StopSignal {
    token: CancellationToken,
    reference: Arc<OnceLock<Option<String>>>,
}

impl StopSignal {
    /// Stops the pump, because the client has sent `file.close`. `reference` is the `ref` of this `file.close`. The
    /// pump sends no further bytes, answers with `file.closed` and the same `ref`, and ends.
    pub(super) fn stop(&self, reference: Option<String>) {
        // an error means that an earlier `file.close` has set its `ref`, and the pump answers only the first
        // `file.close`
        let _ = self.reference.set(reference);
        self.token.cancel();
    }

    /// Stops the pump, because the session ends. The pump sends neither further bytes nor an answer.
    pub(super) fn abandon(&self) {
        self.token.cancel();
    }

    /// Waits until the pump must stop, and returns the reason:
    ///
    /// - `None`: the session ends. The pump must send no answer.
    /// - `Some(None)`: the client has sent a `file.close` without a `ref`. The pump must answer.
    /// - `Some(Some(_))`: the client has sent a `file.close` with this `ref`, which the answer must repeat.
    pub(super) async fn stopped(&self) -> Option<Option<String>> {
        self.token.cancelled().await;
        self.reference.get().cloned()
    }

    #[cfg(test)]
    pub(super) fn is_stopped(&self) -> bool {
        self.token.is_cancelled()
    }
}
