//! The rate limit of a session's messages: a token bucket.

use tokio::time::Instant;

/// The cost of one message in tokens, so that a cheap message can cost a fraction of it.
pub(super) const MESSAGE: u64 = 20;
/// The cost of a `file.window` in tokens: a fast reader sends thousands of them a second.
pub(super) const WINDOW: u64 = 1;

#[derive(Debug)]
pub(super) struct TokenBucket {
    tokens: f64,
    capacity: f64,
    per_second: f64,
    refilled_at: Instant,
}

impl TokenBucket {
    pub(super) fn new(messages_per_second: u32, burst: u32, now: Instant) -> Self {
        let tokens = |messages: u32| f64::from(messages) * MESSAGE as f64;
        Self {
            tokens: tokens(burst),
            capacity: tokens(burst),
            per_second: tokens(messages_per_second),
            refilled_at: now,
        }
    }

    /// Takes the cost of one message; false when the bucket holds too few tokens.
    pub(super) fn take(&mut self, cost: u64, now: Instant) -> bool {
        let seconds = now.duration_since(self.refilled_at).as_secs_f64();
        self.tokens = (self.tokens + seconds * self.per_second).min(self.capacity);
        self.refilled_at = now;
        let is_enough = self.tokens >= cost as f64;
        if is_enough {
            self.tokens -= cost as f64;
        }
        is_enough
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn after_a_burst_the_sustained_rate_applies() {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(10, 2, start);
        assert!(bucket.take(MESSAGE, start) && bucket.take(MESSAGE, start) && !bucket.take(WINDOW, start));
        let later = start + Duration::from_millis(100);
        assert!(bucket.take(MESSAGE, later) && !bucket.take(MESSAGE, later));
    }
}
