//! Handles one delivery of a job: takes the lease of the export, runs an attempt, and acknowledges the job after NATS
//! has stored the outcome.

use std::time::Duration;

use async_nats::jetstream::{AckKind, Message};
use entity::{StoreError, export::Model, transition};
use platform::{backoff::Schedule, bus, telemetry::traces};
use protocol::{
    envelope::{Envelope, Job},
    problem::Problem,
    subject,
};
use tokio::time::Instant;
use tracing::{Instrument, Span, error, field::Empty, info, info_span, warn};

use super::{
    attempt::{Attempt, AttemptEnd},
    context::WorkerContext,
    own_process,
};
use crate::error::{JobError, Verdict};

/// The pauses before NATS redelivers a job after a failure. They grow with each delivery, from about 0.5 s to 60 s.
const RETRY: Schedule = Schedule::new(Duration::from_millis(500), Duration::from_secs(60));
/// The extra time that NATS waits before it redelivers the job of an export that another exporter runs. NATS redelivers
/// the job after the duration of the other exporter's lease plus this time.
const LEASE_SLACK: Duration = Duration::from_millis(250);

/// Handles one delivery of a job, and acknowledges it positively or negatively. Sends no acknowledgement if a child
/// process has sent one, or if another attempt needs the job. Logs every failure.
pub(crate) async fn handle(context: &WorkerContext, message: Message) {
    match bus::open::<Job>(&message.payload) {
        Ok(job) => {
            let handling = async {
                if let Some(ack) = process(context, &message, &job).await {
                    acknowledge(&message, ack).await;
                }
            };
            handling.instrument(span(&job)).await;
        }
        Err(e) => {
            error!(nats.subject = %message.subject, error = %e, "dropped an unreadable job");
            acknowledge(&message, AckKind::Term).await;
        }
    }
}

/// Returns the tracing span of one delivery of a job. The span belongs to the trace of the request for the export.
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

/// Runs an attempt at the job's export in this process, after taking the lease. If the export is set apart, because an
/// earlier attempt died, a child process runs the attempt instead. Returns the acknowledgement for the job; None if the
/// child has acknowledged the job, or if another attempt needs the job.
async fn process(context: &WorkerContext, message: &Message, job: &Envelope<Job>) -> Option<AckKind> {
    if context.is_own_process {
        return process_here(context, message, job).await;
    }
    let (id, now) = (job.body.export_id, context.clock.now());
    if context.cancellations.is_registered(id) {
        // an attempt in this process is still running, and keeps the export through an outage of the database
        return Some(AckKind::Nak(Some(context.config.ack_wait())));
    }
    match transition::claim_shared(&context.db, id, claimant(context, job), now).await {
        Ok(transition::Claim::SetApart(row)) => own_process::handle(context, message, job, &row).await,
        claim => process_claim(context, message, job, claim).await,
    }
}

/// Takes the lease of the job's export, and runs an attempt at the export in this process. Returns the acknowledgement
/// for the job; None if another attempt needs the job.
pub(super) async fn process_here(context: &WorkerContext, message: &Message, job: &Envelope<Job>) -> Option<AckKind> {
    let claim = claim(context, job).await;
    process_claim(context, message, job, claim).await
}

/// Fails an export after `died` of its attempts ended without an outcome. Returns the acknowledgement for the job; None
/// if another attempt needs the job.
pub(super) async fn give_up(
    context: &WorkerContext,
    message: &Message,
    job: &Envelope<Job>,
    died: u32,
) -> Option<AckKind> {
    let claim = claim(context, job).await;
    let Ok(transition::Claim::Won(row)) = claim else {
        return Some(without_lease(message, claim));
    };
    let (attempt, error) = (Attempt::new(context, &row), JobError::Died(died));
    match error.verdict() {
        Verdict::Fail(problem) => fail(&attempt, message, job, &error, problem).await,
        _ => Some(retry(message)),
    }
}

async fn claim(context: &WorkerContext, job: &Envelope<Job>) -> Result<transition::Claim, StoreError> {
    let (id, now) = (job.body.export_id, context.clock.now());
    transition::claim(&context.db, id, claimant(context, job), now).await
}

fn claimant<'a>(context: &'a WorkerContext, job: &Envelope<Job>) -> transition::Claimant<'a> {
    let lease = context.config.lease_duration.get();
    transition::Claimant { worker: &context.instance, job_number: job.body.number, lease }
}

async fn process_claim(
    context: &WorkerContext,
    message: &Message,
    job: &Envelope<Job>,
    claim: Result<transition::Claim, StoreError>,
) -> Option<AckKind> {
    match claim {
        Ok(transition::Claim::Won(row)) => run(context, message, job, &row).await,
        claim => Some(without_lease(message, claim)),
    }
}

/// Returns the acknowledgement for a job if this process could not take the lease of its export. The acknowledgement is
/// positive if the export needs no further attempt, if a newer job of the export exists, or if its owner is paused. Otherwise, the
/// acknowledgement is negative, and NATS redelivers the job after a pause.
fn without_lease(message: &Message, claim: Result<transition::Claim, StoreError>) -> AckKind {
    match claim {
        Ok(transition::Claim::Ended | transition::Claim::Superseded | transition::Claim::Paused) => AckKind::Ack,
        Ok(transition::Claim::Busy(lease)) => AckKind::Nak(Some(lease + LEASE_SLACK)),
        Ok(transition::Claim::Won(_) | transition::Claim::SetApart(_)) => retry(message),
        Err(e) => {
            warn!(error = %e, "failed to claim an export");
            retry(message)
        }
    }
}

/// Runs an attempt at an export whose lease this process holds, and acts on the result. Returns the acknowledgement for
/// the job; None if another attempt needs the job.
async fn run(context: &WorkerContext, message: &Message, job: &Envelope<Job>, row: &Model) -> Option<AckKind> {
    let attempt = Attempt::new(context, row);
    let span = Span::current();
    span.record("export.dataset", &row.dataset).record("export.format", &row.format);
    span.record("export.attempt", attempt.number);
    info!(export.dataset = %row.dataset, export.attempt = attempt.number, "running an export");
    let started = Instant::now();
    let result = attempt.run(message, row).await;
    let elapsed = started.elapsed();
    let label = result.as_ref().map_or_else(JobError::label, |_| "completed");
    span.record("attempt.result", label);
    metrics::counter!("sluice_exporter_attempts_total", "result" => label).increment(1);
    metrics::histogram!("sluice_exporter_attempt_seconds", "result" => label).record(elapsed.as_secs_f64());
    match attempt.end(result) {
        AttemptEnd::Completed(file) => {
            span.record("file.rows", file.rows).record("file.bytes", file.size);
            let elapsed_ms = elapsed.as_millis() as u64;
            info!(file.rows = file.rows, file.bytes = file.size, elapsed_ms, "completed an export");
            ack_unless_replaced(&attempt).await
        }
        AttemptEnd::Superseded => {
            info!("stopped an attempt: the export was canceled or another attempt replaced this one");
            attempt.discard().await;
            ack_if_over(&attempt).await
        }
        AttemptEnd::HandedOver => {
            info!("handed over an export");
            attempt.release_lease().await.then_some(AckKind::Nak(None))
        }
        AttemptEnd::Retry(error) => {
            span.record("otel.status_code", "ERROR");
            let failures = attempt.failures + 1;
            warn!(%error, export.attempt = attempt.number, export.failures = failures, "an attempt failed");
            if error.is_full() {
                // the partial file uses disk space that the next attempt may need
                attempt.discard().await;
            }
            attempt.count_failure().await.then(|| retry(message))
        }
        AttemptEnd::Interrupted(error, part) => {
            let pause = pause(message);
            let pause_ms = pause.as_millis() as u64;
            warn!(%error, export.attempt = attempt.number, outage.part = part.as_str(), pause_ms, "an outage interrupted an attempt");
            if error.is_full() {
                // the partial file uses disk space that others may need
                attempt.discard().await;
            }
            attempt.interrupt(part, pause).await.then_some(AckKind::Nak(Some(pause)))
        }
        AttemptEnd::Failed(error, problem) => fail(&attempt, message, job, &error, problem).await,
    }
}

/// Returns a positive acknowledgement for the job of an attempt whose outcome NATS has stored. Returns None if a later
/// attempt may still need the job, or if the row of the export can't be read. The later attempt may have begun with a
/// redelivery of the same message, and a positive acknowledgement would delete this message.
async fn ack_unless_replaced(attempt: &Attempt<'_>) -> Option<AckKind> {
    let row = attempt.read_row().await?;
    (row.attempt.unsigned_abs() == attempt.number || attempt.is_over(&row)).then_some(AckKind::Ack)
}

/// Returns a positive acknowledgement for the job of a stopped attempt, if the export has ended. Otherwise returns
/// None, because a later attempt may need the job.
async fn ack_if_over(attempt: &Attempt<'_>) -> Option<AckKind> {
    let row = attempt.read_row().await?;
    attempt.is_over(&row).then_some(AckKind::Ack)
}

/// Stores the job as a dead letter, and reports the failure of the export to the notifier. Returns the acknowledgement
/// for the job; None if another attempt needs the job.
async fn fail(
    attempt: &Attempt<'_>,
    message: &Message,
    job: &Envelope<Job>,
    error: &JobError,
    problem: Problem,
) -> Option<AckKind> {
    Span::current().record("otel.status_code", "ERROR");
    warn!(%error, export.attempt = attempt.number, "an export failed");
    match attempt.report_failure(message, job, error, problem).await {
        Ok(()) => {
            attempt.discard().await;
            ack_unless_replaced(attempt).await
        }
        Err(JobError::Fenced) => {
            attempt.discard().await;
            ack_if_over(attempt).await
        }
        Err(e) => {
            warn!(error = %e, "failed to report an outcome; the job is retried");
            attempt.release_lease().await.then(|| retry(message))
        }
    }
}

/// Returns a negative acknowledgement with a pause, after which NATS redelivers the job. The pause grows with the
/// number of deliveries.
fn retry(message: &Message) -> AckKind {
    AckKind::Nak(Some(pause(message)))
}

/// Returns the pause before NATS redelivers a job. The pause grows with the number of deliveries.
fn pause(message: &Message) -> Duration {
    let deliveries = message.info().map_or(1, |info| info.delivered.max(1));
    RETRY.pause(u32::try_from(deliveries - 1).unwrap_or(u32::MAX))
}

/// Acknowledges a job, and waits for the confirmation of NATS. Without the confirmation, NATS may redeliver the job;
/// the next claim then finds the current state of the export.
async fn acknowledge(message: &Message, ack: AckKind) {
    if let Err(e) = message.double_ack_with(ack).await {
        warn!(error = %e, "NATS did not confirm an acknowledgement; the job is delivered again");
    }
}
