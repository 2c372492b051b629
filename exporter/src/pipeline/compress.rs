//! The compression stage, between the encoders and the segments.
//!
//! The stage splits the bytes into blocks of a fixed size, and compresses the blocks on several threads. The blocks
//! become zstd frames, or the independent blocks of one gzip member. The compressed file depends neither on how the
//! rows are split into data frames nor on the number of threads, so a repeated attempt writes the same bytes.
//!
//! Segments consist of whole blocks, so each segment can be decompressed without the segments before it.

use std::mem;

use futures::{StreamExt, stream::FuturesOrdered};
use tokio::{sync::mpsc, task::spawn_blocking};
use tokio_util::task::AbortOnDropHandle;

use super::stage::{CHANNEL_CAPACITY, send};
use crate::{
    error::JobError,
    format::{Compression, CompressionLevels, FormatError, gzip, zstd_frame},
    segment::Chunk,
};

/// The size of the first block before compression, in bytes. The size is small, so that clients receive the first bytes
/// early.
const FIRST_BLOCK_SIZE: usize = 64 << 10;
/// The size of each block after the first one, before compression, in bytes. The last block may be smaller.
const BLOCK_SIZE: usize = 1 << 20;

type Compressing = AbortOnDropHandle<Result<(), JobError>>;

/// Starts the compression stage, which compresses up to `max_concurrent` blocks at once. Returns the receiver of the
/// compressed chunks, and the task that compresses them. Without compression, returns `chunks` and no task.
pub(super) fn stage(
    chunks: mpsc::Receiver<Chunk>,
    compression: Compression,
    levels: CompressionLevels,
    max_concurrent: usize,
) -> (mpsc::Receiver<Chunk>, Option<Compressing>) {
    if compression == Compression::None {
        return (chunks, None);
    }
    let (sender, compressed) = mpsc::channel(CHANNEL_CAPACITY);
    let task = tokio::spawn(compress(chunks, compression, levels, max_concurrent, sender));
    (compressed, Some(AbortOnDropHandle::new(task)))
}

async fn compress(
    mut chunks: mpsc::Receiver<Chunk>,
    compression: Compression,
    levels: CompressionLevels,
    max_concurrent: usize,
    sender: mpsc::Sender<Chunk>,
) -> Result<(), JobError> {
    let mut blocks = Blocks::default();
    let mut ready = Vec::new();
    let mut compressing = FuturesOrdered::new();
    let mut member = gzip::Member::default();
    let mut more = true;
    while more || !compressing.is_empty() {
        tokio::select! {
            biased;
            Some(done) = compressing.next(), if !compressing.is_empty() => {
                let compressed: Result<Result<(Compressed, u64), FormatError>, _> = done;
                let (compressed, rows) = compressed??;
                let bytes = match compressed {
                    Compressed::Whole(bytes) => bytes,
                    Compressed::Gzip(block) => member.append(block),
                };
                if !send(&sender, Chunk { bytes: bytes.into(), rows }).await {
                    return Ok(());
                }
            }
            chunk = chunks.recv(), if more && compressing.len() < max_concurrent => {
                match chunk {
                    Some(chunk) => blocks.push(&chunk, &mut ready),
                    None => {
                        more = false;
                        ready.extend(blocks.rest());
                    }
                }
                for block in ready.drain(..) {
                    compressing.push_back(spawn_blocking(move || {
                        Ok((Compressed::of(&block.bytes, compression, levels)?, block.rows))
                    }));
                }
            }
        }
    }
    if compression == Compression::Gzip {
        send(&sender, Chunk { bytes: member.trailer().into(), rows: 0 }).await;
    }
    Ok(())
}

/// The compressed bytes of one block.
enum Compressed {
    /// Bytes to append to the file as they are, such as a zstd frame.
    Whole(Vec<u8>),
    /// A gzip block, which [`gzip::Member`] joins with the other blocks.
    Gzip(gzip::GzipBlock),
}

impl Compressed {
    fn of(content: &[u8], compression: Compression, levels: CompressionLevels) -> Result<Self, FormatError> {
        Ok(match compression {
            Compression::None => Self::Whole(content.to_vec()),
            Compression::Gzip => Self::Gzip(gzip::block(content, levels.gzip)?),
            Compression::Zstd => Self::Whole(zstd_frame(content, levels.zstd)?),
        })
    }
}

/// An uncompressed block of the file. `rows` is the number of rows that the block adds to the file's row count.
struct Block {
    bytes: Vec<u8>,
    rows: u64,
}

/// Splits a stream of chunks into blocks of a fixed size.
#[derive(Default)]
struct Blocks {
    open: Vec<u8>,
    /// The row count of the open block. If a chunk spans several blocks, all its rows count for the block that is open
    /// at the end of the chunk.
    rows: u64,
    /// Whether the first block, which is smaller than the others, is complete.
    started: bool,
}

impl Blocks {
    fn push(&mut self, chunk: &Chunk, ready: &mut Vec<Block>) {
        let mut rest = &chunk.bytes[..];
        loop {
            let size = if self.started { BLOCK_SIZE } else { FIRST_BLOCK_SIZE };
            let room = size - self.open.len();
            if rest.len() < room {
                self.open.extend_from_slice(rest);
                break;
            }
            self.open.extend_from_slice(&rest[..room]);
            rest = &rest[room..];
            self.started = true;
            ready.push(Block { bytes: mem::take(&mut self.open), rows: mem::take(&mut self.rows) });
        }
        // the block that is open after a chunk counts the rows of the chunk
        self.rows += chunk.rows;
    }

    fn rest(&mut self) -> Option<Block> {
        let (bytes, rows) = (mem::take(&mut self.open), mem::take(&mut self.rows));
        (!bytes.is_empty() || rows > 0 || !self.started).then_some(Block { bytes, rows })
    }
}
