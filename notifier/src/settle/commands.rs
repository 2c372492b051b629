//! Publishes cancel and delete commands to the outcomes stream. NATS redelivers a command until a notifier has settled
//! the command.

use std::time::Duration;

use chrono::{DateTime, Utc};
use entity::export;
use platform::{bus::Bus, telemetry::traces};
use protocol::{
    envelope::{Envelope, Outcome, OutcomeResult},
    subject,
};

use crate::{
    GROUP,
    error::NotifierError,
    work_queue::{self, Queued},
};

/// Age from which a command counts as stuck: the time since the request to cancel or delete, or since the expiry of the
/// file. This module then publishes the command again, even if a notifier has received an earlier message of the export
/// and has not settled that message.
const STUCK_AFTER: Duration = Duration::from_secs(10 * 60);

/// Publishes the command to cancel an export, and returns `true`. Returns `false` and publishes nothing in two cases:
/// the row records no request to cancel, or an outcome or a command of the export still waits in the outcomes stream.
///
/// A message that a notifier has received but not settled no longer counts as waiting when [`STUCK_AFTER`] has passed
/// since the request to cancel. That notifier may have died. The NATS server then delivers the message again, but at a
/// time of its wall clock, which can be hours away if the clock was set back.
///
/// The message id contains the time of the request, and the age of the request as a number of whole [`STUCK_AFTER`]
/// periods. So the message id stays the same within a period, and the stream drops a repeated command within its
/// deduplication window. A second command is harmless.
///
/// # Errors
/// When the stream does not answer, or does not confirm the command.
pub(crate) async fn publish_cancel(bus: &Bus, row: &export::Model, now: DateTime<Utc>) -> Result<bool, NotifierError> {
    let Some(since) = row.cancel_requested_at else { return Ok(false) };
    publish(bus, row, OutcomeResult::CancelRequested, "cancel", since, now).await
}

/// Publishes the command to delete the file of an export, and returns `true`. The caller has checked that the owner
/// requested the deletion, or that the retention has ended. Returns `false` and publishes nothing if the row has no
/// deletion request and no expiry time. Does the same if an outcome or a command of the export still waits in the
/// outcomes stream. The stream deduplicates delete commands by their message id in the same way as cancel commands (see
/// [`publish_cancel`]).
///
/// # Errors
/// When the stream does not answer, or does not confirm the command.
pub(crate) async fn publish_delete(bus: &Bus, row: &export::Model, now: DateTime<Utc>) -> Result<bool, NotifierError> {
    let Some(since) = row.delete_requested_at.or(row.expires_at) else { return Ok(false) };
    publish(bus, row, OutcomeResult::DeleteRequested, "expire", since, now).await
}

async fn publish(
    bus: &Bus,
    row: &export::Model,
    result: OutcomeResult,
    kind: &str,
    since: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<bool, NotifierError> {
    let id = row.export_id();
    // settling a pending message may fail for hours; meanwhile a second command would be redundant
    let age = (now - since).to_std().unwrap_or_default();
    for subject in [subject::outcome_command(id), subject::outcome(id)] {
        match work_queue::find(bus, subject::STREAM_OUTCOMES, GROUP, &subject).await? {
            Queued::No => {}
            Queued::Delivered if age >= STUCK_AFTER => {}
            Queued::Undelivered | Queued::Delivered => return Ok(false),
        }
    }
    // the id changes only once in each period, so that the stream stores few commands of one request
    let period = age.as_secs() / STUCK_AFTER.as_secs();
    let message_id = format!("{id}:{kind}:{}:{period}", since.timestamp_millis());
    let message =
        Envelope::new(message_id, traces::current_traceparent_or(&row.traceparent), Outcome { export_id: id, result });
    bus.publish_durable(subject::outcome_command(id), &message.id, &message).await?;
    Ok(true)
}
