//! The messages that the database can't rebuild: outcomes that are not settled yet, and dead letters.
//!
//! Jobs come again from the table of exports, events get a new epoch, and what is in the buckets lives for seconds. A
//! stream is read by sequence, and nothing is consumed.

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

use super::{error::BackupError, pool};

/// The streams that matter, with the subject of everything in each.
pub(super) const STREAMS: [(&str, &str); 2] =
    [(subject::STREAM_OUTCOMES, subject::OUTCOMES_ALL), (subject::STREAM_DEAD, subject::DEAD_ALL)];
/// Those that must be empty before a restore.
const ALL: [&str; 4] = [subject::STREAM_JOBS, subject::STREAM_OUTCOMES, subject::STREAM_EVENTS, subject::STREAM_DEAD];

/// A message as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kept {
    seq: u64,
    time: Timestamp,
    subject: String,
    headers: Vec<(String, String)>,
    /// Base64.
    payload: String,
}

impl Kept {
    fn of(message: StreamMessage) -> Self {
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

    /// The export whose file an outcome says is whole.
    pub(super) fn completes(&self) -> Option<ExportId> {
        let payload = STANDARD.decode(&self.payload).ok()?;
        let outcome: Envelope<Outcome> = platform::bus::open(&payload).ok()?;
        matches!(outcome.body.result, OutcomeResult::Completed { .. }).then_some(outcome.body.export_id)
    }
}

/// The messages that are in a stream now, as lines; those that come meanwhile are not waited for.
pub(super) async fn lines(
    bus: &Bus,
    stream: &'static str,
    all: &'static str,
) -> Result<impl futures::Stream<Item = std::io::Result<Bytes>> + Send + use<>, BackupError> {
    let handle = find(bus, stream).await?;
    let info = handle.get_info().await.map_err(BackupError::jetstream("look into", stream))?;
    let (first, last) = (info.state.first_sequence, info.state.last_sequence);
    Ok(futures::stream::try_unfold((handle, first), move |(handle, next)| async move {
        if next > last {
            return Ok(None);
        }
        match handle.raw_message_builder().sequence(next).next_by_subject(all).send().await {
            Ok(message) if message.sequence > last => Ok(None),
            Ok(message) => {
                let after = message.sequence + 1;
                Ok(Some((pool::line(&Kept::of(message))?, (handle, after))))
            }
            Err(e) if e.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
            Err(e) => Err(std::io::Error::other(e)),
        }
    }))
}

/// Which streams hold messages: each with how many.
pub(super) async fn occupied(bus: &Bus) -> Result<Vec<String>, BackupError> {
    let mut found = vec![];
    for stream in ALL {
        let info = find(bus, stream).await?;
        let info = info.get_info().await.map_err(BackupError::jetstream("look into", stream))?;
        if info.state.messages > 0 {
            found.push(format!("the stream {stream} has {} messages", info.state.messages));
        }
    }
    Ok(found)
}

/// When each was created, which tells one server's from another's.
pub(super) async fn created(bus: &Bus) -> Result<Vec<String>, BackupError> {
    let mut created = vec![];
    for stream in ALL {
        let info = find(bus, stream).await?;
        let info = info.get_info().await.map_err(BackupError::jetstream("look into", stream))?;
        created.push(format!("{stream} of {}", info.created));
    }
    Ok(created)
}

/// Empties all of them, before a restore begins again.
pub(super) async fn empty(bus: &Bus) -> Result<(), BackupError> {
    for stream in ALL {
        find(bus, stream).await?.purge().await.map_err(BackupError::jetstream("empty", stream))?;
    }
    Ok(())
}

/// Puts a message back, and waits until the stream has it.
pub(super) async fn publish(bus: &Bus, stream: &'static str, kept: &Kept) -> Result<(), BackupError> {
    let mut headers = HeaderMap::new();
    for (name, value) in &kept.headers {
        headers.append(name.as_str(), value.as_str());
    }
    let failed = BackupError::jetstream("read what was kept of", stream);
    let payload = STANDARD.decode(&kept.payload).map_err(failed)?;
    let sent = bus.jetstream().publish_with_headers(kept.subject.clone(), headers, payload.into()).await;
    let stored = sent.map_err(BackupError::jetstream("publish to", stream))?.await;
    stored.map_err(BackupError::jetstream("publish to", stream)).map(drop)
}

async fn find(bus: &Bus, stream: &'static str) -> Result<jetstream::stream::Stream, BackupError> {
    bus.jetstream().get_stream(stream).await.map_err(BackupError::jetstream("find", stream))
}
