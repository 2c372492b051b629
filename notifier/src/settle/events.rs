//! Publishes user events and hints: the only writer of the event log.

use entity::{
    StoreError, export,
    ledger::{self, PendingNotification},
    view,
};
use platform::{bus::Bus, telemetry::traces};
use protocol::{
    delivery::Announcement,
    envelope::{Envelope, EventBody, UserEvent},
    export::Status,
    id::Owner,
    subject,
};
use serde_json::json;
use tracing::{Instrument, Span, debug, field::Empty, info_span};

use crate::{deps::Deps, error::NotifierError};

/// Times that one balance is published while concurrent changes continue.
const MAX_BALANCE_ROUNDS: usize = 16;

/// The ledger step with which a settled export changes the balance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CreditStep {
    Capture,
    Release,
}

impl CreditStep {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Capture => "capture",
            Self::Release => "release",
        }
    }
}

/// Publishes the event of an ended export, with the status of its row. The stream deduplicates a repeated event.
///
/// # Errors
/// When the stream does not confirm the event, or the row is damaged.
pub(crate) async fn export_ended(bus: &Bus, row: &export::Model) -> Result<(), NotifierError> {
    let export = Box::new(view::export(row, None)?);
    let event = match export.status {
        Status::Completed => EventBody::Completed { export },
        Status::Failed => EventBody::Failed { export },
        Status::Canceled => EventBody::Canceled { export },
        Status::Expired => EventBody::Expired { export },
        Status::Queued | Status::Dispatched | Status::Running => {
            let damaged = StoreError::Damaged { row: format!("export {}", row.id), detail: "has not ended".into() };
            return Err(damaged.into());
        }
    };
    let id = format!("{}:{}", row.id, event.token());
    publish(bus, &row.owner(), &row.traceparent, id, event).await
}

/// Publishes the balance of the owner of a settled export.
///
/// # Errors
/// When the stream does not confirm the event, or the database fails.
pub(crate) async fn credits_settled(deps: &Deps, row: &export::Model, step: CreditStep) -> Result<(), NotifierError> {
    let reason = step.as_str();
    balance(deps, &row.owner(), &row.traceparent, &format!("{}:{reason}", row.id), reason).await
}

/// Publishes the balance of an account after a change that no outcome reports.
///
/// # Errors
/// When the stream does not confirm the event, or the database fails.
pub(crate) async fn account_changed(deps: &Deps, notification: &PendingNotification) -> Result<(), NotifierError> {
    let PendingNotification { owner, version, reason } = notification;
    let id = format!("{}:{}:{version}", subject::token(&owner.tenant), subject::token(&owner.user));
    balance(deps, owner, "", &id, reason).await
}

/// Publishes a balance until it is current: two publishers may read the balance in one order and publish it in the
/// other, so each reads again after publishing, and the last event is always correct. Round and values are part of the
/// message id: the stream deduplicates a repeated event, and stores a balance that returned to an earlier value.
async fn balance(deps: &Deps, owner: &Owner, traceparent: &str, id: &str, reason: &str) -> Result<(), NotifierError> {
    let read = || ledger::read(&deps.db, owner, &deps.credit_policy, deps.clock.now());
    let mut published = read().await?;
    for round in 0..MAX_BALANCE_ROUNDS {
        let ledger::Balance { balance, held } = published;
        let event = EventBody::Credits { balance, held, reason: reason.into() };
        publish(&deps.bus, owner, traceparent, format!("{id}:{round}:{balance}:{held}"), event).await?;
        let current = read().await?;
        if current == published {
            return Ok(());
        }
        published = current;
    }
    // the caller retries later, when fewer changes are concurrent
    Err(NotifierError::Timeout("publishing a changing balance"))
}

/// Announces the end of an export to the gateways that stream it.
///
/// # Errors
/// When the client is closed.
pub(crate) async fn announce_end(bus: &Bus, row: &export::Model) -> Result<(), NotifierError> {
    let subject = subject::delivery_announce(row.export_id());
    Ok(bus.publish_lossy(subject, &row.traceparent, &Announcement::Ended).await?)
}

/// Hints to the dispatcher that it may have capacity for another export. A lost hint delays it by one poll interval.
pub(crate) async fn wake_dispatcher(bus: &Bus, row: &export::Model) {
    let hint = json!({ "export_id": row.id });
    if let Err(e) = bus.publish_lossy(subject::DELIVERY_SUBMITTED.to_owned(), &row.traceparent, &hint).await {
        debug!(export.id = %row.id, error = %e, "failed to send a hint to the dispatcher");
    }
}

/// Tells the exporter that may be running this export to stop.
///
/// # Errors
/// When the client is closed.
pub(crate) async fn stop_exporter(bus: &Bus, row: &export::Model) -> Result<(), NotifierError> {
    let id = row.export_id();
    Ok(bus.publish_lossy(subject::cancel(id), &row.traceparent, &json!({ "export_id": id })).await?)
}

/// Publishes an event to the log of its owner, in the trace of the current span. Without one, in the trace of
/// `traceparent`, or in a new trace if that is empty.
async fn publish(
    bus: &Bus,
    owner: &Owner,
    traceparent: &str,
    id: String,
    event: EventBody,
) -> Result<(), NotifierError> {
    let inside = traces::context(&Span::current()).is_some();
    let span = info_span!(
        "event.publish",
        otel.kind = "producer",
        otel.status_code = Empty,
        trace_id = Empty,
        export.id = event.export().map(|export| tracing::field::display(export.id)),
        event.kind = event.token(),
        messaging.system = "nats",
        messaging.operation.type = "send",
        // the message id is omitted, because it may contain the name of a user
        messaging.destination.name = subject::STREAM_EVENTS,
    );
    let here = if inside { traces::begin(&span) } else { traces::follow_text(&span, traceparent) };
    let subject = subject::user_event(owner, event.token());
    let message = Envelope::new(id, here.traceparent(), UserEvent { owner: owner.clone(), event });
    let sent = bus.publish_durable(subject, &message.id, &message).instrument(span.clone()).await;
    if sent.is_err() {
        span.record("otel.status_code", "ERROR");
    }
    Ok(sent?)
}
