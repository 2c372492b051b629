//! The dead-letter stream. It contains jobs whose last attempt failed, and outcomes that the notifier could not settle.

use async_nats::{
    HeaderMap,
    header::NATS_MESSAGE_ID,
    jetstream::{
        Message,
        message::StreamMessage,
        stream::{RawMessageErrorKind, Stream},
    },
};
use chrono::{DateTime, Utc};
use platform::bus::Bus;
use protocol::{
    id::ExportId,
    ops::{DeadLetter, DeadLetterKind},
    subject,
};
use serde::Deserialize;
use uuid::Uuid;

use crate::error::NotifierError;

/// The value of `<reason>` in the NATS subject `sluice.v1.dead.<reason>.<export id>` of a dead-lettered outcome. The
/// subjects of dead-lettered jobs contain other reasons.
const OUTCOME_REASON: &str = "outcome";
/// The NATS header that holds the original subject of a dead-lettered outcome.
const SUBJECT_HEADER: &str = "Sluice-Subject";
/// The NATS header that says why the notifier could not settle a dead-lettered outcome.
const REASON_HEADER: &str = "Sluice-Reason";
/// Largest number of sequence numbers that one call of [`DeadLetterStream::page`] looks up. The sequence number of a
/// deleted dead letter counts too, although it adds nothing to the page.
const MAX_READS_PER_PAGE: u64 = 400;
/// Largest number of dead letters that one call of [`DeadLetterStream::delete_all`] deletes. An export may have one
/// dead letter for its job, and one for each outcome that the notifier could not settle.
const MAX_DEAD_LETTERS_PER_EXPORT: usize = 16;

/// The payload that an exporter writes into the dead letter of a job.
#[derive(Debug, Deserialize)]
struct DeadJob {
    attempt: u32,
    detail: String,
}

/// Stores the message of an outcome as a dead letter of the export `id`, with its payload unchanged. `delivered` is the
/// number of times that NATS has delivered the message. `reason` says why the notifier could not settle the outcome.
///
/// # Errors
/// When the stream does not confirm the dead letter.
pub(crate) async fn store_outcome(
    bus: &Bus,
    id: ExportId,
    message: &Message,
    delivered: i64,
    reason: &str,
) -> Result<(), NotifierError> {
    let sequence = message.info().map(|info| info.stream_sequence).unwrap_or_default();
    let mut headers = HeaderMap::new();
    headers.insert(NATS_MESSAGE_ID, format!("outcome:{sequence}:{delivered}"));
    headers.insert(SUBJECT_HEADER, message.subject.as_str());
    headers.insert(REASON_HEADER, reason.replace(['\r', '\n'], " "));
    let subject = subject::dead_letter(OUTCOME_REASON, id);
    let sent = bus.jetstream().publish_with_headers(subject, headers, message.payload.clone()).await;
    let stored = match sent {
        Ok(ack) => ack.await,
        Err(e) => Err(e),
    };
    stored.map(drop).map_err(NotifierError::jetstream("store a dead letter"))
}

/// A handle of the dead-letter stream.
pub(crate) struct DeadLetterStream(Stream);

/// One page of dead letters, newest first. `total` counts all dead letters of the stream. `next` is the argument
/// `before` with which [`DeadLetterStream::page`] reads the next page; `None` on the last page.
pub(crate) struct Page {
    pub(crate) items: Vec<DeadLetter>,
    pub(crate) total: u64,
    pub(crate) next: Option<u64>,
}

impl DeadLetterStream {
    /// Opens the dead-letter stream, and reads its state: the first and the last sequence number, and the number of
    /// messages.
    ///
    /// # Errors
    /// When NATS does not answer.
    pub(crate) async fn open(bus: &Bus) -> Result<Self, NotifierError> {
        let stream = bus.jetstream().get_stream(subject::STREAM_DEAD).await;
        stream.map(Self).map_err(NotifierError::jetstream("find the dead-letter stream"))
    }

    /// Reads a page of at most `limit` dead letters, newest first, whose sequence numbers are below `before`. If
    /// `before` is `None`, the page starts at the newest dead letter. A page before the last one may also have fewer
    /// than `limit` dead letters, because one call looks up at most [`MAX_READS_PER_PAGE`] sequence numbers.
    ///
    /// # Errors
    /// When NATS does not answer.
    pub(crate) async fn page(&self, before: Option<u64>, limit: usize) -> Result<Page, NotifierError> {
        let state = &self.0.cached_info().state;
        let mut sequence = state.last_sequence.min(before.map_or(u64::MAX, |before| before.saturating_sub(1)));
        let (mut items, mut reads) = (Vec::new(), 0);
        while sequence > 0 && sequence >= state.first_sequence && items.len() < limit && reads < MAX_READS_PER_PAGE {
            match self.0.get_raw_message(sequence).await {
                Ok(message) => items.push(to_dead_letter(&message)),
                Err(e) if e.kind() == RawMessageErrorKind::NoMessageFound => {}
                Err(e) => {
                    return Err(NotifierError::JetStream { operation: "read a dead letter", detail: e.to_string() });
                }
            }
            sequence -= 1;
            reads += 1;
        }
        let more = sequence > 0 && sequence >= state.first_sequence && state.messages > 0;
        Ok(Page { items, total: state.messages, next: more.then_some(sequence + 1) })
    }

    /// Returns the latest dead-lettered outcome of an export; `None` if there is none.
    ///
    /// # Errors
    /// When NATS does not answer.
    pub(crate) async fn latest_outcome(&self, id: ExportId) -> Result<Option<StreamMessage>, NotifierError> {
        self.latest(&subject::dead_letter(OUTCOME_REASON, id)).await
    }

    /// The number of dead letters, as of [`Self::open`].
    pub(crate) fn total(&self) -> u64 {
        self.0.cached_info().state.messages
    }

    /// Returns the latest dead letter of an export, and its latest dead-lettered outcome if that is another one.
    ///
    /// # Errors
    /// When NATS does not answer.
    pub(crate) async fn of_export(&self, id: ExportId) -> Result<Vec<DeadLetter>, NotifierError> {
        let found = [self.latest(&dead_letter_subject_of(id)).await?, self.latest_outcome(id).await?];
        let mut letters: Vec<_> = found.into_iter().flatten().map(|message| to_dead_letter(&message)).collect();
        letters.dedup_by_key(|letter| letter.sequence);
        Ok(letters)
    }

    /// Whether an export has a dead letter of any kind.
    ///
    /// # Errors
    /// When NATS does not answer.
    pub(crate) async fn has_any(&self, id: ExportId) -> Result<bool, NotifierError> {
        Ok(self.latest(&dead_letter_subject_of(id)).await?.is_some())
    }

    async fn latest(&self, subject: &str) -> Result<Option<StreamMessage>, NotifierError> {
        match self.0.get_last_raw_message_by_subject(subject).await {
            Ok(message) => Ok(Some(message)),
            Err(e) if e.kind() == RawMessageErrorKind::NoMessageFound => Ok(None),
            Err(e) => Err(NotifierError::JetStream { operation: "find a dead letter", detail: e.to_string() }),
        }
    }

    /// Deletes one dead letter. Succeeds also if another operator has already deleted this dead letter.
    ///
    /// # Errors
    /// When NATS does not answer.
    pub(crate) async fn delete(&self, dead_letter: &StreamMessage) -> Result<(), NotifierError> {
        match self.0.delete_message(dead_letter.sequence).await {
            Ok(_) => Ok(()),
            Err(_) if self.is_deleted(dead_letter.sequence).await? => Ok(()),
            Err(e) => Err(NotifierError::JetStream { operation: "delete a dead letter", detail: e.to_string() }),
        }
    }

    /// Deletes up to [`MAX_DEAD_LETTERS_PER_EXPORT`] dead letters of an export, one by one. One purge request could
    /// delete all of them, but the NATS permission to purge would let a notifier empty the whole stream.
    ///
    /// # Errors
    /// When NATS does not answer.
    pub(crate) async fn delete_all(&self, id: ExportId) -> Result<(), NotifierError> {
        for _ in 0..MAX_DEAD_LETTERS_PER_EXPORT {
            let Some(dead_letter) = self.latest(&dead_letter_subject_of(id)).await? else { break };
            self.delete(&dead_letter).await?;
        }
        Ok(())
    }

    async fn is_deleted(&self, sequence: u64) -> Result<bool, NotifierError> {
        match self.0.get_raw_message(sequence).await {
            Ok(_) => Ok(false),
            Err(e) if e.kind() == RawMessageErrorKind::NoMessageFound => Ok(true),
            Err(e) => Err(NotifierError::JetStream { operation: "find a dead letter", detail: e.to_string() }),
        }
    }
}

fn dead_letter_subject_of(id: ExportId) -> String {
    format!("sluice.v1.dead.*.{id}")
}

fn to_dead_letter(message: &StreamMessage) -> DeadLetter {
    let mut tokens = message.subject.rsplit('.');
    let export_id = tokens.next().and_then(|id| id.parse().ok()).unwrap_or(ExportId(Uuid::nil()));
    let reason = tokens.next().unwrap_or_default().to_owned();
    let (kind, detail, attempt) = if reason == OUTCOME_REASON {
        let detail = message.headers.get(REASON_HEADER).map(|value| value.as_str().to_owned());
        (DeadLetterKind::Outcome, detail.unwrap_or_default(), None)
    } else {
        match serde_json::from_slice::<DeadJob>(&message.payload) {
            Ok(job) => (DeadLetterKind::Job, job.detail, Some(job.attempt)),
            Err(e) => (DeadLetterKind::Job, format!("unreadable: {e}"), None),
        }
    };
    let millis = i64::try_from(message.time.unix_timestamp_nanos() / 1_000_000).unwrap_or_default();
    let at = DateTime::<Utc>::from_timestamp_millis(millis).unwrap_or_default().into();
    DeadLetter { sequence: message.sequence, at, export_id, kind, reason, detail, attempt }
}
