//! Two-stage shutdown: a soft stop drains, a hard stop aborts, and a critical task that dies takes the process along.

use std::{
    future::Future,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{error, info, warn};

/// The life of a process (or of several services in one). Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Lifecycle {
    soft: CancellationToken,
    hard: CancellationToken,
    tasks: TaskTracker,
    failure: Arc<Mutex<Option<String>>>,
}

impl Lifecycle {
    /// A life that has just begun.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Cancelled when work should drain: take nothing new, finish what can be finished.
    #[must_use]
    pub fn soft(&self) -> &CancellationToken {
        &self.soft
    }

    /// Cancelled when time is up: drop everything.
    #[must_use]
    pub fn hard(&self) -> &CancellationToken {
        &self.hard
    }

    /// Runs a task that [`Lifecycle::shut_down`] waits for, and that a hard stop ends.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let hard = self.hard.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                () = task => {}
                () = hard.cancelled() => {}
            }
        });
    }

    /// Runs a task that must not end before the soft stop: if it does, or fails, the whole process stops and
    /// [`Lifecycle::failure`] says why.
    pub fn spawn_critical<E: std::fmt::Display>(
        &self,
        name: &'static str,
        task: impl Future<Output = Result<(), E>> + Send + 'static,
    ) {
        let life = self.clone();
        self.spawn(async move {
            let guard = StopOnDrop { life: &life, name };
            match task.await {
                Ok(()) if life.soft.is_cancelled() => {}
                Ok(()) => life.fail(format!("{name} ended before its time")),
                Err(e) => life.fail(format!("{name}: {e}")),
            }
            std::mem::forget(guard);
        });
    }

    /// Begins the soft stop because of this failure.
    pub fn fail(&self, reason: String) {
        error!(lifecycle.reason = %reason, "a critical part failed; stopping");
        if let Ok(mut failure) = self.failure.lock() {
            failure.get_or_insert(reason);
        }
        self.soft.cancel();
    }

    /// Why the process stopped by itself, if it did.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        self.failure.lock().ok().and_then(|failure| failure.clone())
    }

    /// Begins the soft stop at SIGINT or SIGTERM, and the hard one at a second signal.
    pub fn stop_at_signals(&self) {
        let life = self.clone();
        tokio::spawn(async move {
            signal().await;
            info!("stopping: draining work; a second signal stops at once");
            life.soft.cancel();
            signal().await;
            warn!("stopping at once");
            life.hard.cancel();
        });
    }

    /// Waits for the soft stop, then at most `grace` for all tasks, then stops the rest hard.
    pub async fn shut_down(&self, grace: Duration) {
        self.soft.cancelled().await;
        self.tasks.close();
        if tokio::time::timeout(grace, self.tasks.wait()).await.is_err() {
            warn!(lifecycle.grace_s = grace.as_secs(), "work did not drain in time; stopping hard");
        }
        self.hard.cancel();
        self.tasks.wait().await;
    }
}

/// A panic in a critical task unwinds past its match; this still stops the process.
struct StopOnDrop<'a> {
    life: &'a Lifecycle,
    name: &'static str,
}

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        if !self.life.hard.is_cancelled() {
            self.life.fail(format!("{} panicked", self.name));
        }
    }
}

/// The next SIGINT or SIGTERM.
async fn signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        error!("signals can't be watched; only a kill ends this process");
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_critical_task_that_ends_or_panics_stops_the_process() {
        for panics in [false, true] {
            let life = Lifecycle::new();
            life.spawn_critical("intake", async move {
                assert!(!panics, "boom");
                Ok::<_, String>(())
            });
            life.shut_down(Duration::from_secs(5)).await;
            assert!(life.failure().unwrap().starts_with("intake"));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_does_not_drain_is_stopped_hard() {
        let life = Lifecycle::new();
        life.spawn(std::future::pending());
        life.soft().cancel();
        life.shut_down(Duration::from_secs(3)).await;
        assert_eq!(life.failure(), None);
    }
}
