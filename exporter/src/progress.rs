//! Counts the rows and bytes of an attempt, and calculates progress reports from the counters.

use std::sync::atomic::{AtomicU64, Ordering};

use protocol::export::Progress;
use tokio::time::Instant;

/// The value of `Meter::total` while the total number of rows is unknown.
const UNKNOWN: u64 = u64::MAX;
/// The minimum running time of an attempt, in milliseconds, before progress reports predict the remaining time.
const MIN_MEASUREMENT_MS: u128 = 300;

/// The counters of one attempt. The pipeline increments the counters, and progress reports show their values to the
/// owner.
#[derive(Debug)]
pub struct Meter {
    rows: AtomicU64,
    bytes: AtomicU64,
    total: AtomicU64,
    started: Instant,
}

impl Meter {
    /// Creates a meter with zero rows and bytes. [`Self::progress`] measures the speed of the attempt from this call on.
    #[must_use]
    pub fn start() -> Self {
        Self {
            rows: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            total: AtomicU64::new(UNKNOWN),
            started: Instant::now(),
        }
    }

    /// Adds `rows` and `bytes` to the counters of this attempt.
    pub fn add(&self, rows: u64, bytes: u64) {
        self.rows.fetch_add(rows, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Sets the expected total number of rows of the export.
    pub fn expect(&self, rows: u64) {
        self.total.store(rows, Ordering::Relaxed);
    }

    /// Returns the number of rows that the pipeline has encoded so far.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }

    /// Returns a progress report. The remaining time assumes that the mean speed so far stays the same.
    #[must_use]
    pub fn progress(&self) -> Progress {
        let (rows, bytes) = (self.rows(), self.bytes.load(Ordering::Relaxed));
        let total = Some(self.total.load(Ordering::Relaxed)).filter(|total| *total != UNKNOWN).map(|t| t.max(rows));
        let spent = self.started.elapsed().as_millis();
        let eta_ms = total
            .filter(|_| rows > 0 && spent >= MIN_MEASUREMENT_MS)
            .and_then(|total| u64::try_from(spent * u128::from(total - rows) / u128::from(rows)).ok());
        Progress { rows, rows_total: total, bytes, queue_position: None, eta_ms }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_mean_rate_predicts_the_time_left() {
        let meter = Meter::start();
        meter.add(10, 100);
        assert_eq!(meter.progress().eta_ms, None);
        meter.expect(40);
        tokio::time::advance(Duration::from_secs(1)).await;
        let expected =
            Progress { rows: 10, rows_total: Some(40), bytes: 100, queue_position: None, eta_ms: Some(3_000) };
        assert_eq!(meter.progress(), expected);
        // a total that was too small grows with the rows
        meter.add(90, 900);
        assert_eq!((meter.progress().rows_total, meter.progress().eta_ms), (Some(100), Some(0)));
    }
}
