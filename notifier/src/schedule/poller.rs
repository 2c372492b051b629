//! Polls the `scheduled_job` table for due jobs, and publishes the table as metrics.
//!
//! A job is due if the due time in its row has passed, or if its row records a request of an operator. A cron trigger,
//! or a hint that another process publishes on NATS, only makes the next poll happen sooner. So a lost trigger or hint
//! delays a job by at most one poll interval.

use std::{sync::Arc, time::Duration};

use async_nats::Subscriber;
use chrono::{DateTime, TimeDelta, Utc};
use entity::scheduled_job;
use futures::{FutureExt, StreamExt};
use platform::backoff::Backoff;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{
    job::Job,
    jobs::{
        backup,
        credit_audit::{self, AuditState},
    },
};
use crate::{deps::Deps, error::NotifierError};

/// The largest tolerated clock difference between two machines. If the due time in the row of a job is later than the
/// first due time that its rule yields after `now + MAX_CLOCK_SKEW`, a machine with a wrong clock wrote the row. The
/// poller then brings the due time forward.
const MAX_CLOCK_SKEW: TimeDelta = TimeDelta::seconds(60);
/// The shortest and the longest pause of the exponential backoff after failed polls.
const RETRY_PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(10));

/// A scheduled job, and the [`Notify`] with which the poller wakes the runner of the job when the job is due.
pub(super) struct PolledJob {
    pub(super) job: Arc<dyn Job>,
    pub(super) due: Arc<Notify>,
}

/// Polls the database rows of the scheduled jobs of this notifier, and wakes the runner of each job that is due.
pub(super) struct SchedulePoller {
    pub(super) deps: Deps,
    pub(super) jobs: Vec<PolledJob>,
    pub(super) interval: Duration,
    /// Wakes the poller before its interval ends, when a cron trigger fires or an operator requests a run.
    pub(super) wake_up: Arc<Notify>,
}

impl SchedulePoller {
    /// Polls after each interval until shutdown begins. Polls earlier when `wake_up` is notified, or when another
    /// process sends a message to `hints`.
    ///
    /// # Errors
    /// When the subscription `hints` ends, which happens only when the NATS client is closed.
    pub(super) async fn run(self, mut hints: Subscriber, shutdown: CancellationToken) -> Result<(), NotifierError> {
        let mut backoff = Backoff::new(RETRY_PAUSES.0, RETRY_PAUSES.1);
        let mut failing = false;
        loop {
            let pause = match self.poll_once().await {
                Ok(()) => {
                    if std::mem::take(&mut failing) {
                        info!("polling the schedule recovered");
                    }
                    backoff.reset();
                    self.interval
                }
                Err(e) => {
                    if !std::mem::replace(&mut failing, true) {
                        warn!(error = %e, "failed to poll the schedule, retrying");
                    }
                    backoff.next_pause().max(self.interval)
                }
            };
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return Ok(()),
                () = self.wake_up.notified() => {}
                hint = hints.next() => if hint.is_none() { return Err(NotifierError::Unsubscribed("scheduled jobs")) },
                () = tokio::time::sleep(pause) => {}
            }
            // one poll covers all hints received so far
            while let Some(Some(_)) = hints.next().now_or_never() {}
        }
    }

    async fn poll_once(&self) -> Result<(), NotifierError> {
        let now = self.deps.clock.now();
        let rows = scheduled_job::all(&self.deps.db).await?;
        for PolledJob { job, due } in &self.jobs {
            let (name, recurrence) = (job.name(), job.recurrence());
            let Some(row) = rows.iter().find(|row| row.name == name) else {
                // the row is missing after the restore of an older database
                scheduled_job::ensure(&self.deps.db, name, &recurrence.to_string(), recurrence.first(now)).await?;
                continue;
            };
            set_gauges(row);
            if row.due_at > recurrence.next(now + MAX_CLOCK_SKEW) {
                let next = recurrence.next(now);
                warn!(job.name = name, job.due_at = %row.due_at, job.next = %next, "brought a due time forward after a clock step");
                scheduled_job::bring_forward(&self.deps.db, name, next).await?;
            }
            if row.due_at <= now || row.requested_at.is_some() {
                due.notify_one();
            }
        }
        // a Kubernetes CronJob or another notifier may make the backups; every notifier publishes their due time
        if let Some(row) = rows.iter().find(|row| row.name == backup::NAME) {
            set_gauges(row);
        }
        Ok(())
    }
}

/// Publishes the row of a scheduled job as gauges. Every notifier publishes the same values.
fn set_gauges(row: &scheduled_job::Model) {
    let seconds = |at: DateTime<Utc>| at.timestamp_millis() as f64 / 1000.0;
    let job = || row.name.clone();
    metrics::gauge!("sluice_scheduled_job_next_due_timestamp_seconds", "scheduled_job" => job())
        .set(seconds(row.due_at));
    if let Some(ended) = row.ended_at {
        metrics::gauge!("sluice_scheduled_job_last_completion_timestamp_seconds", "scheduled_job" => job())
            .set(seconds(ended));
        if row.result.as_deref() == Some("ok") {
            metrics::gauge!("sluice_scheduled_job_last_success_timestamp_seconds", "scheduled_job" => job())
                .set(seconds(ended));
        }
    }
    if row.name == credit_audit::NAME {
        let state = AuditState::parse(row.state.as_deref());
        metrics::gauge!("sluice_credits_audit_mismatches").set(state.mismatches as f64);
    }
}
