//! Runs one attempt at an export: produces the file, renews the lease until the attempt ends, and reports the outcome.
//! The attempts at an export are numbered from 1.

mod lease;
mod outage;
mod outcome;
mod produce;
mod store;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_nats::jetstream::Message;
use entity::{
    StoreError,
    export::{self, Model},
    transition,
};
use platform::telemetry::traces;
use protocol::{
    delivery,
    export::{FileInfo, WaitingFor},
    id::{ExportId, Owner},
    problem::Problem,
};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use tracing::warn;

use super::context::WorkerContext;
use crate::{
    error::{JobError, Verdict},
    plan::{Plan, PlanRequest},
    progress::Meter,
};

/// One attempt at an export. The attempt number is the fencing token. After a later attempt has begun, the database
/// refuses the writes of this attempt.
pub(super) struct Attempt<'a> {
    context: &'a WorkerContext,
    id: ExportId,
    owner: Owner,
    dataset: String,
    pub(super) number: u32,
    /// The number of earlier attempts at the export that failed or whose lease expired.
    pub(super) failures: u32,
    /// The total duration of the pauses after earlier attempts that an outage interrupted.
    waited: Duration,
    /// Whether this attempt stopped because an outage lasted longer than `exporter.export_outage_timeout`.
    gave_up: AtomicBool,
    /// The W3C trace context of the attempt's span. Messages of the attempt contain it.
    traceparent: String,
    meter: Arc<Meter>,
    /// The running uploads of objects to the file store. An upload continues after its attempt has stopped.
    uploads: TaskTracker,
    /// Whether the notifier may have received the outcome `completed`. If true, the exporter must not delete the file.
    sealed: AtomicBool,
    /// The time of the last progress report; None before the first report.
    reported_at: Mutex<Option<Instant>>,
}

/// How an attempt ended, which decides the acknowledgement of the job.
pub(super) enum AttemptEnd {
    /// The file is complete, and NATS has stored the outcome `completed`.
    Completed(FileInfo),
    /// The export was canceled, or another attempt replaced this attempt.
    Superseded,
    /// The process of this exporter stops, and another exporter takes over the export.
    HandedOver,
    /// The attempt failed, and another attempt may succeed.
    Retry(JobError),
    /// An outage of a part of the installation, such as the database, interrupted the attempt. This does not count as a
    /// failed attempt. The second field is that part.
    Interrupted(JobError, WaitingFor),
    /// The export failed. The owner of the export receives the problem.
    Failed(JobError, Problem),
}

impl<'a> Attempt<'a> {
    pub(super) fn new(context: &'a WorkerContext, row: &Model) -> Self {
        Self {
            context,
            id: row.export_id(),
            owner: row.owner(),
            dataset: row.dataset.clone(),
            number: row.attempt.unsigned_abs(),
            failures: row.failures.unsigned_abs(),
            waited: Duration::from_millis(row.waited_ms.unsigned_abs()),
            gave_up: AtomicBool::new(false),
            traceparent: traces::current_traceparent_or(&row.traceparent),
            meter: Arc::new(Meter::start()),
            uploads: TaskTracker::new(),
            sealed: AtomicBool::new(false),
            reported_at: Mutex::new(None),
        }
    }

    /// Runs the attempt until the exporter has reported the complete file to the notifier, or until the attempt fails
    /// or must stop. `message` is the job, and `row` is the database row of the export. Returns the description of the
    /// file.
    ///
    /// # Errors
    /// When the attempt fails or must stop. The error is the reason.
    pub(super) async fn run(&self, message: &Message, row: &Model) -> Result<FileInfo, JobError> {
        let max_attempts = self.context.config.max_attempts;
        if self.failures >= max_attempts {
            return Err(JobError::Exhausted(self.failures));
        }
        let plan = Plan::resolve(&self.context.catalog.current(), PlanRequest::from_row(row)?)?;
        let cancellation = self.context.cancellations.register(self.id);
        tokio::select! {
            // if both are ready, the completed file wins, because the notifier may already have its outcome
            biased;
            completed = self.complete(row, &plan) => completed,
            stopped = self.keep_alive(message, cancellation.token()) => Err(stopped),
        }
    }

    /// Produces the file, reports its completion to the notifier, and returns the description of the file.
    async fn complete(&self, row: &Model, plan: &Plan) -> Result<FileInfo, JobError> {
        let produced = self.produce(row, plan).await?;
        // check once more for a cancellation, before the file is sealed and kept
        self.outlast(WaitingFor::Database, || self.renew_lease()).await?;
        self.seal();
        self.report_progress(&self.meter.progress()).await;
        self.report_completion(&produced).await?;
        Ok(produced.file)
    }

    /// Decides from the result of [`Self::run`] how the attempt ended.
    pub(super) fn end(&self, result: Result<FileInfo, JobError>) -> AttemptEnd {
        let error = match result {
            Ok(file) => return AttemptEnd::Completed(file),
            Err(error) => error,
        };
        if let Some(part) = error.outage() {
            let timeout = self.context.config.export_outage_timeout.get();
            let is_over = self.gave_up.load(Ordering::Relaxed) || self.waited >= timeout;
            return match error.outage_problem(timeout).filter(|_| is_over) {
                Some(problem) => self.failed(error, problem),
                None => AttemptEnd::Interrupted(error, part),
            };
        }
        let failures = self.failures + 1;
        let is_last = failures >= self.context.config.max_attempts;
        let verdict = if is_last { error.last_verdict(failures) } else { error.verdict() };
        match verdict {
            Verdict::Drop => AttemptEnd::Superseded,
            Verdict::HandOver => AttemptEnd::HandedOver,
            Verdict::Retry => AttemptEnd::Retry(error),
            Verdict::Fail(problem) => self.failed(error, problem),
        }
    }

    fn failed(&self, error: JobError, problem: Problem) -> AttemptEnd {
        let problem = error.with_dataset(problem, &self.dataset);
        AttemptEnd::Failed(error, problem)
    }

    /// Records that the notifier may receive the outcome `completed` from now on. [`Self::discard`] then keeps the
    /// file, and only the notifier may delete it. The caller must call this method before it first reports the outcome,
    /// because NATS may receive a report without confirming it.
    fn seal(&self) {
        self.sealed.store(true, Ordering::Release);
    }

    /// Deletes the objects of this attempt, unless the notifier may have received the outcome `completed`. Keeps the
    /// objects of other attempts, because a later attempt may be running, and because the notifier deletes the objects
    /// of earlier attempts when the export ends.
    pub(super) async fn discard(&self) {
        if self.sealed.load(Ordering::Acquire) {
            return;
        }
        self.uploads.close();
        self.uploads.wait().await;
        let prefix = delivery::attempt_prefix(self.id, self.number);
        if let Err(e) = self.context.store.delete_where(&prefix, |_| true).await {
            // the notifier deletes remaining objects when it deletes the export
            warn!(files.prefix = prefix, error = %e, "failed to delete the objects of an attempt");
        }
    }

    /// Releases the lease, so that another exporter can claim the export at once. Returns false if this attempt has
    /// lost the lease; a later attempt may then already have the job.
    pub(super) async fn release_lease(&self) -> bool {
        let (db, now) = (&self.context.db, self.context.clock.now());
        is_released(transition::release_lease(db, self.id, self.number, now).await)
    }

    /// Records that an outage of `part` interrupted this attempt, and releases the lease. The next attempt begins after
    /// `pause`. Returns false if this attempt has lost the lease; a later attempt may then already have the job.
    pub(super) async fn interrupt(&self, part: WaitingFor, pause: Duration) -> bool {
        let (db, now) = (&self.context.db, self.context.clock.now());
        is_released(transition::attempt_interrupted(db, self.id, self.number, part, pause, now).await)
    }

    /// Increments the export's number of failed attempts and releases the lease, so that the next attempt can begin at
    /// once. Returns false if this attempt has lost the lease; a later attempt may then already have the job.
    pub(super) async fn count_failure(&self) -> bool {
        let (db, now) = (&self.context.db, self.context.clock.now());
        is_released(transition::attempt_failed(db, self.id, self.number, now).await)
    }

    /// Reads the row of the export; None if the database has no such row or does not answer.
    pub(super) async fn read_row(&self) -> Option<Model> {
        match export::find(&self.context.db, self.id).await {
            Ok(row) => row,
            Err(e) => {
                warn!(error = %e, "failed to read an export; NATS redelivers its job");
                None
            }
        }
    }

    /// Whether no further attempt at the export can begin, because the export has ended or its cancellation was
    /// requested.
    pub(super) fn is_over(&self, row: &Model) -> bool {
        row.cancel_requested_at.is_some() || row.status().is_ok_and(|status| !status.is_unfinished())
    }
}

fn is_released(released: Result<bool, StoreError>) -> bool {
    released.unwrap_or_else(|e| {
        warn!(error = %e, "failed to release a lease; a notifier ends it");
        true
    })
}
