//! How far an export is.

use std::sync::atomic::{AtomicU64, Ordering};

use protocol::export::Progress;
use tokio::time::Instant;

/// No total is known.
const UNKNOWN: u64 = u64::MAX;
/// Before this many milliseconds a rate says nothing.
const SETTLED_MS: u128 = 300;

/// Counters of one attempt, written by the pipeline and read by whoever reports.
#[derive(Debug)]
pub struct Meter {
    rows: AtomicU64,
    bytes: AtomicU64,
    total: AtomicU64,
    since: Instant,
}

impl Meter {
    /// Nothing done yet; the clock runs.
    #[must_use]
    pub fn start() -> Self {
        Self {
            rows: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            total: AtomicU64::new(UNKNOWN),
            since: Instant::now(),
        }
    }

    /// So much more is made.
    pub fn add(&self, rows: u64, bytes: u64) {
        self.rows.fetch_add(rows, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// There will be this many rows.
    pub fn expect(&self, rows: u64) {
        self.total.store(rows, Ordering::Relaxed);
    }

    /// Rows made.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }

    /// Everything as clients see it; the time left is by the mean rate so far.
    #[must_use]
    pub fn progress(&self) -> Progress {
        let (rows, bytes) = (self.rows(), self.bytes.load(Ordering::Relaxed));
        let total = Some(self.total.load(Ordering::Relaxed)).filter(|total| *total != UNKNOWN).map(|t| t.max(rows));
        let spent = self.since.elapsed().as_millis();
        let eta_ms = total
            .filter(|_| rows > 0 && spent >= SETTLED_MS)
            .and_then(|total| u64::try_from(spent * u128::from(total - rows) / u128::from(rows)).ok());
        Progress { rows, rows_total: total, bytes, queue_position: None, eta_ms }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_time_left_follows_from_the_rate() {
        let meter = Meter::start();
        meter.add(10, 100);
        assert_eq!(meter.progress().eta_ms, None);
        meter.expect(40);
        tokio::time::advance(Duration::from_secs(1)).await;
        let expected =
            Progress { rows: 10, rows_total: Some(40), bytes: 100, queue_position: None, eta_ms: Some(3_000) };
        assert_eq!(meter.progress(), expected);
        // a count that turns out too small never shows more than all
        meter.add(90, 900);
        assert_eq!((meter.progress().rows_total, meter.progress().eta_ms), (Some(100), Some(0)));
    }
}
