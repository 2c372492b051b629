//! Where the pages of a column lie in a Parquet file.
//!
//! A page is the least that can be decoded, so that its rows and its size tell how much a window over them takes. Only
//! the headers are read here, which lie before each. They may hold a checksum of what is behind them.

use std::{fs::File, io::Cursor, ops::Range, os::unix::fs::FileExt};

use polars_parquet_format::{PageHeader, PageType, thrift::protocol::TCompactInputProtocol};

use super::super::DatasetError;

/// Bytes of a header that are read at first; one that has more, for the statistics in it, is read again, …
const HEADER: usize = 512;
/// … up to this many.
const MOST_HEADER: usize = 4 << 20;
/// A page that is larger when it is decoded is refused.
pub(super) const PAGE_BYTES: usize = 256 << 20;

/// One page.
#[derive(Clone, Debug)]
pub(super) struct Page {
    /// Its header and its values in the file.
    pub(super) place: Range<u64>,
    /// How many values of the column it has, NULL among them.
    pub(super) values: usize,
    /// Of which rows it has any: one for each value, unless somebody counts those of lists.
    pub(super) rows: Range<usize>,
    /// The first row that begins in it; in a page that goes on with the list of another, the next one.
    pub(super) begins: usize,
    /// How large it is when it is decompressed, or decoded where that is more, bytes.
    pub(super) bytes: usize,
}

/// The pages of one column in one group of rows.
#[derive(Debug, Default)]
pub(super) struct Pages {
    /// The values that the other pages name by their numbers.
    pub(super) dictionary: Option<Range<u64>>,
    /// In order.
    pub(super) data: Vec<Page>,
    /// Of those pages, the dictionary among them, whose writer left one, in the order in which they lie.
    pub(super) checksums: Vec<Checksum>,
}

/// What a page was when it was written.
#[derive(Debug)]
pub(super) struct Checksum {
    /// What is behind the header, as it is in the file.
    body: Range<u64>,
    crc: u32,
}

impl Pages {
    /// Looks for the pages of a column that has so many values in these bytes of the file.
    ///
    /// # Errors
    /// When the file can't be read, or something else is there than pages of a bearable size.
    pub(super) fn find(file: &File, place: Range<u64>, values: usize) -> Result<Self, DatasetError> {
        let mut found = Self::default();
        let (mut at, mut seen) = (place.start, 0);
        while seen < values {
            let (header, length) = header(file, at..place.end)?;
            let size = |size: i32| usize::try_from(size).map_err(|_| BROKEN);
            let begin = at;
            at += length + size(header.compressed_page_size)? as u64;
            if at > place.end {
                return Err(BROKEN);
            }
            if let Some(crc) = header.crc {
                found.checksums.push(Checksum { body: begin + length..at, crc: crc.cast_unsigned() });
            }
            let bytes = size(header.uncompressed_page_size)?;
            if bytes > PAGE_BYTES {
                return Err(DatasetError::Garbled("a page of the file has more than 256 MiB: write smaller ones"));
            }
            let count = match header.type_ {
                PageType::DICTIONARY_PAGE if found.dictionary.is_none() && found.data.is_empty() => {
                    found.dictionary = Some(begin..at);
                    continue;
                }
                PageType::DATA_PAGE => header.data_page_header.map(|page| page.num_values),
                PageType::DATA_PAGE_V2 => header.data_page_header_v2.map(|page| page.num_values),
                _ => None,
            };
            let count = size(count.ok_or(BROKEN)?)?;
            found.data.push(Page { place: begin..at, values: count, rows: seen..seen + count, begins: seen, bytes });
            seen += count;
        }
        Ok(found)
    }

    /// Looks whether bytes that were read from this place of the file, one page or several in a row, are those that were
    /// written, as far as checksums tell.
    ///
    /// # Errors
    /// When they are not.
    pub(super) fn check(&self, place: &Range<u64>, bytes: &[u8]) -> Result<(), DatasetError> {
        let from = self.checksums.partition_point(|checksum| checksum.body.start < place.start);
        for Checksum { body, crc } in self.checksums[from..].iter().take_while(|next| next.body.end <= place.end) {
            let (begin, end) = ((body.start - place.start) as usize, (body.end - place.start) as usize);
            if libdeflater::crc32(&bytes[begin..end]) != *crc {
                return Err(ALTERED);
            }
        }
        Ok(())
    }

    /// The pages that have anything of these rows.
    pub(super) fn over(&self, rows: &Range<usize>) -> &[Page] {
        let from = self.data.partition_point(|page| page.rows.end <= rows.start);
        let to = self.data.partition_point(|page| page.rows.start < rows.end);
        &self.data[from..to.max(from)]
    }
}

/// What stands where a page should.
pub(super) const BROKEN: DatasetError = DatasetError::Garbled("a page of the file is damaged");
/// What is said of a page that has other bytes than it was written with.
const ALTERED: DatasetError = DatasetError::Garbled("a page of the file is damaged: its checksum is of other bytes");

/// The header at the beginning of these bytes of the file, and how long it is.
fn header(file: &File, place: Range<u64>) -> Result<(PageHeader, u64), DatasetError> {
    let most = usize::try_from(place.end - place.start).unwrap_or(usize::MAX).min(MOST_HEADER);
    let mut bytes = vec![0; HEADER.min(most)];
    loop {
        file.read_exact_at(&mut bytes, place.start)?;
        let mut cursor = Cursor::new(bytes.as_slice());
        let read = PageHeader::read_from_in_protocol(&mut TCompactInputProtocol::new(&mut cursor, MOST_HEADER));
        match read {
            Ok(header) => return Ok((header, cursor.position())),
            Err(_) if bytes.len() < most => bytes.resize((bytes.len() * 8).min(most), 0),
            Err(_) => return Err(BROKEN),
        }
    }
}
