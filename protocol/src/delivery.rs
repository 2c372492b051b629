//! The delivery of file bytes to gateways: segments, grants and announcements. Gateways request grants over NATS, and
//! read the bytes over HTTP from the URLs in the grants.

use serde::{Deserialize, Serialize};

use crate::{
    export::Status,
    id::{ExportId, Owner},
    problem::Problem,
    time::Timestamp,
};

/// One durable part of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// The index within the attempt, starting at 0.
    pub index: u32,
    /// The position of the first byte of the segment in the file.
    pub offset: u64,
    /// The size in bytes; never 0.
    pub size: u64,
    /// The number of data rows whose last byte is in the segment.
    pub rows: u64,
    /// The SHA-256 of the segment, in lower-case hex.
    pub sha256: String,
}

impl Segment {
    /// Returns the offset in the file after the last byte of the segment.
    #[must_use]
    pub const fn end(&self) -> u64 {
        self.offset + self.size
    }
}

/// The seal of a file. A file without a seal is incomplete.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seal {
    /// The size of the file in bytes.
    pub size: u64,
    /// The number of data rows.
    pub rows: u64,
    /// The SHA-256 of the file, in lower-case hex.
    pub sha256: String,
}

/// The dataset and the template that produced a file, and the two timestamps of the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    /// The name of the dataset.
    pub dataset: String,
    /// The declared version of the dataset, or a digest of its description.
    pub dataset_version: String,
    /// The name of the template.
    pub template: String,
    /// The declared version of the template, or a digest of its description.
    pub template_version: String,
    /// The time at which the gateway accepted the export. Manifests of earlier versions lack it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested_at: Option<Timestamp>,
    /// The completion time, as the file or its metadata document states it. Manifests of earlier versions lack it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Timestamp>,
}

/// The manifest of an attempt. The exporter writes it to the file store after all segments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The envelope version, [`crate::ENVELOPE_VERSION`].
    pub v: u8,
    /// The id of the export.
    pub export_id: ExportId,
    /// The attempt that wrote the file.
    pub attempt: u32,
    /// The dataset and the template of the file, with their versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provenance: Option<Provenance>,
    /// All segments, in order.
    pub segments: Vec<Segment>,
    /// The seal of the file.
    pub seal: Seal,
}

/// A core NATS message, exporter → notifier: the file store holds a new segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentWritten {
    /// The id of the export.
    pub export_id: ExportId,
    /// The attempt that wrote the segment.
    pub attempt: u32,
    /// The segment that the file store holds.
    pub segment: Segment,
}

/// A short-lived, unguessable URL of one segment. The URL accepts GET requests with `Range`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The segment that the URL refers to.
    pub segment: Segment,
    /// The URL of the bytes of the segment.
    pub url: String,
    /// The lifetime of the URL from the creation of the grant, in milliseconds. The gateway then requests a new grant.
    /// The member is a duration instead of a time, because the clocks of gateway and notifier may differ.
    pub ttl_ms: u64,
}

/// The request on [`crate::subject::DELIVERY_GRANT`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantRequest {
    /// The id of the export.
    pub export_id: ExportId,
    /// The caller; the notifier checks that the caller owns the export.
    #[serde(flatten)]
    pub owner: Owner,
    /// The attempt that wrote the bytes before `offset`, if the gateway has already sent any.
    pub attempt: Option<u32>,
    /// The position of a byte in the file. The first grant is for the segment that contains this byte.
    pub offset: u64,
    /// The maximum number of grants.
    pub max: u32,
}

/// The answer to a [`GrantRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum GrantReply {
    /// The notifier sends grants for the next segments of the file.
    Granted {
        /// The attempt that wrote the segments.
        attempt: u32,
        /// The status of the export.
        status: Status,
        /// Grants in the order of the segments; empty while the exporter has not written the byte at `offset`.
        grants: Vec<Grant>,
        /// The seal of the file, once the export is completed.
        seal: Option<Seal>,
    },
    /// Another attempt than the one in the request writes the file now. Its bytes may differ from those already sent.
    Restarted,
    /// The notifier sends no grants.
    Refused {
        /// The problem: `invalid-request`, `not-found`, `canceled`, `export-failed`, `expired` or `unavailable`.
        problem: Problem,
    },
}

/// A core NATS message, notifier → gateways, on [`crate::subject::delivery_announce`]. Announcements may be lost, so a
/// gateway polls for grants too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "announcement", rename_all = "snake_case")]
pub enum Announcement {
    /// A new segment is ready to read.
    Segment {
        /// The attempt that wrote the segment.
        attempt: u32,
        /// The grant of the segment.
        grant: Grant,
    },
    /// The export ended. The gateway sends another grant request to learn the status.
    Ended,
}

/// The request on [`crate::subject::DELIVERY_METADATA`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetadataRequest {
    /// The id of the export.
    pub export_id: ExportId,
    /// The caller; the notifier checks that the caller owns the export.
    #[serde(flatten)]
    pub owner: Owner,
}

/// The answer to a [`MetadataRequest`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum MetadataReply {
    /// The CSVW metadata document of the file.
    Document {
        /// The document that the gateway returns to the client.
        document: serde_json::Value,
    },
    /// The export has no metadata document.
    Refused {
        /// The problem that the gateway returns to the client.
        problem: Problem,
    },
}

/// The common prefix of the paths of all objects of one attempt in the file store.
#[must_use]
pub fn attempt_prefix(id: ExportId, attempt: u32) -> String {
    format!("exports/{id}/{attempt}")
}

/// The common prefix of the paths of all objects of an export in the file store.
#[must_use]
pub fn export_prefix(id: ExportId) -> String {
    format!("exports/{id}")
}

/// The path of the object of one segment.
#[must_use]
pub fn segment_path(id: ExportId, attempt: u32, index: u32) -> String {
    format!("exports/{id}/{attempt}/{index:06}.segment")
}

/// The path of the manifest object.
#[must_use]
pub fn manifest_path(id: ExportId, attempt: u32) -> String {
    format!("exports/{id}/{attempt}/manifest.json")
}

/// The path of the object with the CSVW metadata document.
#[must_use]
pub fn metadata_path(id: ExportId, attempt: u32) -> String {
    format!("exports/{id}/{attempt}/metadata.json")
}
