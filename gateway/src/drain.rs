//! The graceful stop of a gateway, in three steps.
//!
//! 1. When the process begins to stop, such as after SIGTERM, `/readyz` answers `503`. Load balancers then send no new
//!    requests; everything else continues.
//! 2. After `shutdown_delay` the listener stops accepting connections, and the sessions close. A WebSocket session
//!    closes with the close code 1001. Each session closes at a random time within `session_close_spread`, so that not
//!    all clients reconnect at once.
//! 3. Downloads and other requests may continue for `http_drain_timeout`. A client resumes an unfinished download at
//!    another gateway with `Range`.
//!
//! The internal listener and the task that reads the event stream continue until the last session and request have
//! ended, or a deadline has passed.

use std::{future::Future, time::Duration};

use platform::lifecycle::Lifecycle;
use tokio::time::Instant;
use tokio_util::{
    sync::CancellationToken,
    task::{TaskTracker, task_tracker::TrackedFuture},
};
use tracing::{info, warn};
use uuid::Uuid;

use crate::config::GatewayConfig;

/// The extra time that a stopping gateway waits for the closing handshakes of its last sessions. From the time at which
/// sessions begin to close, the gateway waits at most for the longer of `http_drain_timeout` and
/// `session_close_spread`, plus this extra time.
pub const CLOSE_GRACE: Duration = Duration::from_secs(5);

/// The graceful stop of one gateway. Clones share the state.
#[derive(Clone, Debug)]
pub(crate) struct Drain {
    spread: Duration,
    timeout: Duration,
    closing: CancellationToken,
    ended: CancellationToken,
    open_tasks: TaskTracker,
}

impl Drain {
    /// Spawns a task that runs the graceful stop when the process begins to stop.
    #[must_use]
    pub(crate) fn spawn(config: &GatewayConfig, life: &Lifecycle) -> Self {
        let drain = Self {
            spread: config.session_close_spread.get(),
            timeout: config.http_drain_timeout.get(),
            closing: CancellationToken::new(),
            ended: CancellationToken::new(),
            open_tasks: TaskTracker::new(),
        };
        let (this, soft, shutdown_delay) = (drain.clone(), life.soft().clone(), config.shutdown_delay.get());
        life.spawn(async move {
            soft.cancelled().await;
            this.run(shutdown_delay).await;
        });
        drain
    }

    async fn run(&self, shutdown_delay: Duration) {
        let start = Instant::now();
        info!(drain.open = self.open_tasks.len(), "gateway drain: not ready");
        tokio::time::sleep(shutdown_delay).await;
        info!(drain.open = self.open_tasks.len(), "gateway drain: closing sessions");
        self.closing.cancel();
        self.open_tasks.close();
        let limit = self.timeout.max(self.spread) + CLOSE_GRACE;
        if tokio::time::timeout(limit, self.open_tasks.wait()).await.is_err() {
            warn!(drain.open = self.open_tasks.len(), "gateway drain: connections still open at the deadline");
        }
        info!(drain.ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX), "gateway drain: finished");
        self.ended.cancel();
    }

    /// Wraps `task`, the future of a session, so that the graceful stop waits until the session has ended.
    pub(crate) fn track<F: Future>(&self, task: F) -> TrackedFuture<F> {
        self.open_tasks.track_future(task)
    }

    /// Returns the tracker of open connections and sessions. The graceful stop waits until the tracker is empty, but
    /// not past a deadline.
    pub(crate) fn tracker(&self) -> TaskTracker {
        self.open_tasks.clone()
    }

    /// Returns a token that is cancelled when the listener must stop accepting connections and the sessions begin to
    /// close.
    pub(crate) fn closing(&self) -> &CancellationToken {
        &self.closing
    }

    /// Returns a token that is cancelled at the end of the graceful stop: when all connections and sessions have ended,
    /// or a deadline has passed.
    pub(crate) fn ended(&self) -> &CancellationToken {
        &self.ended
    }

    /// Returns how long requests may continue after the token [`Drain::closing`] is cancelled.
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Waits until the token [`Drain::closing`] is cancelled, and then for the delay after which the session with the
    /// id `session` must close. Create only one future for each session, and poll it until it completes, because each
    /// new future waits for the whole delay again.
    pub(crate) async fn session_close(&self, session: Uuid) {
        self.closing.cancelled().await;
        tokio::time::sleep(close_delay(self.spread, session)).await;
    }
}

/// Returns how long the session with the id `session` stays open after the token [`Drain::closing`] is cancelled. The
/// delay is between zero and `spread`, and is derived from the random part of the id.
fn close_delay(spread: Duration, session: Uuid) -> Duration {
    let [.., a, b, c, d] = session.into_bytes();
    spread.mul_f64(f64::from(u32::from_be_bytes([a, b, c, d])) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use platform::units::HumanDuration;

    use super::*;

    fn config() -> GatewayConfig {
        GatewayConfig {
            shutdown_delay: HumanDuration::from_secs(1),
            session_close_spread: HumanDuration::from_secs(4),
            http_drain_timeout: HumanDuration::from_secs(10),
            ..GatewayConfig::default()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn sessions_close_spread_out_after_the_shutdown_delay() {
        let life = Lifecycle::new();
        let drain = Drain::spawn(&config(), &life);
        let sessions: Vec<_> = (0..400)
            .map(|_| {
                let drain = drain.clone();
                tokio::spawn(drain.clone().track(async move {
                    drain.session_close(Uuid::now_v7()).await;
                    Instant::now()
                }))
            })
            .collect();
        tokio::task::yield_now().await;
        let start = Instant::now();
        life.soft().cancel();
        let mut quarters = [0; 4];
        for session in sessions {
            let after = (session.await.unwrap() - start).as_millis();
            assert!((1_000..=5_001).contains(&after), "{after} ms");
            quarters[usize::try_from((after - 1_000) / 1_001).unwrap()] += 1;
        }
        assert!(quarters.iter().all(|n| (50..150).contains(n)), "{quarters:?}");
        drain.ended().cancelled().await;
        assert!(start.elapsed() < Duration::from_millis(5_100), "the drain ends with its last session");
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_stays_open_delays_the_drain_only_to_its_deadline() {
        let life = Lifecycle::new();
        let drain = Drain::spawn(&config(), &life);
        let stuck = tokio::spawn(drain.track(std::future::pending::<()>()));
        let start = Instant::now();
        life.soft().cancel();
        drain.ended().cancelled().await;
        assert_eq!(start.elapsed().as_secs(), 16);
        stuck.abort();
    }
}
