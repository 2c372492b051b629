//! Publishes user events; no other module writes to the event log. Also sends messages without a delivery guarantee to
//! gateways, exporters and the dispatcher.

use entity::{
    StoreError, export,
    ledger::{self, PendingNotification},
    schedule, view,
};
use platform::{bus::Bus, telemetry::traces};
use protocol::{
    delivery::Announcement,
    envelope::{Envelope, EventBody, TraceContext, UserEvent},
    export::Status,
    id::Owner,
    subject,
};
use serde_json::json;
use tracing::{Instrument, Span, debug, field::Empty, info_span};
use uuid::Uuid;

use crate::{deps::Deps, error::NotifierError};

/// Largest number of times that one call of [`publish_balance`] publishes a balance, if other processes keep changing
/// it.
const MAX_BALANCE_ROUNDS: usize = 16;

/// The kind of ledger entry with which an export ends: a capture or a release of the held credits.
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

/// Publishes the user event of an ended export, such as `export.completed`. The event log drops a repeated event by its
/// message id.
///
/// # Errors
/// When the stream does not confirm the event, or the row is damaged.
pub(crate) async fn export_ended(bus: &Bus, row: &export::Model) -> Result<(), NotifierError> {
    let export = Box::new(view::export(row, None)?);
    let event = match export.status {
        Status::Completed => EventBody::Completed { export },
        Status::Unchanged => EventBody::Unchanged { export },
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

/// Publishes the event of a paused schedule of the saved export with this name. A repeated call publishes another event.
///
/// # Errors
/// When the stream does not confirm the event.
pub(crate) async fn schedule_paused(bus: &Bus, row: &schedule::Model, name: &str) -> Result<(), NotifierError> {
    let reason = row.paused_reason.clone().unwrap_or_default();
    let event = EventBody::SchedulePaused { saved_export_id: row.id(), name: name.to_owned(), reason };
    let id = format!("{}:paused:{}", row.saved_export_id, Uuid::now_v7());
    publish(bus, &row.owner(), "", id, event).await
}

/// Publishes the balance of the owner of an ended export. `step` says whether the credits of the export were captured
/// or released.
///
/// # Errors
/// When the stream does not confirm the event, the database fails, or other processes keep changing the balance.
pub(crate) async fn credits_settled(deps: &Deps, row: &export::Model, step: CreditStep) -> Result<(), NotifierError> {
    let reason = step.as_str();
    publish_balance(deps, &row.owner(), &row.traceparent, &format!("{}:{reason}", row.id), reason).await
}

/// Publishes the balance of an account after a change that no outcome caused, such as a daily grant.
///
/// # Errors
/// When the stream does not confirm the event, the database fails, or other processes keep changing the balance.
pub(crate) async fn account_changed(deps: &Deps, notification: &PendingNotification) -> Result<(), NotifierError> {
    let PendingNotification { owner, version, reason } = notification;
    let id = format!("{}:{}:{version}", subject::token(&owner.tenant), subject::token(&owner.user));
    publish_balance(deps, owner, "", &id, reason).await
}

/// Publishes the balance and the held credits of an account, then reads both again. If they have changed, publishes the
/// new values, up to [`MAX_BALANCE_ROUNDS`] times in total. Without the second read, the older of two balances could
/// become the last event, if another process publishes at the same time.
///
/// `id` identifies the change of the account that caused the call, and `reason` is the cause of this change, such as
/// `capture`. The message id consists of `id`, the number of the round, the balance and the held credits. So the event
/// log drops a repeated event, but stores a balance that returned to an earlier value.
async fn publish_balance(
    deps: &Deps,
    owner: &Owner,
    traceparent: &str,
    id: &str,
    reason: &str,
) -> Result<(), NotifierError> {
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
    // the caller retries later
    Err(NotifierError::Timeout("publishing a changing balance"))
}

/// Announces the end of an export to the gateways that stream its file.
///
/// # Errors
/// When the NATS client is closed, or its send queue stays full for 1 s.
pub(crate) async fn announce_end(bus: &Bus, row: &export::Model) -> Result<(), NotifierError> {
    let subject = subject::delivery_announce(row.export_id());
    Ok(bus.publish_lossy(subject, &row.traceparent, &Announcement::Ended).await?)
}

/// Sends a hint to the dispatcher that a new export waits, or that an exporter may have capacity for another one. A
/// lost hint delays the next dispatch by at most one poll interval.
pub(crate) async fn wake_dispatcher(bus: &Bus, row: &export::Model) {
    let hint = json!({ "export_id": row.id });
    if let Err(e) = bus.publish_lossy(subject::DELIVERY_SUBMITTED.to_owned(), &row.traceparent, &hint).await {
        debug!(export.id = %row.id, error = %e, "failed to send a hint to the dispatcher");
    }
}

/// Sends a hint to the dispatcher that exports of any owner may be waiting, such as those of a resumed owner.
pub(crate) async fn hint_dispatcher(bus: &Bus) {
    let trace = TraceContext::generate().traceparent();
    if let Err(e) = bus.publish_lossy(subject::DELIVERY_SUBMITTED.to_owned(), &trace, &json!({})).await {
        debug!(error = %e, "failed to send a hint to the dispatcher");
    }
}

/// Asks the exporter that may be running this export to stop the run.
///
/// # Errors
/// When the NATS client is closed, or its send queue stays full for 1 s.
pub(crate) async fn stop_exporter(bus: &Bus, row: &export::Model) -> Result<(), NotifierError> {
    let id = row.export_id();
    Ok(bus.publish_lossy(subject::cancel(id), &row.traceparent, &json!({ "export_id": id })).await?)
}

/// Publishes a user event with the message id `id`. The event belongs to the trace of the current span. If the current
/// span has no trace, the event belongs to the trace of `traceparent`. If `traceparent` is invalid too, a new trace
/// begins.
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
    let context = if inside { traces::begin(&span) } else { traces::follow_text(&span, traceparent) };
    let subject = subject::user_event(owner, event.token());
    let message = Envelope::new(id, context.traceparent(), UserEvent { owner: owner.clone(), event });
    let sent = bus.publish_durable(subject, &message.id, &message).instrument(span.clone()).await;
    if sent.is_err() {
        span.record("otel.status_code", "ERROR");
    }
    Ok(sent?)
}
