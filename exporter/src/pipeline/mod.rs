//! The way of the bytes: frames → shape and order → encoders on several threads → compression → segments.
//!
//! Every stage waits for the next one, so that memory is bounded by what is in flight, whatever the size of the file.

mod compress;
mod encode;
mod hold;
mod order;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use futures::stream::BoxStream;
use platform::clock::SharedClock;
use polars::prelude::DataFrame;
use protocol::{
    delivery::{Seal, Segment},
    time::Timestamp,
};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout_at},
};
use tokio_util::task::AbortOnDropHandle;

use crate::{
    dataset::Frames,
    error::JobError,
    format::{Bounds, Compression, Encoding, Layout, Levels},
    progress::Meter,
    segment::{Chunk, Limits, Outlet, Segmenter},
};

/// Chunks that wait for the next stage; when it is full the stage before waits.
const CHUNKS: usize = 4;

/// Rows on their way to the encoders.
type Rows = BoxStream<'static, Result<DataFrame, JobError>>;

/// What one file may use of the machine.
#[derive(Clone, Debug)]
pub struct Budget {
    /// When segments are closed.
    pub segments: Limits,
    /// Frames encoded at once.
    pub encoders: usize,
    /// Bytes of memory that rows may take which a template sorts.
    pub sort_bytes: u64,
    /// How hard files are compressed.
    pub levels: Levels,
    /// Temporary files, sheets and parts.
    pub bounds: Bounds,
}

/// What a pipeline needs.
pub struct Pipeline<'a> {
    /// The rows, with the columns of [`Layout::inputs`].
    pub frames: Frames,
    /// What the file looks like.
    pub layout: Arc<Layout>,
    /// Writes them.
    pub encoding: Encoding,
    /// Packs the bytes.
    pub compression: Compression,
    /// When the gateway took the request.
    pub requested_at: Timestamp,
    /// Counts.
    pub meter: Arc<Meter>,
    /// What it may use.
    pub budget: Budget,
    /// Where segments go.
    pub outlet: &'a dyn Outlet,
    /// Tells when the last row was made.
    pub clock: SharedClock,
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
    /// When the source, the encoder or the outlet fails, or a limit is reached.
    pub async fn run(self) -> Result<Made, JobError> {
        let Self { frames, layout, encoding, compression, requested_at, meter, budget, outlet, clock } = self;
        let limits = budget.segments;
        let mut segmenter = Segmenter::new(outlet, limits);
        let (sender, encoded) = mpsc::channel(CHUNKS);
        let work =
            encode::Work { layout, encoding, requested_at, meter: Arc::clone(&meter), budget: budget.clone(), clock };
        let encoding = AbortOnDropHandle::new(tokio::spawn(work.run(frames, sender)));
        let (mut chunks, packing) = compress::stage(encoded, compression, budget.levels, budget.encoders);

        loop {
            // before anything is made there is no hurry
            let due = segmenter.due().unwrap_or_else(|| Instant::now() + limits.age);
            match timeout_at(due, chunks.recv()).await {
                Ok(Some(chunk)) => {
                    meter.add(0, chunk.bytes.len() as u64);
                    segmenter.push(chunk).await?;
                }
                Ok(None) => break,
                Err(_) => segmenter.close().await?,
            }
        }
        // only stages that ended well make a whole file
        let completed_at = encoding.await??;
        if let Some(packing) = packing {
            packing.await??;
        }
        let (segments, seal) = segmenter.seal().await?;
        Ok(Made { segments, seal, completed_at })
    }
}

/// Sends a chunk. False: nobody wants it any more.
async fn send(sender: &mpsc::Sender<Chunk>, chunk: Chunk) -> bool {
    sender.send(chunk).await.is_ok()
}
