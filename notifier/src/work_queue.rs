//! Determines whether a message of a work-queue stream still waits for its consumer.
//!
//! The messages in the stream do not show this reliably. After a write to a full disk failed, the NATS server confirms
//! acknowledgements but never deletes the acknowledged messages. So this module also reads the state of the consumer: a
//! message that the consumer has acknowledged no longer waits.

use async_nats::jetstream::{context::ConsumerInfoErrorKind, message::StreamMessage, stream::LastRawMessageErrorKind};
use platform::bus::Bus;

use crate::error::NotifierError;

/// The state of the newest message on a NATS subject of a work-queue stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Queued {
    /// The subject has no message, or the consumer has acknowledged the newest message.
    No,
    /// No process has received the message yet.
    Undelivered,
    /// A process received the message and has not acknowledged it. NATS redelivers the message if the process dies.
    ///
    /// An acknowledged message may also have this state, if the stream failed to delete the message. The state then
    /// lasts until the consumer has acknowledged every older message of the stream.
    Delivered,
}

/// Returns the state of the newest message on `subject`. `consumer` is the durable consumer that receives the messages
/// of this subject.
///
/// # Errors
/// When the stream or the consumer does not answer.
pub(crate) async fn find(
    bus: &Bus,
    stream: &'static str,
    consumer: &str,
    subject: &str,
) -> Result<Queued, NotifierError> {
    Ok(find_message(bus, stream, consumer, subject).await?.0)
}

/// Returns the state of the newest message on `subject`, as [`find`] does, and the message itself. The message is
/// `None` if the state is [`Queued::No`].
///
/// # Errors
/// When the stream or the consumer does not answer.
pub(crate) async fn find_message(
    bus: &Bus,
    stream: &'static str,
    consumer: &str,
    subject: &str,
) -> Result<(Queued, Option<StreamMessage>), NotifierError> {
    let queue = bus.jetstream().get_stream_no_info(stream).await;
    let queue = queue.map_err(NotifierError::jetstream("find a work queue"))?;
    let message = match queue.get_last_raw_message_by_subject(subject).await {
        Ok(message) => message,
        Err(e) if e.kind() == LastRawMessageErrorKind::NoMessageFound => return Ok((Queued::No, None)),
        Err(e) => return Err(NotifierError::JetStream { operation: "read a work queue", detail: e.to_string() }),
    };
    let sequence = message.sequence;
    let info = match queue.consumer_info(consumer).await {
        Ok(info) => info,
        // the consumer does not exist before the first process pulls
        Err(e) if e.kind() == ConsumerInfoErrorKind::NotFound => return Ok((Queued::Undelivered, Some(message))),
        Err(e) => return Err(NotifierError::JetStream { operation: "read a consumer", detail: e.to_string() }),
    };
    Ok(if sequence > info.delivered.stream_sequence {
        (Queued::Undelivered, Some(message))
    } else if sequence <= info.ack_floor.stream_sequence || info.num_ack_pending == 0 {
        (Queued::No, None)
    } else {
        (Queued::Delivered, Some(message))
    })
}
