//! The wall clock as a dependency. Services use the clock of the database ([`DatabaseClock`]). Tests use a clock whose
//! time they set.

mod database;

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use chrono::{DateTime, Duration, Utc};

pub use self::database::{DatabaseClock, read as read_database};

/// A source of wall-clock time. Code that measures durations uses `tokio::time::Instant` instead.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// Returns the current time in UTC.
    fn now(&self) -> DateTime<Utc>;

    /// Checks that the clock of this machine agrees with the clock of the database.
    ///
    /// # Errors
    /// A text with the difference between the clocks, or a text that says that the clocks have not been compared yet.
    fn check(&self) -> Result<(), String> {
        Ok(())
    }
}

/// A reference-counted clock, which several services share.
pub type SharedClock = Arc<dyn Clock>;

/// The clock of the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl SystemClock {
    /// Creates the system clock as a [`SharedClock`].
    #[must_use]
    pub fn shared() -> SharedClock {
        Arc::new(Self)
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the system clock")]
    fn now(&self) -> DateTime<Utc> {
        Utc::now() + test_offset()
    }
}

/// Returns the duration by which a test moves the clock of this process. The environment variable `PLATFORM_TEST_CLOCK`
/// names a file that contains the duration in seconds. Tests start a process with this variable, and change the file
/// while the process runs. A release build ignores the variable.
#[cfg(debug_assertions)]
fn test_offset() -> Duration {
    static FILE: std::sync::OnceLock<Option<std::path::PathBuf>> = std::sync::OnceLock::new();
    let file = FILE.get_or_init(|| std::env::var_os("PLATFORM_TEST_CLOCK").map(Into::into));
    let text = file.as_ref().and_then(|file| std::fs::read_to_string(file).ok());
    text.and_then(|text| text.trim().parse().ok()).map_or(Duration::zero(), Duration::seconds)
}

#[cfg(not(debug_assertions))]
const fn test_offset() -> Duration {
    Duration::zero()
}

/// A clock that stands still until a test advances it.
#[derive(Debug)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// Creates a clock that is set to this time, rounded down to microseconds.
    #[must_use]
    pub fn at(now: DateTime<Utc>) -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(now.timestamp_micros())))
    }

    /// Moves the clock by a duration, which may be negative.
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(by.num_microseconds().unwrap_or(0), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(self.0.load(Ordering::SeqCst)).unwrap_or_default()
    }
}
