//! The export object and the request that makes one.

use std::{fmt, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{id::ExportId, problem::Problem, time::Timestamp};

/// Where an export stands. Only the last four are final, and `completed` can still become `expired`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Committed; waits for its turn.
    Queued,
    /// Handed to the exporters; waits for a free slot.
    Dispatched,
    /// An exporter is at work.
    Running,
    /// The file is whole and can be fetched.
    Completed,
    /// No file; `problem` says why.
    Failed,
    /// No file; somebody asked for that.
    Canceled,
    /// The file was kept for its time and deleted.
    Expired,
}

impl Status {
    /// Every status.
    pub const ALL: [Self; 7] =
        [Self::Queued, Self::Dispatched, Self::Running, Self::Completed, Self::Failed, Self::Canceled, Self::Expired];

    /// The status as it stands on the wire and in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Dispatched => "dispatched",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
            Self::Expired => "expired",
        }
    }

    /// Whether work may still be going on.
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

/// A word that is no status.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown status `{0}`")]
pub struct UnknownStatus(pub String);

impl FromStr for Status {
    type Err = UnknownStatus;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|status| status.as_str() == s).ok_or_else(|| UnknownStatus(s.to_owned()))
    }
}

/// How far an export has come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Progress {
    /// Rows written so far.
    pub rows: u64,
    /// Rows there will be, where that is known.
    pub rows_total: Option<u64>,
    /// Bytes written so far.
    pub bytes: u64,
    /// How many exports stand before this one; null once it runs.
    pub queue_position: Option<u64>,
    /// Estimated milliseconds until the end.
    pub eta_ms: Option<u64>,
}

/// The finished file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FileInfo {
    /// A name to save it under.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// Data rows, without the header.
    pub rows: u64,
    /// SHA-256 of all bytes, lower-case hex; also the strong `ETag`.
    pub sha256: String,
    /// For `Content-Type`.
    pub media_type: String,
}

/// Where things are, relative to the gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Links {
    /// The export itself.
    #[serde(rename = "self")]
    pub this: String,
    /// The bytes.
    pub file: String,
    /// The CSVW document.
    pub metadata: String,
}

impl Links {
    /// The links of one export.
    #[must_use]
    pub fn for_export(id: ExportId) -> Self {
        Self {
            this: format!("/v1/exports/{id}"),
            file: format!("/v1/exports/{id}/file"),
            metadata: format!("/v1/exports/{id}/metadata"),
        }
    }
}

/// One export, as every part of the contract shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Export {
    /// Names it everywhere.
    pub id: ExportId,
    /// What is exported.
    pub dataset: String,
    /// How it is laid out.
    pub template: String,
    /// `csv` and others that the dataset offers.
    pub format: String,
    /// `none` and others that the format offers.
    pub compression: String,
    /// The filter as it was asked for; `{}` for none.
    pub filter: Value,
    /// The columns asked for, in order; empty for those of the template.
    pub columns: Vec<String>,
    /// The dataset's parameters as asked for.
    pub params: Map<String, Value>,
    /// Where it stands.
    pub status: Status,
    /// Which try made or makes the file: 0 before the first, then 1, 2, …
    pub attempt: u32,
    /// When the gateway took the request; also in the file.
    pub requested_at: Timestamp,
    /// When the first attempt began.
    pub started_at: Option<Timestamp>,
    /// When the last byte was made; also in the file.
    pub completed_at: Option<Timestamp>,
    /// Until when the file is kept.
    pub expires_at: Option<Timestamp>,
    /// How far it is.
    pub progress: Progress,
    /// The file; null until `completed`.
    pub file: Option<FileInfo>,
    /// Why there is no file, for `failed` and `canceled`.
    pub problem: Option<Problem>,
    /// Where things are.
    pub links: Links,
}

/// What to export: the body of `POST /v1/exports` and the heart of `export.create`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExportRequest {
    /// A name from `GET /v1/datasets`.
    pub dataset: String,
    /// One of the dataset's templates; `default` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// One of the dataset's formats; `csv` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// `none` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compression: Option<String>,
    /// See `filter`; everything when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<Value>,
    /// Columns in the order wanted; the template's when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<Vec<String>>,
    /// The dataset's parameters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub params: Option<Map<String, Value>>,
}

/// A page of exports, newest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ExportPage {
    /// At most `limit` of them.
    pub items: Vec<Export>,
    /// Pass it as `cursor` for the next page; null on the last.
    pub next_cursor: Option<String>,
}
