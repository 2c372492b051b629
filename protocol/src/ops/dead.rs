//! Dead letters: jobs and outcomes that could not be handled.

use serde::{Deserialize, Serialize};

use super::ExportSummary;
use crate::{id::ExportId, problem::Problem, time::Timestamp};

/// What died.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeadLetterKind {
    /// A job that failed for good: the export failed, and its credit went back.
    Job,
    /// An outcome that could never be settled: the export may be unfinished still.
    Outcome,
}

/// One dead letter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// Its number in the stream of dead letters.
    pub sequence: u64,
    /// When it died.
    pub at: Timestamp,
    /// Whose message it is; nil for one that names none.
    pub export_id: ExportId,
    /// What it is.
    pub kind: DeadLetterKind,
    /// Why, in a word.
    pub reason: String,
    /// Why, for people.
    pub detail: String,
    /// The attempt that failed, of a job.
    pub attempt: Option<u32>,
}

/// Request on [`crate::subject::OPS_DEAD`]: newest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeadLettersRequest {
    /// At most this many, up to 100; 20 when absent.
    pub limit: Option<u32>,
    /// Only those before this number: `next_cursor` of the page before.
    pub cursor: Option<u64>,
}

/// The answer to a [`DeadLettersRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum DeadLettersReply {
    /// A page.
    DeadLetters {
        /// The letters.
        items: Vec<DeadLetter>,
        /// How many there are in all.
        total: u64,
        /// For the next page; absent on the last. A page may be empty and not the last where many were requeued.
        next_cursor: Option<u64>,
    },
    /// Why there is no answer.
    Refused {
        /// `invalid-request` or `unavailable`.
        problem: Problem,
    },
}

/// Request on [`crate::subject::OPS_REQUEUE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequeueRequest {
    /// Whose dead letter.
    pub export_id: ExportId,
}

/// The answer to a [`RequeueRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum RequeueReply {
    /// The failed export was asked for anew, for its owner. Asking again gives the same answer, and costs nothing.
    Requeued {
        /// The new export.
        export: Box<ExportSummary>,
        /// The failed one.
        of: ExportId,
    },
    /// The outcome is settled again; the export is the same.
    Replayed {
        /// The export.
        export: Box<ExportSummary>,
    },
    /// Why nothing was done.
    Refused {
        /// `not-found`: no such export, or no dead letter of it. `not-ready`: it has not ended. `credits-exhausted`: its
        /// owner can't pay. `invalid-request`: it ended in another way. `unavailable`: not just now.
        problem: Problem,
    },
}
