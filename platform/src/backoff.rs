//! Exponential backoff with jitter, for the pauses of every retry loop in the workspace.
//!
//! - A loop keeps a [`Backoff`], waits [`Backoff::next_pause`] after a failure and calls [`Backoff::reset`] after a
//!   success.
//! - In some loops, such as a loop that watches a bucket, every attempt ends with a failure. Such a loop sets a
//!   duration with [`Backoff::reset_after`] and calls [`Backoff::begin_attempt`]. An attempt that ran for this duration
//!   counts as a success.
//! - A handler that already has the number of failures, for example from a message's delivery count, calls
//!   [`Schedule::pause`].

use std::time::Duration;

use tokio::time::Instant;

/// The pauses of one retry loop. The lengths of the pauses double from `first` to `longest`; a random jitter then
/// shortens each pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    first: Duration,
    longest: Duration,
    jitter: Jitter,
}

/// The random reduction of a pause. The ceiling of a pause is its length before this reduction. Without jitter,
/// processes that failed together would also retry together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Jitter {
    /// A pause lasts between half of its ceiling and its ceiling.
    Half,
    /// A pause lasts between zero and its ceiling.
    Full,
}

impl Schedule {
    /// Creates a schedule of pauses that double from `first` to `longest`. Jitter shortens each pause by at most one
    /// half.
    #[must_use]
    pub const fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, jitter: Jitter::Half }
    }

    /// Uses full jitter, with which a pause lasts a random time between zero and its ceiling. Use full jitter when many
    /// clients may lose the same server, so that the clients do not all return at once.
    #[must_use]
    pub const fn with_full_jitter(self) -> Self {
        Self { jitter: Jitter::Full, ..self }
    }

    /// Returns the ceiling of a pause, which is the length of the pause before jitter. `earlier_failures` is the number
    /// of failures before the current one, and 0 gives the shortest ceiling.
    #[must_use]
    pub fn ceiling(&self, earlier_failures: u32) -> Duration {
        let factor = 1_u32.checked_shl(earlier_failures).unwrap_or(u32::MAX);
        self.first.saturating_mul(factor).min(self.longest)
    }

    /// Returns a random pause of at most its ceiling. `earlier_failures` is the number of failures before the current
    /// one, and 0 gives the shortest pause.
    #[must_use]
    pub fn pause(&self, earlier_failures: u32) -> Duration {
        self.jittered(self.ceiling(earlier_failures), rand::random())
    }

    /// Shortens a ceiling by jitter. `random` is uniform between 0 and 1.
    fn jittered(&self, ceiling: Duration, random: f64) -> Duration {
        match self.jitter {
            Jitter::Half => ceiling.mul_f64(0.5 + random / 2.0),
            Jitter::Full => ceiling.mul_f64(random),
        }
    }
}

/// The state of one retry loop: a [`Schedule`] and the number of failures since the last success.
#[derive(Clone, Debug)]
pub struct Backoff {
    schedule: Schedule,
    failures: u32,
    healthy_after: Option<Duration>,
    attempt_began: Instant,
}

impl Backoff {
    /// Creates a backoff with the pauses of [`Schedule::new`].
    #[must_use]
    pub fn new(first: Duration, longest: Duration) -> Self {
        Self::from(Schedule::new(first, longest))
    }

    /// Also resets the number of failures if an attempt ran for at least the time `healthy` before it failed.
    #[must_use]
    pub fn reset_after(self, healthy: Duration) -> Self {
        Self { healthy_after: Some(healthy), ..self }
    }

    /// Records the start of an attempt, for [`Backoff::reset_after`].
    pub fn begin_attempt(&mut self) {
        self.attempt_began = Instant::now();
    }

    /// Counts a failure and returns the time to wait before the next attempt.
    pub fn next_pause(&mut self) -> Duration {
        if self.healthy_after.is_some_and(|healthy| self.attempt_began.elapsed() >= healthy) {
            self.reset();
        }
        let pause = self.schedule.pause(self.failures);
        self.failures = self.failures.saturating_add(1);
        pause
    }

    /// Returns the number of failures since the last success.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// Resets the number of failures after a success, so that the next pause is the shortest pause.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

impl From<Schedule> for Backoff {
    fn from(schedule: Schedule) -> Self {
        Self { schedule, failures: 0, healthy_after: None, attempt_began: Instant::now() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEDULE: Schedule = Schedule::new(Duration::from_millis(500), Duration::from_secs(30));

    #[test]
    fn ceilings_double_up_to_the_longest_pause() {
        let ceilings: Vec<_> = (0..8).map(|failures| SCHEDULE.ceiling(failures).as_millis()).collect();
        assert_eq!(ceilings, [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
        assert_eq!(SCHEDULE.ceiling(u32::MAX), Duration::from_secs(30));
    }

    #[test]
    fn jitter_shortens_a_pause_by_at_most_half_or_by_all_of_it() {
        let ceiling = Duration::from_secs(4);
        let full = SCHEDULE.with_full_jitter();
        for (schedule, shortest) in [(SCHEDULE, Duration::from_secs(2)), (full, Duration::ZERO)] {
            assert_eq!(schedule.jittered(ceiling, 0.0), shortest);
            assert_eq!(schedule.jittered(ceiling, 1.0), ceiling);
            for _ in 0..100 {
                let pause = schedule.pause(3);
                assert!((shortest..=ceiling).contains(&pause), "{pause:?}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_until_a_reset_or_a_long_attempt() {
        let mut backoff = Backoff::from(SCHEDULE).reset_after(Duration::from_secs(30));
        let is_first = |pause: Duration| pause <= Duration::from_millis(500);
        assert!(is_first(backoff.next_pause()));
        assert!(!is_first(backoff.next_pause()) && !is_first(backoff.next_pause()));
        backoff.reset();
        assert!(is_first(backoff.next_pause()));
        backoff.next_pause();
        backoff.begin_attempt();
        tokio::time::advance(Duration::from_secs(29)).await;
        assert!(!is_first(backoff.next_pause()));
        backoff.begin_attempt();
        tokio::time::advance(Duration::from_secs(30)).await;
        assert!(is_first(backoff.next_pause()));
    }
}
