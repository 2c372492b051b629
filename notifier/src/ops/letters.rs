//! The stream of dead letters.

use async_nats::jetstream::{
    message::StreamMessage,
    stream::{RawMessageErrorKind, Stream},
};
use chrono::{DateTime, Utc};
use platform::bus::Bus;
use protocol::{
    id::ExportId,
    ops::{DeadKind, DeadLetter},
    subject,
};
use serde::Deserialize;
use uuid::Uuid;

use crate::error::NotifierError;

/// The reason in the subject of an outcome that died; all others are those of jobs.
const OUTCOME: &str = "outcome";
/// Numbers looked up for one page: what was requeued leaves gaps.
const STEPS: u64 = 400;
/// Dead letters of one export that are forgotten at once; it has one for each outcome that could not be settled.
const OF_ONE: usize = 16;

/// What an exporter writes.
#[derive(Debug, Deserialize)]
struct DeadJob {
    attempt: u32,
    detail: String,
}

/// All dead letters.
pub(super) struct Letters(Stream);

/// Some of them.
pub(super) struct Page {
    pub(super) items: Vec<DeadLetter>,
    pub(super) total: u64,
    pub(super) next: Option<u64>,
}

impl Letters {
    /// Finds the stream, with its present state.
    ///
    /// # Errors
    /// When NATS does not answer.
    pub(super) async fn open(bus: &Bus) -> Result<Self, NotifierError> {
        let stream = bus.jetstream().get_stream(subject::STREAM_DEAD).await;
        stream.map(Self).map_err(NotifierError::jetstream("find the dead letters"))
    }

    /// The newest before this number.
    ///
    /// # Errors
    /// When NATS does not answer.
    pub(super) async fn page(&self, before: Option<u64>, limit: usize) -> Result<Page, NotifierError> {
        let state = &self.0.cached_info().state;
        let mut number = state.last_sequence.min(before.map_or(u64::MAX, |before| before.saturating_sub(1)));
        let (mut items, mut steps) = (Vec::new(), 0);
        while number > 0 && number >= state.first_sequence && items.len() < limit && steps < STEPS {
            match self.0.get_raw_message(number).await {
                Ok(message) => items.push(letter(&message)),
                Err(e) if e.kind() == RawMessageErrorKind::NoMessageFound => {}
                Err(e) => return Err(NotifierError::JetStream { doing: "read a dead letter", detail: e.to_string() }),
            }
            number -= 1;
            steps += 1;
        }
        let more = number > 0 && number >= state.first_sequence && state.messages > 0;
        Ok(Page { items, total: state.messages, next: more.then_some(number + 1) })
    }

    /// The outcome of this export that died last.
    ///
    /// # Errors
    /// When NATS does not answer.
    pub(super) async fn outcome(&self, id: ExportId) -> Result<Option<StreamMessage>, NotifierError> {
        self.last(&subject::dead(OUTCOME, id)).await
    }

    /// Whether anything of this export died.
    ///
    /// # Errors
    /// When NATS does not answer.
    pub(super) async fn has_any(&self, id: ExportId) -> Result<bool, NotifierError> {
        Ok(self.last(&all_of(id)).await?.is_some())
    }

    async fn last(&self, subject: &str) -> Result<Option<StreamMessage>, NotifierError> {
        match self.0.get_last_raw_message_by_subject(subject).await {
            Ok(message) => Ok(Some(message)),
            Err(e) if e.kind() == RawMessageErrorKind::NoMessageFound => Ok(None),
            Err(e) => Err(NotifierError::JetStream { doing: "look for a dead letter", detail: e.to_string() }),
        }
    }

    /// Forgets one; nobody minds if another operator was quicker.
    ///
    /// # Errors
    /// When NATS does not answer.
    pub(super) async fn forget(&self, letter: &StreamMessage) -> Result<(), NotifierError> {
        match self.0.delete_message(letter.sequence).await {
            Ok(_) => Ok(()),
            Err(_) if self.is_gone(letter.sequence).await? => Ok(()),
            Err(e) => Err(NotifierError::JetStream { doing: "forget a dead letter", detail: e.to_string() }),
        }
    }

    /// Forgets those of an export, one by one: a right to purge would be one to forget all.
    ///
    /// # Errors
    /// When NATS does not answer.
    pub(super) async fn forget_all(&self, id: ExportId) -> Result<(), NotifierError> {
        for _ in 0..OF_ONE {
            let Some(letter) = self.last(&all_of(id)).await? else { break };
            self.forget(&letter).await?;
        }
        Ok(())
    }

    async fn is_gone(&self, sequence: u64) -> Result<bool, NotifierError> {
        match self.0.get_raw_message(sequence).await {
            Ok(_) => Ok(false),
            Err(e) if e.kind() == RawMessageErrorKind::NoMessageFound => Ok(true),
            Err(e) => Err(NotifierError::JetStream { doing: "look for a dead letter", detail: e.to_string() }),
        }
    }
}

fn all_of(id: ExportId) -> String {
    format!("sluice.v1.dead.*.{id}")
}

fn letter(message: &StreamMessage) -> DeadLetter {
    let mut tokens = message.subject.rsplit('.');
    let export_id = tokens.next().and_then(|id| id.parse().ok()).unwrap_or(ExportId(Uuid::nil()));
    let reason = tokens.next().unwrap_or_default().to_owned();
    let of = |header: &str| message.headers.get(header).map(|value| value.as_str().to_owned());
    let (kind, detail, attempt) = if reason == OUTCOME {
        (DeadKind::Outcome, of("Sluice-Reason").unwrap_or_default(), None)
    } else {
        match serde_json::from_slice::<DeadJob>(&message.payload) {
            Ok(job) => (DeadKind::Job, job.detail, Some(job.attempt)),
            Err(e) => (DeadKind::Job, format!("unreadable: {e}"), None),
        }
    };
    let millis = i64::try_from(message.time.unix_timestamp_nanos() / 1_000_000).unwrap_or_default();
    let at = DateTime::<Utc>::from_timestamp_millis(millis).unwrap_or_default().into();
    DeadLetter { sequence: message.sequence, at, export_id, kind, reason, detail, attempt }
}
