//! The clock of the shared database, which all services use. With this clock, a time that one process stores means the
//! same to all other processes, although the clocks of their machines differ.
//!
//! The clock asks the database for its time at an interval. Between two answers, the clock advances by the monotonic
//! clock of this machine, so a step of the machine's wall clock has no effect.

use std::{
    sync::{Arc, PoisonError, RwLock, Weak},
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, DbErr, Statement};
use tokio::time::timeout;
use tracing::{debug, info, warn};

use super::{Clock, SharedClock, SystemClock};

/// The interval between two comparisons with the database.
const INTERVAL: Duration = Duration::from_secs(5);
/// The timeout of one comparison. A slower answer would be too imprecise.
const TIMEOUT: Duration = Duration::from_secs(2);
/// The largest tolerated difference between the machine's clock and the database's clock. The clock reports a larger
/// difference as an error.
const MAX_DIFFERENCE: TimeDelta = TimeDelta::seconds(5);
/// The minimum correction that [`DatabaseClock`] logs as a step of the database's clock.
const STEP: TimeDelta = TimeDelta::seconds(1);

/// The time that the database last returned to this process, and the same moment on the monotonic clock of this
/// machine.
#[derive(Clone, Copy, Debug)]
struct Reading {
    time: DateTime<Utc>,
    at: Instant,
}

impl Reading {
    fn now(&self) -> DateTime<Utc> {
        let passed = TimeDelta::from_std(self.at.elapsed()).unwrap_or(TimeDelta::MAX);
        self.time.checked_add_signed(passed).unwrap_or(self.time)
    }
}

/// The clock of the database. Before the first answer of the database, the clock shows the time of the machine.
#[derive(Debug, Default)]
pub struct DatabaseClock {
    reading: RwLock<Option<Reading>>,
    /// The time by which the machine's clock was ahead of the database's clock at the last comparison; None before the
    /// first comparison.
    ahead: RwLock<Option<TimeDelta>>,
}

impl DatabaseClock {
    /// Reads the time of the database once, and starts a task that repeats the reading until the clock is dropped. If
    /// the database does not answer the first time, the task asks again.
    pub async fn follow(db: &DatabaseConnection) -> SharedClock {
        let clock = Arc::new(Self::default());
        clock.compare(db).await;
        tokio::spawn(repeat(Arc::downgrade(&clock), db.clone()));
        clock
    }

    /// Reads the time of the database, and corrects this clock if the difference exceeds the imprecision of the
    /// reading. Also compares the clock of this machine with the time of the database.
    async fn compare(&self, db: &DatabaseConnection) {
        let before = Instant::now();
        let time = match timeout(TIMEOUT, read(db)).await {
            Ok(Ok(time)) => time,
            Ok(Err(e)) => return debug!(error = %e, "failed to read the time of the database"),
            Err(_) => return debug!("the database did not answer with its time"),
        };
        // the database read its clock at an unknown moment between the request and the answer
        let imprecision = before.elapsed() / 2;
        let reading = Reading { time, at: before + imprecision };
        self.take(reading, TimeDelta::from_std(imprecision).unwrap_or(TimeDelta::MAX));
        self.compare_machine(SystemClock.now() - reading.now());
    }

    fn take(&self, reading: Reading, imprecision: TimeDelta) {
        // each access is a single copy, so a panic leaves the value valid
        let mut current = self.reading.write().unwrap_or_else(PoisonError::into_inner);
        let correction = current.map(|current| reading.now() - current.now());
        if let Some(correction) = correction.filter(|correction| correction.abs() >= STEP) {
            warn!(clock.step_ms = correction.num_milliseconds(), "the clock of the database was stepped");
        }
        if correction.is_none_or(|correction| correction.abs() > imprecision) {
            *current = Some(reading);
        }
    }

    fn compare_machine(&self, ahead: TimeDelta) {
        metrics::gauge!("sluice_clock_ahead_of_database_seconds").set(ahead.as_seconds_f64());
        let last = self.ahead.write().unwrap_or_else(PoisonError::into_inner).replace(ahead);
        let (was, is) = (last.is_some_and(differs), differs(ahead));
        if is && !was {
            warn!(clock.ahead_ms = ahead.num_milliseconds(), "the clock of this machine differs from the database's");
        } else if was && !is {
            info!("the clock of this machine agrees with the database's again");
        }
    }
}

fn differs(ahead: TimeDelta) -> bool {
    ahead.abs() > MAX_DIFFERENCE
}

impl Clock for DatabaseClock {
    fn now(&self) -> DateTime<Utc> {
        let reading = *self.reading.read().unwrap_or_else(PoisonError::into_inner);
        reading.map_or_else(|| SystemClock.now(), |reading| reading.now())
    }

    fn check(&self) -> Result<(), String> {
        let ahead = *self.ahead.read().unwrap_or_else(PoisonError::into_inner);
        let Some(ahead) = ahead else { return Err("not compared with the database's clock yet".into()) };
        if !differs(ahead) {
            return Ok(());
        }
        let side = if ahead > TimeDelta::zero() { "ahead of" } else { "behind" };
        Err(format!("this machine's clock is {:.1} s {side} the database's", ahead.abs().as_seconds_f64()))
    }
}

/// Compares the clock with the database at an interval, until the clock is dropped.
async fn repeat(clock: Weak<DatabaseClock>, db: DatabaseConnection) {
    loop {
        tokio::time::sleep(INTERVAL).await;
        let Some(clock) = clock.upgrade() else { return };
        clock.compare(&db).await;
    }
}

/// Reads the time of the database.
///
/// # Errors
/// When the database does not answer, or its answer is not a time.
pub async fn read(db: &DatabaseConnection) -> Result<DateTime<Utc>, DbErr> {
    let backend = db.get_database_backend();
    let sql = match backend {
        // the time of the statement; `now()` is the time at which its transaction began
        DbBackend::Postgres => "SELECT clock_timestamp()",
        _ => "SELECT strftime('%Y-%m-%dT%H:%M:%fZ', 'now')",
    };
    let row = db.query_one_raw(Statement::from_string(backend, sql)).await?;
    let row = row.ok_or_else(|| DbErr::RecordNotFound("the database has no time".into()))?;
    if backend == DbBackend::Postgres {
        return row.try_get_by_index(0);
    }
    let text: String = row.try_get_by_index(0)?;
    text.parse().map_err(|e| DbErr::Type(format!("`{text}` is no time: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::DatabaseConfig, db};

    #[tokio::test]
    async fn the_clock_shows_the_time_of_the_database_and_tells_of_a_difference() {
        let dir = tempfile::tempdir().unwrap();
        let url = db::sqlite_create(&dir.path().join("clock.sqlite"));
        let db = db::connect(&DatabaseConfig { url, ..DatabaseConfig::default() }).await.unwrap();
        let clock = DatabaseClock::default();
        assert!(clock.check().unwrap_err().contains("not compared"));
        clock.compare(&db).await;
        clock.check().unwrap();
        assert!((clock.now() - SystemClock.now()).abs() < MAX_DIFFERENCE);

        // the clock of another machine is an hour ahead, and this machine reads that clock within a second
        let hour = TimeDelta::hours(1);
        clock.take(Reading { time: SystemClock.now() + hour, at: Instant::now() }, TimeDelta::seconds(1));
        assert!((clock.now() - SystemClock.now() - hour).abs() < MAX_DIFFERENCE);
        clock.compare_machine(-hour);
        assert_eq!(clock.check().unwrap_err(), "this machine's clock is 3600.0 s behind the database's");
        clock.compare(&db).await;
        clock.check().unwrap();
        assert!((clock.now() - SystemClock.now()).abs() < MAX_DIFFERENCE);
    }

    #[test]
    fn an_imprecise_reading_moves_the_clock_only_if_it_must_be_wrong() {
        let clock = DatabaseClock::default();
        let (time, at) = (SystemClock.now(), Instant::now());
        clock.take(Reading { time, at }, TimeDelta::zero());
        clock.take(Reading { time: time + TimeDelta::milliseconds(300), at }, TimeDelta::milliseconds(400));
        assert_eq!(clock.reading.read().unwrap().unwrap().time, time);
        clock.take(Reading { time: time + TimeDelta::milliseconds(600), at }, TimeDelta::milliseconds(400));
        assert_eq!(clock.reading.read().unwrap().unwrap().time, time + TimeDelta::milliseconds(600));
    }
}
