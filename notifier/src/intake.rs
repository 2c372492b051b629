//! Takes outcomes from the stream, each until it is settled or put aside as a dead letter.
//!
//! The consumer is durable and shared by all notifiers. It is made again whenever it can't be pulled from. The server's
//! own limit of deliveries is not used: it would leave a message in the stream that nobody ever sees again.
//!
//! An outcome is acknowledged last, when all that it leads to has happened; whatever is interrupted comes again and is
//! done again. An outage is waited out: no number of tries makes a dead letter of a message that only had to wait.

use std::{future::Future, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use async_nats::{
    HeaderMap,
    header::NATS_MESSAGE_ID,
    jetstream::{
        AckKind, Message,
        consumer::{AckPolicy, PullConsumer, pull},
    },
};
use futures::{FutureExt, StreamExt};
use platform::{
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

use crate::{GROUP, backoff::Backoff, config::NotifierConfig, error::NotifierError, settle::Settler};

/// An outcome that was neither settled nor kept alive for this long goes to another notifier.
const ACK_WAIT: Duration = Duration::from_secs(30);
/// How often an outcome being settled is kept alive.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// How long settling may take, deleting a large file in a slow store included.
const DEADLINE: Duration = Duration::from_secs(300);
/// One pull request. A server that restarts forgets it, and that is noticed when its time is over.
const PULL: Duration = Duration::from_secs(5);
/// The longest pause before an outcome is tried again.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The intake of one notifier.
pub(crate) struct Intake {
    bus: Bus,
    settler: Arc<Settler>,
    permits: Arc<Semaphore>,
    max_deliver: i64,
}

impl Intake {
    pub(crate) fn new(bus: Bus, settler: Arc<Settler>, config: &NotifierConfig) -> Self {
        let permits = Arc::new(Semaphore::new(config.intake_concurrency));
        Self { bus, settler, permits, max_deliver: config.intake_max_deliver.into() }
    }

    /// Takes outcomes until the soft stop; those in hand are finished.
    ///
    /// # Errors
    /// Never: every failure is waited out.
    pub(crate) async fn run(self: Arc<Self>, life: Lifecycle) -> Result<(), NotifierError> {
        let mut backoff = Backoff::new();
        loop {
            backoff.begin();
            let Err(e) = Arc::clone(&self).consume(&life).await else { return Ok(()) };
            let pause = backoff.pause();
            warn!(error = %e, pause_ms = pause.as_millis() as u64, "intake interrupted; the consumer is made again");
            tokio::select! {
                () = life.soft().cancelled() => return Ok(()),
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Ok at the soft stop.
    async fn consume(self: Arc<Self>, life: &Lifecycle) -> Result<(), NotifierError> {
        let config = pull::Config {
            durable_name: Some(GROUP.to_owned()),
            ack_policy: AckPolicy::Explicit,
            ack_wait: ACK_WAIT,
            max_deliver: -1,
            ..pull::Config::default()
        };
        let consumer = self.bus.jetstream().create_consumer_on_stream(config, subject::STREAM_OUTCOMES).await;
        let consumer = consumer.map_err(NotifierError::jetstream("make the consumer of outcomes"))?;
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

    /// Pulls as many outcomes as can be begun at once: one that waited in here would not be kept alive, and would be
    /// given to another notifier too.
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
        let pulling = consumer.batch().max_messages(permits.len()).expires(PULL);
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
        // what was pulled and not begun goes to another notifier now, not after the ack wait
        while let Some(Some(Ok(message))) = messages.next().now_or_never() {
            respond(&message, AckKind::Nak(None)).await;
        }
        Ok(())
    }

    async fn handle(self: Arc<Self>, message: Message, permit: OwnedSemaphorePermit) {
        let delivered = match message.info() {
            Ok(info) => info.delivered,
            Err(e) => return error!(error = %e, "a message without delivery details is left alone"),
        };
        let outcome = match bus::open::<Outcome>(&message.payload) {
            Ok(outcome) => outcome,
            Err(e) => return self.bury(&message, delivered, &format!("unreadable: {e}")).await,
        };
        // a gateway may publish no others, and must not get them in under another name
        if subject::is_wish(&message.subject) && !outcome.body.result.is_wish() {
            return self.bury(&message, delivered, "no wish, on a subject that is for wishes alone").await;
        }
        self.take(&message, &outcome.body, delivered).instrument(span(&outcome, delivered)).await;
        drop(permit);
    }

    /// Settles an outcome, and says to the stream what is to become of its message.
    async fn take(&self, message: &Message, outcome: &Outcome, delivered: i64) {
        let id = outcome.export_id;
        match kept_alive(message, self.settle(outcome, delivered)).await {
            Ok(()) => {
                // confirmed, so that a lost ack does not settle it again much later
                if let Err(e) = message.double_ack().await {
                    warn!(export.id = %id, error = %e, "an ack was not confirmed; the outcome may come again");
                }
            }
            Err(e) if delivered >= self.max_deliver && !e.is_transient() => {
                Span::current().record("otel.status_code", "ERROR");
                self.bury(message, delivered, &e.to_string()).await;
            }
            Err(e) => {
                Span::current().record("otel.status_code", "ERROR");
                let pause = pause(delivered);
                warn!(export.id = %id, error = %e, outcome.delivered = delivered, pause_s = pause.as_secs(), "an outcome is tried again later");
                respond(message, AckKind::Nak(Some(pause))).await;
            }
        }
    }

    /// Settles an outcome and deletes what nobody needs any more. The latter may fail as well, and then both are done
    /// again, but not for ever: the events would be told again once the stream has forgotten their ids, and the sweep
    /// looks for objects that were left.
    async fn settle(&self, outcome: &Outcome, delivered: i64) -> Result<(), NotifierError> {
        let id = outcome.export_id;
        let work = async {
            let leftovers = self.settler.settle(outcome).await?;
            match self.settler.tidy(id, leftovers).await {
                Err(e) if delivered >= self.max_deliver => {
                    warn!(export.id = %id, error = %e, "objects that nobody needs are left to the sweep");
                    Ok(())
                }
                tidied => tidied.map(drop),
            }
        };
        // an outcome over which we panic must not come back for ever
        let work = AssertUnwindSafe(tokio::time::timeout(DEADLINE, work)).catch_unwind();
        let done = work.await.map_err(|_| NotifierError::Panicked("settling an outcome"))?;
        done.map_err(|_| NotifierError::Timeout("settling an outcome"))?
    }

    /// Puts a message aside for operators as it came, and takes it out of the work queue.
    async fn bury(&self, message: &Message, delivered: i64, reason: &str) {
        let id = export_of(&message.subject);
        let sequence = message.info().map(|info| info.stream_sequence).unwrap_or_default();
        let mut headers = HeaderMap::new();
        headers.insert(NATS_MESSAGE_ID, format!("outcome:{sequence}:{delivered}"));
        headers.insert("Sluice-Subject", message.subject.as_str());
        headers.insert("Sluice-Reason", reason.replace(['\r', '\n'], " "));
        let subject = subject::dead("outcome", id);
        let sent = self.bus.jetstream().publish_with_headers(subject, headers, message.payload.clone()).await;
        let stored = match sent {
            Ok(ack) => ack.await.map(drop),
            Err(e) => Err(e),
        };
        match stored {
            Ok(()) => {
                metrics::counter!("sluice_notifier_dead_letters_total").increment(1);
                error!(export.id = %id, dead.reason = reason, outcome.delivered = delivered, "an outcome became a dead letter");
                if let Err(e) = message.double_ack_with(AckKind::Term).await {
                    warn!(export.id = %id, error = %e, "a dead letter could not be taken out of the queue");
                }
            }
            Err(e) => {
                error!(export.id = %id, error = %e, dead.reason = reason, "a dead letter can't be stored; tried again later");
                respond(message, AckKind::Nak(Some(LONGEST_PAUSE))).await;
            }
        }
    }
}

/// The span of one delivery of an outcome, within the trace of whoever tells it.
fn span(outcome: &Envelope<Outcome>, delivered: i64) -> Span {
    let span = info_span!(
        parent: None,
        "outcome.settle",
        otel.kind = "consumer",
        otel.status_code = Empty,
        trace_id = Empty,
        export.id = %outcome.body.export_id,
        outcome.result = Empty,
        outcome.counted = Empty,
        outcome.delivered = delivered,
        messaging.system = "nats",
        messaging.operation.type = "process",
        messaging.destination.name = subject::STREAM_OUTCOMES,
        messaging.message.id = outcome.id,
    );
    traces::follow_text(&span, &outcome.traceparent);
    span
}

/// Does the work while telling the server that it goes on.
async fn kept_alive<T>(message: &Message, work: impl Future<Output = T>) -> T {
    let mut work = std::pin::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return done,
            () = tokio::time::sleep(KEEP_ALIVE) => respond(message, AckKind::Progress).await,
        }
    }
}

/// An answer whose loss costs only time.
async fn respond(message: &Message, kind: AckKind) {
    if let Err(e) = message.ack_with(kind).await {
        info!(error = %e, "an answer to the stream was lost; the outcome comes again by itself");
    }
}

/// 1, 2, 4, … seconds.
fn pause(delivered: i64) -> Duration {
    let doublings = u32::try_from(delivered.clamp(1, 6) - 1).unwrap_or_default();
    Duration::from_secs(1 << doublings).min(LONGEST_PAUSE)
}

/// The export that a subject names; the nil id when it names none.
fn export_of(subject: &str) -> ExportId {
    let last = subject.rsplit('.').next().unwrap_or_default();
    last.parse().unwrap_or(ExportId(Uuid::nil()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_half_a_minute() {
        assert_eq!([0, 1, 2, 3, 5, 6, 99].map(|n| pause(n).as_secs()), [1, 1, 2, 4, 16, 30, 30]);
    }

    #[test]
    fn the_export_is_read_off_the_subject() {
        let id = ExportId::generate();
        assert_eq!(export_of(&subject::outcome(id)), id);
        assert_eq!(export_of("sluice.v1.outcome.x"), ExportId(Uuid::nil()));
    }
}
