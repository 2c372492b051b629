//! The flow-control window of one file stream: the number of bytes that the client still accepts.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tokio::sync::Notify;

/// The window of one file stream: the number of bytes that the client still accepts. The session enlarges the window.
/// The [pump](super::pump) (the task that sends the file's bytes) reduces the window by the bytes that it sends.
#[derive(Debug)]
pub(super) struct Window {
    bytes: AtomicU64,
    enlarged: Notify,
}

impl Window {
    pub(super) fn new(bytes: u64) -> Self {
        Self { bytes: AtomicU64::new(bytes), enlarged: Notify::new() }
    }

    /// Adds `bytes` to the number of bytes that the client still accepts. The sum saturates at `u64::MAX`.
    pub(super) fn grant(&self, bytes: u64) {
        let enlarge = |now: u64| Some(now.saturating_add(bytes));
        // the closure always returns a value, so the update never fails
        let _ = self.bytes.fetch_update(Ordering::AcqRel, Ordering::Acquire, enlarge);
        self.enlarged.notify_one();
    }

    /// Returns the number of bytes that the client still accepts. If the number is 0, waits until the client permits
    /// more. Returns 0 if `timeout` passes first.
    pub(super) async fn available(&self, timeout: Duration) -> u64 {
        let granted = async {
            loop {
                let bytes = self.bytes.load(Ordering::Acquire);
                if bytes > 0 {
                    return bytes;
                }
                self.enlarged.notified().await;
            }
        };
        tokio::time::timeout(timeout, granted).await.unwrap_or(0)
    }

    /// Subtracts the bytes that the pump has sent. The subtraction cannot underflow, because only the pump calls this
    /// method, and the pump never sends more bytes than [`Window::available`] returned.
    pub(super) fn consume(&self, bytes: u64) {
        self.bytes.fetch_sub(bytes, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_empty_window_waits_for_a_grant_until_the_timeout() {
        let window = Window::new(3);
        assert_eq!(window.available(Duration::from_secs(1)).await, 3);
        window.consume(3);
        assert_eq!(window.available(Duration::from_secs(1)).await, 0);
        let (available, ()) = tokio::join!(window.available(Duration::from_secs(1)), async { window.grant(5) });
        assert_eq!(available, 5);
        window.grant(u64::MAX);
        assert_eq!(window.available(Duration::from_secs(1)).await, u64::MAX);
    }
}
