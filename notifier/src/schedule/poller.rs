//! Polls the `scheduled_job` table for due jobs, and publishes the table as metrics.
//!
//! Only the row and the clock decide whether a job is due. A trigger or a hint makes the next poll come sooner, so a
//! lost, late or wrong one costs at most one poll interval.

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

/// The largest clock difference between two machines. A due time beyond the next one plus this difference was set by a
/// clock that has stepped back since.
const MAX_CLOCK_SKEW: TimeDelta = TimeDelta::seconds(60);
/// The first and the longest pause after a failed poll.
const RETRY_PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(10));

/// A job of this notifier, with the notification of its runner.
pub(super) struct PolledJob {
    pub(super) job: Arc<dyn Job>,
    pub(super) due: Arc<Notify>,
}

/// Polls for all jobs of this notifier.
pub(super) struct SchedulePoller {
    pub(super) deps: Deps,
    pub(super) jobs: Vec<PolledJob>,
    pub(super) interval: Duration,
    /// Notified to poll at once.
    pub(super) poll: Arc<Notify>,
}

impl SchedulePoller {
    /// Polls at each interval, trigger and hint until the soft stop.
    ///
    /// # Errors
    /// When the subscription to hints ends, which only a closed client does.
    pub(super) async fn run(self, mut hints: Subscriber, soft: CancellationToken) -> Result<(), NotifierError> {
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
                () = soft.cancelled() => return Ok(()),
                () = self.poll.notified() => {}
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
                // the row was deleted, or an older database was restored
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
        // a CronJob or another notifier may make the backups, so every notifier publishes when one is overdue
        if let Some(row) = rows.iter().find(|row| row.name == backup::NAME) {
            set_gauges(row);
        }
        Ok(())
    }
}

/// Publishes a row as gauges, which are the same on every notifier.
fn set_gauges(row: &scheduled_job::Model) {
    let seconds = |at: DateTime<Utc>| at.timestamp_millis() as f64 / 1000.0;
    let job = || row.name.clone();
    metrics::gauge!("sluice_schedule_next_due_timestamp_seconds", "scheduled_job" => job()).set(seconds(row.due_at));
    if let Some(ended) = row.ended_at {
        metrics::gauge!("sluice_schedule_last_run_timestamp_seconds", "scheduled_job" => job()).set(seconds(ended));
        if row.result.as_deref() == Some("ok") {
            metrics::gauge!("sluice_schedule_last_success_timestamp_seconds", "scheduled_job" => job())
                .set(seconds(ended));
        }
    }
    if row.name == credit_audit::NAME {
        let state = AuditState::parse(row.state.as_deref());
        metrics::gauge!("sluice_credits_audit_mismatches").set(state.mismatches as f64);
    }
}
