//! The shutdown of a process in two stages. A soft stop drains work, and a hard stop aborts it. If a critical task ends
//! early, the soft stop begins.

use std::{
    future::Future,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{error, info, warn};

/// The lifecycle of a process, which may run several services. Clones share the state.
#[derive(Clone, Debug, Default)]
pub struct Lifecycle {
    soft: CancellationToken,
    hard: CancellationToken,
    tasks: TaskTracker,
    failure: Arc<Mutex<Option<String>>>,
}

impl Lifecycle {
    /// Creates the lifecycle of a running process. The lifecycle has no tasks yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the token of the soft stop. When this token is canceled, a service accepts no new work and finishes
    /// running work.
    #[must_use]
    pub fn soft(&self) -> &CancellationToken {
        &self.soft
    }

    /// Returns the token of the hard stop. When this token is canceled, the lifecycle drops all tasks.
    #[must_use]
    pub fn hard(&self) -> &CancellationToken {
        &self.hard
    }

    /// Spawns a task. [`Lifecycle::shut_down`] waits for the end of the task, and a hard stop drops the task.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let hard = self.hard.clone();
        // a future that is moved into another future takes its memory twice, as an argument and where it is polled
        let task = Box::pin(task);
        self.tasks.spawn(async move {
            tokio::select! {
                () = task => {}
                () = hard.cancelled() => {}
            }
        });
    }

    /// Spawns a task that must not end before the soft stop. If the task ends early, fails or panics, the whole process
    /// stops and [`Lifecycle::failure`] returns the reason.
    pub fn spawn_critical<E: std::fmt::Display>(
        &self,
        name: &'static str,
        task: impl Future<Output = Result<(), E>> + Send + 'static,
    ) {
        let life = self.clone();
        self.spawn(async move {
            let guard = FailOnDrop { life: &life, name };
            match task.await {
                Ok(()) if life.soft.is_cancelled() => {}
                Ok(()) => life.fail(format!("{name} ended unexpectedly")),
                Err(e) => life.fail(format!("{name}: {e}")),
            }
            std::mem::forget(guard);
        });
    }

    /// Records a failure and begins the soft stop.
    pub fn fail(&self, reason: String) {
        error!(lifecycle.reason = %reason, "critical task failed; stopping");
        if let Ok(mut failure) = self.failure.lock() {
            failure.get_or_insert(reason);
        }
        self.soft.cancel();
    }

    /// Returns the reason of the first [`Lifecycle::fail`]. None without a failure, for example when a signal stops the
    /// process.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        self.failure.lock().ok().and_then(|failure| failure.clone())
    }

    /// Begins the soft stop at the first SIGINT or SIGTERM and the hard stop at the second.
    pub fn stop_at_signals(&self) {
        let life = self.clone();
        tokio::spawn(async move {
            signal().await;
            info!("stopping: draining work; a second signal aborts it");
            life.soft.cancel();
            signal().await;
            warn!("stopping: aborting work");
            life.hard.cancel();
        });
    }

    /// Waits for the soft stop, gives all tasks the time `grace` to end, and then begins the hard stop.
    pub async fn shut_down(&self, grace: Duration) {
        self.soft.cancelled().await;
        self.tasks.close();
        if tokio::time::timeout(grace, self.tasks.wait()).await.is_err() {
            warn!(lifecycle.grace_s = grace.as_secs(), "work did not drain in time; aborting it");
        }
        self.hard.cancel();
        self.tasks.wait().await;
    }
}

/// A guard that records a failure when a critical task panics, because the panic drops the guard.
struct FailOnDrop<'a> {
    life: &'a Lifecycle,
    name: &'static str,
}

impl Drop for FailOnDrop<'_> {
    fn drop(&mut self) {
        if !self.life.hard.is_cancelled() {
            self.life.fail(format!("{} panicked", self.name));
        }
    }
}

/// Waits for the next SIGINT or SIGTERM.
async fn signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        error!("failed to install signal handlers; only SIGKILL stops this process");
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
    async fn work_that_does_not_drain_is_aborted() {
        let life = Lifecycle::new();
        life.spawn(std::future::pending());
        life.soft().cancel();
        life.shut_down(Duration::from_secs(3)).await;
        assert_eq!(life.failure(), None);
    }
}
