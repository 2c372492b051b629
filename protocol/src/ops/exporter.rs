//! The list of running exporters, and the requests that drain one exporter.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{problem::Problem, time::Timestamp};

/// The maximum number of dataset names of one exporter in a list of exporters, so that the list fits into one NATS
/// message.
pub const MAX_LISTED_DATASETS: usize = 50;

/// One running exporter, from its heartbeat in the catalog.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExporterInfo {
    /// The name of the exporter.
    pub instance: String,
    /// The pool whose jobs the exporter runs.
    pub pool: String,
    /// The number of exports that the exporter runs at once; 0 during a drain.
    pub slots: u32,
    /// The number of slots that bulk exports may use.
    pub bulk_slots: u32,
    /// Whether the exporter is draining, so that it accepts no new jobs.
    pub draining: bool,
    /// The names of the first datasets that the exporter offers, at most [`MAX_LISTED_DATASETS`].
    pub datasets: Vec<String>,
    /// The number of all datasets that the exporter offers.
    pub dataset_count: u32,
    /// The time at which the exporter wrote its last heartbeat.
    pub at: Timestamp,
}

/// The request for all running exporters, on [`crate::subject::OPS_EXPORTERS`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportersRequest {}

/// The answer to an [`ExportersRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum ExportersReply {
    /// The list of all running exporters.
    Exporters {
        /// The exporters, ordered by pool and name.
        items: Vec<ExporterInfo>,
    },
    /// The notifier refused the request.
    Refused {
        /// The problem: `invalid-request` or `unavailable`.
        problem: Problem,
    },
}

/// The request to start a drain, on [`crate::subject::ops_drain`], or to end it, on [`crate::subject::ops_undrain`]. A
/// repeated request changes nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrainRequest {}

/// The answer to a [`DrainRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum DrainReply {
    /// The state of the exporter after the request.
    Exporter {
        /// The name of the exporter.
        instance: String,
        /// Whether the exporter is draining, so that it accepts no new jobs.
        draining: bool,
        /// The number of running jobs.
        running: u32,
    },
    /// The exporter refused the request and changed nothing.
    Refused {
        /// The problem, always `unavailable`.
        problem: Problem,
    },
}
