//! How a gateway comes by the bytes of a file: segments, grants and announcements. Control goes over NATS, bytes
//! go over HTTP by the URLs in the grants.

use serde::{Deserialize, Serialize};

use crate::{
    export::Status,
    id::{ExportId, Owner},
    problem::Problem,
    time::Timestamp,
};

/// One durable piece of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// 0, 1, 2, … within the attempt.
    pub index: u32,
    /// Position of its first byte in the file.
    pub offset: u64,
    /// Bytes; never 0.
    pub size: u64,
    /// Data rows that end in it.
    pub rows: u64,
    /// SHA-256 of its bytes, lower-case hex.
    pub sha256: String,
}

impl Segment {
    /// The offset just past its last byte.
    #[must_use]
    pub const fn end(&self) -> u64 {
        self.offset + self.size
    }
}

/// The sealed end of a file: only this makes it whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seal {
    /// Bytes.
    pub size: u64,
    /// Data rows.
    pub rows: u64,
    /// SHA-256 of all bytes, lower-case hex.
    pub sha256: String,
}

/// What a file was made by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    /// The dataset's name.
    pub dataset: String,
    /// The version that its author gave it, or a digest of its description.
    pub dataset_version: String,
    /// The template's name.
    pub template: String,
    /// The version that its author gave it, or a digest of its description.
    pub template_version: String,
}

/// The manifest object beside the segments, written last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`crate::ENVELOPE_VERSION`].
    pub v: u8,
    /// The export.
    pub export_id: ExportId,
    /// The attempt that made it.
    pub attempt: u32,
    /// What made it; None in manifests that are older than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provenance: Option<Provenance>,
    /// All segments in order.
    pub segments: Vec<Segment>,
    /// The end.
    pub seal: Seal,
}

/// Core NATS, exporter → notifier: a segment is durable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentWritten {
    /// The export.
    pub export_id: ExportId,
    /// The attempt that wrote it.
    pub attempt: u32,
    /// The segment.
    pub segment: Segment,
}

/// A short-lived, unguessable URL of one segment. It answers GET with Range.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The segment.
    pub segment: Segment,
    /// Where its bytes are.
    pub url: String,
    /// After this the URL is refused, and the gateway asks for another.
    pub expires_at: Timestamp,
}

/// Request on [`crate::subject::DELIVERY_GRANT`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantRequest {
    /// The export.
    pub export_id: ExportId,
    /// Who asks; the notifier checks that it is theirs.
    #[serde(flatten)]
    pub owner: Owner,
    /// The attempt whose bytes before `offset` were already sent, if any were.
    pub attempt: Option<u32>,
    /// Grants from the segment that holds this byte on.
    pub offset: u64,
    /// At most this many grants.
    pub max: u32,
}

/// The answer to a [`GrantRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum GrantReply {
    /// Go on reading.
    Granted {
        /// The attempt that these bytes are of.
        attempt: u32,
        /// Where the export stands.
        status: Status,
        /// Segments in order; empty when the byte at `offset` is not made yet.
        grants: Vec<Grant>,
        /// The end, once the export is completed.
        seal: Option<Seal>,
    },
    /// A new attempt made other bytes than those already sent.
    Restarted,
    /// There is nothing to read, now or ever, and why.
    Refused {
        /// `not-found`, `canceled`, `export-failed`, `expired` or `unavailable`.
        problem: Problem,
    },
}

/// Core NATS, notifier → gateways on [`crate::subject::delivery_announce`]: may be lost, so that a gateway also
/// asks by itself from time to time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "announcement", rename_all = "snake_case")]
pub enum Announcement {
    /// A new segment can be read.
    Segment {
        /// The attempt that wrote it.
        attempt: u32,
        /// Its grant.
        grant: Grant,
    },
    /// The export ended, one way or another: ask again.
    Ended,
}

/// Request on [`crate::subject::DELIVERY_METADATA`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetadataRequest {
    /// The export.
    pub export_id: ExportId,
    /// Who asks.
    #[serde(flatten)]
    pub owner: Owner,
}

/// The answer to a [`MetadataRequest`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum MetadataReply {
    /// The CSVW document.
    Document {
        /// As it is served.
        document: serde_json::Value,
    },
    /// Why there is none.
    Refused {
        /// The problem.
        problem: Problem,
    },
}

/// The folder of one attempt in the file store.
#[must_use]
pub fn attempt_prefix(id: ExportId, attempt: u32) -> String {
    format!("exports/{id}/{attempt}")
}

/// The folder of an export in the file store.
#[must_use]
pub fn export_prefix(id: ExportId) -> String {
    format!("exports/{id}")
}

/// The object of one segment.
#[must_use]
pub fn segment_path(id: ExportId, attempt: u32, index: u32) -> String {
    format!("exports/{id}/{attempt}/{index:06}.segment")
}

/// The object of the manifest.
#[must_use]
pub fn manifest_path(id: ExportId, attempt: u32) -> String {
    format!("exports/{id}/{attempt}/manifest.json")
}

/// The object of the CSVW metadata document.
#[must_use]
pub fn metadata_path(id: ExportId, attempt: u32) -> String {
    format!("exports/{id}/{attempt}/metadata.json")
}
