//! Reports the outcome of an attempt to the notifier, that is, whether the attempt completed the file or failed. The
//! exporter acknowledges the job only after JetStream has stored the report.

use async_nats::jetstream::Message;
use platform::bus::BusError;
use protocol::{
    envelope::{Envelope, Job, Outcome, OutcomeResult},
    export::WaitingFor,
    problem::Problem,
    subject,
};
use serde::Serialize;

use super::{Attempt, produce::Produced};
use crate::error::JobError;

/// A dead letter: the job of a failed export, and the reason of the failure. Operators can inspect and requeue dead
/// letters.
#[derive(Debug, Serialize)]
struct DeadLetter<'a> {
    #[serde(flatten)]
    job: &'a Job,
    attempt: u32,
    reason: &'a str,
    detail: String,
}

impl Attempt<'_> {
    /// Reports the completed file to the notifier. Repeats the report until NATS confirms it, because otherwise another
    /// attempt would have to produce the whole file again. [`Attempt::run`] drops this future when the attempt loses
    /// its lease.
    pub(super) async fn report_completion(&self, produced: &Produced) -> Result<(), JobError> {
        let result = OutcomeResult::Completed {
            attempt: self.number,
            file: produced.file.clone(),
            completed_at: produced.completed_at,
            content_sha256: produced.content_sha256.clone(),
        };
        let publish = || async { Ok(self.publish_outcome("completed", result.clone()).await?) };
        self.repeat(WaitingFor::Messaging, None, publish).await
    }

    /// Stores the job as a dead letter, and then reports that the export failed. Repeats both until NATS confirms them,
    /// and keeps the lease meanwhile. The dead letter comes first: the report ends the export, and after that no
    /// attempt could store the dead letter.
    ///
    /// # Errors
    ///
    /// When the attempt must stop before NATS has confirmed the report, for example because the export was canceled.
    /// The error is the reason.
    pub(in crate::worker) async fn report_failure(
        &self,
        message: &Message,
        job: &Envelope<Job>,
        error: &JobError,
        problem: Problem,
    ) -> Result<(), JobError> {
        let report = || async {
            self.publish_dead_letter(job, error).await?;
            let result = OutcomeResult::Failed { attempt: self.number, problem: problem.clone() };
            Ok(self.publish_outcome("failed", result).await?)
        };
        let cancellation = self.context.cancellations.register(self.id);
        tokio::select! {
            biased;
            reported = self.repeat(WaitingFor::Messaging, None, report) => reported?,
            stopped = self.keep_alive(message, cancellation.token()) => return Err(stopped),
        }
        metrics::counter!("sluice_exporter_dead_letters_total", "reason" => error.label()).increment(1);
        Ok(())
    }

    async fn publish_outcome(&self, kind: &str, result: OutcomeResult) -> Result<(), BusError> {
        let message_id = format!("{}:{}:{kind}", self.id, self.number);
        let outcome = Outcome { export_id: self.id, result };
        let envelope = Envelope::new(&message_id, &self.traceparent, outcome);
        self.context.bus.publish_durable(subject::outcome(self.id), &message_id, &envelope).await
    }

    /// Publishes the job and the reason of its failure to the stream of dead letters. A retry publishes the same
    /// message id, so that JetStream drops the duplicate.
    async fn publish_dead_letter(&self, job: &Envelope<Job>, error: &JobError) -> Result<(), BusError> {
        let reason = error.label();
        let message_id = format!("{}:dead", self.id);
        let letter = DeadLetter { job: &job.body, attempt: self.number, reason, detail: error.to_string() };
        let envelope = Envelope::new(&message_id, &job.traceparent, letter);
        self.context.bus.publish_durable(subject::dead_letter(reason, self.id), &message_id, &envelope).await
    }
}
