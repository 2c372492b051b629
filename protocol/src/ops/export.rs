//! Requests about exports of any owner. The answers have members that only operators see.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    export::{Export, Status},
    id::ExportId,
    problem::Problem,
    time::Timestamp,
};

/// One export, for operators. The summary has no filter and no parameters, because they may contain personal data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExportSummary {
    /// The id of the export.
    pub id: ExportId,
    /// The tenant of the owner.
    pub tenant: String,
    /// The user who owns the export.
    pub user: String,
    /// The name of the dataset.
    pub dataset: String,
    /// The format of the file.
    pub format: String,
    /// The status of the export.
    pub status: Status,
    /// The number of the current or last attempt; 0 before the first attempt.
    pub attempt: u32,
    /// The number of attempts that failed or were abandoned by their exporter.
    pub failures: u32,
    /// The pool of exporters that may run the export.
    pub pool: String,
    /// The lane: `interactive` or `bulk`.
    pub lane: String,
    /// The price of the export, in credits.
    pub credits: u32,
    /// The time of the request.
    pub requested_at: Timestamp,
    /// The start of the first attempt; None before the first attempt.
    pub started_at: Option<Timestamp>,
    /// The time at which the exporter finished the last row; None without a complete file.
    pub completed_at: Option<Timestamp>,
    /// The time of the last change of the export.
    pub updated_at: Timestamp,
    /// The time at which the owner or an operator requested cancellation.
    pub cancel_requested_at: Option<Timestamp>,
    /// The exporter that holds the lease of the export, or held the lease when the export ended.
    pub exporter: Option<String>,
    /// The number of rows written.
    pub rows: u64,
    /// The number of bytes written.
    pub bytes: u64,
    /// The slug of the problem, for a failed or canceled export.
    pub problem: Option<String>,
    /// The trace id, which identifies the export in logs and traces.
    pub trace_id: Option<String>,
}

/// The request for a list of exports, on [`crate::subject::OPS_EXPORTS`]. The answer lists the newest exports first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ExportsRequest {
    /// Lists only exports with this status.
    pub status: Option<Status>,
    /// Lists only exports of this tenant.
    pub tenant: Option<String>,
    /// Lists only exports of this user; requires `tenant`.
    pub user: Option<String>,
    /// Lists only exports of this dataset.
    pub dataset: Option<String>,
    /// Lists only exports whose tenant, user or dataset contains this text, in any case, or whose id or trace id is this
    /// text. At most 255 characters.
    pub text: Option<String>,
    /// The maximum number of items, up to 200. Default 50.
    pub limit: Option<u32>,
    /// The `next_cursor` of the previous page.
    pub cursor: Option<ExportId>,
}

/// The answer to an [`ExportsRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum ExportsReply {
    /// One page of exports.
    Exports {
        /// The exports, newest first.
        items: Vec<ExportSummary>,
        /// The cursor of the next page; absent on the last page.
        next_cursor: Option<ExportId>,
    },
    /// The notifier refused the request.
    Refused {
        /// The problem: `invalid-request` or `unavailable`.
        problem: Problem,
    },
}

/// The request for one export, on [`crate::subject::OPS_EXPORT`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportLookup {
    /// The id of the export.
    pub export_id: ExportId,
}

/// The answer to an [`ExportLookup`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum ExportReply {
    /// The export, in the form for operators and in the form for its owner.
    Export {
        /// The summary for operators.
        summary: Box<ExportSummary>,
        /// The export object that the owner sees.
        export: Box<Export>,
    },
    /// The notifier refused the request.
    Refused {
        /// The problem: `invalid-request`, `not-found` or `unavailable`.
        problem: Problem,
    },
}

/// The request to cancel an export, on [`crate::subject::OPS_CANCEL`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancelRequest {
    /// The id of the export.
    pub export_id: ExportId,
    /// The name of the operator; None for a request without a name.
    #[serde(default)]
    pub operator: Option<String>,
    /// The reason of the operator, at most [`super::MAX_REASON_CHARS`] characters.
    #[serde(default)]
    pub reason: Option<String>,
}

impl CancelRequest {
    /// A request without a name and a reason.
    #[must_use]
    pub const fn new(export_id: ExportId) -> Self {
        Self { export_id, operator: None, reason: None }
    }
}

/// The answer to a [`CancelRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum CancelReply {
    /// The notifier recorded the request, and the export ends as canceled. A repeated request changes nothing.
    Requested {
        /// The current state of the export.
        export: ExportSummary,
    },
    /// The export had already ended, and the request changed nothing.
    Ended {
        /// The current state of the export.
        export: ExportSummary,
    },
    /// The notifier refused the request and changed nothing.
    Refused {
        /// The problem: `invalid-request`, `not-found` or `unavailable`.
        problem: Problem,
    },
}
