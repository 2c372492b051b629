//! Collects the encoded chunks of a file into segments, computes their digests, and passes each segment to a
//! [`SegmentSink`].

use std::time::Duration;

use async_trait::async_trait;
use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use protocol::delivery::{Seal, Segment};
use tokio::time::Instant;

use crate::error::JobError;

/// The size and age at which the exporter closes a segment. The first segment has smaller limits, so that clients
/// receive the first bytes early.
#[derive(Clone, Copy, Debug)]
pub struct SegmentLimits {
    /// The size at which the exporter closes the open segment, in bytes.
    pub size: usize,
    /// The age at which the exporter closes the open segment, even if the segment is small. The age counts from the
    /// first chunk of the segment.
    pub max_age: Duration,
    /// The size at which the exporter closes the first segment, in bytes.
    pub first_size: usize,
    /// The age at which the exporter closes the first segment, even if the segment is small.
    pub first_max_age: Duration,
}

/// Consecutive bytes of an export's file, which one stage of the pipeline passes to the next stage.
#[derive(Debug)]
pub(crate) struct Chunk {
    /// The encoded bytes. After the compression stage, the compressed bytes.
    pub(crate) bytes: Bytes,
    /// The number of rows that this chunk adds to the row count of the file.
    pub(crate) rows: u64,
}

/// A durable store for the segments of one file.
#[async_trait]
pub trait SegmentSink: Send + Sync {
    /// Stores a segment, whose bytes are the concatenation of `chunks`. After this method returns, clients can download
    /// the segment.
    ///
    /// # Errors
    /// When the store refuses the segment, or a later attempt at the export has replaced the attempt that stores the
    /// segment.
    async fn store(&self, segment: &Segment, chunks: Vec<Bytes>) -> Result<(), JobError>;
}

/// Collects the chunks of one file into segments.
pub(crate) struct Segmenter<'a> {
    sink: &'a dyn SegmentSink,
    limits: SegmentLimits,
    file_digest: Context,
    stored: Vec<Segment>,
    open: Option<OpenSegment>,
}

/// The segment that collects chunks until it reaches its limits.
struct OpenSegment {
    since: Instant,
    digest: Context,
    chunks: Vec<Bytes>,
    size: usize,
    rows: u64,
}

impl<'a> Segmenter<'a> {
    /// Creates a segmenter for a new, empty file, whose segments `sink` stores.
    pub(crate) fn new(sink: &'a dyn SegmentSink, limits: SegmentLimits) -> Self {
        Self { sink, limits, file_digest: Context::new(&SHA256), stored: Vec::new(), open: None }
    }

    /// Returns the time at which the caller must close the open segment because of its age; None if no segment is open.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let max_age = if self.stored.is_empty() { self.limits.first_max_age } else { self.limits.max_age };
        self.open.as_ref().map(|open| open.since + max_age)
    }

    /// Appends a chunk. Stores the open segment when it reaches its size limit.
    ///
    /// # Errors
    /// When the sink fails to store the segment.
    pub(crate) async fn push(&mut self, chunk: Chunk) -> Result<(), JobError> {
        if chunk.bytes.is_empty() {
            return Ok(());
        }
        let open = self.open.get_or_insert_with(|| OpenSegment {
            since: Instant::now(),
            digest: Context::new(&SHA256),
            chunks: Vec::new(),
            size: 0,
            rows: 0,
        });
        self.file_digest.update(&chunk.bytes);
        open.digest.update(&chunk.bytes);
        open.size += chunk.bytes.len();
        open.rows += chunk.rows;
        open.chunks.push(chunk.bytes);
        let size = if self.stored.is_empty() { self.limits.first_size } else { self.limits.size };
        if open.size >= size { self.close().await } else { Ok(()) }
    }

    /// Stores the open segment, if there is one.
    ///
    /// # Errors
    /// When the sink fails to store the segment.
    pub(crate) async fn close(&mut self) -> Result<(), JobError> {
        let Some(open) = self.open.take() else { return Ok(()) };
        let segment = Segment {
            index: self.stored.len() as u32,
            offset: self.stored.last().map_or(0, Segment::end),
            size: open.size as u64,
            rows: open.rows,
            sha256: hex::encode(open.digest.finish()),
        };
        self.sink.store(&segment, open.chunks).await?;
        self.stored.push(segment);
        Ok(())
    }

    /// Stores the last segment. Returns all segments, and the seal of the file: its size, row count and SHA-256 digest.
    ///
    /// # Errors
    /// When the sink fails to store the last segment.
    pub(crate) async fn seal(mut self) -> Result<(Vec<Segment>, Seal), JobError> {
        self.close().await?;
        let seal = Seal {
            size: self.stored.last().map_or(0, Segment::end),
            rows: self.stored.iter().map(|segment| segment.rows).sum(),
            sha256: hex::encode(self.file_digest.finish()),
        };
        Ok((self.stored, seal))
    }
}
