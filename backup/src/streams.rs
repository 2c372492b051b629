//! Backs up and restores the stream messages that the database can't rebuild: unsettled outcomes and dead letters.
//!
//! A backup omits the other streams. The dispatcher publishes jobs again from the export table, the event log starts
//! with a new epoch, and the entries of the key-value buckets live for seconds. A backup reads messages by sequence
//! number, so it consumes no message.

use async_nats::{
    HeaderMap,
    jetstream::{self, message::StreamMessage, stream::LastRawMessageErrorKind},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use platform::bus::Bus;
use protocol::{
    envelope::{Envelope, Outcome, OutcomeResult},
    id::ExportId,
    subject,
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

use crate::{error::BackupError, pool};

/// The streams in a backup, each with a subject filter that matches all its messages.
pub(crate) const SAVED_STREAMS: [(&str, &str); 2] =
    [(subject::STREAM_OUTCOMES, subject::OUTCOMES_ALL), (subject::STREAM_DEAD, subject::DEAD_ALL)];
/// The streams that must be empty before a restore.
const ALL_STREAMS: [&str; 4] =
    [subject::STREAM_JOBS, subject::STREAM_OUTCOMES, subject::STREAM_EVENTS, subject::STREAM_DEAD];

/// A stream message in a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SavedMessage {
    seq: u64,
    time: Timestamp,
    subject: String,
    headers: Vec<(String, String)>,
    /// The payload of the message in Base64.
    payload: String,
}

impl SavedMessage {
    fn new(message: StreamMessage) -> Self {
        let headers = message.headers.iter();
        let headers = headers
            .flat_map(|(name, values)| values.iter().map(move |value| (name.to_string(), value.as_str().to_owned())));
        let nanos = message.time.unix_timestamp_nanos();
        let millis = i64::try_from(nanos / 1_000_000).unwrap_or_default();
        Self {
            seq: message.sequence,
            time: chrono::DateTime::from_timestamp_millis(millis).unwrap_or_default().into(),
            headers: headers.collect(),
            subject: message.subject.to_string(),
            payload: STANDARD.encode(&message.payload),
        }
    }

    /// Returns the export that this message completes; `None` for any other message.
    pub(crate) fn completed_export(&self) -> Option<ExportId> {
        let payload = STANDARD.decode(&self.payload).ok()?;
        let outcome: Envelope<Outcome> = platform::bus::open(&payload).ok()?;
        matches!(outcome.body.result, OutcomeResult::Completed { .. }).then_some(outcome.body.export_id)
    }
}

/// Reads the messages that a stream holds now, and converts each message to one line of JSON. Omits later messages.
pub(crate) async fn saved_messages(
    bus: &Bus,
    stream: &'static str,
    all: &'static str,
) -> Result<impl futures::Stream<Item = std::io::Result<Bytes>> + Send + use<>, BackupError> {
    let handle = get_stream(bus, stream).await?;
    let info = handle.get_info().await.map_err(BackupError::jetstream("inspect", stream))?;
    let (first, last) = (info.state.first_sequence, info.state.last_sequence);
    Ok(futures::stream::try_unfold((handle, first), move |(handle, next)| async move {
        if next > last {
            return Ok(None);
        }
        match handle.raw_message_builder().sequence(next).next_by_subject(all).send().await {
            Ok(message) if message.sequence > last => Ok(None),
            Ok(message) => {
                let after = message.sequence + 1;
                Ok(Some((pool::json_line(&SavedMessage::new(message))?, (handle, after))))
            }
            Err(e) if e.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
            Err(e) => Err(std::io::Error::other(e)),
        }
    }))
}

/// Returns a message for each stream that holds messages. The list is empty if all streams are empty.
pub(crate) async fn non_empty(bus: &Bus) -> Result<Vec<String>, BackupError> {
    let mut found = vec![];
    for stream in ALL_STREAMS {
        let info = get_stream(bus, stream).await?;
        let info = info.get_info().await.map_err(BackupError::jetstream("inspect", stream))?;
        if info.state.messages > 0 {
            found.push(format!("the stream {stream} has {} messages", info.state.messages));
        }
    }
    Ok(found)
}

/// Returns the creation time of each stream. The times distinguish the streams of different servers.
pub(crate) async fn creation_times(bus: &Bus) -> Result<Vec<String>, BackupError> {
    let mut times = vec![];
    for stream in ALL_STREAMS {
        let info = get_stream(bus, stream).await?;
        let info = info.get_info().await.map_err(BackupError::jetstream("inspect", stream))?;
        times.push(format!("{stream} of {}", info.created));
    }
    Ok(times)
}

/// Deletes the messages of all streams.
pub(crate) async fn purge_all(bus: &Bus) -> Result<(), BackupError> {
    for stream in ALL_STREAMS {
        get_stream(bus, stream).await?.purge().await.map_err(BackupError::jetstream("empty", stream))?;
    }
    Ok(())
}

/// Publishes a saved message, and waits until the stream has stored it.
pub(crate) async fn publish(bus: &Bus, stream: &'static str, saved: &SavedMessage) -> Result<(), BackupError> {
    let mut headers = HeaderMap::new();
    for (name, value) in &saved.headers {
        headers.append(name.as_str(), value.as_str());
    }
    let failed = BackupError::jetstream("decode a saved message of", stream);
    let payload = STANDARD.decode(&saved.payload).map_err(failed)?;
    let sent = bus.jetstream().publish_with_headers(saved.subject.clone(), headers, payload.into()).await;
    let stored = sent.map_err(BackupError::jetstream("publish to", stream))?.await;
    stored.map_err(BackupError::jetstream("publish to", stream)).map(drop)
}

async fn get_stream(bus: &Bus, stream: &'static str) -> Result<jetstream::stream::Stream, BackupError> {
    bus.jetstream().get_stream(stream).await.map_err(BackupError::jetstream("find", stream))
}
