//! Runs the stages of one pipeline, and returns the size, row count and digest of the complete file as a [`Seal`].

use std::sync::Arc;

use platform::clock::SharedClock;
use protocol::{
    delivery::{Seal, Segment},
    time::Timestamp,
};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout_at},
};
use tokio_util::task::AbortOnDropHandle;

use super::{ContentDigest, PipelineLimits, compress, encode, stage::CHANNEL_CAPACITY};
use crate::{
    dataset::Frames,
    error::JobError,
    format::{Compression, Encoding},
    layout::Layout,
    progress::Meter,
    segment::{SegmentSink, Segmenter},
};

/// The pipeline of one file: its rows, layout, encoding, limits and sink.
pub struct Pipeline<'a> {
    /// The rows of the source, as a stream of data frames with the columns of [`Layout::inputs`].
    pub frames: Frames,
    /// The columns of the file, their order and their styles.
    pub layout: Arc<Layout>,
    /// The part of the format that produces the bytes: an encoder for several threads, or a writer for one thread.
    pub encoding: Encoding,
    /// The compression of the whole file.
    pub compression: Compression,
    /// The time at which the gateway accepted the export.
    pub requested_at: Timestamp,
    /// The counters of rows and bytes, for progress reports.
    pub meter: Arc<Meter>,
    /// The limits of memory, threads and temporary files for this pipeline.
    pub limits: PipelineLimits,
    /// The destination of the segments, which stores each of them durably.
    pub sink: &'a dyn SegmentSink,
    /// The clock that supplies the completion time.
    pub clock: SharedClock,
}

/// A complete file whose segments are all stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedFile {
    /// The stored segments, in order.
    pub segments: Vec<Segment>,
    /// The size, row count and digest of the whole file.
    pub seal: Seal,
    /// The completion time, as the file or its metadata document states it.
    pub completed_at: Timestamp,
}

impl Pipeline<'_> {
    /// Runs all stages until the sink has stored the whole file. Dropping the future stops the source and the encoders.
    ///
    /// # Errors
    /// When the source, the encoder or the sink fails, or the file exceeds a limit.
    pub async fn run(self) -> Result<SealedFile, JobError> {
        self.run_with(None).await
    }

    /// Runs all stages as [`Self::run`] does, and adds the rows of the file to `content`.
    ///
    /// # Errors
    /// The errors of [`Self::run`].
    pub async fn run_with(self, content: Option<ContentDigest>) -> Result<SealedFile, JobError> {
        let Self { frames, layout, encoding, compression, requested_at, meter, limits, sink, clock } = self;
        let segments = limits.segments;
        let mut segmenter = Segmenter::new(sink, segments);
        let (sender, encoded) = mpsc::channel(CHANNEL_CAPACITY);
        let encode = encode::Encode {
            layout,
            encoding,
            requested_at,
            meter: Arc::clone(&meter),
            limits: limits.clone(),
            clock,
            content,
        };
        let encoding = AbortOnDropHandle::new(tokio::spawn(encode.run(frames, sender)));
        let (mut chunks, compressing) =
            compress::stage(encoded, compression, limits.compression, limits.encoder_threads);

        loop {
            // while no segment is open, this timer has no effect
            let deadline = segmenter.deadline().unwrap_or_else(|| Instant::now() + segments.max_age);
            match timeout_at(deadline, chunks.recv()).await {
                Ok(Some(chunk)) => {
                    meter.add(0, chunk.bytes.len() as u64);
                    segmenter.push(chunk).await?;
                }
                Ok(None) => break,
                Err(_) => segmenter.close().await?,
            }
        }
        // a file is complete only when every stage ended without an error
        let completed_at = encoding.await??;
        if let Some(compressing) = compressing {
            compressing.await??;
        }
        let (segments, seal) = segmenter.seal().await?;
        Ok(SealedFile { segments, seal, completed_at })
    }
}
