//! Requests about dead letters. A dead letter is a job or an outcome that failed permanently.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ExportSummary;
use crate::{id::ExportId, problem::Problem, time::Timestamp};

/// The kind of the message that became a dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeadLetterKind {
    /// A job whose last attempt failed. The export has failed, and its credits were returned.
    Job,
    /// An outcome that the notifier could not apply. The export may still be unfinished.
    Outcome,
}

/// One dead letter of an export.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeadLetter {
    /// The sequence number in the stream of dead letters.
    pub sequence: u64,
    /// The time at which the message became a dead letter.
    pub at: Timestamp,
    /// The export of the message; the nil UUID when the message has no export id.
    pub export_id: ExportId,
    /// The kind of the message.
    pub kind: DeadLetterKind,
    /// The reason as one word; also a token of the NATS subject.
    pub reason: String,
    /// The reason as a sentence for operators.
    pub detail: String,
    /// The number of the failed attempt; None for an outcome.
    pub attempt: Option<u32>,
}

/// The request for the dead letters, on [`crate::subject::OPS_DEAD`]. The answer lists the newest first.
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
        /// The cursor of the next page; absent on the last page. After many requeues, a page before the last one may be
        /// empty.
        next_cursor: Option<u64>,
    },
    /// The notifier refused the request.
    Refused {
        /// The problem: `invalid-request` or `unavailable`.
        problem: Problem,
    },
}

/// The request to retry a dead letter, on [`crate::subject::OPS_REQUEUE`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequeueRequest {
    /// The export of the dead letter.
    pub export_id: ExportId,
    /// The name of the operator; None for a request without a name.
    #[serde(default)]
    pub operator: Option<String>,
    /// The reason of the operator, at most [`super::MAX_REASON_CHARS`] characters.
    #[serde(default)]
    pub reason: Option<String>,
}

impl RequeueRequest {
    /// A request without a name and a reason.
    #[must_use]
    pub const fn new(export_id: ExportId) -> Self {
        Self { export_id, operator: None, reason: None }
    }
}

/// The answer to a [`RequeueRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum RequeueReply {
    /// The notifier retries the job as a new export of the same owner, which holds credits again. A repeated request
    /// returns the same new export.
    Requeued {
        /// The new export of the owner.
        export: Box<ExportSummary>,
        /// The id of the failed export.
        failed_export_id: ExportId,
    },
    /// The notifier published the outcome again, and applies it to the same export.
    OutcomeRequeued {
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
