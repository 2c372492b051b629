//! Checks whether a work-queue stream still holds a message.

use async_nats::jetstream::stream::LastRawMessageErrorKind;
use platform::bus::Bus;

use crate::error::NotifierError;

/// Whether a work-queue stream holds a message on this subject that no consumer has acknowledged.
///
/// # Errors
/// When the stream does not answer.
pub(crate) async fn has_message(bus: &Bus, stream: &'static str, subject: &str) -> Result<bool, NotifierError> {
    let queue = bus.jetstream().get_stream_no_info(stream).await;
    let queue = queue.map_err(NotifierError::jetstream("find a work queue"))?;
    match queue.get_last_raw_message_by_subject(subject).await {
        Ok(_) => Ok(true),
        Err(e) if e.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(false),
        Err(e) => Err(NotifierError::JetStream { operation: "read a work queue", detail: e.to_string() }),
    }
}
