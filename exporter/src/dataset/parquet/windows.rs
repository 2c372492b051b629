//! Bounded windows over a Parquet file.
//!
//! The streaming engine of polars keeps the whole file mapped and several decoded row groups in flight, which grows
//! with the file. Here a window is a run of small row groups or a slice of a large one, and each is read, decoded and let
//! go before the next. Nothing is mapped, as a file that somebody cuts short would then end the process: the pages of a
//! window are copied, and a file that was written meanwhile is refused.

#[cfg(test)]
mod tests;

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
    parquet::{read::PageMetaData, schema::types::PhysicalType},
    read::{
        BasicDecompressor, ColumnChunkMetadata, Filter, PageReader, column_iter_to_arrays, infer_schema, read_metadata,
    },
};
use rayon::iter::{IntoParallelIterator, ParallelIterator};

use super::{
    super::{
        DatasetError,
        files::{
            Carried, Stamp,
            carried::{self, Room},
        },
    },
    nested,
    pages::{BROKEN, PAGE_BYTES, Page, Pages},
};

/// Windows have about this many cells, …
const CELLS: usize = 2_000_000;
/// … though, as every window costs something, not fewer rows than these for the sake of that, …
const MIN_ROWS: usize = 1024;
/// … and about this many bytes, decompressed or decoded, whichever is more, or those of one page where that has more.
const BYTES: usize = 32 << 20;
/// Pages whose places are kept.
const KNOWN_PAGES: usize = 1 << 20;
/// Bytes of a window of any column that are copied, at most: a row of a list may have any number of pages.
const COPIED: usize = 1 << 30;

/// An open Parquet file.
pub(super) struct Windows {
    file: File,
    stamp: Stamp,
    metadata: FileMetadataRef,
    fields: ArrowSchema,
    carried: Carried,
    known: Mutex<Known>,
    /// Bytes of text in one frame.
    pub(super) room: usize,
    /// Bytes that were copied so far.
    #[cfg(test)]
    pub(super) copied: std::sync::atomic::AtomicUsize,
}

/// The places of pages, by those of their columns.
#[derive(Default)]
struct Known {
    columns: HashMap<u64, Arc<Pages>>,
    pages: usize,
}

/// Pages of a column that are read at once.
struct Run {
    places: Vec<Range<u64>>,
    values: i64,
    /// The first row that begins in them.
    begins: usize,
    /// All of the column in its group.
    pages: Arc<Pages>,
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
        let mut carried = Carried::of(&fields);
        let fields = nested::fit(fields, &mut carried, &metadata.schema_descr);
        Ok(Self {
            file,
            stamp,
            metadata: Arc::new(metadata),
            fields,
            carried,
            known: Mutex::default(),
            room: carried::FRAME_TEXT,
            #[cfg(test)]
            copied: Default::default(),
        })
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
            let size = |size: i64| usize::try_from(size).unwrap_or(0);
            let bytes = leaves
                .map(|leaf| size(leaf.uncompressed_size()).max(size(leaf.num_values()).saturating_mul(width(leaf))))
                .fold(0, usize::saturating_add);
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
        let found = carried::undamaged(|| self.all_pages(group, columns));
        self.stamp.check(&self.file)?;
        let pieces = cut(window.rows, &found?);
        Ok(pieces.into_iter().map(|rows| Window { groups: group..group + 1, rows }).collect())
    }

    fn all_pages(&self, group: usize, columns: &[String]) -> Result<Vec<Arc<Pages>>, DatasetError> {
        let mut found = Vec::with_capacity(columns.len());
        for name in columns {
            for leaf in self.leaves(group, name)? {
                found.push(self.pages(group, leaf, true)?);
            }
        }
        Ok(found)
    }

    /// Does some work with each piece of a window, and with its halves, and theirs, where a frame has no room for its
    /// texts. False as soon as the work is: nobody wants more.
    pub(super) fn each(
        &self,
        window: Window,
        columns: &[String],
        work: &mut dyn FnMut(&Window) -> Result<bool, DatasetError>,
    ) -> Result<bool, DatasetError> {
        let mut left = self.pieces(window, columns)?;
        left.reverse();
        while let Some(part) = left.pop() {
            match work(&part) {
                Ok(true) => {}
                Err(e) if part.rows.len() > 1 && carried::is_too_much(&e) => {
                    let (first, second) = part.halves();
                    left.extend([second, first]);
                }
                end => return end,
            }
        }
        Ok(true)
    }

    /// Reads the first rows of a window: a piece, or as much of it as there is room for.
    pub(super) fn first(&self, window: Window, columns: &[String]) -> Result<DataFrame, DatasetError> {
        let mut first = None;
        self.each(window, columns, &mut |part| {
            first = Some(self.read(part, columns)?);
            Ok(false)
        })?;
        Ok(first.unwrap_or_default())
    }

    /// Reads these columns of a window, in this order.
    ///
    /// # Errors
    /// When the file can't be read, or has become another. When the texts of several rows have no room, which is asked of
    /// [`carried::is_too_much`], fewer may have.
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
            let rows = of(window.rows.start)..of(window.rows.end);
            if !rows.is_empty() {
                parts.push((group, rows));
            }
            begin += height;
        }
        let room = Room::new(self.room, window.rows.len());
        let jobs: Vec<_> = parts.iter().flat_map(|part| columns.iter().map(move |name| (part, name))).collect();
        let read = jobs.into_par_iter().map(|((group, rows), name)| self.column(*group, rows, name, &room));
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
    fn column(&self, group: usize, rows: &Range<usize>, name: &str, room: &Room) -> Result<Column, DatasetError> {
        let field = self.fields.get(name).ok_or_else(|| DatasetError::NoColumn(name.to_owned()))?;
        if let Some(dtype) = self.carried.refused.get(name) {
            return Err(DatasetError::Unsupported { column: name.to_owned(), dtype: dtype.clone() });
        }
        let leaves = self.leaves(group, name)?;
        let whole = rows.len() == self.metadata.row_groups[group].num_rows();
        // which pages of each, and the row that begins first in them
        let mut runs = Vec::with_capacity(leaves.len());
        for leaf in &leaves {
            let pages = self.pages(group, leaf, !whole)?;
            runs.push(if whole {
                Run { places: vec![leaf.byte_range()], values: leaf.num_values(), begins: 0, pages }
            } else {
                let run = pages.over(rows);
                let (Some(from), Some(to)) = (run.first(), run.last()) else { return Err(TOO_FEW) };
                let places = pages.dictionary.iter().cloned().chain(iter::once(from.place.start..to.place.end));
                let values = run.iter().map(|page| page.values as i64).sum();
                Run { places: places.collect(), values, begins: from.begins, pages: Arc::clone(&pages) }
            });
        }
        let bytes = runs.iter().flat_map(|run| &run.places).map(|place| place.end - place.start).sum::<u64>();
        if bytes > COPIED as u64 {
            let detail = "a few rows of it have more than 1 GiB: write smaller groups of rows";
            return Err(DatasetError::Value { column: name.to_owned(), detail });
        }
        let kind = |leaf: &ColumnChunkMetadata| leaf.descriptor().descriptor.primitive_type.clone();
        let arrays = if whole || leaves.len() == 1 {
            let first = runs.first().map_or(0, |run| run.begins);
            let types: Vec<_> = leaves.iter().map(|leaf| kind(leaf)).collect();
            let readers =
                leaves.iter().zip(&runs).map(|(leaf, run)| self.reader(leaf, &run.pages, &run.places, run.values));
            let filter = Filter::new_ranged(rows.start - first, rows.end - first);
            let readers = readers.collect::<Result<_, _>>()?;
            column_iter_to_arrays(readers, types.iter().collect(), ArrowField::clone(field), Some(filter))?.0
        } else {
            // the pages of each begin with another row, so that each is decoded as if it were alone
            let mut parts = Vec::with_capacity(leaves.len());
            for (at, (leaf, run)) in leaves.iter().zip(&runs).enumerate() {
                let reader = self.reader(leaf, &run.pages, &run.places, run.values)?;
                let filter = Filter::new_ranged(rows.start - run.begins, rows.end - run.begins);
                let kind = kind(leaf);
                let (mut arrays, _) =
                    column_iter_to_arrays(vec![reader], vec![&kind], nested::alone(field, at), Some(filter))?;
                parts.push(arrays.pop().filter(|_| arrays.is_empty()).ok_or(TOO_FEW)?);
            }
            vec![nested::joined(&field.dtype, parts)?]
        };
        let column = carried::column(field, arrays, room)?;
        if column.len() == rows.len() { Ok(column) } else { Err(TOO_FEW) }
    }

    /// The columns in which the values of a column of the dataset lie: several for lists and records.
    fn leaves(&self, group: usize, name: &str) -> Result<Vec<&ColumnChunkMetadata>, DatasetError> {
        let leaves = self.metadata.row_groups[group].columns_under_root_iter(name);
        leaves.map(Iterator::collect).ok_or(DatasetError::Garbled("a group of rows lacks a column"))
    }

    /// The pages of a column in a group; if they are needed again, their places are kept, and the rows in them known.
    fn pages(&self, group: usize, leaf: &ColumnChunkMetadata, keep: bool) -> Result<Arc<Pages>, DatasetError> {
        let place = leaf.byte_range();
        let known = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pages) = known().columns.get(&place.start) {
            return Ok(Arc::clone(pages));
        }
        let values = usize::try_from(leaf.num_values()).unwrap_or(0);
        let mut pages = Pages::find(&self.file, place.clone(), values)?;
        if !keep {
            return Ok(Arc::new(pages));
        }
        for page in &mut pages.data {
            page.bytes = page.bytes.max(page.values.saturating_mul(width(leaf)));
        }
        if !is_flat(leaf) {
            self.count(leaf, &mut pages)?;
        }
        if pages.data.last().map_or(0, |page| page.rows.end) != self.metadata.row_groups[group].num_rows() {
            return Err(TOO_FEW);
        }
        let pages = Arc::new(pages);
        let mut known = known();
        if known.pages > KNOWN_PAGES {
            *known = Known::default();
        }
        known.pages += pages.data.len();
        known.columns.insert(place.start, Arc::clone(&pages));
        Ok(pages)
    }

    /// Counts the rows in the pages of a list, of which no header tells, one page after the other.
    fn count(&self, leaf: &ColumnChunkMetadata, pages: &mut Pages) -> Result<(), DatasetError> {
        let mut seen = 0;
        for at in 0..pages.data.len() {
            let (place, values) = (pages.data[at].place.clone(), pages.data[at].values as i64);
            let (begun, goes_on) = nested::rows(self.reader(leaf, pages, &[place], values)?)?;
            if goes_on && seen == 0 {
                return Err(BROKEN);
            }
            let page = &mut pages.data[at];
            page.rows = seen - usize::from(goes_on)..seen + begun;
            page.begins = seen;
            seen += begun;
        }
        Ok(())
    }

    /// A reader of those of a column's pages that lie at these places, which have so many values.
    fn reader(
        &self,
        leaf: &ColumnChunkMetadata,
        pages: &Pages,
        places: &[Range<u64>],
        values: i64,
    ) -> Result<BasicDecompressor, DatasetError> {
        let mut bytes = Vec::new();
        for place in places {
            let (begin, size) = (bytes.len(), usize::try_from(place.end - place.start).unwrap_or(usize::MAX));
            bytes.resize(begin + size, 0);
            #[cfg(test)]
            self.copied.fetch_add(size, std::sync::atomic::Ordering::Relaxed);
            self.file.read_exact_at(&mut bytes[begin..], place.start)?;
            pages.check(place, &bytes[begin..])?;
        }
        let about = PageMetaData::new(0, values, leaf.compression(), leaf.descriptor().descriptor.clone());
        let pages = PageReader::new_with_page_meta(Cursor::new(bytes.into()), about, Vec::new(), usize::MAX);
        Ok(BasicDecompressor::new(pages, Vec::new()))
    }
}

impl Window {
    /// The first rows of it, and the others.
    fn halves(self) -> (Self, Self) {
        let middle = self.rows.start + self.rows.len() / 2;
        let first = Self { groups: self.groups.clone(), rows: self.rows.start..middle };
        (first, Self { groups: self.groups, rows: middle..self.rows.end })
    }
}

/// What is said of a column that ends too early.
const TOO_FEW: DatasetError = DatasetError::Garbled("a column of the file has too few rows");

/// Whether the rows of a column are its values, one by one: no list is above them, nor are they one themselves.
fn is_flat(leaf: &ColumnChunkMetadata) -> bool {
    leaf.descriptor().descriptor.max_rep_level == 0
}

/// Bytes of a decoded value, without those that several share.
fn width(leaf: &ColumnChunkMetadata) -> usize {
    match leaf.physical_type() {
        PhysicalType::Boolean => 1,
        PhysicalType::Int32 | PhysicalType::Float => 4,
        PhysicalType::Int64 | PhysicalType::Double | PhysicalType::Int96 => 8,
        PhysicalType::ByteArray => 16,
        PhysicalType::FixedLenByteArray(size) => size,
    }
}

/// Cuts rows between pages, so that the pages of each piece, or those that its first rows lie in, are not too large.
fn cut(rows: Range<usize>, columns: &[Arc<Pages>]) -> Vec<Range<usize>> {
    let over = |rows: &Range<usize>| -> usize {
        let pages = columns.iter().flat_map(|pages| pages.over(rows));
        pages.map(|page: &Page| page.bytes).fold(0, usize::saturating_add)
    };
    if over(&rows) <= BYTES {
        return vec![rows];
    }
    // of all columns together, as they begin: each is looked at once, as there may be any number of small ones
    let mut pages: Vec<_> = columns.iter().flat_map(|pages| pages.over(&rows)).collect();
    pages.sort_unstable_by_key(|page| page.rows.start);
    let mut bounds: Vec<_> = pages.iter().map(|page| page.rows.start).filter(|at| *at > rows.start).collect();
    bounds.push(rows.end);
    bounds.dedup();
    let mut pages = pages.into_iter().peekable();
    let (mut pieces, mut begin, mut end, mut held) = (Vec::new(), rows.start, rows.start, 0_usize);
    for bound in bounds {
        let more = iter::from_fn(|| pages.next_if(|page| page.rows.start < bound));
        held = more.map(|page| page.bytes).fold(held, usize::saturating_add);
        if end > begin && held > BYTES {
            pieces.push(begin..end);
            begin = end;
            // with those that began before it and are not at their end
            held = over(&(begin..bound));
        }
        end = bound;
    }
    pieces.push(begin..end);
    // a page that says much with few bytes is decoded bit by bit
    let parts = pieces.into_iter().flat_map(|piece| {
        let bytes = over(&piece);
        let parts = if bytes > PAGE_BYTES { bytes.div_ceil(BYTES) } else { 1 };
        let (step, end) = (piece.len().div_ceil(parts).max(1), piece.end);
        piece.step_by(step).map(move |at| at..(at + step).min(end))
    });
    parts.collect()
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
        let by_bytes = group_rows as u128 * BYTES as u128 / group_bytes.max(1) as u128;
        let by_bytes = usize::try_from(by_bytes).unwrap_or(usize::MAX);
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
