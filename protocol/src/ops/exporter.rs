//! The list of running exporters, and the requests that drain one exporter.

use serde::{Deserialize, Serialize};

use crate::{problem::Problem, time::Timestamp};

/// One running exporter, as its catalog entry describes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExporterInfo {
    /// The name of the exporter.
    pub instance: String,
    /// The pool whose jobs the exporter runs.
    pub pool: String,
    /// The number of exports that the exporter runs at once; 0 during a drain.
    pub slots: u32,
    /// The number of slots that bulk exports may use.
    pub bulk_slots: u32,
    /// Whether the exporter drains and accepts no new jobs.
    pub draining: bool,
    /// The datasets of the exporter.
    pub datasets: Vec<String>,
    /// The time of the catalog entry.
    pub at: Timestamp,
}

/// The request on [`crate::subject::OPS_EXPORTERS`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportersRequest {}

/// The answer to an [`ExportersRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum ExportersReply {
    /// All running exporters, by pool and name.
    Exporters {
        /// The exporters, ordered by pool and name.
        items: Vec<ExporterInfo>,
    },
    /// The notifier refused the request.
    Refused {
        /// The problem, always `unavailable`.
        problem: Problem,
    },
}

/// The request on [`crate::subject::ops_drain`] and [`crate::subject::ops_undrain`]. A repeated request changes
/// nothing.
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
        /// Whether the exporter drains and accepts no new jobs.
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
