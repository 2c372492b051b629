//! From frames to chunks of bytes, in order: on several cores where the format lets them, else on one thread.

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

use super::{Budget, Rows, hold, order, send};
use crate::{
    dataset::Frames,
    error::JobError,
    format::{Encoder, Encoding, FormatError, Head, Layout, Open, Out, Tail},
    progress::Meter,
    segment::Chunk,
};

/// About how many bytes a chunk has.
const CHUNK_BYTES: u64 = 1 << 20;
/// Room for a chunk and a little more.
const CHUNK_CAPACITY: usize = (CHUNK_BYTES + CHUNK_BYTES / 8) as usize;
/// Rows of the first chunk, before anything is known about their size: few, so that a file begins early.
const FIRST_ROWS: u64 = 1024;
/// Text in a chunk before it is encoded, unless one row alone has more. Rows are mostly alike, and then this is never reached;
/// after many small ones some may be large.
const TEXT_BYTES: usize = 2 << 20;
/// Rows of a chunk at most.
const MOST_ROWS: u64 = 1 << 16;

/// The making of one file's bytes.
pub(super) struct Work {
    pub(super) layout: Arc<Layout>,
    pub(super) encoding: Encoding,
    pub(super) requested_at: Timestamp,
    pub(super) meter: Arc<Meter>,
    pub(super) budget: Budget,
    pub(super) clock: SharedClock,
}

impl Work {
    /// Sends all bytes in order, and says when the last row was made. Ends early, and well, when nobody wants them.
    pub(super) async fn run(self, frames: Frames, sender: mpsc::Sender<Chunk>) -> Result<Timestamp, JobError> {
        let Self { layout, encoding, requested_at, meter, budget, clock } = self;
        let frames = order::shaped(frames, &layout, budget.encoders, budget.sort_bytes).await?;
        let (frames, known) = if layout.timestamps.need_all_rows_first() {
            let (frames, at) = hold::all(frames, layout.timestamps, requested_at, &budget.bounds, &clock).await?;
            (frames, Some(at))
        } else {
            (frames, None)
        };
        let head = Head { requested_at, completed_at: known };
        let now = || known.unwrap_or_else(|| Timestamp::from(clock.now()).max(requested_at));
        match encoding {
            Encoding::Frames(encoder) => {
                let mut begin = Vec::new();
                encoder.begin(&head, &mut begin);
                if !send(&sender, Chunk { bytes: begin.into(), rows: 0 }).await {
                    return Ok(now());
                }
                in_parts(frames, &encoder, &meter, budget.encoders, &sender).await?;
                let completed_at = now();
                let mut end = Vec::new();
                encoder.end(&Tail { rows: meter.rows(), completed_at }, &mut end);
                send(&sender, Chunk { bytes: end.into(), rows: 0 }).await;
                Ok(completed_at)
            }
            Encoding::Whole(open) => in_order(frames, open, head, meter, clock, sender).await,
        }
    }
}

/// Encodes all frames, several at once, and sends the chunks in order.
async fn in_parts(
    frames: Rows,
    encoder: &Arc<dyn Encoder>,
    meter: &Meter,
    encoders: usize,
    sender: &mpsc::Sender<Chunk>,
) -> Result<(), JobError> {
    let pace = Arc::new(Pace::default());
    let mut parts = std::pin::pin!(parts(frames, &pace));
    let mut pending = FuturesOrdered::new();
    let mut more = true;
    while more || !pending.is_empty() {
        tokio::select! {
            biased;
            Some(done) = pending.next(), if !pending.is_empty() => {
                let chunk: Result<Result<Chunk, FormatError>, _> = done;
                let chunk = chunk??;
                meter.add(chunk.rows, 0);
                pace.add(chunk.rows, chunk.bytes.len() as u64);
                if !send(sender, chunk).await {
                    return Ok(());
                }
            }
            part = parts.try_next(), if more && pending.len() < encoders => match part? {
                Some(frame) => {
                    let encoder = Arc::clone(encoder);
                    pending.push_back(spawn_blocking(move || {
                        // a chunk and what it may be too large by, so that it need not move while it grows
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

/// Writes all frames one after the other, on a thread that may wait for its reader.
async fn in_order(
    frames: Rows,
    open: Open,
    head: Head,
    meter: Arc<Meter>,
    clock: SharedClock,
    sender: mpsc::Sender<Chunk>,
) -> Result<Timestamp, JobError> {
    let (parts_in, mut parts_out) = mpsc::channel::<Option<DataFrame>>(1);
    let writing = spawn_blocking(move || -> Result<Timestamp, FormatError> {
        let flow = Arc::new(Mutex::new(Outflow { sender, bytes: Vec::new(), rows: 0, gone: false }));
        let outflow = || flow.lock().unwrap_or_else(PoisonError::into_inner);
        let wrote = (|| {
            let mut writer = open(&head, Out::new(Arc::clone(&flow)))?;
            loop {
                let Some(part) = parts_out.blocking_recv() else {
                    // the source failed, or the whole pipeline is gone: there is no file to be ended
                    outflow().gone = true;
                    return Ok(head.requested_at);
                };
                let Some(frame) = part else { break };
                writer.write(&frame)?;
                outflow().rows += frame.height() as u64;
                meter.add(frame.height() as u64, 0);
            }
            let now = Timestamp::from(clock.now()).max(head.requested_at);
            let completed_at = head.completed_at.unwrap_or(now);
            writer.end(&Tail { rows: meter.rows(), completed_at })?;
            outflow().flush()?;
            Ok(completed_at)
        })();
        // a reader that went away is no fault of the writer's
        if outflow().gone { Ok(head.requested_at) } else { wrote }
    });
    let mut parts = std::pin::pin!(parts(frames, &Arc::new(Pace::default())));
    while let Some(part) = parts.try_next().await? {
        if parts_in.send(Some(part)).await.is_err() {
            break;
        }
    }
    // the writer says why it is gone, if it is
    let _ = parts_in.send(None).await;
    Ok(writing.await??)
}

/// Bytes of a writer on their way to the segments.
struct Outflow {
    sender: mpsc::Sender<Chunk>,
    bytes: Vec<u8>,
    /// Rows that were taken since the last chunk.
    rows: u64,
    /// Whether nobody wants the bytes any more.
    gone: bool,
}

impl Write for Outflow {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        if self.bytes.len() as u64 >= CHUNK_BYTES {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.bytes.is_empty() {
            return Ok(());
        }
        let chunk = Chunk { bytes: std::mem::take(&mut self.bytes).into(), rows: std::mem::take(&mut self.rows) };
        self.sender.blocking_send(chunk).map_err(|_| {
            self.gone = true;
            io::Error::from(io::ErrorKind::BrokenPipe)
        })
    }
}

/// How large rows are, as far as they are encoded.
#[derive(Default)]
struct Pace {
    rows: AtomicU64,
    bytes: AtomicU64,
}

impl Pace {
    fn add(&self, rows: u64, bytes: u64) {
        self.rows.fetch_add(rows, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn rows_of_a_chunk(&self) -> usize {
        let (rows, bytes) = (self.rows.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed));
        let rows = if rows == 0 { FIRST_ROWS } else { CHUNK_BYTES * rows / bytes.max(1) };
        rows.clamp(1, MOST_ROWS) as usize
    }
}

/// The frames, cut into parts that each make about one chunk.
fn parts(frames: Rows, pace: &Arc<Pace>) -> impl Stream<Item = Result<DataFrame, JobError>> + use<> {
    let pace = Arc::clone(pace);
    frames.map_ok(move |frame| cut(frame, Arc::clone(&pace)).map(Ok::<_, JobError>)).try_flatten().fuse()
}

/// Cuts a frame by the size of the rows so far, and by the texts that these rows have.
fn cut(frame: DataFrame, pace: Arc<Pace>) -> impl Stream<Item = DataFrame> {
    stream::unfold((frame, 0_usize), move |(frame, at)| {
        let part = (at < frame.height()).then(|| within(frame.slice(at as i64, pace.rows_of_a_chunk())));
        std::future::ready(part.map(|part| {
            let next = at + part.height();
            (part, (frame, next))
        }))
    })
}

/// The first rows of a part, as many as have no more text than [`TEXT_BYTES`]; at least one. Other values are small.
fn within(part: DataFrame) -> DataFrame {
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
    let beyond = texts.iter().position(|length| {
        sum += length;
        sum > TEXT_BYTES
    });
    match beyond {
        Some(rows) => part.head(Some(rows.max(1))),
        None => part,
    }
}
