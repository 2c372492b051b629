//! Runs one scheduled job when the job is due and no other notifier runs it.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use entity::scheduled_job::{self, FinishedRun};
use futures::FutureExt;
use platform::backoff::Schedule;
use sea_orm::TransactionTrait;
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::job::{Job, Run};
use crate::{
    deps::Deps,
    error::NotifierError,
    lease::{HeldLease, LeaseCandidate},
};

/// The longest pause after failed runs.
const MAX_PAUSE: Duration = Duration::from_secs(300);
/// The exponential backoff after consecutive failed runs.
const RETRY: Schedule = Schedule::new(Duration::from_secs(1), MAX_PAUSE);

/// Runs one scheduled job in this notifier.
pub(super) struct Runner {
    pub(super) deps: Deps,
    pub(super) job: Arc<dyn Job>,
    /// The name of this notifier, which the row of the scheduled job shows to operators.
    pub(super) instance: String,
    /// The duration of the scheduled job's lease.
    pub(super) lease_duration: Duration,
    /// The timeout of a run, unless the scheduled job defines another one.
    pub(super) timeout: Duration,
    /// Wakes the runner when the poller finds that the scheduled job is due.
    pub(super) due: Arc<Notify>,
}

/// The pause of the scheduled job after failed runs. `failures` is the number of consecutive failures. A run that an
/// operator requests starts during the pause too.
#[derive(Debug)]
struct Pause {
    until: Instant,
    failures: u32,
}

impl Runner {
    /// Runs the scheduled job each time the poller notifies the runner, until shutdown begins.
    ///
    /// # Errors
    /// Never: the runner logs failures and records them in the row of the job.
    pub(super) async fn run(self, shutdown: CancellationToken) -> Result<(), NotifierError> {
        let name = self.job.name();
        let lease = format!("job:{name}");
        let mut candidate = LeaseCandidate::new(&self.deps, &lease, &self.instance, self.lease_duration);
        let mut pause = None;
        loop {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return Ok(()),
                () = self.due.notified() => {}
            }
            if let Err(e) = self.run_if_due(&mut candidate, &mut pause, &shutdown).await {
                warn!(job.name = name, error = %e, "failed to start or record a scheduled job, retrying");
                self.pause_after_failure(&mut pause);
            }
        }
    }

    /// Runs the scheduled job under its lease, if the job is due and no other notifier runs it.
    async fn run_if_due(
        &self,
        candidate: &mut LeaseCandidate,
        pause: &mut Option<Pause>,
        shutdown: &CancellationToken,
    ) -> Result<(), NotifierError> {
        if self.find_due(pause.as_ref()).await?.is_none() {
            return Ok(());
        }
        let Some(lease) = candidate.try_acquire().await? else { return Ok(()) };
        match lease.run_while_renewing(self.run_once(&lease, pause, shutdown)).await {
            Ok(done) => {
                lease.release().await;
                done
            }
            Err(NotifierError::Fenced) => {
                debug!(job.name = self.job.name(), "stopped a run: another notifier holds the lease");
                Ok(())
            }
            Err(e) => Err(e),
        }
    }

    /// Reads the row of the scheduled job. Returns `None` if the job is not due. Returns `None` also while the job
    /// pauses after a failure, unless an operator requested a run.
    async fn find_due(&self, pause: Option<&Pause>) -> Result<Option<scheduled_job::Model>, NotifierError> {
        let now = self.deps.clock.now();
        let row = scheduled_job::find(&self.deps.db, self.job.name()).await?;
        let row = row.filter(|row| row.due_at <= now || row.requested_at.is_some());
        let paused = pause.is_some_and(|pause| Instant::now() < pause.until);
        Ok(row.filter(|row| !paused || row.requested_at.is_some()))
    }

    /// Checks again whether the scheduled job is due, then runs the job, and records the start and the result of the
    /// run. Records no result if shutdown or the loss of the lease interrupted the run.
    async fn run_once(
        &self,
        lease: &HeldLease,
        pause: &mut Option<Pause>,
        shutdown: &CancellationToken,
    ) -> Result<(), NotifierError> {
        // another notifier may have run the job before this notifier acquired the lease
        let Some(row) = self.find_due(pause.as_ref()).await? else { return Ok(()) };
        let (name, db, began, clock) = (self.job.name(), &self.deps.db, self.deps.clock.now(), Instant::now());
        let tx = db.begin().await?;
        lease.fence(&tx).await?;
        scheduled_job::record_start(&tx, name, &self.instance, began).await?;
        tx.commit().await?;

        let result = self.run_with_timeout(lease, shutdown).await;
        if matches!(result, Err(NotifierError::Stopping | NotifierError::Fenced)) {
            // the job stays due, and another notifier runs it again
            return Ok(());
        }
        let (ended, took) = (self.deps.clock.now(), clock.elapsed());
        let outcome = if result.is_ok() { "ok" } else { "failed" };
        metrics::counter!("sluice_scheduled_job_runs_total", "scheduled_job" => name, "result" => outcome).increment(1);
        metrics::gauge!("sluice_notifier_schedule_last_duration_seconds", "scheduled_job" => name)
            .set(took.as_secs_f64());
        let finished = FinishedRun {
            ended_at: ended,
            duration_ms: i64::try_from(took.as_millis()).unwrap_or(i64::MAX),
            // a failed job stays due
            due_at: if result.is_ok() { self.job.recurrence().next_after_run(began, ended) } else { row.due_at },
            // the notifier that recorded the request may have a clock that is ahead
            requests_through: row.requested_at.map_or(began, |requested| requested.max(began)),
            result: result.map_err(|e| e.to_string()),
        };
        match &finished.result {
            Ok(summary) => {
                info!(job.name = name, job.summary = %summary, job.took_ms = finished.duration_ms, "scheduled job succeeded");
                *pause = None;
            }
            Err(reason) => {
                self.pause_after_failure(pause);
                warn!(job.name = name, error = %reason, job.took_ms = finished.duration_ms, "scheduled job failed");
            }
        }
        let tx = db.begin().await?;
        lease.fence(&tx).await?;
        scheduled_job::record_end(&tx, name, &finished).await?;
        Ok(tx.commit().await?)
    }

    async fn run_with_timeout(&self, lease: &HeldLease, shutdown: &CancellationToken) -> Result<String, NotifierError> {
        let run = Run { deps: &self.deps, name: self.job.name(), lease, shutdown };
        let timeout = self.job.timeout().unwrap_or(self.timeout);
        let work = AssertUnwindSafe(self.job.run(&run)).catch_unwind();
        match tokio::time::timeout(timeout, work).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(NotifierError::Panicked("a scheduled job")),
            Err(_) => Err(NotifierError::Timeout("a scheduled job")),
        }
    }

    /// Sets the pause after a failed run. Each consecutive failure doubles the pause, up to the shorter of
    /// [`MAX_PAUSE`] and the interval between two due times. The pause has no jitter, because only one notifier runs
    /// the scheduled job.
    fn pause_after_failure(&self, pause: &mut Option<Pause>) {
        let (now, recurrence) = (self.deps.clock.now(), self.job.recurrence());
        let next = recurrence.next(now);
        let interval = (recurrence.next(next) - next).to_std().unwrap_or(MAX_PAUSE);
        let failures = pause.as_ref().map_or(0, |pause| pause.failures);
        let wait = RETRY.ceiling(failures).min(interval);
        *pause = Some(Pause { until: Instant::now() + wait, failures: failures.saturating_add(1) });
    }
}
