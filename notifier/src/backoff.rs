//! Growing pauses between tries.

use std::time::Duration;

use tokio::time::Instant;

/// The first pause.
const FIRST: Duration = Duration::from_millis(250);
/// The longest one.
const LONGEST: Duration = Duration::from_secs(10);
/// After working for this long, the next failure is a new one.
const HEALTHY: Duration = Duration::from_secs(30);

/// Doubles the pause with each failure, and begins anew after a healthy spell, not after a mere success.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
    since: Instant,
}

impl Backoff {
    pub(crate) fn new() -> Self {
        Self { next: FIRST, since: Instant::now() }
    }

    /// A try begins.
    pub(crate) fn begin(&mut self) {
        self.since = Instant::now();
    }

    /// It failed: how long to wait before the next.
    pub(crate) fn pause(&mut self) -> Duration {
        if self.since.elapsed() >= HEALTHY {
            self.next = FIRST;
        }
        let pause = self.next;
        self.next = (pause * 2).min(LONGEST);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_until_a_healthy_spell() {
        let mut backoff = Backoff::new();
        let pauses: Vec<_> = (0..8).map(|_| backoff.pause().as_millis()).collect();
        assert_eq!(pauses, [250, 500, 1000, 2000, 4000, 8000, 10000, 10000]);
        backoff.begin();
        tokio::time::advance(HEALTHY).await;
        assert_eq!(backoff.pause(), FIRST);
    }
}
