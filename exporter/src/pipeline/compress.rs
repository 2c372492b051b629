//! Compression, between the encoders and the segments.
//!
//! The bytes are cut into blocks of a fixed size, wherever the rows end, and each becomes a member or frame of its own.
//! So the file does not depend on how the rows were cut into frames, nor on how many threads there are, and segments,
//! which end between blocks, still concatenate.

use std::mem;

use bytes::Bytes;
use futures::{StreamExt, stream::FuturesOrdered};
use tokio::{sync::mpsc, task::spawn_blocking};
use tokio_util::task::AbortOnDropHandle;

use super::{CHUNKS, send};
use crate::{
    error::JobError,
    format::{Compression, FormatError, Levels},
    segment::Chunk,
};

/// The first block, so that a file begins early.
const FIRST_BLOCK: usize = 64 << 10;
/// All others.
const BLOCK: usize = 1 << 20;

type Packing = AbortOnDropHandle<Result<(), JobError>>;

/// The chunks of a compressed file; the same as they come for `none`.
pub(super) fn stage(
    chunks: mpsc::Receiver<Chunk>,
    compression: Compression,
    levels: Levels,
    at_once: usize,
) -> (mpsc::Receiver<Chunk>, Option<Packing>) {
    if compression == Compression::None {
        return (chunks, None);
    }
    let (sender, packed) = mpsc::channel(CHUNKS);
    let task = tokio::spawn(pack(chunks, compression, levels, at_once, sender));
    (packed, Some(AbortOnDropHandle::new(task)))
}

async fn pack(
    mut chunks: mpsc::Receiver<Chunk>,
    compression: Compression,
    levels: Levels,
    at_once: usize,
    sender: mpsc::Sender<Chunk>,
) -> Result<(), JobError> {
    let mut blocks = Blocks::default();
    let mut ready = Vec::new();
    let mut packing = FuturesOrdered::new();
    let mut more = true;
    while more || !packing.is_empty() {
        tokio::select! {
            biased;
            Some(done) = packing.next(), if !packing.is_empty() => {
                let packed: Result<Result<Chunk, FormatError>, _> = done;
                if !send(&sender, packed??).await {
                    return Ok(());
                }
            }
            chunk = chunks.recv(), if more && packing.len() < at_once => {
                match chunk {
                    Some(chunk) => blocks.take(&chunk, &mut ready),
                    None => {
                        more = false;
                        ready.extend(blocks.rest());
                    }
                }
                for block in ready.drain(..) {
                    packing.push_back(spawn_blocking(move || {
                        let bytes = compression.pack(&block.bytes, levels)?;
                        Ok(Chunk { bytes: Bytes::from(bytes), rows: block.rows })
                    }));
                }
            }
        }
    }
    Ok(())
}

/// A block and how many rows have been taken since the one before.
struct Block {
    bytes: Vec<u8>,
    rows: u64,
}

/// Cuts a stream of bytes.
#[derive(Default)]
struct Blocks {
    open: Vec<u8>,
    /// Rows that no block counts yet.
    rows: u64,
    begun: bool,
}

impl Blocks {
    fn take(&mut self, chunk: &Chunk, ready: &mut Vec<Block>) {
        let mut rest = &chunk.bytes[..];
        loop {
            let size = if self.begun { BLOCK } else { FIRST_BLOCK };
            let room = size - self.open.len();
            if rest.len() < room {
                self.open.extend_from_slice(rest);
                break;
            }
            self.open.extend_from_slice(&rest[..room]);
            rest = &rest[room..];
            self.begun = true;
            ready.push(Block { bytes: mem::take(&mut self.open), rows: mem::take(&mut self.rows) });
        }
        // the rows of a chunk count once all of it is in a block
        self.rows += chunk.rows;
    }

    fn rest(&mut self) -> Option<Block> {
        let (bytes, rows) = (mem::take(&mut self.open), mem::take(&mut self.rows));
        (!bytes.is_empty() || rows > 0 || !self.begun).then_some(Block { bytes, rows })
    }
}
