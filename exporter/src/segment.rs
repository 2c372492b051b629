//! From encoded chunks to segments: sized, hashed once and in order, and handed to where they become durable.

use std::time::Duration;

use async_trait::async_trait;
use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use protocol::delivery::{Seal, Segment};
use tokio::time::Instant;

use crate::error::JobError;

/// When a segment is closed.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// At this size.
    pub bytes: usize,
    /// At this age.
    pub age: Duration,
    /// The first one at this size.
    pub first_bytes: usize,
    /// The first one at this age.
    pub first_age: Duration,
}

/// Some whole rows as bytes; or none, for what stands around the table.
#[derive(Debug)]
pub struct Chunk {
    /// The bytes.
    pub bytes: Bytes,
    /// How many rows end in them.
    pub rows: u64,
}

/// Where segments become durable.
#[async_trait]
pub trait Outlet: Send + Sync {
    /// Keeps a segment; when this returns, it can be read.
    ///
    /// # Errors
    /// When it can't be kept, or the attempt no longer holds.
    async fn keep(&self, segment: &Segment, chunks: Vec<Bytes>) -> Result<(), JobError>;
}

/// Collects chunks of one file.
pub struct Segmenter<'a> {
    outlet: &'a dyn Outlet,
    limits: Limits,
    whole: Context,
    kept: Vec<Segment>,
    open: Option<Open>,
}

/// A segment that is still growing.
struct Open {
    since: Instant,
    digest: Context,
    chunks: Vec<Bytes>,
    size: usize,
    rows: u64,
}

impl<'a> Segmenter<'a> {
    /// An empty file.
    #[must_use]
    pub fn new(outlet: &'a dyn Outlet, limits: Limits) -> Self {
        Self { outlet, limits, whole: Context::new(&SHA256), kept: Vec::new(), open: None }
    }

    /// When the growing segment must be closed, if there is one.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        let age = if self.kept.is_empty() { self.limits.first_age } else { self.limits.age };
        self.open.as_ref().map(|open| open.since + age)
    }

    /// Appends a chunk, and closes the segment when it is large enough.
    ///
    /// # Errors
    /// When the segment can't be kept.
    pub async fn push(&mut self, chunk: Chunk) -> Result<(), JobError> {
        if chunk.bytes.is_empty() {
            return Ok(());
        }
        let open = self.open.get_or_insert_with(|| Open {
            since: Instant::now(),
            digest: Context::new(&SHA256),
            chunks: Vec::new(),
            size: 0,
            rows: 0,
        });
        self.whole.update(&chunk.bytes);
        open.digest.update(&chunk.bytes);
        open.size += chunk.bytes.len();
        open.rows += chunk.rows;
        open.chunks.push(chunk.bytes);
        let limit = if self.kept.is_empty() { self.limits.first_bytes } else { self.limits.bytes };
        if open.size >= limit { self.close().await } else { Ok(()) }
    }

    /// Closes the growing segment, if there is one.
    ///
    /// # Errors
    /// When it can't be kept.
    pub async fn close(&mut self) -> Result<(), JobError> {
        let Some(open) = self.open.take() else { return Ok(()) };
        let segment = Segment {
            index: self.kept.len() as u32,
            offset: self.kept.last().map_or(0, Segment::end),
            size: open.size as u64,
            rows: open.rows,
            sha256: hex::encode(open.digest.finish()),
        };
        self.outlet.keep(&segment, open.chunks).await?;
        self.kept.push(segment);
        Ok(())
    }

    /// Closes the last segment and seals the file.
    ///
    /// # Errors
    /// When the last segment can't be kept.
    pub async fn seal(mut self) -> Result<(Vec<Segment>, Seal), JobError> {
        self.close().await?;
        let seal = Seal {
            size: self.kept.last().map_or(0, Segment::end),
            rows: self.kept.iter().map(|segment| segment.rows).sum(),
            sha256: hex::encode(self.whole.finish()),
        };
        Ok((self.kept, seal))
    }
}
