//! Defines the requests of operators over NATS, such as `nats req sluice.v1.ops.schedule '{}'`. A notifier answers all
//! requests, except that each exporter answers the requests to drain it.

mod dead;
mod export;
mod exporter;
mod overview;
mod pause;
mod story;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::{
    dead::{DeadLetter, DeadLetterKind, DeadLettersReply, DeadLettersRequest, RequeueReply, RequeueRequest},
    export::{CancelReply, CancelRequest, ExportLookup, ExportReply, ExportSummary, ExportsReply, ExportsRequest},
    exporter::{DrainReply, DrainRequest, ExporterInfo, ExportersReply, ExportersRequest, MAX_LISTED_DATASETS},
    overview::{FailureGroup, Overview, OverviewReply, OverviewRequest, QueueGroup, QueueTotals},
    pause::{
        MAX_REASON_CHARS, OperatorAct, Pause, PauseReply, PauseRequest, PausesReply, PausesRequest, ResumeReply,
        ResumeRequest,
    },
    story::{AttemptInfo, ExportStory, HistoryEvent, HistoryKind, StoryFile, StoryReply},
};
use crate::{problem::Problem, time::Timestamp};

/// A scheduled job and its last run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ScheduledJob {
    /// The name of the job.
    pub name: String,
    /// The schedule as text for operators, such as a cron expression and its time zone, or `every 30 s`.
    pub schedule: String,
    /// The time of the next run; in the past while a run is due.
    pub due_at: Timestamp,
    /// The time at which an operator requested a run; None after that run.
    pub requested_at: Option<Timestamp>,
    /// The start of the last run.
    pub started_at: Option<Timestamp>,
    /// The end of the last run that ended. A time before `started_at` means that a run is in progress, or that its
    /// notifier stopped.
    pub ended_at: Option<Timestamp>,
    /// The duration of the run that ended last, in milliseconds.
    pub duration_ms: Option<u64>,
    /// The result of the run that ended last: `ok` or `failed`.
    pub result: Option<String>,
    /// The summary or the error of the run that ended last, as text for operators.
    pub detail: Option<String>,
    /// The number of runs that ended.
    pub runs: u64,
    /// The number of runs that failed.
    pub failures: u64,
    /// The notifier that started the last run.
    pub runner: Option<String>,
}

/// The request for all scheduled jobs, on [`crate::subject::OPS_SCHEDULE`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduleRequest {}

/// The answer to a [`ScheduleRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum ScheduleReply {
    /// The list of all scheduled jobs.
    Schedule {
        /// The scheduled jobs, ordered by name.
        jobs: Vec<ScheduledJob>,
    },
    /// The notifier refused the request.
    Refused {
        /// The problem: `invalid-request` or `unavailable`.
        problem: Problem,
    },
}

/// The request to run a scheduled job now, on [`crate::subject::OPS_RUN`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunRequest {
    /// The name of the scheduled job.
    #[serde(default)]
    pub name: String,
}

/// The answer to a [`RunRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum RunReply {
    /// The notifier recorded the request, and the next free notifier runs the job.
    Requested {
        /// The current state of the job.
        job: ScheduledJob,
    },
    /// The notifier refused to run the job.
    Refused {
        /// The problem: `invalid-request`, `not-found` or `unavailable`.
        problem: Problem,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::Envelope;

    #[test]
    fn a_request_parses_with_and_without_an_envelope() {
        for text in [r#"{"name":"sweep"}"#, r#"{"v":1,"id":"a","traceparent":"b","name":"sweep"}"#] {
            assert_eq!(serde_json::from_str::<RunRequest>(text).unwrap().name, "sweep");
        }
        let reply = Envelope::new("a", "b", ScheduleReply::Schedule { jobs: vec![] });
        let json = serde_json::to_value(reply).unwrap();
        assert_eq!(json, serde_json::json!({"v": 1, "id": "a", "traceparent": "b", "answer": "schedule", "jobs": []}));
    }
}
