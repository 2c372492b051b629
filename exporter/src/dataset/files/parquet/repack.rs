//! Rewrites the pages of a column in a form that polars reads.
//!
//! polars does not support some valid forms of pages. It can't read several gzip members in one page (RFC 1952, section
//! 2.2), or the encodings BYTE_STREAM_SPLIT and DELTA_BYTE_ARRAY for values of a fixed length. polars also trusts the
//! number of NULLs in a page header (version 2), even if the definition levels of the page contain another number of
//! NULLs.
//!
//! This module decodes the values of such pages, writes them in the encoding PLAIN without compression, and counts the
//! NULLs.

use std::io::{Cursor, Read};

use flate2::read::MultiGzDecoder;
use polars::prelude::PolarsError;
use polars_parquet::parquet::{
    compression::{Compression, DecompressionContext, decompress},
    encoding::{
        delta_byte_array,
        hybrid_rle::{HybridRleChunk, HybridRleDecoder},
    },
    metadata::Descriptor,
    page::{split_buffer_v1, split_buffer_v2},
    read::levels::get_bit_width,
    schema::types::PhysicalType,
};
use polars_parquet_format::{
    Encoding, PageHeader,
    thrift::protocol::{TCompactInputProtocol, TCompactOutputProtocol},
};

use super::{
    super::super::DatasetError,
    pages::{BROKEN, MAX_HEADER, PAGE_BYTES},
};

/// Returns consecutive pages of a leaf column, `bytes`, without compression and in encodings that polars reads. `codec`
/// is the compression of the pages.
///
/// # Errors
/// When a page is damaged, or its decompressed size exceeds [`PAGE_BYTES`].
pub(super) fn repacked(bytes: &[u8], codec: Compression, leaf: &Descriptor) -> Result<Vec<u8>, DatasetError> {
    let (mut out, mut left) = (Vec::with_capacity(bytes.len() * 2), bytes);
    while !left.is_empty() {
        let mut cursor = Cursor::new(left);
        let header = PageHeader::read_from_in_protocol(&mut TCompactInputProtocol::new(&mut cursor, MAX_HEADER));
        let header = header.map_err(|_| BROKEN)?;
        let begin = usize::try_from(cursor.position()).map_err(|_| BROKEN)?;
        let end = begin.checked_add(size(header.compressed_page_size)?).ok_or(BROKEN)?;
        let body = left.get(begin..end).ok_or(BROKEN)?;
        let (header, body) = page(header, body, codec, leaf)?;
        let written = header.write_to_out_protocol(&mut TCompactOutputProtocol::new(&mut out));
        written.map_err(|_| BROKEN)?;
        out.extend_from_slice(&body);
        left = &left[end..];
    }
    Ok(out)
}

/// Whether the definition levels of a page contain a NULL. `values` is the number of values in the page, including
/// NULLs. The page must have version 2, in which levels are never compressed.
pub(super) fn has_null(levels: &[u8], values: usize, leaf: &Descriptor) -> Result<bool, DatasetError> {
    Ok(nulls(levels, values, leaf.max_def_level)? > 0)
}

fn size(number: i32) -> Result<usize, DatasetError> {
    usize::try_from(number).map_err(|_| BROKEN)
}

/// Rewrites a page without compression, in an encoding that polars reads. Returns the new header and the new body.
fn page(
    mut header: PageHeader,
    body: &[u8],
    codec: Compression,
    leaf: &Descriptor,
) -> Result<(PageHeader, Vec<u8>), DatasetError> {
    let length = size(header.uncompressed_page_size)?;
    if length > PAGE_BYTES {
        return Err(DatasetError::Limit("a page of the file has more than 256 MiB: write smaller ones"));
    }
    let mut plain;
    if let Some(about) = &mut header.data_page_header_v2 {
        let (rep, def) = (size(about.repetition_levels_byte_length)?, size(about.definition_levels_byte_length)?);
        let levels = rep.checked_add(def).ok_or(BROKEN)?;
        plain = body.get(..levels).ok_or(BROKEN)?.to_vec();
        let rest = &body[levels..];
        let length = length.checked_sub(levels).ok_or(BROKEN)?;
        // old versions of Apache Arrow compress pages although the page header states that the pages are not compressed
        if (about.is_compressed.unwrap_or(true) || rest.len() != length) && !rest.is_empty() {
            plain.extend_from_slice(&decompressed(rest, length, codec)?);
        } else {
            plain.extend_from_slice(rest);
        }
        let split = split_buffer_v2(&plain, rep, def).map_err(PolarsError::from)?;
        let nulls = if leaf.max_def_level > 0 && def > 0 {
            nulls(split.def, size(about.num_values)?, leaf.max_def_level)?
        } else {
            0
        };
        about.num_nulls = i32::try_from(nulls).map_err(|_| BROKEN)?;
        about.is_compressed = Some(false);
        about.statistics = None;
        if let Some(values) = values(split.values, about.encoding, leaf)? {
            plain.truncate(levels);
            plain.extend_from_slice(&values);
            about.encoding = Encoding::PLAIN;
        }
    } else {
        plain = decompressed(body, length, codec)?;
        if let Some(about) = &mut header.data_page_header {
            let split = split_buffer_v1(&plain, leaf.max_rep_level > 0, leaf.max_def_level > 0);
            let split = split.map_err(PolarsError::from)?;
            about.statistics = None;
            if let Some(values) = values(split.values, about.encoding, leaf)? {
                let levels = plain.len() - split.values.len();
                plain.truncate(levels);
                plain.extend_from_slice(&values);
                about.encoding = Encoding::PLAIN;
            }
        }
    }
    let length = i32::try_from(plain.len()).map_err(|_| BROKEN)?;
    (header.uncompressed_page_size, header.compressed_page_size, header.crc) = (length, length, None);
    Ok((header, plain))
}

fn decompressed(bytes: &[u8], length: usize, codec: Compression) -> Result<Vec<u8>, DatasetError> {
    match codec {
        Compression::Uncompressed => Ok(bytes.to_vec()),
        Compression::Gzip => {
            let mut plain = Vec::with_capacity(length);
            // one byte more than `length`, so that a page that is too long is detected
            let mut members = MultiGzDecoder::new(bytes).take(length as u64 + 1);
            members.read_to_end(&mut plain).map_err(|_| BROKEN)?;
            if plain.len() == length { Ok(plain) } else { Err(BROKEN) }
        }
        codec => {
            let mut plain = vec![0; length];
            decompress(codec, bytes, &mut plain, &mut DecompressionContext::Unset).map_err(PolarsError::from)?;
            Ok(plain)
        }
    }
}

/// Counts the NULLs of a page with `values` values, that is, the definition levels below the maximum `max`.
fn nulls(levels: &[u8], values: usize, max: i16) -> Result<usize, DatasetError> {
    let bits = get_bit_width(max);
    let max = u32::try_from(max).map_err(|_| BROKEN)?;
    let (mut nulls, mut unpacked) = (0, Vec::new());
    for chunk in HybridRleDecoder::new(levels, bits, values).into_chunk_iter() {
        match chunk.map_err(PolarsError::from)? {
            HybridRleChunk::Rle(level, count) => nulls += if level < max { count } else { 0 },
            HybridRleChunk::Bitpacked(packed) => {
                unpacked.clear();
                packed.collect_into(&mut unpacked);
                nulls += unpacked.iter().filter(|level| **level < max).count();
            }
        }
    }
    Ok(nulls)
}

/// Returns the values of a page in the encoding PLAIN, if polars can't read their encoding. `bytes` are the values in
/// the encoding `encoding`. Returns None if polars can read them.
fn values(bytes: &[u8], encoding: Encoding, leaf: &Descriptor) -> Result<Option<Vec<u8>>, DatasetError> {
    let PhysicalType::FixedLenByteArray(width) = leaf.primitive_type.physical_type else { return Ok(None) };
    Ok(match encoding {
        Encoding::BYTE_STREAM_SPLIT => Some(joined(bytes, width)?),
        Encoding::DELTA_BYTE_ARRAY => {
            let mut out = Vec::new();
            for value in delta_byte_array::Decoder::try_new(bytes).map_err(PolarsError::from)? {
                let value = value.map_err(PolarsError::from)?;
                if value.len() != width || out.len() > PAGE_BYTES {
                    return Err(BROKEN);
                }
                out.extend_from_slice(&value);
            }
            Some(out)
        }
        _ => None,
    })
}

/// Converts values of `width` bytes from the encoding BYTE_STREAM_SPLIT to the encoding PLAIN, which has one value
/// after the other. In `bytes`, the first stream has the first byte of each value, the second stream the second byte,
/// and so on.
fn joined(bytes: &[u8], width: usize) -> Result<Vec<u8>, DatasetError> {
    if width == 0 || !bytes.len().is_multiple_of(width) {
        return Err(BROKEN);
    }
    let count = bytes.len() / width;
    Ok((0..bytes.len()).map(|at| bytes[at % width * count + at / width]).collect())
}
