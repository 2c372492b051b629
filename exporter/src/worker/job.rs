//! One job: claim its export, run the attempt, and end the job only after what became of it is durable.

use std::time::Duration;

use async_nats::jetstream::{AckKind, Message};
use entity::{StoreError, export::Model, transition};
use platform::{bus, telemetry::traces};
use protocol::{
    envelope::{Envelope, Job},
    export::FileInfo,
    subject,
    time::Timestamp,
};
use tokio::time::Instant;
use tracing::{Instrument, Span, error, field::Empty, info, info_span, warn};

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
    let span = span(&job);
    let ack = claimed(worker, &message, &job).instrument(span.clone()).await;
    settle(&message, ack).instrument(span).await;
}

/// The span of one delivery of a job, within the trace of the request for the export.
fn span(job: &Envelope<Job>) -> Span {
    let span = info_span!(
        parent: None,
        "job.process",
        otel.kind = "consumer",
        otel.status_code = Empty,
        trace_id = Empty,
        export.id = %job.body.export_id,
        export.tenant = job.body.owner.tenant,
        export.dataset = Empty,
        export.format = Empty,
        export.attempt = Empty,
        attempt.result = Empty,
        file.rows = Empty,
        file.bytes = Empty,
        messaging.system = "nats",
        messaging.operation.type = "process",
        messaging.destination.name = subject::STREAM_JOBS,
        messaging.message.id = job.id,
    );
    traces::follow_text(&span, &job.traceparent);
    span
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
    let span = Span::current();
    span.record("export.dataset", &row.dataset).record("export.format", &row.format);
    span.record("export.attempt", attempt.number);
    info!(export.dataset = %row.dataset, export.attempt = attempt.number, "running");
    let begun = Instant::now();
    let result = run(&attempt, message, &row).await;
    let label = result.as_ref().map_or_else(JobError::label, |_| "completed");
    span.record("attempt.result", label);
    metrics::counter!("sluice_exporter_attempts_total", "result" => label).increment(1);
    metrics::histogram!("sluice_exporter_attempt_seconds", "result" => label).record(begun.elapsed().as_secs_f64());
    let ended = match result {
        Ok(file) => {
            span.record("file.rows", file.rows).record("file.bytes", file.size);
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
        completed(attempt, &file, completed_at).await;
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
async fn completed(attempt: &Attempt<'_>, file: &FileInfo, completed_at: Timestamp) {
    while let Err(e) = outcome::completed(attempt, file.clone(), completed_at).await {
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
            Span::current().record("otel.status_code", "ERROR");
            warn!(error = %ended, export.attempt = attempt.number, export.failures = failures, "an attempt failed");
            if ended.is_full() {
                // what it left would take the next attempt's room
                attempt.discard().await;
            }
            fail_attempt(attempt).await;
            retry_later(message)
        }
        Verdict::Fail(problem) => {
            Span::current().record("otel.status_code", "ERROR");
            warn!(error = %ended, export.attempt = attempt.number, "the export failed");
            let told = outcome::failed(attempt, problem).await;
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
