//! How fast a session may send messages: a token bucket.

use tokio::time::Instant;

/// One message costs this many drops, so that cheap messages can cost less than one.
pub(super) const MESSAGE: u64 = 20;
/// A `file.window` costs this many: a fast reader sends thousands a second.
pub(super) const WINDOW: u64 = 1;

#[derive(Debug)]
pub(super) struct Bucket {
    drops: f64,
    capacity: f64,
    per_second: f64,
    filled: Instant,
}

impl Bucket {
    pub(super) fn new(messages_per_second: u32, burst: u32, now: Instant) -> Self {
        let drops = |messages: u32| f64::from(messages) * MESSAGE as f64;
        Self { drops: drops(burst), capacity: drops(burst), per_second: drops(messages_per_second), filled: now }
    }

    /// Takes a message's cost; false when it came too soon.
    pub(super) fn take(&mut self, cost: u64, now: Instant) -> bool {
        let seconds = now.duration_since(self.filled).as_secs_f64();
        self.drops = (self.drops + seconds * self.per_second).min(self.capacity);
        self.filled = now;
        let enough = self.drops >= cost as f64;
        if enough {
            self.drops -= cost as f64;
        }
        enough
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_burst_is_fine_and_then_the_rate_counts() {
        let start = Instant::now();
        let mut bucket = Bucket::new(10, 2, start);
        assert!(bucket.take(MESSAGE, start) && bucket.take(MESSAGE, start) && !bucket.take(WINDOW, start));
        let later = start + Duration::from_millis(100);
        assert!(bucket.take(MESSAGE, later) && !bucket.take(MESSAGE, later));
    }
}
