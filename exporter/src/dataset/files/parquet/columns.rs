//! Reads one column in a range of rows, by copying the pages with these rows and decoding them.

use std::{
    io::Cursor,
    iter,
    ops::Range,
    os::unix::fs::FileExt,
    slice,
    sync::{Arc, PoisonError},
};

use polars::prelude::{ArrowField, Column};
use polars_arrow::array::Array;
use polars_parquet::{
    parquet::{
        compression::Compression,
        read::PageMetaData,
        schema::types::{PhysicalType, PrimitiveType},
    },
    read::{BasicDecompressor, ColumnChunkMetadata, Filter, PageReader, column_iter_to_arrays},
};

use super::{
    super::{
        super::DatasetError,
        int96, readable,
        type_mapping::{self, TextBudget},
    },
    nested,
    pages::{BROKEN, Pages, width},
    repack,
    windows::{PageCache, Windows},
};

/// The maximum number of pages in the page cache. When the cache has more pages, the reader clears it.
const CACHED_PAGES: usize = 1 << 20;
/// The maximum number of bytes that one read copies from the file for one column. Without this limit, a single row of a
/// list column could need any number of pages.
const MAX_COPIED: usize = 1 << 30;

/// The pages of a leaf column that one read needs from a row group: consecutive data pages, and the dictionary page if
/// there is one.
struct Run {
    ranges: Vec<Range<u64>>,
    values: i64,
    /// The first row that begins in these data pages, counted from the start of the row group.
    first_row: usize,
    /// All pages of the leaf column in the row group, including the pages that the read does not need.
    pages: Arc<Pages>,
}

impl Windows {
    /// Reads the rows `rows` of one column in the row group with the index `group`. The rows are counted from the start
    /// of the row group. Values that are converted to text use up a part of `budget`, the limit for the size of such
    /// texts.
    pub(super) fn column(
        &self,
        group: usize,
        rows: &Range<usize>,
        name: &str,
        budget: &TextBudget,
    ) -> Result<Column, DatasetError> {
        let field = self.fields.get(name).ok_or_else(|| DatasetError::NoColumn(name.to_owned()))?;
        if let Some(dtype) = self.mapping.unsupported.get(name) {
            return Err(DatasetError::Unsupported { column: name.to_owned(), dtype: dtype.clone() });
        }
        let leaves = self.leaves(group, name)?;
        let whole = rows.len() == self.metadata.row_groups[group].num_rows();
        // the pages of each leaf, and the first row that begins in them
        let mut runs = Vec::with_capacity(leaves.len());
        for leaf in &leaves {
            let pages = self.pages(group, leaf, !whole)?;
            runs.push(if whole {
                Run { ranges: vec![pages.range(leaf.byte_range())], values: leaf.num_values(), first_row: 0, pages }
            } else {
                let run = pages.over(rows);
                let (Some(from), Some(to)) = (run.first(), run.last()) else { return Err(TOO_FEW) };
                let ranges = pages.dictionary.iter().cloned().chain(iter::once(from.range.start..to.range.end));
                let values = run.iter().map(|page| page.values as i64).sum();
                Run { ranges: ranges.collect(), values, first_row: from.first_row, pages: Arc::clone(&pages) }
            });
        }
        let bytes = runs.iter().flat_map(|run| &run.ranges).map(|range| range.end - range.start).sum::<u64>();
        if bytes > MAX_COPIED as u64 {
            let detail = "a few rows of it have more than 1 GiB: write smaller groups of rows";
            return Err(DatasetError::Value { column: name.to_owned(), detail });
        }
        let arrays = match self.arrays(field, &leaves, &runs, rows, whole, false) {
            Err(DatasetError::Polars(_)) => self.arrays(field, &leaves, &runs, rows, whole, true)?,
            arrays => arrays?,
        };
        let arrays = arrays.into_iter().map(|array| readable::convert(field, &field.dtype, array));
        let arrays = arrays.collect::<Result<Vec<_>, _>>()?;
        let column = type_mapping::column(&readable::field(field), arrays, budget)?;
        let column = match self.mapping.schema.get(name) {
            Some(dtype) if self.mapping.nulls.contains(name) => Column::full_null(name.into(), column.len(), dtype),
            _ => column,
        };
        if column.len() == rows.len() { Ok(column) } else { Err(TOO_FEW) }
    }

    /// Decodes the rows `rows` of a column from the pages in `runs`, which has one item for each of the leaf columns in
    /// `leaves`. `whole` is true if these are all rows of the row group. If `repack` is true, first rewrites the pages
    /// without compression and in encodings that polars reads.
    fn arrays(
        &self,
        field: &ArrowField,
        leaves: &[&ColumnChunkMetadata],
        runs: &[Run],
        rows: &Range<usize>,
        whole: bool,
        repack: bool,
    ) -> Result<Vec<Box<dyn Array>>, DatasetError> {
        Ok(if whole || leaves.len() == 1 {
            let first = runs.first().map_or(0, |run| run.first_row);
            let types: Vec<_> = leaves.iter().map(|leaf| kind(leaf)).collect();
            let readers = leaves
                .iter()
                .zip(runs)
                .map(|(leaf, run)| self.reader(leaf, &run.pages, &run.ranges, run.values, repack));
            let filter = Filter::new_ranged(rows.start - first, rows.end - first);
            let readers = readers.collect::<Result<_, _>>()?;
            column_iter_to_arrays(readers, types.iter().collect(), ArrowField::clone(field), Some(filter))?.0
        } else {
            // the pages of each leaf begin with a different row, so each leaf must be decoded separately
            let mut parts = Vec::with_capacity(leaves.len());
            for (at, (leaf, run)) in leaves.iter().zip(runs).enumerate() {
                let reader = self.reader(leaf, &run.pages, &run.ranges, run.values, repack)?;
                let filter = Filter::new_ranged(rows.start - run.first_row, rows.end - run.first_row);
                let kind = kind(leaf);
                let (mut arrays, _) =
                    column_iter_to_arrays(vec![reader], vec![&kind], nested::with_one_leaf(field, at), Some(filter))?;
                parts.push(arrays.pop().filter(|_| arrays.is_empty()).ok_or(TOO_FEW)?);
            }
            vec![nested::join(&field.dtype, parts)?]
        })
    }

    /// Returns the leaf columns of a top-level column in a row group. A column of records has one leaf column for each
    /// of its primitive members.
    pub(super) fn leaves(&self, group: usize, name: &str) -> Result<Vec<&ColumnChunkMetadata>, DatasetError> {
        let leaves = self.metadata.row_groups[group].columns_under_root_iter(name);
        leaves.map(Iterator::collect).ok_or(DatasetError::Garbled("a group of rows lacks a column"))
    }

    /// Returns the pages of a leaf column in a row group, from the cache if the cache has them. If `keep` is true, also
    /// finds the rows of each page, and adds the pages to the cache. If `keep` is false, the rows of the pages may be
    /// wrong for a list column, because the reader takes only the number of values from page headers.
    pub(super) fn pages(
        &self,
        group: usize,
        leaf: &ColumnChunkMetadata,
        keep: bool,
    ) -> Result<Arc<Pages>, DatasetError> {
        let range = leaf.byte_range();
        let cache = || self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pages) = cache().columns.get(&range.start) {
            return Ok(Arc::clone(pages));
        }
        let values = usize::try_from(leaf.num_values()).unwrap_or(0);
        let mut pages = Pages::find(&self.file, range.clone(), values)?;
        if !keep {
            return Ok(Arc::new(pages));
        }
        for page in &mut pages.data {
            page.bytes = page.bytes.max(page.values.saturating_mul(width(leaf)));
        }
        if !is_flat(leaf) {
            self.count_rows(leaf, &mut pages)?;
        }
        if pages.data.last().map_or(0, |page| page.rows.end) != self.metadata.row_groups[group].num_rows() {
            return Err(TOO_FEW);
        }
        let pages = Arc::new(pages);
        let mut cache = cache();
        if cache.pages > CACHED_PAGES {
            *cache = PageCache::default();
        }
        cache.pages += pages.data.len();
        cache.columns.insert(range.start, Arc::clone(&pages));
        Ok(pages)
    }

    /// Counts the rows in each page of a list column, and sets the row positions in `pages`. This is necessary because
    /// most page headers state only the number of values.
    fn count_rows(&self, leaf: &ColumnChunkMetadata, pages: &mut Pages) -> Result<(), DatasetError> {
        let mut seen = 0;
        for at in 0..pages.data.len() {
            let (range, values) = (pages.data[at].range.clone(), pages.data[at].values as i64);
            let reader = |repack| self.reader(leaf, pages, slice::from_ref(&range), values, repack);
            let (begun, continues) = match nested::rows(reader(false)?) {
                Err(DatasetError::Polars(_)) => nested::rows(reader(true)?)?,
                counted => counted?,
            };
            if continues && seen == 0 {
                return Err(BROKEN);
            }
            let page = &mut pages.data[at];
            page.rows = seen - usize::from(continues)..seen + begun;
            page.first_row = seen;
            seen += begun;
        }
        Ok(())
    }

    /// Copies the byte ranges `ranges` of the file, and returns a reader of the copied pages. `values` is the number of
    /// values in these pages. Rewrites the pages in a form that polars reads if `repack` is true, or if a page has
    /// NULLs although its header states that it has none.
    fn reader(
        &self,
        leaf: &ColumnChunkMetadata,
        pages: &Pages,
        ranges: &[Range<u64>],
        values: i64,
        repack: bool,
    ) -> Result<BasicDecompressor, DatasetError> {
        let descriptor = &leaf.descriptor().descriptor;
        let (mut bytes, mut repack) = (Vec::new(), repack);
        for range in ranges {
            let (begin, size) = (bytes.len(), usize::try_from(range.end - range.start).unwrap_or(usize::MAX));
            bytes.resize(begin + size, 0);
            #[cfg(test)]
            self.copied.fetch_add(size, std::sync::atomic::Ordering::Relaxed);
            self.file.read_exact_at(&mut bytes[begin..], range.start)?;
            pages.check(range, &bytes[begin..])?;
            repack = repack || pages.hides_null(range, &bytes[begin..], descriptor)?;
        }
        let mut codec = leaf.compression();
        if repack {
            bytes = repack::repacked(&bytes, codec, descriptor)?;
            codec = Compression::Uncompressed;
        }
        let about = PageMetaData::new(0, values, codec, descriptor.clone());
        let pages = PageReader::new_with_page_meta(Cursor::new(bytes.into()), about, Vec::new(), usize::MAX);
        Ok(BasicDecompressor::new(pages, Vec::new()))
    }
}

/// Returns the type with which polars decodes the values of a leaf column. Timestamps of 96 bits are decoded as bytes,
/// because polars changes some of them (see `int96`).
fn kind(leaf: &ColumnChunkMetadata) -> PrimitiveType {
    let mut kind = leaf.descriptor().descriptor.primitive_type.clone();
    if kind.physical_type == PhysicalType::Int96 {
        kind.physical_type = PhysicalType::FixedLenByteArray(int96::BYTES);
    }
    kind
}

/// The error for a column with fewer rows than the footer of the file states.
const TOO_FEW: DatasetError = DatasetError::Garbled("a column of the file has too few rows");

/// Whether a leaf column is not part of a list. Each row of such a column has exactly one value.
fn is_flat(leaf: &ColumnChunkMetadata) -> bool {
    leaf.descriptor().descriptor.max_rep_level == 0
}
