//! Tells people what became of their exports and credits: the only writer of user events.

use entity::{
    StoreError, export,
    ledger::{self, Untold},
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

use crate::{app::Deps, error::NotifierError};

/// While others change the same balance, it is told again at most this often.
const CREDIT_ROUNDS: usize = 16;

/// Why a balance changed because of an export.
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

/// Publishes the event of an export that has ended as its row says. Publishing it again is harmless: the stream
/// knows its id.
///
/// # Errors
/// When the stream does not confirm it, or the row is damaged.
pub(crate) async fn ended(bus: &Bus, row: &export::Model) -> Result<(), NotifierError> {
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

/// Tells the owner of an export what they have now that it was settled.
///
/// # Errors
/// When the stream does not confirm it or the database fails.
pub(crate) async fn credits(deps: &Deps, row: &export::Model, step: CreditStep) -> Result<(), NotifierError> {
    let reason = step.as_str();
    balance(deps, &row.owner(), &row.traceparent, &format!("{}:{reason}", row.id), reason).await
}

/// Tells an owner of news of their account that no outcome tells of.
///
/// # Errors
/// When the stream does not confirm it or the database fails.
pub(crate) async fn credit_news(deps: &Deps, news: &Untold) -> Result<(), NotifierError> {
    let Untold { owner, news, reason } = news;
    let id = format!("{}:{}:{news}", subject::token(&owner.tenant), subject::token(&owner.user));
    balance(deps, owner, "", &id, reason).await
}

/// Two who tell may read the balance in one order and publish in the other. So each looks again after publishing, and
/// tells the newer balance: the last event is always right. Round and values are part of the message id, so that the same
/// news is stored once, and a balance that came back to what it was is told again.
async fn balance(deps: &Deps, owner: &Owner, traceparent: &str, id: &str, reason: &str) -> Result<(), NotifierError> {
    let read = || ledger::read(&deps.db, owner, &deps.terms, deps.clock.now());
    let mut known = read().await?;
    for round in 0..CREDIT_ROUNDS {
        let ledger::Balance { balance, held } = known;
        let event = EventBody::Credits { balance, held, reason: reason.into() };
        publish(&deps.bus, owner, traceparent, format!("{id}:{round}:{balance}:{held}"), event).await?;
        let now = read().await?;
        if now == known {
            return Ok(());
        }
        known = now;
    }
    // whoever comes again finds a quieter moment
    Err(NotifierError::Timeout("telling a balance that keeps changing"))
}

/// Tells the gateways that stream this export that it ended.
///
/// # Errors
/// When the client is closed.
pub(crate) async fn announce_end(bus: &Bus, row: &export::Model) -> Result<(), NotifierError> {
    let subject = subject::delivery_announce(row.export_id());
    Ok(bus.publish_lossy(subject, &row.traceparent, &Announcement::Ended).await?)
}

/// Tells the dispatcher that there may be room for another export. When that is lost, it looks by itself a little later.
pub(crate) async fn wake_dispatcher(bus: &Bus, row: &export::Model) {
    let hint = json!({ "export_id": row.id });
    if let Err(e) = bus.publish_lossy(subject::DELIVERY_SUBMITTED.to_owned(), &row.traceparent, &hint).await {
        debug!(export.id = %row.id, error = %e, "the dispatcher got no hint");
    }
}

/// Tells the exporter that may be at work on it to stop at once.
///
/// # Errors
/// When the client is closed.
pub(crate) async fn stop_work(bus: &Bus, row: &export::Model) -> Result<(), NotifierError> {
    let id = row.export_id();
    Ok(bus.publish_lossy(subject::cancel(id), &row.traceparent, &json!({ "export_id": id })).await?)
}

/// Under the span around; without one, within the trace of `traceparent`, or in one of its own when that is empty.
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
        // without the message's id, which may name a person
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
