//! Limits the rate of a client's messages with a token bucket.

use tokio::time::Instant;

/// The number of tokens that a client's message takes from the token bucket. A `file.window` message, which permits
/// further bytes of a file, costs only [`WINDOW_COST`].
pub(super) const MESSAGE_COST: u64 = 20;
/// The number of tokens that a `file.window` message takes from the token bucket. With this message a client permits
/// further bytes of a file. The cost is low, because a client that reads fast sends thousands of these messages per
/// second.
pub(super) const WINDOW_COST: u64 = 1;
/// The time in which an empty token bucket fills, in seconds. A client may spend all tokens of a full bucket in one
/// burst.
const BURST_SECONDS: f64 = 5.0;

#[derive(Debug)]
pub(super) struct TokenBucket {
    tokens: f64,
    capacity: f64,
    per_second: f64,
    refilled_at: Instant,
}

impl TokenBucket {
    pub(super) fn new(messages_per_second: u32, now: Instant) -> Self {
        let per_second = f64::from(messages_per_second) * MESSAGE_COST as f64;
        let capacity = per_second * BURST_SECONDS;
        Self { tokens: capacity, capacity, per_second, refilled_at: now }
    }

    /// Takes `cost` tokens for one message from the bucket, and returns true. Returns false and takes nothing if the
    /// bucket has too few tokens.
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
        let mut bucket = TokenBucket::new(10, start);
        assert!((0..50).all(|_| bucket.take(MESSAGE_COST, start)) && !bucket.take(WINDOW_COST, start));
        let later = start + Duration::from_millis(100);
        assert!(bucket.take(MESSAGE_COST, later) && !bucket.take(MESSAGE_COST, later));
    }
}
