//! The encoding stage: converts data frames to chunks of bytes, in order. Some formats have an [`Encoder`], which runs
//! on several threads. The others have a [`Writer`](crate::format::Writer), which runs on one thread.

use std::{
    io::{self, Write},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt, stream, stream::FuturesOrdered};
use platform::clock::SharedClock;
use polars::prelude::{DataFrame, DataType};
use protocol::time::Timestamp;
use tokio::{sync::mpsc, task::spawn_blocking};

use super::{
    ContentDigest, PipelineLimits, project, spool,
    stage::{Rows, send},
};
use crate::{
    dataset::Frames,
    error::JobError,
    format::{Encoder, Encoding, FormatError, Head, OpenWriter, Output, Tail},
    layout::Layout,
    progress::Meter,
    segment::Chunk,
};

/// The intended size of a chunk, in bytes.
const CHUNK_SIZE: u64 = 1 << 20;
/// The initial capacity of a chunk's buffer, in bytes. The capacity is an eighth more than the intended size, so that
/// the buffer rarely grows.
const CHUNK_CAPACITY: usize = (CHUNK_SIZE + CHUNK_SIZE / 8) as usize;
/// The maximum number of rows of a chunk while the mean size of a row is unknown. The number is small, so that clients
/// receive the first bytes early. For a format with a writer, this is the maximum number of rows of every data frame
/// that the writer receives.
const FIRST_ROWS: u64 = 1024;
/// The maximum size of the text values in one chunk, in bytes. A single row may exceed this size. The limit keeps a
/// chunk small when large rows follow many small rows.
const MAX_TEXT_SIZE: usize = 2 << 20;
/// The maximum number of rows of a chunk.
const MAX_ROWS: u64 = 1 << 16;

/// The stages that project, spool and encode the rows of one file, in this order.
pub(super) struct Encode {
    pub(super) layout: Arc<Layout>,
    pub(super) encoding: Encoding,
    pub(super) requested_at: Timestamp,
    pub(super) meter: Arc<Meter>,
    pub(super) limits: PipelineLimits,
    pub(super) clock: SharedClock,
    /// The digest to which the rows are added, if one is wanted.
    pub(super) content: Option<ContentDigest>,
}

impl Encode {
    /// Encodes `frames`, and sends the bytes of the file in order to the next stage. Returns the time at which the file
    /// was completed. If the next stage has ended, this stage ends too, without an error. The returned time is then
    /// meaningless, and the caller must ignore it.
    pub(super) async fn run(self, frames: Frames, sender: mpsc::Sender<Chunk>) -> Result<Timestamp, JobError> {
        let Self { layout, encoding, requested_at, meter, limits, clock, content } = self;
        let frames =
            project::projected(frames, &layout, limits.encoder_threads, limits.max_sort_size_per_export).await?;
        let frames = match &content {
            Some(content) => content.observed(frames),
            None => frames,
        };
        let (frames, known_completed_at) = if layout.timestamps.need_all_rows_first() {
            let (frames, at) = spool::spooled(frames, layout.timestamps, requested_at, &limits.format, &clock).await?;
            (frames, Some(at))
        } else {
            (frames, None)
        };
        let head = Head { requested_at, completed_at: known_completed_at };
        let completed_at = || known_completed_at.unwrap_or_else(|| Timestamp::from(clock.now()).max(requested_at));
        match encoding {
            Encoding::Parallel(encoder) => {
                let mut begin = Vec::new();
                encoder.begin(&head, &mut begin);
                if !send(&sender, Chunk { bytes: begin.into(), rows: 0 }).await {
                    return Ok(completed_at());
                }
                encode_in_parallel(frames, &encoder, &meter, limits.encoder_threads, &sender).await?;
                let completed_at = completed_at();
                let mut end = Vec::new();
                encoder.end(&Tail { rows: meter.rows(), completed_at }, &mut end);
                send(&sender, Chunk { bytes: end.into(), rows: 0 }).await;
                Ok(completed_at)
            }
            Encoding::Sequential(open) => write_in_order(frames, open, head, meter, clock, sender).await,
        }
    }
}

/// Encodes data frames with `encoder`, up to `encoder_threads` at once, and sends the chunks in the order of the rows.
async fn encode_in_parallel(
    frames: Rows,
    encoder: &Arc<dyn Encoder>,
    meter: &Meter,
    encoder_threads: usize,
    sender: &mpsc::Sender<Chunk>,
) -> Result<(), JobError> {
    let row_size = Arc::new(RowSize::default());
    let mut parts = std::pin::pin!(parts(frames, &row_size));
    let mut pending = FuturesOrdered::new();
    let mut more = true;
    while more || !pending.is_empty() {
        tokio::select! {
            biased;
            Some(done) = pending.next(), if !pending.is_empty() => {
                let chunk: Result<Result<Chunk, FormatError>, _> = done;
                let chunk = chunk??;
                meter.add(chunk.rows, 0);
                row_size.add(chunk.rows, chunk.bytes.len() as u64);
                if !send(sender, chunk).await {
                    return Ok(());
                }
            }
            part = parts.try_next(), if more && pending.len() < encoder_threads => match part? {
                Some(frame) => {
                    let encoder = Arc::clone(encoder);
                    pending.push_back(spawn_blocking(move || {
                        let mut out = Vec::with_capacity(CHUNK_CAPACITY);
                        encoder.encode(&frame, &mut out)?;
                        Ok(Chunk { bytes: Bytes::from(out), rows: frame.height() as u64 })
                    }));
                }
                None => more = false,
            },
        }
    }
    Ok(())
}

/// Passes the data frames in order to a [`Writer`](crate::format::Writer). The writer runs on a separate thread, which
/// blocks while the next stage is busy. Returns the time at which the file was completed. If the next stage has ended,
/// the returned time is meaningless, and the caller must ignore it.
async fn write_in_order(
    frames: Rows,
    open: OpenWriter,
    head: Head,
    meter: Arc<Meter>,
    clock: SharedClock,
    sender: mpsc::Sender<Chunk>,
) -> Result<Timestamp, JobError> {
    let (parts_in, mut parts_out) = mpsc::channel::<Option<DataFrame>>(1);
    let writing = spawn_blocking(move || -> Result<Timestamp, FormatError> {
        let chunks = Arc::new(Mutex::new(ChunkWriter { sender, bytes: Vec::new(), rows: 0, disconnected: false }));
        let lock = || chunks.lock().unwrap_or_else(PoisonError::into_inner);
        let written = (|| {
            let mut writer = open(&head, Output::new(Arc::clone(&chunks)))?;
            loop {
                let Some(part) = parts_out.blocking_recv() else {
                    // the source failed or the pipeline was dropped, so the file stays incomplete
                    lock().disconnected = true;
                    return Ok(head.requested_at);
                };
                let Some(frame) = part else { break };
                writer.write(&frame)?;
                lock().rows += frame.height() as u64;
                meter.add(frame.height() as u64, 0);
            }
            let now = Timestamp::from(clock.now()).max(head.requested_at);
            let completed_at = head.completed_at.unwrap_or(now);
            writer.end(&Tail { rows: meter.rows(), completed_at })?;
            lock().flush()?;
            Ok(completed_at)
        })();
        // an error after the next stage has ended is a consequence of that end
        if lock().disconnected { Ok(head.requested_at) } else { written }
    });
    let mut parts = std::pin::pin!(parts(frames, &Arc::new(RowSize::default())));
    while let Some(part) = parts.try_next().await? {
        if parts_in.send(Some(part)).await.is_err() {
            break;
        }
    }
    // a failed send means that the writer failed; its result below contains the error
    let _ = parts_in.send(None).await;
    Ok(writing.await??)
}

/// Collects the bytes that a format's writer produces into chunks, and sends the chunks.
struct ChunkWriter {
    sender: mpsc::Sender<Chunk>,
    bytes: Vec<u8>,
    /// The number of rows passed to the writer since the last chunk.
    rows: u64,
    /// Whether the file stays incomplete, because the next stage has ended, or because the source stopped before its
    /// last row.
    disconnected: bool,
}

impl Write for ChunkWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.sender.is_closed() {
            return Err(self.disconnect());
        }
        self.bytes.extend_from_slice(bytes);
        if self.bytes.len() as u64 >= CHUNK_SIZE {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.bytes.is_empty() {
            return Ok(());
        }
        let chunk = Chunk { bytes: std::mem::take(&mut self.bytes).into(), rows: std::mem::take(&mut self.rows) };
        self.sender.blocking_send(chunk).map_err(|_| self.disconnect())
    }
}

impl ChunkWriter {
    /// Records that the next stage has ended. Returns the error with which the current write fails.
    fn disconnect(&mut self) -> io::Error {
        self.disconnected = true;
        io::ErrorKind::BrokenPipe.into()
    }
}

/// Measures the mean size of a row, in bytes, over all rows encoded so far.
#[derive(Default)]
struct RowSize {
    rows: AtomicU64,
    bytes: AtomicU64,
}

impl RowSize {
    fn add(&self, rows: u64, bytes: u64) {
        self.rows.fetch_add(rows, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Returns the expected number of rows that fill a chunk; [`FIRST_ROWS`] before any row is encoded.
    fn rows_of_a_chunk(&self) -> usize {
        let (rows, bytes) = (self.rows.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed));
        let rows = if rows == 0 { FIRST_ROWS } else { CHUNK_SIZE * rows / bytes.max(1) };
        rows.clamp(1, MAX_ROWS) as usize
    }
}

/// Splits data frames into smaller ones, each of which fills about one chunk.
fn parts(frames: Rows, row_size: &Arc<RowSize>) -> impl Stream<Item = Result<DataFrame, JobError>> + use<> {
    let row_size = Arc::clone(row_size);
    frames.map_ok(move |frame| split(frame, Arc::clone(&row_size)).map(Ok::<_, JobError>)).try_flatten().fuse()
}

/// Splits a data frame into smaller frames that each fill about one chunk. The number of rows depends on the mean size
/// of the rows encoded so far, and on the size of the text values.
fn split(frame: DataFrame, row_size: Arc<RowSize>) -> impl Stream<Item = DataFrame> {
    stream::unfold((frame, 0_usize), move |(frame, at)| {
        let part = (at < frame.height()).then(|| with_bounded_text(frame.slice(at as i64, row_size.rows_of_a_chunk())));
        std::future::ready(part.map(|part| {
            let next = at + part.height();
            (part, (frame, next))
        }))
    })
}

/// Returns the leading rows of a data frame whose texts together have at most [`MAX_TEXT_SIZE`] bytes, but at least one
/// row. Values of other types are small and do not count.
fn with_bounded_text(part: DataFrame) -> DataFrame {
    let mut texts: Vec<usize> = Vec::new();
    for column in part.columns().iter().filter(|column| *column.dtype() == DataType::String) {
        let Ok(column) = column.str() else { continue };
        let lengths = column.downcast_iter().flat_map(|texts| texts.len_iter().map(|length| length as usize));
        if texts.is_empty() {
            texts.extend(lengths);
        } else {
            texts.iter_mut().zip(lengths).for_each(|(sum, length)| *sum += length);
        }
    }
    let mut sum = 0;
    let first_beyond = texts.iter().position(|length| {
        sum += length;
        sum > MAX_TEXT_SIZE
    });
    match first_beyond {
        Some(rows) => part.head(Some(rows.max(1))),
        None => part,
    }
}
