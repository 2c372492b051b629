//! What operators ask over NATS: `nats req sluice.v1.ops.schedule '{}'`. Notifiers answer, and of draining the exporter
//! that is meant.

mod dead;
mod export;
mod exporter;

use serde::{Deserialize, Serialize};

pub use self::{
    dead::{DeadLetter, DeadLetterKind, DeadLettersReply, DeadLettersRequest, RequeueReply, RequeueRequest},
    export::{CancelReply, CancelRequest, ExportLookup, ExportReply, ExportSummary, ExportsReply, ExportsRequest},
    exporter::{DrainReply, DrainRequest, ExporterInfo, ExportersReply, ExportersRequest},
};
use crate::{problem::Problem, time::Timestamp};

/// Something that runs by the clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduledJob {
    /// Its name.
    pub name: String,
    /// When it runs, for people: a cron line and its zone.
    pub schedule: String,
    /// When it is to run next, or was to run while it has not.
    pub due_at: Timestamp,
    /// An operator wants it to run now, since this time.
    pub requested_at: Option<Timestamp>,
    /// When the last run began.
    pub started_at: Option<Timestamp>,
    /// When the last run that ended did so; a run is under way, or its runner died, when this is before `started_at`.
    pub ended_at: Option<Timestamp>,
    /// How long that one took, milliseconds.
    pub duration_ms: Option<u64>,
    /// `ok` or `failed`, of that one.
    pub result: Option<String>,
    /// What it did, or why it failed, for people.
    pub detail: Option<String>,
    /// Runs that ended.
    pub runs: u64,
    /// Those that failed.
    pub failures: u64,
    /// Who ran it last.
    pub runner: Option<String>,
}

/// Request on [`crate::subject::OPS_SCHEDULE`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduleRequest {}

/// The answer to a [`ScheduleRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum ScheduleReply {
    /// All jobs, by name.
    Schedule {
        /// The jobs.
        jobs: Vec<ScheduledJob>,
    },
    /// Why there is no answer.
    Refused {
        /// The problem.
        problem: Problem,
    },
}

/// Request on [`crate::subject::OPS_RUN`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunRequest {
    /// Which job.
    #[serde(default)]
    pub name: String,
}

/// The answer to a [`RunRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum RunReply {
    /// It is noted, and runs as soon as a notifier is free for it.
    Requested {
        /// The job as it stands.
        job: ScheduledJob,
    },
    /// Why it will not run.
    Refused {
        /// `invalid-request`, `not-found` or `unavailable`.
        problem: Problem,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::Envelope;

    #[test]
    fn a_bare_question_and_one_in_an_envelope_are_the_same() {
        for text in [r#"{"name":"sweep"}"#, r#"{"v":1,"id":"a","traceparent":"b","name":"sweep"}"#] {
            assert_eq!(serde_json::from_str::<RunRequest>(text).unwrap().name, "sweep");
        }
        let reply = Envelope::new("a", "b", ScheduleReply::Schedule { jobs: vec![] });
        let json = serde_json::to_value(reply).unwrap();
        assert_eq!(json, serde_json::json!({"v": 1, "id": "a", "traceparent": "b", "answer": "schedule", "jobs": []}));
    }
}
