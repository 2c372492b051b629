//! Counts the rows and bytes of an attempt, and calculates progress reports from the counters.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use protocol::export::{Progress, WaitingFor};
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
    /// The parts of the installation, such as the database, that the attempt waits for. Each [`WaitingFor`] has one
    /// bit.
    waiting_for: AtomicU8,
    started: Instant,
}

impl Meter {
    /// Creates a meter with zero rows and bytes. [`Self::progress`] measures the speed of the attempt from this call
    /// on.
    #[must_use]
    pub fn start() -> Self {
        Self {
            rows: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            total: AtomicU64::new(UNKNOWN),
            waiting_for: AtomicU8::new(0),
            started: Instant::now(),
        }
    }

    /// Adds `rows` and `bytes` to the counters of this attempt.
    pub fn add(&self, rows: u64, bytes: u64) {
        self.rows.fetch_add(rows, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Sets the total number of rows that the export is expected to have.
    pub fn expect(&self, rows: u64) {
        self.total.store(rows, Ordering::Relaxed);
    }

    /// Records whether the attempt waits for `part`. `waits` is true when a wait begins, and false when it ends.
    pub fn set_waiting(&self, part: WaitingFor, waits: bool) {
        let bit = 1 << part as u8;
        if waits {
            self.waiting_for.fetch_or(bit, Ordering::Relaxed);
        } else {
            self.waiting_for.fetch_and(!bit, Ordering::Relaxed);
        }
    }

    /// Returns the part of the installation that the attempt waits for; None if it waits for none. If it waits for
    /// several parts, returns the one with the highest priority ([`WaitingFor::ALL`]).
    #[must_use]
    pub fn waiting_for(&self) -> Option<WaitingFor> {
        let bits = self.waiting_for.load(Ordering::Relaxed);
        WaitingFor::ALL.into_iter().find(|part| bits & (1 << *part as u8) != 0)
    }

    /// Returns the number of rows that the pipeline has encoded so far.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }

    /// Returns a progress report. Its remaining time assumes that the mean speed of the attempt stays the same. The
    /// remaining time is None if the total number of rows is unknown, if the attempt waits for a part of the
    /// installation, or if the attempt has just begun.
    #[must_use]
    pub fn progress(&self) -> Progress {
        let (rows, bytes) = (self.rows(), self.bytes.load(Ordering::Relaxed));
        let total = Some(self.total.load(Ordering::Relaxed)).filter(|total| *total != UNKNOWN).map(|t| t.max(rows));
        let spent = self.started.elapsed().as_millis();
        let waiting_for = self.waiting_for();
        let eta_ms = total
            .filter(|_| rows > 0 && spent >= MIN_MEASUREMENT_MS && waiting_for.is_none())
            .and_then(|total| u64::try_from(spent * u128::from(total - rows) / u128::from(rows)).ok());
        Progress { rows, rows_total: total, bytes, queue_position: None, eta_ms, waiting_for }
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
            Progress { rows: 10, rows_total: Some(40), bytes: 100, eta_ms: Some(3_000), ..Progress::default() };
        assert_eq!(meter.progress(), expected);
        // the remaining time is unknown while the attempt waits
        for part in [WaitingFor::Source, WaitingFor::Storage] {
            meter.set_waiting(part, true);
            assert_eq!((meter.progress().waiting_for, meter.progress().eta_ms), (Some(part), None));
        }
        meter.set_waiting(WaitingFor::Storage, false);
        assert_eq!(meter.waiting_for(), Some(WaitingFor::Source));
        meter.set_waiting(WaitingFor::Source, false);
        assert_eq!(meter.progress(), expected);
        // a total that was too small grows with the rows
        meter.add(90, 900);
        assert_eq!((meter.progress().rows_total, meter.progress().eta_ms), (Some(100), Some(0)));
    }
}
