//! The request for the state of the whole installation, as the page of operators shows it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ExporterInfo, OperatorAct, Pause, ScheduledJob};
use crate::{id::ExportId, problem::Problem, time::Timestamp};

/// The unfinished exports of one user in one lane of one pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct QueueGroup {
    /// The pool of exporters that may run the exports.
    pub pool: String,
    /// The lane: `interactive` or `bulk`.
    pub lane: String,
    /// The tenant of the owner.
    pub tenant: String,
    /// The user who owns the exports.
    pub user: String,
    /// The number of exports that wait in the queue.
    pub waiting: u64,
    /// The number of exports that wait for a free slot of an exporter.
    pub dispatched: u64,
    /// The number of running exports.
    pub running: u64,
    /// The time of the oldest of these requests.
    pub oldest: Timestamp,
    /// Whether the tenant or the user is paused.
    pub paused: bool,
}

/// The numbers of all unfinished exports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct QueueTotals {
    /// The number of exports that wait in the queue, without those of paused owners.
    pub waiting: u64,
    /// The number of queued exports whose owner is paused.
    pub paused: u64,
    /// The number of exports that wait for a free slot of an exporter.
    pub dispatched: u64,
    /// The number of running exports.
    pub running: u64,
}

/// Failed exports of one dataset with the same problem.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FailureGroup {
    /// The name of the dataset.
    pub dataset: String,
    /// The slug of the problem.
    pub problem: String,
    /// The number of failed exports.
    pub exports: u64,
    /// The newest of these exports.
    pub newest: ExportId,
}

/// The state of the installation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Overview {
    /// The time at which the notifier read the state.
    pub at: Timestamp,
    /// The numbers of all unfinished exports.
    pub totals: QueueTotals,
    /// The unfinished exports by pool, lane and owner: at most 200 groups, those with most waiting exports first.
    pub queue: Vec<QueueGroup>,
    /// The number of groups that `queue` omits.
    pub queue_omitted: u64,
    /// The number of failed exports that were requested in the last 24 hours.
    pub failed: u64,
    /// The newest 500 of these failed exports by dataset and problem, those with most exports first.
    pub failures: Vec<FailureGroup>,
    /// The number of dead letters.
    pub dead_letters: u64,
    /// The running exporters, ordered by pool and name, each with at most 5 datasets.
    pub exporters: Vec<ExporterInfo>,
    /// The scheduled jobs, ordered by name.
    pub schedule: Vec<ScheduledJob>,
    /// The newest 100 pauses, newest first.
    pub pauses: Vec<Pause>,
    /// What operators did last, newest first, at most 20 acts.
    pub acts: Vec<OperatorAct>,
}

/// The request for the state of the installation, on [`crate::subject::OPS_OVERVIEW`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OverviewRequest {}

/// The answer to an [`OverviewRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum OverviewReply {
    /// The state of the installation.
    Overview {
        /// The state of the installation.
        overview: Box<Overview>,
    },
    /// The notifier refused the request.
    Refused {
        /// The problem: `invalid-request` or `unavailable`.
        problem: Problem,
    },
}
