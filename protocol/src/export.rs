//! The export object, and the request that creates an export.

use std::{fmt, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{id::ExportId, problem::Problem, time::Timestamp};

/// The status of an export. `unchanged`, `failed`, `canceled` and `expired` are final. `completed` becomes `expired` when the file
/// is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// The request is committed, and the export waits for dispatch.
    Queued,
    /// The job is published, and the export waits for a free slot.
    Dispatched,
    /// An exporter runs the export.
    Running,
    /// The file is complete and can be downloaded.
    Completed,
    /// The export has no file and cost nothing, because its rows are those of the last run of its schedule.
    Unchanged,
    /// The export has no file; `problem` states the cause.
    Failed,
    /// The export has no file, because its owner or an operator canceled it.
    Canceled,
    /// The file was deleted, at the end of its retention or by its owner.
    Expired,
}

impl Status {
    /// Every status, in the order of the life of an export.
    pub const ALL: [Self; 8] = [
        Self::Queued,
        Self::Dispatched,
        Self::Running,
        Self::Completed,
        Self::Unchanged,
        Self::Failed,
        Self::Canceled,
        Self::Expired,
    ];

    /// The text of the status in messages and in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Dispatched => "dispatched",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Unchanged => "unchanged",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
            Self::Expired => "expired",
        }
    }

    /// Whether the export is queued, dispatched or running.
    #[must_use]
    pub const fn is_unfinished(self) -> bool {
        matches!(self, Self::Queued | Self::Dispatched | Self::Running)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The error for a text that is not the name of a status.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown status `{0}`")]
pub struct UnknownStatus(String);

impl FromStr for Status {
    type Err = UnknownStatus;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|status| status.as_str() == s).ok_or_else(|| UnknownStatus(s.to_owned()))
    }
}

/// What an export waits for: a part of the installation, or an operator. The export continues by itself when the part
/// works again, or when an operator resumes its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum WaitingFor {
    /// The store of the files, or the disk for temporary files, is unavailable or full.
    Storage,
    /// The database of the installation is unavailable or full.
    Database,
    /// NATS is unavailable or full.
    Messaging,
    /// The source of the dataset is unavailable.
    Source,
    /// An operator has paused the exports of the owner or of the owner's tenant.
    Operator,
}

impl WaitingFor {
    /// Every part, by descending priority. If an export waits for several parts, it reports only the part with the
    /// highest priority.
    pub const ALL: [Self; 5] = [Self::Storage, Self::Database, Self::Messaging, Self::Source, Self::Operator];

    /// The text of the part in messages and in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Storage => "storage",
            Self::Database => "database",
            Self::Messaging => "messaging",
            Self::Source => "source",
            Self::Operator => "operator",
        }
    }

    /// The part with this text; None for any other text.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|part| part.as_str() == name)
    }
}

/// The progress of an export.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Progress {
    /// The number of rows written.
    pub rows: u64,
    /// The total number of rows, if known.
    pub rows_total: Option<u64>,
    /// The number of bytes written.
    pub bytes: u64,
    /// The number of exports that start before this one; null when the export runs or has ended.
    pub queue_position: Option<u64>,
    /// The estimated time to completion, in milliseconds; null when unknown.
    pub eta_ms: Option<u64>,
    /// What the export waits for apart from its place in the queue; null while it waits for nothing else.
    pub waiting_for: Option<WaitingFor>,
}

/// The file of a completed export.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FileInfo {
    /// The suggested file name.
    pub name: String,
    /// The size in bytes.
    pub size: u64,
    /// The number of data rows, without the header.
    pub rows: u64,
    /// The SHA-256 of the file, in lower-case hex; also the strong `ETag`.
    pub sha256: String,
    /// The media type, as in `Content-Type`.
    pub media_type: String,
}

/// Links of an export, relative to the gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Links {
    /// The link of the export object.
    #[serde(rename = "self")]
    pub this: String,
    /// The link of the file.
    pub file: String,
    /// The link of the CSVW metadata document.
    pub metadata: String,
}

impl Links {
    /// The links of the export with this id.
    #[must_use]
    pub fn for_export(id: ExportId) -> Self {
        Self {
            this: format!("/v1/exports/{id}"),
            file: format!("/v1/exports/{id}/file"),
            metadata: format!("/v1/exports/{id}/metadata"),
        }
    }
}

/// The export object in REST answers, session messages and events.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Export {
    /// The id of the export.
    pub id: ExportId,
    /// The name of the dataset.
    pub dataset: String,
    /// The name of the template.
    pub template: String,
    /// The format of the file, such as `csv`.
    pub format: String,
    /// The compression of the file, such as `none`.
    pub compression: String,
    /// The filter of the request, with moments relative to now resolved; `{}` for all rows.
    pub filter: Value,
    /// The requested columns, in order; empty for the columns of the template.
    pub columns: Vec<String>,
    /// The parameters of the request, with moments relative to now resolved.
    pub params: Map<String, Value>,
    /// The status of the export.
    pub status: Status,
    /// The number of the current or last attempt; 0 before the first attempt.
    pub attempt: u32,
    /// The time at which the gateway accepted the request. The file may contain this time too.
    pub requested_at: Timestamp,
    /// The start of the first attempt.
    pub started_at: Option<Timestamp>,
    /// The time at which the exporter finished the last row. The file may contain this time too.
    pub completed_at: Option<Timestamp>,
    /// The end of the retention of the file.
    pub expires_at: Option<Timestamp>,
    /// The progress of the export.
    pub progress: Progress,
    /// The file of the export; null unless the status is `completed`.
    pub file: Option<FileInfo>,
    /// The reason for the status `failed` or `canceled`; null for every other status.
    pub problem: Option<Problem>,
    /// The links of the export.
    pub links: Links,
}

/// A request for an export: the body of `POST /v1/exports`. `export.create` has the same members and more.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExportRequest {
    /// The name of a dataset from `GET /v1/datasets`.
    pub dataset: String,
    /// The name of a template of the dataset; `default` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// The name of a format of the dataset; `csv` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// The name of a compression of the format; `none` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compression: Option<String>,
    /// The filter expression; all rows when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<Value>,
    /// The columns of the file, in order; the columns of the template when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<Vec<String>>,
    /// The parameters of the dataset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub params: Option<Map<String, Value>>,
    /// The time zone in which moments relative to now, such as `now/d`, are resolved: an IANA name; `UTC` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
}

/// A page of exports, newest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ExportPage {
    /// The exports of this page, at most `limit`.
    pub items: Vec<Export>,
    /// The `cursor` of the next page; null on the last page.
    pub next_cursor: Option<String>,
}
