//! The request for the whole story of one export: its history, attempts, segments, dead letters and what operators did.
//! The story has no filter, no parameters and no file name, because they may contain personal data.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{DeadLetter, ExportSummary, OperatorAct, Pause};
use crate::{id::ExportId, problem::Problem, time::Timestamp};

/// What happened to an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HistoryKind {
    /// The gateway accepted the request.
    Queued,
    /// The dispatcher published the job.
    Dispatched,
    /// The export went back into the queue, because an operator paused its owner.
    TakenBack,
    /// An exporter started an attempt.
    AttemptStarted,
    /// The attempt began to wait for a part of the installation; `waiting_for` names the part.
    Waiting,
    /// The attempt no longer waits.
    Continued,
    /// The attempt failed, and another one may follow.
    AttemptFailed,
    /// An outage ended the attempt, and another one follows. Such an attempt does not count as failed.
    AttemptInterrupted,
    /// The exporter stopped renewing its lease, and another exporter takes over.
    AttemptAbandoned,
    /// The process that ran only this export died.
    AttemptCrashed,
    /// The exporter handed the export over, because it shuts down.
    AttemptReleased,
    /// The owner or an operator requested the cancellation.
    CancelRequested,
    /// The owner requested the deletion of the file.
    DeleteRequested,
    /// The file is complete.
    Completed,
    /// The rows are those of the schedule's last run, so the export has no file.
    Unchanged,
    /// The export failed for good, and has no file.
    Failed,
    /// The export was canceled.
    Canceled,
    /// The file was deleted.
    Expired,
}

impl HistoryKind {
    /// Whether the event ends an attempt.
    #[must_use]
    pub const fn ends_attempt(self) -> bool {
        matches!(
            self,
            Self::AttemptFailed
                | Self::AttemptInterrupted
                | Self::AttemptAbandoned
                | Self::AttemptCrashed
                | Self::AttemptReleased
                | Self::Completed
                | Self::Unchanged
                | Self::Failed
                | Self::Canceled
        )
    }
}

/// One event in the history of an export.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HistoryEvent {
    /// The time of the event.
    pub at: Timestamp,
    /// What happened to the export.
    pub kind: HistoryKind,
    /// The number of the current or last attempt; 0 before the first attempt.
    pub attempt: u32,
    /// The exporter of the attempt.
    pub exporter: Option<String>,
    /// The part of the installation that the attempt waits for or waited for.
    pub waiting_for: Option<String>,
}

/// One attempt at an export.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AttemptInfo {
    /// The number of the attempt, starting at 1.
    pub number: u32,
    /// The exporter that ran the attempt.
    pub exporter: Option<String>,
    /// The start of the attempt.
    pub started_at: Timestamp,
    /// The end of the attempt; null while it runs.
    pub ended_at: Option<Timestamp>,
    /// The event that ended the attempt; null while it runs.
    pub result: Option<HistoryKind>,
    /// The number of segments that the file store holds. The segments of earlier attempts and of expired files are
    /// deleted.
    pub segments: u64,
    /// The number of data rows in these segments.
    pub rows: u64,
    /// The number of bytes in these segments.
    pub bytes: u64,
}

/// The file of an export, without its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StoryFile {
    /// The size in bytes.
    pub size: u64,
    /// The number of data rows.
    pub rows: u64,
    /// The SHA-256 of the file, in lower-case hex.
    pub sha256: String,
    /// The end of the retention of the file.
    pub expires_at: Option<Timestamp>,
}

/// The whole story of one export.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ExportStory {
    /// The current state of the export, with its trace id.
    pub summary: ExportSummary,
    /// The problem of a failed or canceled export.
    pub problem: Option<Problem>,
    /// The pause because of which the export waits.
    pub pause: Option<Pause>,
    /// The events, oldest first, at most 1000.
    pub events: Vec<HistoryEvent>,
    /// The attempts, oldest first.
    pub attempts: Vec<AttemptInfo>,
    /// The file of a completed or expired export.
    pub file: Option<StoryFile>,
    /// The dead letters of the export, newest first.
    pub dead_letters: Vec<DeadLetter>,
    /// What operators did with the export, oldest first.
    pub acts: Vec<OperatorAct>,
    /// The export that a retry of this failed export created.
    pub retried_as: Option<ExportId>,
}

/// The answer to a request for the story of one export, on [`crate::subject::OPS_STORY`]. The request is an
/// [`super::ExportLookup`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum StoryReply {
    /// The export exists, and this is its story.
    Story {
        /// The story of the export.
        story: Box<ExportStory>,
    },
    /// The notifier refused the request.
    Refused {
        /// The problem: `invalid-request`, `not-found` or `unavailable`.
        problem: Problem,
    },
}
