//! Bounded windows over a Parquet file.
//!
//! The streaming engine of polars keeps the whole file mapped and several decoded row groups in flight, which grows
//! with the file. Here a window is a run of small row groups or a slice of a large one, and each is read, decoded and let
//! go before the next. Nothing is mapped, as a file that somebody cuts short would then end the process: the pages of a
//! window are copied, and a file that was written meanwhile is refused.

use std::{
    collections::HashMap,
    fs::File,
    io::Cursor,
    iter,
    ops::Range,
    os::unix::fs::FileExt,
    sync::{Arc, Mutex, PoisonError},
};

use polars::{
    io::parquet::metadata::FileMetadataRef,
    prelude::{ArrowField, Column, DataFrame, SchemaRef},
};
use polars_arrow::datatypes::ArrowSchema;
use polars_parquet::{
    parquet::read::PageMetaData,
    read::{
        BasicDecompressor, ColumnChunkMetadata, Filter, PageReader, column_iter_to_arrays, infer_schema, read_metadata,
    },
};
use rayon::iter::{IntoParallelIterator, ParallelIterator};

use super::{
    super::{
        DatasetError,
        files::{Carried, Stamp, carried},
    },
    pages::{Page, Pages},
};

/// Windows have about this many cells, …
const CELLS: usize = 2_000_000;
/// … though, as every window costs something, not fewer rows than these for the sake of that, …
const MIN_ROWS: usize = 1024;
/// … and about this many bytes in their plain encoding, or those of one page where that has more.
const BYTES: usize = 32 << 20;
/// Pages whose places are kept.
const KNOWN_PAGES: usize = 1 << 20;

/// An open Parquet file.
pub(super) struct Windows {
    file: File,
    stamp: Stamp,
    metadata: FileMetadataRef,
    fields: ArrowSchema,
    carried: Carried,
    known: Mutex<Known>,
}

/// The places of pages, by those of their columns.
#[derive(Default)]
struct Known {
    columns: HashMap<u64, Arc<Pages>>,
    pages: usize,
}

/// Rows that are read at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Window {
    groups: Range<usize>,
    /// Which rows of these groups.
    rows: Range<usize>,
}

impl Windows {
    /// Reads the footer.
    pub(super) fn open(mut file: File) -> Result<Self, DatasetError> {
        let stamp = Stamp::of(&file)?;
        let (metadata, fields) = carried::undamaged(|| {
            let metadata = read_metadata(&mut file)?;
            let fields: ArrowSchema = infer_schema(&metadata)?.iter_values().map(carried::plain).collect();
            Ok((metadata, fields))
        })?;
        let carried = Carried::of(&fields);
        Ok(Self { file, stamp, metadata: Arc::new(metadata), fields, carried, known: Mutex::default() })
    }

    pub(super) const fn schema(&self) -> &SchemaRef {
        &self.carried.schema
    }

    pub(super) const fn carried(&self) -> &Carried {
        &self.carried
    }

    pub(super) fn rows(&self) -> u64 {
        self.metadata.num_rows as u64
    }

    /// All windows of the file, in order, when these columns are read; with few rows each, if that is wanted.
    pub(super) fn plan(&self, columns: &[String], few: Option<usize>) -> Vec<Window> {
        let groups = self.metadata.row_groups.iter().map(|group| {
            let leaves = columns.iter().filter_map(|name| group.columns_under_root_iter(name)).flatten();
            let bytes = leaves.map(|leaf| usize::try_from(leaf.uncompressed_size()).unwrap_or(0)).sum();
            (group.num_rows(), bytes)
        });
        plan(&groups.collect::<Vec<_>>(), columns.len(), few.unwrap_or(usize::MAX))
    }

    /// A window in as many as its pages need, so that each is of a bounded size even where a few rows are much larger than
    /// the others of their group.
    pub(super) fn pieces(&self, window: Window, columns: &[String]) -> Result<Vec<Window>, DatasetError> {
        let group = window.groups.start;
        if window.groups.len() > 1 || window.rows.len() == self.metadata.row_groups[group].num_rows() {
            // as small as the footer says
            return Ok(vec![window]);
        }
        let found = self.flat_pages(group, columns);
        self.stamp.check(&self.file)?;
        let pieces = cut(window.rows, &found?);
        Ok(pieces.into_iter().map(|rows| Window { groups: group..group + 1, rows }).collect())
    }

    /// The pages of those columns in whose pages the rows are known.
    fn flat_pages(&self, group: usize, columns: &[String]) -> Result<Vec<Arc<Pages>>, DatasetError> {
        let mut found = Vec::with_capacity(columns.len());
        for name in columns {
            for leaf in self.leaves(group, name)?.into_iter().filter(|leaf| is_flat(leaf)) {
                found.push(self.pages(leaf, true)?);
            }
        }
        Ok(found)
    }

    /// Reads these columns of a window, in this order.
    pub(super) fn read(&self, window: &Window, columns: &[String]) -> Result<DataFrame, DatasetError> {
        let decoded = carried::undamaged(|| self.decode(window, columns));
        // whatever came of it, a file that is another one by now is the cause
        self.stamp.check(&self.file)?;
        decoded
    }

    fn decode(&self, window: &Window, columns: &[String]) -> Result<DataFrame, DatasetError> {
        let mut parts = Vec::with_capacity(window.groups.len());
        let mut begin = 0;
        for group in window.groups.clone() {
            let height = self.metadata.row_groups[group].num_rows();
            let of = |row: usize| row.clamp(begin, begin + height) - begin;
            parts.push((group, of(window.rows.start)..of(window.rows.end)));
            begin += height;
        }
        let jobs: Vec<_> = parts.iter().flat_map(|part| columns.iter().map(move |name| (part, name))).collect();
        let read = jobs.into_par_iter().map(|((group, rows), name)| self.column(*group, rows, name));
        let mut read = read.collect::<Result<Vec<_>, _>>()?.into_iter();
        let mut frame: Option<DataFrame> = None;
        for (_, rows) in parts {
            let part = DataFrame::new(rows.len(), read.by_ref().take(columns.len()).collect())?;
            match &mut frame {
                None => frame = Some(part),
                Some(frame) => frame.vstack_mut_owned(part).map(drop)?,
            }
        }
        Ok(frame.unwrap_or_default())
    }

    /// Some rows of a column in one group.
    fn column(&self, group: usize, rows: &Range<usize>, name: &str) -> Result<Column, DatasetError> {
        let field = self.fields.get(name).ok_or_else(|| DatasetError::NoColumn(name.to_owned()))?;
        if let Some(dtype) = self.carried.refused.get(name) {
            return Err(DatasetError::Unsupported { column: name.to_owned(), dtype: dtype.clone() });
        }
        let leaves = self.leaves(group, name)?;
        let whole = rows.len() == self.metadata.row_groups[group].num_rows();
        let (mut readers, mut first) = (Vec::with_capacity(leaves.len()), 0);
        for leaf in &leaves {
            let pages = self.pages(leaf, !whole)?;
            if whole || !is_flat(leaf) {
                readers.push(self.reader(leaf, [leaf.byte_range()], leaf.num_values())?);
                continue;
            }
            let run = pages.over(rows);
            let (Some(from), Some(to)) = (run.first(), run.last()) else {
                return Err(DatasetError::Garbled("a column of the file has too few rows"));
            };
            let places = pages.dictionary.iter().cloned().chain(iter::once(from.place.start..to.place.end));
            readers.push(self.reader(leaf, places, (to.values.end - from.values.start) as i64)?);
            first = from.values.start;
        }
        let types = leaves.iter().map(|leaf| &leaf.descriptor().descriptor.primitive_type).collect();
        let filter = Filter::new_ranged(rows.start - first, rows.end - first);
        let (arrays, _) = column_iter_to_arrays(readers, types, ArrowField::clone(field), Some(filter))?;
        let column = carried::column(field, arrays)?;
        if column.len() == rows.len() {
            Ok(column)
        } else {
            Err(DatasetError::Garbled("a column of the file has too few rows"))
        }
    }

    /// The columns in which the values of a column of the dataset lie: several for lists and records.
    fn leaves(&self, group: usize, name: &str) -> Result<Vec<&ColumnChunkMetadata>, DatasetError> {
        let leaves = self.metadata.row_groups[group].columns_under_root_iter(name);
        leaves.map(Iterator::collect).ok_or(DatasetError::Garbled("a group of rows lacks a column"))
    }

    /// The pages of a column; their places are kept if they are needed again.
    fn pages(&self, leaf: &ColumnChunkMetadata, keep: bool) -> Result<Arc<Pages>, DatasetError> {
        let place = leaf.byte_range();
        let known = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pages) = known().columns.get(&place.start) {
            return Ok(Arc::clone(pages));
        }
        let values = usize::try_from(leaf.num_values()).unwrap_or(0);
        let pages = Arc::new(Pages::find(&self.file, place.clone(), values)?);
        if keep {
            let mut known = known();
            if known.pages > KNOWN_PAGES {
                *known = Known::default();
            }
            known.pages += pages.data.len();
            known.columns.insert(place.start, Arc::clone(&pages));
        }
        Ok(pages)
    }

    /// A reader of the pages that lie at these places, which have so many values.
    fn reader(
        &self,
        leaf: &ColumnChunkMetadata,
        places: impl IntoIterator<Item = Range<u64>>,
        values: i64,
    ) -> Result<BasicDecompressor, DatasetError> {
        let mut bytes = Vec::new();
        for place in places {
            let (begin, size) = (bytes.len(), usize::try_from(place.end - place.start).unwrap_or(usize::MAX));
            if size > COPIED {
                return Err(DatasetError::Garbled(
                    "a list of one group of rows has more than 1 GiB: write smaller groups",
                ));
            }
            bytes.resize(begin + size, 0);
            self.file.read_exact_at(&mut bytes[begin..], place.start)?;
        }
        let about = PageMetaData::new(0, values, leaf.compression(), leaf.descriptor().descriptor.clone());
        let pages = PageReader::new_with_page_meta(Cursor::new(bytes.into()), about, Vec::new(), usize::MAX);
        Ok(BasicDecompressor::new(pages, Vec::new()))
    }
}

/// Bytes of a column that are copied at once: only lists, whose rows no header tells, are copied by whole groups.
const COPIED: usize = 1 << 30;

/// Whether the rows of a column are its values, one by one.
fn is_flat(leaf: &ColumnChunkMetadata) -> bool {
    leaf.descriptor().path_in_schema.len() == 1
}

/// Cuts rows between pages, so that the pages of each piece, or those that its first rows lie in, are not too large.
fn cut(rows: Range<usize>, columns: &[Arc<Pages>]) -> Vec<Range<usize>> {
    let over = |rows: &Range<usize>| -> usize {
        columns.iter().flat_map(|pages| pages.over(rows)).map(|page: &Page| page.bytes).sum()
    };
    if over(&rows) <= BYTES {
        return vec![rows];
    }
    let starts = columns.iter().flat_map(|pages| pages.over(&rows)).map(|page| page.values.start);
    let mut bounds: Vec<_> = starts.filter(|at| *at > rows.start).chain([rows.end]).collect();
    bounds.sort_unstable();
    bounds.dedup();
    let (mut pieces, mut begin, mut end) = (Vec::new(), rows.start, rows.start);
    for bound in bounds {
        if end > begin && over(&(begin..bound)) > BYTES {
            pieces.push(begin..end);
            begin = end;
        }
        end = bound;
    }
    pieces.push(begin..end);
    pieces
}

/// Cuts row groups, given as (rows, bytes), into windows.
fn plan(groups: &[(usize, usize)], width: usize, few: usize) -> Vec<Window> {
    let most_rows = (CELLS / width.max(1)).max(MIN_ROWS).min(few);
    let mut windows: Vec<Window> = Vec::new();
    let (mut rows, mut bytes) = (0, 0);
    for (index, (group_rows, group_bytes)) in groups.iter().copied().enumerate().filter(|(_, group)| group.0 > 0) {
        if rows > 0 && (rows + group_rows > most_rows || bytes + group_bytes > BYTES) {
            (rows, bytes) = (0, 0);
        }
        // a large group is cut by both limits, and stays alone
        let by_bytes = (group_rows as u128 * BYTES as u128 / group_bytes.max(1) as u128) as usize;
        let slice = most_rows.min(by_bytes).max(1);
        if rows == 0 && group_rows > slice {
            let pieces = group_rows.div_ceil(slice);
            let step = group_rows.div_ceil(pieces);
            let starts = (0..group_rows).step_by(step);
            windows.extend(starts.map(|at| Window { groups: index..index + 1, rows: at..(at + step).min(group_rows) }));
            continue;
        }
        match windows.last_mut() {
            Some(window) if rows > 0 => {
                window.groups.end = index + 1;
                window.rows.end += group_rows;
            }
            _ => windows.push(Window { groups: index..index + 1, rows: 0..group_rows }),
        }
        rows += group_rows;
        bytes += group_bytes;
    }
    windows
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each row exactly once and in order, whatever the groups.
    fn covers(groups: &[(usize, usize)], windows: &[Window]) -> bool {
        let starts: Vec<usize> = groups
            .iter()
            .scan(0, |at, group| {
                *at += group.0;
                Some(*at - group.0)
            })
            .collect();
        let mut at = 0;
        windows.iter().all(|window| {
            let begins = starts[window.groups.start] + window.rows.start == at;
            at += window.rows.len();
            begins && !window.rows.is_empty()
        }) && at == groups.iter().map(|group| group.0).sum::<usize>()
    }

    #[test]
    fn windows_cover_all_rows_once_and_are_bounded() {
        for (groups, width, expected) in [
            (vec![], 5, 0),
            (vec![(0, 0)], 5, 0),
            (vec![(10, 100); 100], 5, 1),
            (vec![(0, 0), (10, 100), (0, 0), (10, 100)], 5, 1),
            (vec![(272_727, 1_490_000); 11], 5, 11),
            (vec![(3_000_000, 60 << 20)], 5, 8),
            (vec![(10, 100), (3_000_000, 1 << 20), (10, 100)], 5, 10),
            (vec![(100_000, 1 << 30)], 2, 32),
            // large cells: no number of rows wins over the bytes
            (vec![(1_024, 1 << 30)], 2, 32),
            (vec![(4, 1 << 30)], 2, 4),
        ] {
            let windows = plan(&groups, width, usize::MAX);
            assert!(covers(&groups, &windows), "{groups:?}: {windows:?}");
            assert_eq!(windows.len(), expected, "{groups:?}: {windows:?}");
        }
    }

    #[test]
    fn windows_are_cut_between_pages_where_these_are_large() {
        let pages = |sizes: &[(usize, usize)]| {
            let mut begin = 0;
            let data = sizes.iter().map(|(rows, bytes)| {
                begin += rows;
                Page { place: 0..0, values: begin - rows..begin, bytes: *bytes }
            });
            Arc::new(Pages { dictionary: None, data: data.collect() })
        };
        let small = pages(&[(100, 1_000); 10]);
        assert_eq!(cut(0..1_000, std::slice::from_ref(&small)).len(), 1);
        // the last rows are most of it
        let skewed = pages(&[(990, 1_000), (2, BYTES / 2), (2, BYTES / 2), (2, BYTES / 2), (4, BYTES * 2)]);
        let pieces = cut(0..1_000, &[small, skewed]);
        // a page is the least, and the other column's pages are read beside it
        assert_eq!(pieces, [0..992, 992..994, 994..996, 996..1_000]);
    }
}
