//! One job: claim its export, run the attempt, and end the job only after what became of it is durable.

use std::time::Duration;

use async_nats::jetstream::{AckKind, Message};
use entity::{StoreError, export::Model, transition};
use platform::bus;
use protocol::{
    envelope::{Envelope, Job},
    export::FileInfo,
    time::Timestamp,
};
use tokio::time::Instant;
use tracing::{Instrument, error, info, info_span, warn};

use super::{
    Worker,
    attempt::Attempt,
    keeper, outcome,
    plan::{self, Ask, Plan},
};
use crate::error::{JobError, Verdict};

/// The pause before the first retry; it doubles with each delivery …
const FIRST_RETRY: Duration = Duration::from_millis(500);
/// … up to this.
const LONGEST_RETRY: Duration = Duration::from_secs(60);
/// The pause before an outcome is told again.
const RETELL: Duration = Duration::from_millis(500);
/// Added to the time at which another worker's lease runs out.
const LEASE_SLACK: Duration = Duration::from_millis(250);

/// Handles a job to whatever end. Failures are logged and told here, so that there is nothing to return.
pub(super) async fn handle(worker: &Worker, message: Message) {
    let job = match bus::open::<Job>(&message.payload) {
        Ok(job) => job,
        Err(e) => {
            error!(nats.subject = %message.subject, error = %e, "an unreadable job is dropped");
            return settle(&message, AckKind::Term).await;
        }
    };
    let id = job.body.export_id;
    let span = info_span!("export", export.id = %id, traceparent = %job.traceparent);
    let ack = claimed(worker, &message, &job).instrument(span.clone()).await;
    settle(&message, ack).instrument(span).await;
}

/// Claims the export and runs it. The answer is what to tell NATS.
async fn claimed(worker: &Worker, message: &Message, job: &Envelope<Job>) -> AckKind {
    let now = worker.clock.now();
    let lease_until = now + worker.config.lease();
    let claim = transition::claim(&worker.db, job.body.export_id, &worker.instance, now, lease_until).await;
    let row = match claim {
        Ok(transition::Claim::Won(row)) => row,
        Ok(transition::Claim::Over) => return AckKind::Ack,
        Ok(transition::Claim::Busy(until)) => {
            let left = (until - worker.clock.now()).to_std().unwrap_or_default();
            return AckKind::Nak(Some(left + LEASE_SLACK));
        }
        Err(e) => {
            warn!(error = %e, "can't claim an export");
            return retry_later(message);
        }
    };
    let attempt = Attempt::of(worker, &row);
    info!(export.dataset = %row.dataset, export.attempt = attempt.number, "running");
    let begun = Instant::now();
    let result = run(&attempt, message, &row).await;
    let label = result.as_ref().map_or_else(JobError::label, |_| "completed");
    metrics::counter!("sluice_exporter_attempts_total", "result" => label).increment(1);
    metrics::histogram!("sluice_exporter_attempt_seconds", "result" => label).record(begun.elapsed().as_secs_f64());
    let ended = match result {
        Ok(file) => {
            info!(
                file.rows = file.rows,
                file.bytes = file.size,
                elapsed_ms = begun.elapsed().as_millis() as u64,
                "completed"
            );
            return AckKind::Ack;
        }
        Err(e) => e,
    };
    end(&attempt, message, job, ended).await
}

/// Runs the attempt for as long as it holds, until the notifier is sure to hear of its file.
async fn run(attempt: &Attempt<'_>, message: &Message, row: &Model) -> Result<FileInfo, JobError> {
    let most = attempt.worker.config.max_attempts;
    if attempt.failures >= most {
        return Err(JobError::Exhausted(most));
    }
    let plan: Plan = plan::plan(&attempt.worker.catalog.current(), Ask::of(row)?)?;
    let watch = attempt.worker.cancels.watch(attempt.id);
    let owner = row.owner();
    let making = async {
        let (file, completed_at) = attempt.make(row, &plan).await?;
        // a cancel that came with the last bytes still deletes the file, which is ours until it is sealed
        if !attempt.heartbeat().await? {
            return Err(JobError::Fenced);
        }
        attempt.seal();
        keeper::tell(attempt, &owner, &attempt.meter.progress()).await;
        completed(attempt, row, &file, completed_at).await;
        Ok(file)
    };
    tokio::select! {
        // a file that the notifier knows of is made, even if the attempt was stopped in the same moment
        biased;
        made = making => made,
        stopped = keeper::keep(attempt, &owner, message, watch.token()) => Err(stopped),
    }
}

/// Tells the notifier, again and again while NATS is away: the file is whole, and making it anew would be worse. The
/// keeper ends this when the attempt no longer holds.
async fn completed(attempt: &Attempt<'_>, row: &Model, file: &FileInfo, completed_at: Timestamp) {
    while let Err(e) = outcome::completed(attempt, &row.traceparent, file.clone(), completed_at).await {
        warn!(error = %e, "the outcome can't be told; tried again");
        tokio::time::sleep(RETELL).await;
    }
}

/// What becomes of a job without a file.
async fn end(attempt: &Attempt<'_>, message: &Message, job: &Envelope<Job>, ended: JobError) -> AckKind {
    let most = attempt.worker.config.max_attempts;
    let failures = attempt.failures + 1;
    let verdict = if failures >= most { ended.last_verdict(failures) } else { ended.verdict() };
    match verdict {
        Verdict::Drop => {
            info!("canceled or replaced; stopped");
            attempt.discard().await;
            AckKind::Ack
        }
        Verdict::HandOver => {
            info!("handed over");
            let (db, now) = (&attempt.worker.db, attempt.worker.clock.now());
            let_go(transition::give_up_lease(db, attempt.id, attempt.number, now).await);
            AckKind::Nak(None)
        }
        Verdict::Retry => {
            warn!(error = %ended, export.attempt = attempt.number, export.failures = failures, "an attempt failed");
            fail_attempt(attempt).await;
            retry_later(message)
        }
        Verdict::Fail(problem) => {
            warn!(error = %ended, export.attempt = attempt.number, "the export failed");
            let told = outcome::failed(attempt, &job.traceparent, problem).await;
            let kept = outcome::dead(attempt.worker, job, attempt.number, ended.label(), ended.to_string()).await;
            if let Err(e) = told.and(kept) {
                warn!(error = %e, "the outcome can't be told; tried again");
                fail_attempt(attempt).await;
                return retry_later(message);
            }
            attempt.discard().await;
            AckKind::Ack
        }
    }
}

/// Counts a failure, and lets the next attempt begin at once.
async fn fail_attempt(attempt: &Attempt<'_>) {
    let (db, now) = (&attempt.worker.db, attempt.worker.clock.now());
    let_go(transition::attempt_failed(db, attempt.id, attempt.number, now).await);
}

fn let_go(given_up: Result<bool, StoreError>) {
    if let Err(e) = given_up {
        warn!(error = %e, "the lease can't be given up; it runs out");
    }
}

fn retry_later(message: &Message) -> AckKind {
    let delivered = message.info().map_or(1, |info| info.delivered.max(1));
    let doublings = u32::try_from(delivered - 1).unwrap_or(0).min(16);
    AckKind::Nak(Some((FIRST_RETRY * 2_u32.pow(doublings)).min(LONGEST_RETRY)))
}

/// Tells NATS and waits until it knows; if it can't be told, the job comes again, and finds the export ended.
async fn settle(message: &Message, ack: AckKind) {
    if let Err(e) = message.double_ack_with(ack).await {
        warn!(error = %e, "NATS does not confirm the end of a job; it will come again");
    }
}
