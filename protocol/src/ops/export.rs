//! Exports as operators see them: whoever they belong to, and with what clients are not told.

use serde::{Deserialize, Serialize};

use crate::{
    export::{Export, Status},
    id::ExportId,
    problem::Problem,
    time::Timestamp,
};

/// One export in a list. Filter and parameters, which may be long and hold what is nobody's business, are not in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportSummary {
    /// Which.
    pub id: ExportId,
    /// Whose.
    pub tenant: String,
    /// Whose.
    pub user: String,
    /// What of.
    pub dataset: String,
    /// As what.
    pub format: String,
    /// Where it stands.
    pub status: Status,
    /// How often it was begun.
    pub attempt: u32,
    /// How many attempts failed or died.
    pub failures: u32,
    /// The exporters that may run it.
    pub pool: String,
    /// `interactive` or `bulk`.
    pub lane: String,
    /// What it costs.
    pub credits: u32,
    /// When it was asked for.
    pub requested_at: Timestamp,
    /// When the first attempt began.
    pub started_at: Option<Timestamp>,
    /// When the last byte was made.
    pub completed_at: Option<Timestamp>,
    /// When something about it changed last.
    pub updated_at: Timestamp,
    /// When somebody asked to cancel it.
    pub cancel_requested_at: Option<Timestamp>,
    /// The exporter that runs it, or ran it last.
    pub exporter: Option<String>,
    /// Rows so far.
    pub rows: u64,
    /// Bytes so far.
    pub bytes: u64,
    /// Why there is no file: the slug of the problem.
    pub problem: Option<String>,
    /// Finds it in logs and traces.
    pub trace_id: Option<String>,
}

/// Request on [`crate::subject::OPS_EXPORTS`]: newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ExportsRequest {
    /// Only those in this status.
    pub status: Option<Status>,
    /// Only those of this tenant.
    pub tenant: Option<String>,
    /// Only those of this person; needs `tenant`.
    pub user: Option<String>,
    /// Only those of this dataset.
    pub dataset: Option<String>,
    /// At most this many, up to 200; 50 when absent.
    pub limit: Option<u32>,
    /// Only those older than this one: `next_cursor` of the page before.
    pub cursor: Option<ExportId>,
}

/// The answer to an [`ExportsRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum ExportsReply {
    /// A page.
    Exports {
        /// The exports.
        items: Vec<ExportSummary>,
        /// For the next page; absent on the last.
        next_cursor: Option<ExportId>,
    },
    /// Why there is no answer.
    Refused {
        /// `invalid-request` or `unavailable`.
        problem: Problem,
    },
}

/// Request on [`crate::subject::OPS_EXPORT`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportLookup {
    /// Which.
    pub export_id: ExportId,
}

/// The answer to an [`ExportLookup`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum ExportReply {
    /// It.
    Export {
        /// As operators see it.
        summary: Box<ExportSummary>,
        /// As its owner sees it.
        export: Box<Export>,
    },
    /// Why there is no answer.
    Refused {
        /// `invalid-request`, `not-found` or `unavailable`.
        problem: Problem,
    },
}

/// Request on [`crate::subject::OPS_CANCEL`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancelRequest {
    /// Which.
    pub export_id: ExportId,
}

/// The answer to a [`CancelRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum CancelReply {
    /// It is noted, and the export ends as if its owner had canceled it. Asking again changes nothing.
    Requested {
        /// The export as it stands.
        export: ExportSummary,
    },
    /// It had ended before; nothing was done.
    Ended {
        /// The export as it stands.
        export: ExportSummary,
    },
    /// Why nothing was done.
    Refused {
        /// `invalid-request`, `not-found` or `unavailable`.
        problem: Problem,
    },
}
