//! The way of the bytes: frames → encoders on several threads → chunks in order → segments.
//!
//! Every stage waits for the next one, so that memory is bounded by the chunks in flight, whatever the size of the
//! file.

use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream, stream::FuturesOrdered};
use platform::clock::Clock;
use polars::prelude::DataFrame;
use protocol::{
    delivery::{Seal, Segment},
    time::Timestamp,
};
use tokio::{
    sync::mpsc,
    task::spawn_blocking,
    time::{Instant, timeout_at},
};
use tokio_util::task::AbortOnDropHandle;

use crate::{
    dataset::{DatasetError, Frames},
    error::JobError,
    format::{Encoder, FormatError, Head, Tail},
    progress::Meter,
    segment::{Chunk, Limits, Outlet, Segmenter},
};

/// Chunks that wait for the segmenter; when it is full the encoders wait.
const CHUNKS: usize = 4;
/// About how many bytes a chunk has.
const CHUNK_BYTES: u64 = 1 << 20;
/// Rows of the first chunk, before anything is known about their size: few, so that a file begins early.
const FIRST_ROWS: u64 = 1024;
/// Rows of a chunk at most.
const MOST_ROWS: u64 = 1 << 16;

/// What a pipeline needs.
pub struct Pipeline<'a> {
    /// The rows.
    pub frames: Frames,
    /// Writes them.
    pub encoder: Arc<dyn Encoder>,
    /// What is known before the first row.
    pub head: Head,
    /// Counts.
    pub meter: Arc<Meter>,
    /// When segments are closed.
    pub limits: Limits,
    /// Frames encoded at once.
    pub encoders: usize,
    /// Where segments go.
    pub outlet: &'a dyn Outlet,
    /// Tells when the last row was made.
    pub clock: &'a dyn Clock,
}

/// A whole file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// Its segments in order.
    pub segments: Vec<Segment>,
    /// Its end.
    pub seal: Seal,
    /// The time that stands in it.
    pub completed_at: Timestamp,
}

impl Pipeline<'_> {
    /// Makes the file. Dropping the future stops the source and the encoders.
    ///
    /// # Errors
    /// When the source, the encoder or the outlet fails.
    pub async fn run(self) -> Result<Made, JobError> {
        let Self { frames, encoder, head, meter, limits, encoders, outlet, clock } = self;
        let mut segmenter = Segmenter::new(outlet, limits);
        let (sender, mut chunks) = mpsc::channel(CHUNKS);
        let encoding = encode(frames, Arc::clone(&encoder), Arc::clone(&meter), encoders, sender);
        let encoding = AbortOnDropHandle::new(tokio::spawn(encoding));

        let mut begin = Vec::new();
        encoder.begin(&head, &mut begin);
        meter.add(0, begin.len() as u64);
        segmenter.push(Chunk { bytes: begin.into(), rows: 0 }).await?;
        loop {
            // before anything is made there is no hurry
            let due = segmenter.due().unwrap_or_else(|| Instant::now() + limits.age);
            match timeout_at(due, chunks.recv()).await {
                Ok(Some(chunk)) => segmenter.push(chunk).await?,
                Ok(None) => break,
                Err(_) => segmenter.close().await?,
            }
        }
        // only encoders that ended well make a whole file
        encoding.await??;

        let completed_at = Timestamp::from(clock.now()).max(head.requested_at);
        let mut end = Vec::new();
        encoder.end(&Tail { rows: meter.rows(), completed_at }, &mut end);
        meter.add(0, end.len() as u64);
        segmenter.push(Chunk { bytes: end.into(), rows: 0 }).await?;
        let (segments, seal) = segmenter.seal().await?;
        Ok(Made { segments, seal, completed_at })
    }
}

/// Encodes all frames, several at once, and sends the chunks in order.
async fn encode(
    frames: Frames,
    encoder: Arc<dyn Encoder>,
    meter: Arc<Meter>,
    encoders: usize,
    sender: mpsc::Sender<Chunk>,
) -> Result<(), JobError> {
    let pace = Arc::clone(&meter);
    let mut parts = std::pin::pin!(
        frames
            .map_ok(move |frame| cut(frame, Arc::clone(&pace)).map(Ok::<_, DatasetError>))
            .try_flatten()
            .map_err(JobError::from)
            .fuse()
    );
    let mut pending = FuturesOrdered::new();
    let mut more = true;
    while more || !pending.is_empty() {
        tokio::select! {
            biased;
            Some(done) = pending.next(), if !pending.is_empty() => {
                let chunk: Chunk = flatten(done)?;
                meter.add(chunk.rows, chunk.bytes.len() as u64);
                if sender.send(chunk).await.is_err() {
                    return Ok(());
                }
            }
            part = parts.try_next(), if more && pending.len() < encoders => match part? {
                Some(frame) => {
                    let encoder = Arc::clone(&encoder);
                    pending.push_back(spawn_blocking(move || chunk(encoder.as_ref(), &frame)));
                }
                None => more = false,
            },
        }
    }
    Ok(())
}

fn chunk(encoder: &dyn Encoder, frame: &DataFrame) -> Result<Chunk, FormatError> {
    let mut out = Vec::new();
    encoder.encode(frame, &mut out)?;
    Ok(Chunk { bytes: Bytes::from(out), rows: frame.height() as u64 })
}

fn flatten(done: Result<Result<Chunk, FormatError>, tokio::task::JoinError>) -> Result<Chunk, JobError> {
    Ok(done??)
}

/// Cuts a frame into parts that each make about one chunk, by the size of the rows so far.
fn cut(frame: DataFrame, meter: Arc<Meter>) -> impl futures::Stream<Item = DataFrame> {
    stream::unfold((frame, 0_usize), move |(frame, at)| {
        let part = (at < frame.height()).then(|| frame.slice(at as i64, rows_of_a_chunk(&meter)));
        std::future::ready(part.map(|part| {
            let next = at + part.height();
            (part, (frame, next))
        }))
    })
}

fn rows_of_a_chunk(meter: &Meter) -> usize {
    let progress = meter.progress();
    let rows = if progress.rows == 0 { FIRST_ROWS } else { CHUNK_BYTES * progress.rows / progress.bytes.max(1) };
    rows.clamp(1, MOST_ROWS) as usize
}
