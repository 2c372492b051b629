//! How a gateway leaves without anybody noticing.
//!
//! 1. At the soft stop `/readyz` says `503`, and all else goes on: balancers look away first.
//! 2. Then no connection is taken any more, and sessions are sent away with 1001, each at a moment of its own, so that
//!    their clients don't come to the other gateways all at once.
//! 3. Downloads and other requests that are under way get some time to finish. A download that does not is resumed
//!    elsewhere with `Range`.
//!
//! What sessions and requests live on, such as the reader of user events, goes on until the last of them is gone.

use std::{future::Future, time::Duration};

use platform::lifecycle::Lifecycle;
use tokio::time::Instant;
use tokio_util::{
    sync::CancellationToken,
    task::{TaskTracker, task_tracker::TrackedFuture},
};
use tracing::{info, warn};
use uuid::Uuid;

use crate::config::DrainConfig;

/// Time for goodbyes after the last moment at which a session is sent away.
const GOODBYES: Duration = Duration::from_secs(5);

/// The end of one gateway. Clones share it.
#[derive(Clone, Debug)]
pub struct Drain {
    spread: Duration,
    requests: Duration,
    closing: CancellationToken,
    ended: CancellationToken,
    open: TaskTracker,
}

impl Drain {
    /// Begins at the soft stop.
    #[must_use]
    pub fn of(config: &DrainConfig, life: &Lifecycle) -> Self {
        let drain = Self {
            spread: Duration::from_millis(config.spread_ms),
            requests: Duration::from_millis(config.requests_ms),
            closing: CancellationToken::new(),
            ended: CancellationToken::new(),
            open: TaskTracker::new(),
        };
        let (this, soft, look_away) = (drain.clone(), life.soft().clone(), Duration::from_millis(config.look_away_ms));
        life.spawn(async move {
            soft.cancelled().await;
            this.run(look_away).await;
        });
        drain
    }

    async fn run(&self, look_away: Duration) {
        let begun = Instant::now();
        info!(drain.open = self.open.len(), "gateway: not ready any more");
        tokio::time::sleep(look_away).await;
        info!(drain.open = self.open.len(), "gateway: sending clients away");
        self.closing.cancel();
        self.open.close();
        let limit = self.requests.max(self.spread) + GOODBYES;
        if tokio::time::timeout(limit, self.open.wait()).await.is_err() {
            warn!(drain.open = self.open.len(), "gateway: some do not leave");
        }
        info!(drain.ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX), "gateway: everybody has left");
        self.ended.cancel();
    }

    /// Counts as somebody who is here for as long as this runs.
    pub(crate) fn track<F: Future>(&self, task: F) -> TrackedFuture<F> {
        self.open.track_future(task)
    }

    /// Cancelled when no connection is taken any more.
    pub(crate) fn closing(&self) -> &CancellationToken {
        &self.closing
    }

    /// Cancelled when everybody has left.
    pub(crate) fn ended(&self) -> &CancellationToken {
        &self.ended
    }

    /// How long requests may go on after [`Drain::closing`].
    pub(crate) fn requests(&self) -> Duration {
        self.requests
    }

    /// Waits until this session is to be sent away. Make one for a session and keep it, as it counts from its first poll.
    pub(crate) async fn farewell(&self, session: Uuid) {
        self.closing.cancelled().await;
        tokio::time::sleep(moment(self.spread, session)).await;
    }
}

/// When within the spread, by the random part of the session's id.
fn moment(spread: Duration, session: Uuid) -> Duration {
    let [.., a, b, c, d] = session.into_bytes();
    spread.mul_f64(f64::from(u32::from_be_bytes([a, b, c, d])) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> DrainConfig {
        DrainConfig { look_away_ms: 1_000, spread_ms: 4_000, requests_ms: 10_000 }
    }

    #[tokio::test(start_paused = true)]
    async fn sessions_leave_one_by_one_after_balancers_had_time_to_look_away() {
        let life = Lifecycle::new();
        let drain = Drain::of(&config(), &life);
        let sessions: Vec<_> = (0..400)
            .map(|_| {
                let drain = drain.clone();
                tokio::spawn(drain.clone().track(async move {
                    drain.farewell(Uuid::now_v7()).await;
                    Instant::now()
                }))
            })
            .collect();
        tokio::task::yield_now().await;
        let begun = Instant::now();
        life.soft().cancel();
        let mut quarters = [0; 4];
        for session in sessions {
            let after = (session.await.unwrap() - begun).as_millis();
            assert!((1_000..=5_001).contains(&after), "{after} ms");
            quarters[usize::try_from((after - 1_000) / 1_001).unwrap()] += 1;
        }
        assert!(quarters.iter().all(|n| (50..150).contains(n)), "{quarters:?}");
        drain.ended().cancelled().await;
        assert!(begun.elapsed() < Duration::from_millis(5_100), "nobody is waited for who has left");
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_leave_is_not_waited_for_for_ever() {
        let life = Lifecycle::new();
        let drain = Drain::of(&config(), &life);
        let stuck = tokio::spawn(drain.track(std::future::pending::<()>()));
        let begun = Instant::now();
        life.soft().cancel();
        drain.ended().cancelled().await;
        assert_eq!(begun.elapsed().as_secs(), 16);
        stuck.abort();
    }
}
