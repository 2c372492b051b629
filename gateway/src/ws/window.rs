//! How many more bytes a client has granted to one stream.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tokio::sync::Notify;

/// A stream's window. The session adds to it; the pump waits for it and takes from it.
#[derive(Debug)]
pub(super) struct Window {
    bytes: AtomicU64,
    grown: Notify,
}

impl Window {
    pub(super) fn new(bytes: u64) -> Self {
        Self { bytes: AtomicU64::new(bytes), grown: Notify::new() }
    }

    /// Grants more; a sum beyond the numbers there are means no limit.
    pub(super) fn add(&self, bytes: u64) {
        let grow = |now: u64| Some(now.saturating_add(bytes));
        // the closure always gives a value, so the update can't fail
        let _ = self.bytes.fetch_update(Ordering::AcqRel, Ordering::Acquire, grow);
        self.grown.notify_one();
    }

    /// What may be sent now; 0 after `at_most` without a grant.
    pub(super) async fn open(&self, at_most: Duration) -> u64 {
        let granted = async {
            loop {
                let bytes = self.bytes.load(Ordering::Acquire);
                if bytes > 0 {
                    return bytes;
                }
                self.grown.notified().await;
            }
        };
        tokio::time::timeout(at_most, granted).await.unwrap_or(0)
    }

    /// Counts bytes that were sent. Only the one pump takes, so this never goes below zero.
    pub(super) fn take(&self, bytes: u64) {
        self.bytes.fetch_sub(bytes, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_closed_window_opens_with_a_grant_or_not_at_all() {
        let window = Window::new(3);
        assert_eq!(window.open(Duration::from_secs(1)).await, 3);
        window.take(3);
        assert_eq!(window.open(Duration::from_secs(1)).await, 0);
        let (opened, ()) = tokio::join!(window.open(Duration::from_secs(1)), async { window.add(5) });
        assert_eq!(opened, 5);
        window.add(u64::MAX);
        assert_eq!(window.open(Duration::from_secs(1)).await, u64::MAX);
    }
}
