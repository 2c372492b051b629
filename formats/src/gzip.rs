//! Writes a gzip file of one member (RFC 1952) from blocks that are compressed independently.
//!
//! Each block is raw deflate data (RFC 1951) that ends with a full flush. The next block therefore begins at a byte
//! boundary and refers to no earlier data, so that several threads can compress blocks concurrently. The concatenation
//! of the blocks is one deflate stream. The file has only one member, because many readers ignore all members after the
//! first.

use flate2::{Compress, Crc, FlushCompress, Status};

use super::CompressionError;

/// The header of the gzip member: deflate, no flags, no modification time, no file name, unknown operating system.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
/// An empty deflate block with the mark of the last block of a stream.
const LAST_BLOCK: [u8; 2] = [3, 0];
/// The number of bytes by which the initial capacity of a compressed block's buffer exceeds half of the content's size.
const OVERHEAD: usize = 64;

/// A compressed block, and the checksum and length of its uncompressed content.
pub struct GzipBlock {
    bytes: Vec<u8>,
    checksum: Crc,
}

/// Compresses the content of one block. The result depends only on the content and the level.
///
/// # Errors
/// When the compressor fails.
pub fn block(content: &[u8], level: u32) -> Result<GzipBlock, CompressionError> {
    let failed = |detail: &str| CompressionError(format!("deflate: {detail}"));
    let mut compress = Compress::new(flate2::Compression::new(level), false);
    let mut bytes = Vec::with_capacity(content.len() / 2 + OVERHEAD);
    loop {
        let read = usize::try_from(compress.total_in()).map_err(|e| failed(&e.to_string()))?;
        let status = compress
            .compress_vec(&content[read..], &mut bytes, FlushCompress::Full)
            .map_err(|e| failed(&e.to_string()))?;
        // the flush is complete when the compressor leaves free space in the buffer
        if compress.total_in() == content.len() as u64 && bytes.len() < bytes.capacity() {
            break;
        }
        if status == Status::StreamEnd {
            return Err(failed("the stream ended early"));
        }
        bytes.reserve(content.len() / 4 + OVERHEAD);
    }
    let mut checksum = Crc::new();
    checksum.update(content);
    Ok(GzipBlock { bytes, checksum })
}

/// Joins compressed blocks into one gzip member.
#[derive(Default)]
pub struct Member {
    /// The checksum and length of the uncompressed content so far.
    checksum: Crc,
    begun: bool,
}

impl Member {
    /// Adds the next block in the order of the file. Returns the bytes that the caller must append to the file. For the
    /// first block, these bytes begin with the header of the member.
    pub fn append(&mut self, block: GzipBlock) -> Vec<u8> {
        self.checksum.combine(&block.checksum);
        if std::mem::replace(&mut self.begun, true) { block.bytes } else { [&HEADER[..], &block.bytes].concat() }
    }

    /// Returns the last bytes of the file: the last deflate block, the CRC-32 of the uncompressed content, and the
    /// length of this content modulo 2^32. The file must already have at least one block.
    pub fn trailer(&self) -> Vec<u8> {
        let (sum, length) = (self.checksum.sum().to_le_bytes(), self.checksum.amount().to_le_bytes());
        [&LAST_BLOCK[..], &sum, &length].concat()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::{Decompress, FlushDecompress, read::GzDecoder};

    use super::*;

    fn file(blocks: &[Vec<u8>], level: u32) -> Vec<u8> {
        let (mut out, mut member) = (Vec::new(), Member::default());
        for content in blocks {
            out.extend(member.append(block(content, level).unwrap()));
        }
        out.extend(member.trailer());
        out
    }

    /// Returns bytes that deflate can't compress.
    fn noise(size: usize) -> Vec<u8> {
        let mut state = 7_u64;
        let next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as u8
        };
        std::iter::repeat_with(next).take(size).collect()
    }

    #[test]
    fn blocks_are_one_member_at_every_level() {
        let text = "a row of text, 123\n".repeat(60_000).into_bytes();
        let blocks = [text.clone(), Vec::new(), noise(1 << 20), b"x".to_vec(), text, noise(3)];
        for level in 1..=9 {
            let gzip = file(&blocks, level);
            // this decoder reads one member, and leaves the bytes after it unread
            let mut decoder = GzDecoder::new(&gzip[..]);
            let mut content = Vec::new();
            decoder.read_to_end(&mut content).unwrap();
            assert!(content == blocks.concat(), "level {level}");
            assert!(decoder.into_inner().is_empty());
        }
        let mut content = Vec::new();
        GzDecoder::new(&file(&[Vec::new()], 6)[..]).read_to_end(&mut content).unwrap();
        assert!(content.is_empty());
    }

    #[test]
    fn each_block_decompresses_without_the_blocks_before_it() {
        for content in ["a row\n".repeat(100_000).into_bytes(), noise(70_000), Vec::new()] {
            let bytes = block(&content, 6).unwrap().bytes;
            assert!(bytes.ends_with(&[0, 0, 0xff, 0xff]), "a full flush ends a block");
            let mut out = Vec::with_capacity(content.len() + 1);
            Decompress::new(false).decompress_vec(&bytes, &mut out, FlushDecompress::Sync).unwrap();
            assert!(out == content);
        }
    }
}
