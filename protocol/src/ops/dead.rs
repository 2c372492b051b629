//! Dead letters: jobs and outcomes that failed permanently.

use serde::{Deserialize, Serialize};

use super::ExportSummary;
use crate::{id::ExportId, problem::Problem, time::Timestamp};

/// The kind of a dead-lettered message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeadLetterKind {
    /// A job that failed permanently. The export failed, and its credit was returned.
    Job,
    /// An outcome that the notifier could not apply. The export may still be unfinished.
    Outcome,
}

/// One dead letter of an export.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// The sequence number in the stream of dead letters.
    pub sequence: u64,
    /// The time at which the message was dead-lettered.
    pub at: Timestamp,
    /// The export of the message; the nil UUID when the message names none.
    pub export_id: ExportId,
    /// The kind of the message.
    pub kind: DeadLetterKind,
    /// The cause as one word.
    pub reason: String,
    /// The cause as a sentence to show to operators.
    pub detail: String,
    /// The failed attempt, for a job.
    pub attempt: Option<u32>,
}

/// The request on [`crate::subject::OPS_DEAD`]. The answer lists the newest dead letters first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeadLettersRequest {
    /// The maximum number of items, up to 100. Default 20.
    pub limit: Option<u32>,
    /// The `next_cursor` of the previous page.
    pub cursor: Option<u64>,
}

/// The answer to a [`DeadLettersRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum DeadLettersReply {
    /// One page of dead letters.
    DeadLetters {
        /// The dead letters, newest first.
        items: Vec<DeadLetter>,
        /// The number of all dead letters.
        total: u64,
        /// The cursor of the next page; absent on the last page. A page before the last may be empty after many
        /// requeues.
        next_cursor: Option<u64>,
    },
    /// The notifier refused the request.
    Refused {
        /// The problem: `invalid-request` or `unavailable`.
        problem: Problem,
    },
}

/// The request on [`crate::subject::OPS_REQUEUE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequeueRequest {
    /// The export of the dead letter.
    pub export_id: ExportId,
}

/// The answer to a [`RequeueRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum RequeueReply {
    /// The notifier retries a dead-lettered job as a new, newly charged export of the same owner. A repeated request
    /// returns the same export without another charge.
    Requeued {
        /// The new export of the same owner.
        export: Box<ExportSummary>,
        /// The id of the failed export.
        of: ExportId,
    },
    /// The notifier applies a dead-lettered outcome again to the same export.
    Replayed {
        /// The export of the outcome.
        export: Box<ExportSummary>,
    },
    /// The notifier refused the request and changed nothing.
    Refused {
        /// `not-found`: the export or its dead letter does not exist. `not-ready`: the export has not ended.
        /// `credits-exhausted`: the owner has too few credits. `invalid-request`: the export did not fail.
        /// `unavailable`: a service that the request needs is not reachable.
        problem: Problem,
    },
}
