//! What became of a job, told to the notifier durably before the job is done.

use platform::bus::BusError;
use protocol::{
    envelope::{Envelope, Job, Outcome, OutcomeResult},
    export::FileInfo,
    problem::Problem,
    subject,
    time::Timestamp,
};
use serde::Serialize;

use super::{Worker, attempt::Attempt};

/// The file is whole.
pub(super) async fn completed(attempt: &Attempt<'_>, file: FileInfo, completed_at: Timestamp) -> Result<(), BusError> {
    let result = OutcomeResult::Completed { attempt: attempt.number, file, completed_at };
    publish(attempt, "completed", result).await
}

/// There will be no file.
pub(super) async fn failed(attempt: &Attempt<'_>, problem: Problem) -> Result<(), BusError> {
    let result = OutcomeResult::Failed { attempt: attempt.number, problem };
    publish(attempt, "failed", result).await
}

async fn publish(attempt: &Attempt<'_>, kind: &str, result: OutcomeResult) -> Result<(), BusError> {
    let message_id = format!("{}:{}:{kind}", attempt.id, attempt.number);
    let outcome = Outcome { export_id: attempt.id, result };
    let envelope = Envelope::new(&message_id, &attempt.traceparent, outcome);
    attempt.worker.bus.publish_durable(subject::outcome(attempt.id), &message_id, &envelope).await
}

/// A job that failed for good, for operators.
#[derive(Debug, Serialize)]
struct DeadJob<'a> {
    #[serde(flatten)]
    job: &'a Job,
    attempt: u32,
    reason: &'a str,
    detail: String,
}

/// Puts a job where operators find it and can publish it again.
pub(super) async fn dead(
    worker: &Worker,
    job: &Envelope<Job>,
    attempt: u32,
    reason: &'static str,
    detail: String,
) -> Result<(), BusError> {
    let id = job.body.export_id;
    let message_id = format!("{id}:{attempt}:dead");
    let body = DeadJob { job: &job.body, attempt, reason, detail };
    let envelope = Envelope::new(&message_id, &job.traceparent, body);
    metrics::counter!("sluice_exporter_dead_letters_total", "reason" => reason).increment(1);
    worker.bus.publish_durable(subject::dead(reason, id), &message_id, &envelope).await
}
