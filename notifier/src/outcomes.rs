//! Consumes the outcomes stream. An outcome is the message by which an exporter reports how an attempt ended. The
//! stream also contains commands of gateways and notifiers to cancel an export or to delete its file. This module
//! treats each command as an outcome. NATS redelivers each message until a notifier has settled or dead-lettered the
//! message.
//!
//! All notifiers share one durable consumer. After a failed pull, a notifier creates the consumer again if it is
//! missing.
//!
//! A notifier acknowledges an outcome after it has updated the database, published the user events and deleted leftover
//! objects. So NATS redelivers an outcome whose settlement was interrupted. A failed settlement has one of two results:
//! - After a transient failure, NATS redelivers the outcome, any number of times.
//! - After a permanent failure, NATS redelivers the outcome until it has been delivered `max_outcome_attempts` times.
//!   The notifier then moves the outcome to the dead-letter stream.
//!
//! The notifier enforces this limit itself, so the durable consumer has no delivery limit. With a limit in the
//! consumer, NATS would stop delivering the message, but would keep it in the stream. A message that can't be read
//! becomes a dead letter at its first delivery.

use std::{future::Future, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use async_nats::jetstream::{
    AckKind, Message,
    consumer::{AckPolicy, PullConsumer, pull},
};
use futures::{FutureExt, StreamExt};
use platform::{
    backoff::{Backoff, Schedule},
    bus::{self, Bus},
    lifecycle::Lifecycle,
    telemetry::traces,
};
use protocol::{
    envelope::{Envelope, Outcome},
    id::ExportId,
    subject,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::{Instrument, Span, error, field::Empty, info, info_span, warn};
use uuid::Uuid;

use crate::{GROUP, config::NotifierConfig, dead_letters, error::NotifierError, settle::Settler};

/// Time without an acknowledgement or a progress ack after which NATS redelivers an outcome.
const ACK_WAIT: Duration = Duration::from_secs(30);
/// Time between two progress acks. A progress ack restarts the ack wait while a notifier is still settling an outcome.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(10);
/// The timeout of settling one outcome. It is long enough to delete a large file from a slow file store.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(300);
/// The expiry of one JetStream pull request. A restarted NATS server forgets pull requests, so the consumer sends a new
/// one after this time.
const PULL_EXPIRY: Duration = Duration::from_secs(5);
/// The exponential backoff after failed pulls.
const PULL_RETRY: Schedule = Schedule::new(Duration::from_millis(250), Duration::from_secs(10));
/// If the consumer worked for at least this time before it failed, the backoff starts again at its shortest pause.
const HEALTHY_AFTER: Duration = Duration::from_secs(30);
/// The longest delay before NATS redelivers an outcome whose settlement failed.
const MAX_REDELIVERY_DELAY: Duration = Duration::from_secs(30);
/// The exponential backoff of the redelivery of an outcome whose settlement failed.
const REDELIVERY: Schedule = Schedule::new(Duration::from_secs(1), MAX_REDELIVERY_DELAY);

/// Consumes the outcomes stream: pulls outcomes and settles them.
pub(crate) struct OutcomeConsumer {
    bus: Bus,
    settler: Arc<Settler>,
    permits: Arc<Semaphore>,
    max_attempts: i64,
}

impl OutcomeConsumer {
    pub(crate) fn new(bus: Bus, settler: Arc<Settler>, config: &NotifierConfig) -> Self {
        let permits = Arc::new(Semaphore::new(config.max_concurrent_outcomes));
        Self { bus, settler, permits, max_attempts: config.tuning.max_outcome_attempts.into() }
    }

    /// Pulls outcomes until shutdown begins. Spawns a task on `life` for each outcome, which settles the outcome and
    /// may continue after shutdown has begun.
    ///
    /// # Errors
    /// Never: the consumer retries every failure.
    pub(crate) async fn run(self: Arc<Self>, life: Lifecycle) -> Result<(), NotifierError> {
        let mut backoff = Backoff::from(PULL_RETRY).reset_after(HEALTHY_AFTER);
        loop {
            backoff.begin_attempt();
            let Err(e) = Arc::clone(&self).consume(&life).await else { return Ok(()) };
            let pause = backoff.next_pause();
            warn!(error = %e, pause_ms = pause.as_millis() as u64, "consuming outcomes failed, retrying");
            tokio::select! {
                () = life.soft().cancelled() => return Ok(()),
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Creates the durable consumer and pulls from it until shutdown begins.
    async fn consume(self: Arc<Self>, life: &Lifecycle) -> Result<(), NotifierError> {
        let config = pull::Config {
            durable_name: Some(GROUP.to_owned()),
            ack_policy: AckPolicy::Explicit,
            ack_wait: ACK_WAIT,
            max_deliver: -1,
            ..pull::Config::default()
        };
        let consumer = self.bus.jetstream().create_consumer_on_stream(config, subject::STREAM_OUTCOMES).await;
        let consumer = consumer.map_err(NotifierError::jetstream("create the consumer of outcomes"))?;
        loop {
            tokio::select! {
                biased;
                () = life.soft().cancelled() => return Ok(()),
                // the semaphore is never closed
                permit = Arc::clone(&self.permits).acquire_owned() => {
                    let Ok(permit) = permit else { return Ok(()) };
                    Arc::clone(&self).pull(&consumer, permit, life).await?;
                }
            }
        }
    }

    /// Pulls at most one outcome for each free permit of the semaphore, and settles each outcome in a new task. `first`
    /// is a permit that the caller has already acquired. Further outcomes would wait in this process without progress
    /// acks, and NATS would redeliver them to another notifier.
    async fn pull(
        self: Arc<Self>,
        consumer: &PullConsumer,
        first: OwnedSemaphorePermit,
        life: &Lifecycle,
    ) -> Result<(), NotifierError> {
        let mut permits = vec![first];
        while let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
            permits.push(permit);
        }
        let pulling = consumer.batch().max_messages(permits.len()).expires(PULL_EXPIRY);
        let mut messages = pulling.messages().await.map_err(NotifierError::jetstream("pull outcomes"))?;
        while let Some(permit) = permits.pop() {
            let next = tokio::select! {
                biased;
                () = life.soft().cancelled() => break,
                next = messages.next() => next,
            };
            let Some(message) = next else { return Ok(()) };
            let message = message.map_err(NotifierError::jetstream("pull outcomes"))?;
            life.spawn(Arc::clone(&self).handle(message, permit));
        }
        // return pulled messages, so that NATS delivers them to another notifier before the ack wait ends
        while let Some(Some(Ok(message))) = messages.next().now_or_never() {
            send_ack(&message, AckKind::Nak(None)).await;
        }
        Ok(())
    }

    async fn handle(self: Arc<Self>, message: Message, permit: OwnedSemaphorePermit) {
        let delivered = match message.info() {
            Ok(info) => info.delivered,
            Err(e) => return error!(error = %e, "ignored a message without delivery details"),
        };
        let outcome = match bus::open::<Outcome>(&message.payload) {
            Ok(outcome) => outcome,
            Err(e) => return self.dead_letter(&message, delivered, &format!("unreadable: {e}")).await,
        };
        // NATS permits gateways only the command subjects, which must not carry the outcome of an exporter
        if subject::is_outcome_command(&message.subject) && !outcome.body.result.is_command() {
            return self.dead_letter(&message, delivered, "not a command, on a subject for commands").await;
        }
        self.process(&message, &outcome.body, delivered).instrument(span(&outcome, delivered)).await;
        drop(permit);
    }

    /// Settles an outcome, and acknowledges its message. After a failure, asks NATS to redeliver the message later, or
    /// moves the message to the dead-letter stream.
    async fn process(&self, message: &Message, outcome: &Outcome, delivered: i64) {
        let id = outcome.export_id;
        match with_progress_acks(message, self.settle(outcome, delivered)).await {
            Ok(()) => {
                // `double_ack` waits for the confirmation of NATS, because NATS redelivers the outcome much later if
                // the ack is lost
                if let Err(e) = message.double_ack().await {
                    warn!(export.id = %id, error = %e, "failed to acknowledge an outcome; it may be redelivered");
                }
            }
            Err(e) if delivered >= self.max_attempts && !e.is_transient() => {
                Span::current().record("otel.status_code", "ERROR");
                self.dead_letter(message, delivered, &e.to_string()).await;
            }
            Err(e) => {
                Span::current().record("otel.status_code", "ERROR");
                let delay = redelivery_delay(delivered);
                warn!(export.id = %id, error = %e, outcome.delivered = delivered, delay_ms = delay.as_millis() as u64, "failed to settle an outcome, retrying");
                send_ack(message, AckKind::Nak(Some(delay))).await;
            }
        }
    }

    /// Settles an outcome, and deletes the objects in the file store that its export no longer needs. If the deletion
    /// fails, this method fails, and NATS redelivers the outcome. Once NATS has delivered the outcome `max_attempts`
    /// times, a failed deletion is only logged, and the sweep deletes the objects.
    ///
    /// A failed deletion must not make the outcome a dead letter, because an operator could requeue it after the
    /// deduplication window. The event log would then store the user events twice, because the notifier has already
    /// published these events when the deletion begins.
    async fn settle(&self, outcome: &Outcome, delivered: i64) -> Result<(), NotifierError> {
        let id = outcome.export_id;
        let work = async {
            let leftovers = self.settler.settle(outcome).await?;
            match self.settler.delete_leftovers(id, leftovers).await {
                Err(e) if delivered >= self.max_attempts => {
                    warn!(export.id = %id, error = %e, "failed to delete leftover objects; the sweep deletes them");
                    Ok(())
                }
                deleted => deleted.map(drop),
            }
        };
        // a panic becomes an error, so that an outcome that causes a panic ends as a dead letter
        let work = AssertUnwindSafe(tokio::time::timeout(SETTLE_TIMEOUT, work)).catch_unwind();
        let done = work.await.map_err(|_| NotifierError::Panicked("settling an outcome"))?;
        done.map_err(|_| NotifierError::Timeout("settling an outcome"))?
    }

    /// Moves a message from the outcomes stream to the dead-letter stream, with its payload unchanged.
    async fn dead_letter(&self, message: &Message, delivered: i64, reason: &str) {
        let id = export_id_of(&message.subject);
        match dead_letters::store_outcome(&self.bus, id, message, delivered, reason).await {
            Ok(()) => {
                metrics::counter!("sluice_notifier_outcome_dead_letters_total").increment(1);
                error!(export.id = %id, dead.reason = reason, outcome.delivered = delivered, "dead-lettered an outcome");
                if let Err(e) = message.double_ack_with(AckKind::Term).await {
                    warn!(export.id = %id, error = %e, "failed to remove a dead-lettered outcome from the queue");
                }
            }
            Err(e) => {
                error!(export.id = %id, error = %e, dead.reason = reason, "failed to dead-letter an outcome, retrying");
                send_ack(message, AckKind::Nak(Some(MAX_REDELIVERY_DELAY))).await;
            }
        }
    }
}

/// Creates the tracing span of one delivery of an outcome. The span belongs to the trace of the publisher.
fn span(outcome: &Envelope<Outcome>, delivered: i64) -> Span {
    let span = info_span!(
        parent: None,
        "outcome.settle",
        otel.kind = "consumer",
        otel.status_code = Empty,
        trace_id = Empty,
        export.id = %outcome.body.export_id,
        outcome.result = Empty,
        outcome.applied = Empty,
        outcome.delivered = delivered,
        messaging.system = "nats",
        messaging.operation.type = "process",
        messaging.destination.name = subject::STREAM_OUTCOMES,
        messaging.message.id = outcome.id,
    );
    traces::follow_text(&span, &outcome.traceparent);
    span
}

/// Runs `work` and sends progress acks in the meantime, so that NATS does not redeliver the message.
async fn with_progress_acks<T>(message: &Message, work: impl Future<Output = T>) -> T {
    let mut work = std::pin::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return done,
            () = tokio::time::sleep(PROGRESS_INTERVAL) => send_ack(message, AckKind::Progress).await,
        }
    }
}

/// Sends a Nak or a progress ack to NATS, and only logs a failure. If such an ack is lost, NATS may redeliver the
/// message at another time, but the message is not lost.
async fn send_ack(message: &Message, kind: AckKind) {
    if let Err(e) = message.ack_with(kind).await {
        info!(error = %e, "failed to send an ack; NATS redelivers the outcome");
    }
}

/// Returns the delay before NATS redelivers an outcome that it has delivered `delivered` times. The delay grows with
/// the number of deliveries, up to [`MAX_REDELIVERY_DELAY`]. NATS counts deliveries across restarts and notifiers.
fn redelivery_delay(delivered: i64) -> Duration {
    REDELIVERY.pause(u32::try_from(delivered - 1).unwrap_or_default())
}

/// Parses the export id at the end of a NATS subject. Returns the nil id if the subject does not end with an id.
fn export_id_of(subject: &str) -> ExportId {
    let last = subject.rsplit('.').next().unwrap_or_default();
    last.parse().unwrap_or(ExportId(Uuid::nil()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_export_id_is_the_last_token_of_the_subject() {
        let id = ExportId::generate();
        assert_eq!(export_id_of(&subject::outcome(id)), id);
        assert_eq!(export_id_of("sluice.v1.outcome.x"), ExportId(Uuid::nil()));
    }
}
