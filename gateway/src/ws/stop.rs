//! The signal that stops the [pump](super::pump) of one file stream, the task that sends the bytes of the file.

use std::sync::{Arc, OnceLock};

use tokio_util::sync::CancellationToken;

/// Stops one [pump](super::pump), the task that sends the bytes of a file. Clones stop the same pump.
#[derive(Clone, Debug, Default)]
pub(super) struct StopSignal {
    token: CancellationToken,
    reference: Arc<OnceLock<Option<String>>>,
}

impl StopSignal {
    /// Stops the task that sends the bytes of the file, because the client has sent `file.close`. The task sends
    /// `file.closed` with this `ref` to the client.
    pub(super) fn stop(&self, reference: Option<String>) {
        // an error means that an earlier stop has set its `ref`; the pump answers only that one
        let _ = self.reference.set(reference);
        self.token.cancel();
    }

    /// Stops the task that sends the bytes of the file, because its session ends. The task sends no answer to the
    /// client.
    pub(super) fn abandon(&self) {
        self.token.cancel();
    }

    /// Waits until the task that sends the bytes of the file must stop. Returns None if the session ends and the task
    /// must send no answer. Otherwise returns the `ref` of the client's `file.close`, which is None if the client sent
    /// no `ref`.
    pub(super) async fn stopped(&self) -> Option<Option<String>> {
        self.token.cancelled().await;
        self.reference.get().cloned()
    }

    #[cfg(test)]
    pub(super) fn is_stopped(&self) -> bool {
        self.token.is_cancelled()
    }
}
