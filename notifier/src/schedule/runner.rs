//! Runs one job whenever it is due, if no other notifier does.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use entity::job::{self, Ended};
use futures::FutureExt;
use sea_orm::TransactionTrait;
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::job::{Job, Run};
use crate::{
    app::Deps,
    error::NotifierError,
    lease::{Candidate, Held},
};

/// The pause after a first failure; it doubles with each.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause, unless the job is due more often.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// One job on this notifier.
pub(super) struct Runner {
    pub(super) deps: Deps,
    pub(super) job: Arc<dyn Job>,
    /// Who runs it, for operators.
    pub(super) instance: String,
    /// How long a lease lasts without a sign of life.
    pub(super) term: Duration,
    /// How long a run may take, unless the job says otherwise.
    pub(super) deadline: Duration,
    /// Rung when it is due.
    pub(super) ring: Arc<Notify>,
}

/// After a failure: nothing before that time, unless an operator asks.
#[derive(Debug)]
struct Pause {
    until: Instant,
    failures: u32,
}

impl Runner {
    /// Runs the job at each ring until the soft stop.
    ///
    /// # Errors
    /// Never: failures are noted in the job's row.
    pub(super) async fn run(self, soft: CancellationToken) -> Result<(), NotifierError> {
        let name = self.job.name();
        let mut candidate = Candidate::new(&self.deps, &format!("job:{name}"), &self.instance, self.term);
        let mut pause = None;
        loop {
            tokio::select! {
                biased;
                () = soft.cancelled() => return Ok(()),
                () = self.ring.notified() => {}
            }
            if let Err(e) = self.turn(&mut candidate, &mut pause, &soft).await {
                warn!(job.name = name, error = %e, "a scheduled job can't be begun or noted; tried again");
                self.fail(&mut pause);
            }
        }
    }

    /// Runs the job if it is due and nobody else runs it.
    async fn turn(
        &self,
        candidate: &mut Candidate,
        pause: &mut Option<Pause>,
        soft: &CancellationToken,
    ) -> Result<(), NotifierError> {
        if self.wanted(pause.as_ref()).await?.is_none() {
            return Ok(());
        }
        let Some(held) = candidate.stand().await? else { return Ok(()) };
        match held.keep(self.once(&held, pause, soft)).await {
            Ok(done) => {
                held.give_back().await;
                done
            }
            Err(NotifierError::Fenced) => {
                debug!(job.name = self.job.name(), "a run was given up: another notifier has it");
                Ok(())
            }
            Err(e) => Err(e),
        }
    }

    /// The row, if it says that the job is to run now.
    async fn wanted(&self, pause: Option<&Pause>) -> Result<Option<job::Model>, NotifierError> {
        let now = self.deps.clock.now();
        let row = job::find(&self.deps.db, self.job.name()).await?;
        let row = row.filter(|row| row.due_at <= now || row.requested_at.is_some());
        let waits = pause.is_some_and(|pause| Instant::now() < pause.until);
        Ok(row.filter(|row| !waits || row.requested_at.is_some()))
    }

    /// One run from its beginning to its end, under the lease.
    async fn once(
        &self,
        held: &Held,
        pause: &mut Option<Pause>,
        soft: &CancellationToken,
    ) -> Result<(), NotifierError> {
        // somebody may have done it between the look and the lease
        let Some(row) = self.wanted(pause.as_ref()).await? else { return Ok(()) };
        let (name, db, began, clock) = (self.job.name(), &self.deps.db, self.deps.clock.now(), Instant::now());
        let tx = db.begin().await?;
        held.fence(&tx).await?;
        job::started(&tx, name, &self.instance, began).await?;
        tx.commit().await?;

        let result = self.work(held, soft).await;
        if matches!(result, Err(NotifierError::Stopping | NotifierError::Fenced)) {
            // due still: whoever comes next begins anew
            return Ok(());
        }
        let (ended, took) = (self.deps.clock.now(), clock.elapsed());
        metrics::counter!("sluice_schedule_runs_total", "task" => name, "result" => word(&result)).increment(1);
        metrics::gauge!("sluice_schedule_last_duration_seconds", "task" => name).set(took.as_secs_f64());
        let end = Ended {
            at: ended,
            duration_ms: i64::try_from(took.as_millis()).unwrap_or(i64::MAX),
            // what failed is due still
            due_at: if result.is_ok() { self.job.when().after(began, ended) } else { row.due_at },
            // also one by a machine whose clock is ahead
            began_at: row.requested_at.map_or(began, |asked| asked.max(began)),
            result: result.map_err(|e| e.to_string()),
        };
        match &end.result {
            Ok(did) => {
                info!(job.name = name, job.did = %did, job.took_ms = end.duration_ms, "a scheduled job ran");
                *pause = None;
            }
            Err(why) => {
                self.fail(pause);
                warn!(job.name = name, error = %why, job.took_ms = end.duration_ms, "a scheduled job failed");
            }
        }
        let tx = db.begin().await?;
        held.fence(&tx).await?;
        job::ended(&tx, name, &end).await?;
        Ok(tx.commit().await?)
    }

    async fn work(&self, held: &Held, soft: &CancellationToken) -> Result<String, NotifierError> {
        let run = Run { deps: &self.deps, name: self.job.name(), held, soft };
        let deadline = self.job.deadline().unwrap_or(self.deadline);
        let work = AssertUnwindSafe(self.job.run(&run)).catch_unwind();
        match tokio::time::timeout(deadline, work).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(NotifierError::Panicked("a scheduled job")),
            Err(_) => Err(NotifierError::Timeout("a scheduled job")),
        }
    }

    /// Each failure in a row doubles the pause, up to the time between two runs.
    fn fail(&self, pause: &mut Option<Pause>) {
        let (now, when) = (self.deps.clock.now(), self.job.when());
        let next = when.next(now);
        let period = (when.next(next) - next).to_std().unwrap_or(LONGEST_PAUSE);
        let failures = pause.as_ref().map_or(0, |pause| pause.failures);
        let wait = FIRST_PAUSE.saturating_mul(1 << failures.min(16)).min(LONGEST_PAUSE).min(period);
        *pause = Some(Pause { until: Instant::now() + wait, failures: failures.saturating_add(1) });
    }
}

fn word(result: &Result<String, NotifierError>) -> &'static str {
    if result.is_ok() { "ok" } else { "failed" }
}
