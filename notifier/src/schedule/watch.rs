//! Looks into the table for jobs that are due, and shows it as metrics.
//!
//! Whether a job is due is decided here alone, by the row and the clock: a ring only makes the next look come sooner. So
//! a ring that is lost, late or wrong costs nothing but a moment.

use std::{sync::Arc, time::Duration};

use async_nats::Subscriber;
use chrono::{DateTime, TimeDelta, Utc};
use entity::job;
use futures::{FutureExt, StreamExt};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{
    audit::{self, Found},
    job::Job,
};
use crate::{app::Deps, backoff::Backoff, backup, error::NotifierError};

/// Clocks of two machines are as far apart as this at most; a due time that is further away than this was set by a clock
/// that has stepped back.
const SKEW: TimeDelta = TimeDelta::seconds(60);

/// A job and how to wake its runner.
pub(super) struct Watched {
    pub(super) job: Arc<dyn Job>,
    pub(super) ring: Arc<Notify>,
}

/// All jobs of this notifier.
pub(super) struct Watch {
    pub(super) deps: Deps,
    pub(super) jobs: Vec<Watched>,
    pub(super) poll: Duration,
    /// Rung when a look is worth while.
    pub(super) bell: Arc<Notify>,
}

impl Watch {
    /// Looks at each tick, ring and hint until the soft stop.
    ///
    /// # Errors
    /// When the hints end, which only a closed client does.
    pub(super) async fn run(self, mut hints: Subscriber, soft: CancellationToken) -> Result<(), NotifierError> {
        let mut backoff = Backoff::new();
        let mut failing = false;
        loop {
            let pause = match self.look().await {
                Ok(()) => {
                    if std::mem::take(&mut failing) {
                        info!("the schedule can be read again");
                    }
                    backoff = Backoff::new();
                    self.poll
                }
                Err(e) => {
                    if !std::mem::replace(&mut failing, true) {
                        warn!(error = %e, "the schedule can't be read; tried again and again");
                    }
                    backoff.pause().max(self.poll)
                }
            };
            tokio::select! {
                biased;
                () = soft.cancelled() => return Ok(()),
                () = self.bell.notified() => {}
                hint = hints.next() => if hint.is_none() { return Err(NotifierError::Unsubscribed("scheduled jobs")) },
                () = tokio::time::sleep(pause) => {}
            }
            // one look answers all hints that have come so far
            while let Some(Some(_)) = hints.next().now_or_never() {}
        }
    }

    async fn look(&self) -> Result<(), NotifierError> {
        let now = self.deps.clock.now();
        let rows = job::all(&self.deps.db).await?;
        for Watched { job, ring } in &self.jobs {
            let (name, when) = (job.name(), job.when());
            let Some(row) = rows.iter().find(|row| row.name == name) else {
                // an operator deleted it, or brought back an older database
                job::ensure(&self.deps.db, name, &when.to_string(), when.first(now)).await?;
                continue;
            };
            show(row);
            if row.due_at > when.next(now + SKEW) {
                let next = when.next(now);
                warn!(job.name = name, job.due_at = %row.due_at, job.next = %next, "due too late by this clock; brought forward");
                job::not_after(&self.deps.db, name, next).await?;
            }
            if row.due_at <= now || row.requested_at.is_some() {
                ring.notify_one();
            }
        }
        // Backups may be made by others, such as a CronJob: that one is overdue is told by every notifier all the same.
        if let Some(row) = rows.iter().find(|row| row.name == backup::job::NAME) {
            show(row);
        }
        Ok(())
    }
}

/// Every notifier shows the same, whoever ran the job.
fn show(row: &job::Model) {
    let seconds = |at: DateTime<Utc>| at.timestamp_millis() as f64 / 1000.0;
    let job = || row.name.clone();
    metrics::gauge!("sluice_schedule_next_due_timestamp_seconds", "task" => job()).set(seconds(row.due_at));
    if let Some(ended) = row.ended_at {
        metrics::gauge!("sluice_schedule_last_run_timestamp_seconds", "task" => job()).set(seconds(ended));
        if row.result.as_deref() == Some("ok") {
            metrics::gauge!("sluice_schedule_last_success_timestamp_seconds", "task" => job()).set(seconds(ended));
        }
    }
    if row.name == audit::NAME {
        let found = Found::of(row.state.as_deref());
        metrics::gauge!("sluice_credits_audit_mismatches").set(found.mismatches as f64);
    }
}
