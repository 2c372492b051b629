//! Exporters as operators see them, and how they are emptied.

use serde::{Deserialize, Serialize};

use crate::{problem::Problem, time::Timestamp};

/// One running exporter, as it advertises itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExporterInfo {
    /// Its name.
    pub instance: String,
    /// Where its jobs come from.
    pub pool: String,
    /// Exports that it can run at once; 0 while it drains.
    pub slots: u32,
    /// Bulk exports among them.
    pub bulk_slots: u32,
    /// Whether it takes no new jobs.
    pub draining: bool,
    /// What it offers.
    pub datasets: Vec<String>,
    /// When it said so.
    pub at: Timestamp,
}

/// Request on [`crate::subject::OPS_EXPORTERS`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportersRequest {}

/// The answer to an [`ExportersRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum ExportersReply {
    /// All that are there, by pool and name.
    Exporters {
        /// They.
        items: Vec<ExporterInfo>,
    },
    /// Why there is no answer.
    Refused {
        /// `unavailable`.
        problem: Problem,
    },
}

/// Request on [`crate::subject::ops_drain`] and [`crate::subject::ops_undrain`]. Asking again changes nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrainRequest {}

/// The answer to a [`DrainRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum DrainReply {
    /// How it stands with the exporter now.
    Exporter {
        /// Which.
        instance: String,
        /// Whether it takes no new jobs.
        draining: bool,
        /// Jobs that it has in hand.
        running: u32,
    },
    /// Why nothing was done.
    Refused {
        /// `unavailable`.
        problem: Problem,
    },
}
