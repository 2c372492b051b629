//! Finds the pages of a column in a Parquet file by their headers, without decoding a page.
//!
//! A page is the smallest unit that can be decoded. By the positions of the pages, the reader copies only the pages of
//! the rows that it needs. By their sizes, the reader limits the number of rows that it reads at once.

use std::{fs::File, io::Cursor, ops::Range, os::unix::fs::FileExt};

use polars_parquet::{
    parquet::{metadata::Descriptor, schema::types::PhysicalType},
    read::ColumnChunkMetadata,
};
use polars_parquet_format::{PageHeader, PageType, thrift::protocol::TCompactInputProtocol};

use super::{super::super::DatasetError, repack};

/// The number of bytes that are read at first for a page header. If the header is longer, the reader reads further
/// bytes.
const HEADER: usize = 512;
/// The maximum length of a page header, in bytes.
pub(super) const MAX_HEADER: usize = 4 << 20;
/// The maximum size of a decompressed page, in bytes.
pub(super) const PAGE_BYTES: usize = 256 << 20;

/// The maximum number of bytes by which a column chunk may be longer than its length in the footer. Old writers do not
/// count the header of the dictionary page (PARQUET-816). Other readers use the same number.
const UNCOUNTED: u64 = 100;

/// A data page of a leaf column.
#[derive(Clone, Debug)]
pub(super) struct Page {
    /// The byte range of the page in the file, including its header.
    pub(super) range: Range<u64>,
    /// The number of values in the page, including NULLs.
    pub(super) values: usize,
    /// The rows that have a value in the page, counted from the start of the row group. [`Pages::find`] assumes one
    /// value for each row. `Windows::count_rows` corrects this range for list columns.
    pub(super) rows: Range<usize>,
    /// The first row that begins in the page. If the page begins with the remaining values of a list, this is the row
    /// after that list.
    pub(super) first_row: usize,
    /// The size of the page in bytes: its decompressed size or its decoded size, whichever is larger.
    pub(super) bytes: usize,
    /// The byte range of the page's definition levels in the file. Only a page whose header (version 2) states that it
    /// has no NULLs has this range, because the reader checks this statement against the levels. None for any other
    /// page, and for a page without definition levels.
    pub(super) levels: Option<Range<u64>>,
}

/// The pages of a leaf column in one row group.
#[derive(Debug, Default)]
pub(super) struct Pages {
    /// The byte range of the dictionary page in the file; None if there is no such page. Data pages refer to the values
    /// of the dictionary by index.
    pub(super) dictionary: Option<Range<u64>>,
    /// The data pages, in the order of the file.
    pub(super) data: Vec<Page>,
    /// The checksums of all pages that have one, dictionary page included, in the order of the file.
    pub(super) checksums: Vec<Checksum>,
}

/// The checksum that the writer stored for a page.
#[derive(Debug)]
pub(super) struct Checksum {
    /// The byte range of the page in the file, without its header.
    body: Range<u64>,
    crc: u32,
}

impl Pages {
    /// Returns the pages of a column chunk, which has `values` values and takes the bytes `range` of the file.
    ///
    /// # Errors
    /// When the file can't be read, `range` exceeds the file, a page header is damaged, or a page is too large.
    pub(super) fn find(file: &File, range: Range<u64>, values: usize) -> Result<Self, DatasetError> {
        let file_size = file.metadata()?.len();
        if range.start > range.end || range.end > file_size {
            return Err(OUTSIDE);
        }
        let mut found = Self::default();
        let (mut at, mut seen) = (range.start, 0);
        while seen < values {
            let end = if found.dictionary.is_some() { (range.end + UNCOUNTED).min(file_size) } else { range.end };
            let (header, length) = header(file, at..end)?;
            let size = |size: i32| usize::try_from(size).map_err(|_| BROKEN);
            let begin = at;
            at += length + size(header.compressed_page_size)? as u64;
            if at > end {
                return Err(BROKEN);
            }
            if let Some(crc) = header.crc {
                found.checksums.push(Checksum { body: begin + length..at, crc: crc.cast_unsigned() });
            }
            let bytes = size(header.uncompressed_page_size)?;
            if bytes > PAGE_BYTES {
                return Err(DatasetError::Limit("a page of the file has more than 256 MiB: write smaller ones"));
            }
            let mut levels = None;
            let count = match header.type_ {
                PageType::DICTIONARY_PAGE if found.dictionary.is_none() && found.data.is_empty() => {
                    found.dictionary = Some(begin..at);
                    continue;
                }
                PageType::DATA_PAGE => header.data_page_header.map(|page| page.num_values),
                PageType::DATA_PAGE_V2 => {
                    if let Some(page) = header.data_page_header_v2.as_ref().filter(|page| page.num_nulls == 0) {
                        let from = begin + length + size(page.repetition_levels_byte_length)? as u64;
                        let to = from + size(page.definition_levels_byte_length)? as u64;
                        levels = Some(from..to).filter(|levels| !levels.is_empty());
                        if to > at {
                            return Err(BROKEN);
                        }
                    }
                    header.data_page_header_v2.map(|page| page.num_values)
                }
                _ => None,
            };
            let count = size(count.ok_or(BROKEN)?)?;
            let rows = seen..seen + count;
            found.data.push(Page { range: begin..at, values: count, rows, first_row: seen, bytes, levels });
            seen += count;
        }
        Ok(found)
    }

    /// Returns the byte range `chunk` of a column chunk, extended to the end of its last page. The range in the footer
    /// may be too short (see [`UNCOUNTED`]).
    pub(super) fn range(&self, chunk: Range<u64>) -> Range<u64> {
        chunk.start..self.data.last().map_or(chunk.end, |page| page.range.end.max(chunk.end))
    }

    /// Compares the pages in `bytes` with their checksums. `range` is the byte range of the file from which `bytes`
    /// were read.
    ///
    /// # Errors
    ///
    /// When a checksum does not match its page.
    pub(super) fn check(&self, range: &Range<u64>, bytes: &[u8]) -> Result<(), DatasetError> {
        let from = self.checksums.partition_point(|checksum| checksum.body.start < range.start);
        for Checksum { body, crc } in self.checksums[from..].iter().take_while(|next| next.body.end <= range.end) {
            let (begin, end) = ((body.start - range.start) as usize, (body.end - range.start) as usize);
            if libdeflater::crc32(&bytes[begin..end]) != *crc {
                return Err(ALTERED);
            }
        }
        Ok(())
    }

    /// Whether a page in `bytes` has NULLs although its header states that it has none. `range` is the byte range of
    /// the file from which `bytes` were read.
    ///
    /// # Errors
    ///
    /// When the definition levels of a page are damaged.
    pub(super) fn hides_null(&self, range: &Range<u64>, bytes: &[u8], leaf: &Descriptor) -> Result<bool, DatasetError> {
        let from = self.data.partition_point(|page| page.range.start < range.start);
        for page in self.data[from..].iter().take_while(|page| page.range.end <= range.end) {
            let Some(levels) = page.levels.as_ref().filter(|_| leaf.max_def_level > 0) else { continue };
            let (begin, end) = ((levels.start - range.start) as usize, (levels.end - range.start) as usize);
            if repack::has_null(&bytes[begin..end], page.values, leaf)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Returns the data pages that have values of at least one of these rows.
    pub(super) fn over(&self, rows: &Range<usize>) -> &[Page] {
        let from = self.data.partition_point(|page| page.rows.end <= rows.start);
        let to = self.data.partition_point(|page| page.rows.start < rows.end);
        &self.data[from..to.max(from)]
    }
}

/// The error for bytes that are not a valid Parquet page.
pub(super) const BROKEN: DatasetError = DatasetError::Garbled("a page of the file is damaged");
/// The error for a column whose byte range in the footer exceeds the file.
const OUTSIDE: DatasetError =
    DatasetError::Garbled("the footer of the file is damaged: it places a column outside of the file");
/// The error for a page whose bytes do not match its checksum.
const ALTERED: DatasetError = DatasetError::Garbled("a page of the file is damaged: its checksum does not match");

/// Returns the page header at the beginning of this range of the file, and the length of the header in bytes.
fn header(file: &File, range: Range<u64>) -> Result<(PageHeader, u64), DatasetError> {
    let most = usize::try_from(range.end - range.start).unwrap_or(usize::MAX).min(MAX_HEADER);
    let mut bytes = vec![0; HEADER.min(most)];
    loop {
        file.read_exact_at(&mut bytes, range.start)?;
        let mut cursor = Cursor::new(bytes.as_slice());
        let read = PageHeader::read_from_in_protocol(&mut TCompactInputProtocol::new(&mut cursor, MAX_HEADER));
        match read {
            Ok(header) => return Ok((header, cursor.position())),
            Err(_) if bytes.len() < most => bytes.resize((bytes.len() * 8).min(most), 0),
            Err(_) => return Err(BROKEN),
        }
    }
}

/// Returns the size of a decoded value of a leaf column, in bytes. For a text, the size does not include its
/// characters, because several values may share one copy of them.
pub(super) fn width(leaf: &ColumnChunkMetadata) -> usize {
    match leaf.physical_type() {
        PhysicalType::Boolean => 1,
        PhysicalType::Int32 | PhysicalType::Float => 4,
        PhysicalType::Int64 | PhysicalType::Double | PhysicalType::Int96 => 8,
        PhysicalType::ByteArray => 16,
        PhysicalType::FixedLenByteArray(size) => size,
    }
}
