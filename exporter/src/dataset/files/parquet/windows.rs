//! Reads a Parquet file in windows of rows. The size of each window in memory is bounded.
//!
//! The streaming engine of polars maps the whole file and keeps several decoded row groups in memory, so its memory
//! grows with the file. This reader instead reads a file in windows, each of which is a run of small row groups or a
//! slice of a large one. It decodes and drops each window before it reads the next one.
//!
//! The reader does not map the file, because truncating a mapped file kills the process. It copies the pages of each
//! window, and a read fails if the file was modified after it was opened.

#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, HashSet},
    fs::File,
    io::Cursor,
    iter,
    ops::Range,
    os::unix::fs::FileExt,
    slice,
    sync::{Arc, Mutex, PoisonError},
};

use polars::{
    io::parquet::metadata::FileMetadataRef,
    prelude::{ArrowField, Column, DataFrame, Schema, SchemaRef},
};
use polars_arrow::{array::Array, datatypes::ArrowSchema};
use polars_parquet::{
    parquet::{
        compression::Compression,
        read::PageMetaData,
        schema::types::{PhysicalType, PrimitiveType},
    },
    read::{
        BasicDecompressor, ColumnChunkMetadata, Filter, PageReader, column_iter_to_arrays, infer_schema, read_metadata,
    },
};
use rayon::iter::{IntoParallelIterator, ParallelIterator};

use super::{
    super::{
        super::DatasetError,
        file_version::FileVersion,
        nesting, readable,
        type_mapping::{self, TextBudget, TypeMapping},
    },
    footer, logical, nested,
    pages::{BROKEN, PAGE_BYTES, Page, Pages},
    repack,
};

/// The key under which writers store the Arrow schema of a file in its footer.
const ARROW_SCHEMA: &str = "ARROW:schema";
/// The approximate maximum number of values in a window: its rows times its columns.
const VALUES: usize = 2_000_000;
/// The limit [`VALUES`] never shrinks a window below this number of rows, because every window has a fixed cost.
const MIN_ROWS: usize = 1024;
/// The approximate maximum size of a window in bytes: its decompressed or its decoded size, whichever is larger. A
/// single page may exceed this size.
const BYTES: usize = 32 << 20;
/// The number of pages above which the page cache is cleared.
const CACHED_PAGES: usize = 1 << 20;
/// The maximum number of bytes that one window copies from the file for one column. The limit is necessary because a
/// single row of a list column may take any number of pages.
const MAX_COPIED: usize = 1 << 30;

/// An open Parquet file that is read in windows of rows.
pub(in crate::dataset::files) struct Windows {
    file: File,
    version: FileVersion,
    metadata: FileMetadataRef,
    fields: ArrowSchema,
    mapping: TypeMapping,
    cache: Mutex<PageCache>,
    /// The maximum total size of the texts into which the values of one frame are converted, in bytes.
    pub(super) text_budget: usize,
    /// The number of bytes of the file that windows have copied so far.
    #[cfg(test)]
    pub(super) copied: std::sync::atomic::AtomicUsize,
}

/// The positions of the pages of column chunks, by the offset of the chunk in the file. The cache holds no values.
#[derive(Default)]
struct PageCache {
    columns: HashMap<u64, Arc<Pages>>,
    pages: usize,
}

/// The part of a leaf column that one window reads from a row group: consecutive data pages, and the dictionary page if
/// there is one.
struct Run {
    ranges: Vec<Range<u64>>,
    values: i64,
    /// The first row that begins in these pages, counted from the start of the row group.
    first_row: usize,
    /// All pages of the column in its row group.
    pages: Arc<Pages>,
}

/// A range of rows that is read at once: part of one row group, or several whole row groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Window {
    groups: Range<usize>,
    /// The rows, counted from the first row of the first row group in `groups`.
    rows: Range<usize>,
}

impl Windows {
    /// Opens a file, and reads its footer.
    pub(in crate::dataset::files) fn open(mut file: File) -> Result<Self, DatasetError> {
        let version = FileVersion::of(&file)?;
        let footer = nesting::footer(&file)?;
        let empty_group = footer.as_deref().and_then(footer::empty_group);
        let opened = type_mapping::catch_damage(|| {
            let metadata = match footer {
                Some(footer) => {
                    let footer = footer::with_known_types(footer);
                    match read_metadata(&mut Cursor::new(&footer)) {
                        Ok(metadata) => metadata,
                        Err(e) => match footer::without_extras(&footer) {
                            Some(footer) => read_metadata(&mut Cursor::new(&footer))?,
                            None => return Err(e.into()),
                        },
                    }
                }
                None => read_metadata(&mut file)?,
            };
            let mut names = HashSet::new();
            let twice =
                metadata.schema_descr.fields().iter().map(|field| field.name()).find(|name| !names.insert(*name));
            if let Some(name) = twice {
                let detail = format!("two columns are called `{name}`: write one of them under another name");
                return Err(DatasetError::Undeclared(detail));
            }
            let pairs = metadata.key_value_metadata.iter().flatten();
            let stored = pairs.filter(|pair| pair.key == ARROW_SCHEMA).filter_map(|pair| pair.value.as_deref());
            stored.into_iter().try_for_each(nesting::check_encoded_schema)?;
            let fields: ArrowSchema =
                infer_schema(&metadata)?.iter_values().map(type_mapping::without_extension).collect();
            Ok((metadata, fields))
        });
        let (metadata, fields) = match opened {
            Err(_) if footer::is_encrypted(&file) => return Err(ENCRYPTED),
            Err(DatasetError::Polars(_)) if empty_group.is_some() => {
                return Err(EMPTY_GROUP.in_column(&empty_group.unwrap_or_default()));
            }
            opened => opened?,
        };
        let fields = logical::annotated(fields, &metadata.schema_descr);
        let mut mapping = TypeMapping::of(&fields);
        let fields = nested::fit(fields, &mut mapping, &metadata.schema_descr);
        Ok(Self {
            file,
            version,
            metadata: Arc::new(metadata),
            fields,
            mapping,
            cache: Mutex::default(),
            text_budget: type_mapping::FRAME_TEXT,
            #[cfg(test)]
            copied: Default::default(),
        })
    }

    /// Replaces the type null of columns in this file by the types of the same columns in the dataset.
    pub(in crate::dataset::files) fn with_types_of(mut self, dataset: &Schema) -> Self {
        for name in &self.mapping.nulls {
            if let Some(dtype) = dataset.get(name) {
                Arc::make_mut(&mut self.mapping.schema).insert(name.as_str().into(), dtype.clone());
            }
        }
        self
    }

    pub(in crate::dataset::files) const fn schema(&self) -> &SchemaRef {
        &self.mapping.schema
    }

    pub(in crate::dataset::files) const fn mapping(&self) -> &TypeMapping {
        &self.mapping
    }

    pub(in crate::dataset::files) fn rows(&self) -> u64 {
        self.metadata.num_rows as u64
    }

    /// Splits all rows of the file into windows for reading these columns. Each window has at most `max_rows` rows;
    /// None means no such limit.
    pub(super) fn plan(&self, columns: &[String], max_rows: Option<usize>) -> Vec<Window> {
        let groups = self.metadata.row_groups.iter().map(|group| {
            let leaves = columns.iter().filter_map(|name| group.columns_under_root_iter(name)).flatten();
            let size = |size: i64| usize::try_from(size).unwrap_or(0);
            let bytes = leaves
                .map(|leaf| size(leaf.uncompressed_size()).max(size(leaf.num_values()).saturating_mul(width(leaf))))
                .fold(0, usize::saturating_add);
            (group.num_rows(), bytes)
        });
        plan(&groups.collect::<Vec<_>>(), columns.len(), max_rows.unwrap_or(usize::MAX))
    }

    /// Splits a window into chunks of bounded size at the bounds of pages. This is necessary because a few rows may be
    /// much larger than the average of their row group.
    pub(super) fn chunks(&self, window: Window, columns: &[String]) -> Result<Vec<Window>, DatasetError> {
        let group = window.groups.start;
        if window.groups.len() > 1 || window.rows.len() == self.metadata.row_groups[group].num_rows() {
            // `plan` puts a whole row group into a window only if the size in the footer is within the limit
            return Ok(vec![window]);
        }
        let found = type_mapping::catch_damage(|| self.all_pages(group, columns));
        self.version.check(&self.file)?;
        let chunks = split_at_pages(window.rows, &found?);
        Ok(chunks.into_iter().map(|rows| Window { groups: group..group + 1, rows }).collect())
    }

    fn all_pages(&self, group: usize, columns: &[String]) -> Result<Vec<Arc<Pages>>, DatasetError> {
        let mut found = Vec::with_capacity(columns.len());
        for name in columns {
            for leaf in self.leaves(group, name)? {
                found.push(self.pages(group, leaf, true).map_err(|e| e.in_column(name))?);
            }
        }
        Ok(found)
    }

    /// Calls `work` for each chunk of a window. If `work` fails because the texts of a chunk exceed their
    /// [`TextBudget`], calls `work` again for each half of the chunk. Stops and returns false when `work` returns
    /// false.
    pub(super) fn each(
        &self,
        window: Window,
        columns: &[String],
        work: &mut dyn FnMut(&Window) -> Result<bool, DatasetError>,
    ) -> Result<bool, DatasetError> {
        let mut left = self.chunks(window, columns)?;
        left.reverse();
        while let Some(part) = left.pop() {
            match work(&part) {
                Ok(true) => {}
                Err(e) if part.rows.len() > 1 && type_mapping::exceeds_budget(&e) => {
                    let (first, second) = part.halves();
                    left.extend([second, first]);
                }
                end => return end,
            }
        }
        Ok(true)
    }

    /// Reads the first chunk of a window, and returns the rows of the chunk. If the texts of the chunk exceed their
    /// [`TextBudget`], the limit on their size, reads only the first half of the chunk. Halves this part again until
    /// its texts fit.
    pub(super) fn first(&self, window: Window, columns: &[String]) -> Result<DataFrame, DatasetError> {
        let mut first = None;
        self.each(window, columns, &mut |part| {
            first = Some(self.read(part, columns)?);
            Ok(false)
        })?;
        Ok(first.unwrap_or_default())
    }

    /// Reads these columns of a window, in the order of `columns`.
    ///
    /// # Errors
    /// When the file can't be read or was modified. Also when the texts of the window exceed their [`TextBudget`]: the
    /// caller may then read the same rows in smaller windows (see [`type_mapping::exceeds_budget`]).
    pub(super) fn read(&self, window: &Window, columns: &[String]) -> Result<DataFrame, DatasetError> {
        let decoded = type_mapping::catch_damage(|| self.decode(window, columns));
        // report a modification of the file first, because it may cause any other error
        self.version.check(&self.file)?;
        match decoded {
            Err(DatasetError::InColumn { .. }) if footer::is_encrypted(&self.file) => Err(ENCRYPTED),
            decoded => decoded,
        }
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
        let budget = TextBudget::new(self.text_budget, window.rows.len());
        let jobs: Vec<_> = parts.iter().flat_map(|part| columns.iter().map(move |name| (part, name))).collect();
        // each thread of the pool catches its own panics
        let read = jobs.into_par_iter().map(|((group, rows), name)| {
            type_mapping::catch_damage(|| self.column(*group, rows, name, &budget)).map_err(|e| e.in_column(name))
        });
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

    /// Reads a range of rows of one column in one row group.
    fn column(
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
        let kinds: Vec<_> = leaves.iter().map(|leaf| kind(leaf).physical_type).collect();
        logical::check_moments(name, &kinds, &arrays)?;
        let arrays = arrays.into_iter().map(|array| readable::convert(field, array)).collect::<Result<Vec<_>, _>>()?;
        let column = type_mapping::column(&readable::field(field), arrays, budget)?;
        let column = match self.mapping.schema.get(name) {
            Some(dtype) if self.mapping.nulls.contains(name) => Column::full_null(name.into(), column.len(), dtype),
            _ => column,
        };
        if column.len() == rows.len() { Ok(column) } else { Err(TOO_FEW) }
    }

    /// Decodes a range of rows of a column from the pages in `runs`. If `whole` is true, the range has all rows of the
    /// row group. If `repack` is true, writes the pages again in a form that polars reads (see [`repack::repacked`]).
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
            // the pages of each leaf begin with a different row, so that each leaf is decoded alone
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

    /// Returns the leaf columns of a column in a row group. A column of records may have several.
    fn leaves(&self, group: usize, name: &str) -> Result<Vec<&ColumnChunkMetadata>, DatasetError> {
        let leaves = self.metadata.row_groups[group].columns_under_root_iter(name);
        leaves.map(Iterator::collect).ok_or(DatasetError::Garbled("a group of rows lacks a column"))
    }

    /// Returns the pages of a leaf column in a row group. If `keep` is true, also finds the rows of each page, and
    /// caches the pages.
    fn pages(&self, group: usize, leaf: &ColumnChunkMetadata, keep: bool) -> Result<Arc<Pages>, DatasetError> {
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

    /// Counts the rows in each page of a list column, because page headers state only the number of values.
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

    /// Copies these ranges of the file, and returns a reader of the copied pages, which have `values` values in total.
    /// Writes the pages again if `repack` is true, or if a page has NULLs that its header does not count.
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

impl Window {
    /// Splits the window into two halves.
    fn halves(self) -> (Self, Self) {
        let middle = self.rows.start + self.rows.len() / 2;
        let first = Self { groups: self.groups.clone(), rows: self.rows.start..middle };
        (first, Self { groups: self.groups, rows: middle..self.rows.end })
    }
}

/// The error for a file that is encrypted in whole or in part.
const ENCRYPTED: DatasetError =
    DatasetError::Lacking("the file is encrypted, which is not supported: write it without encryption");

/// The error for a group of the schema that has no columns.
const EMPTY_GROUP: DatasetError =
    DatasetError::Lacking("it is a record without members, which is not supported: write the file without it");

/// Returns the type of the values of a leaf column.
fn kind(leaf: &ColumnChunkMetadata) -> PrimitiveType {
    leaf.descriptor().descriptor.primitive_type.clone()
}

/// The error for a column with fewer rows than the footer of the file says.
const TOO_FEW: DatasetError = DatasetError::Garbled("a column of the file has too few rows");

/// Whether a leaf column is not part of a list. Each row of such a column has exactly one value.
fn is_flat(leaf: &ColumnChunkMetadata) -> bool {
    leaf.descriptor().descriptor.max_rep_level == 0
}

/// Returns the size of a decoded value of a leaf column, in bytes. The size of a text excludes its characters, because
/// several values may share one copy of them.
fn width(leaf: &ColumnChunkMetadata) -> usize {
    match leaf.physical_type() {
        PhysicalType::Boolean => 1,
        PhysicalType::Int32 | PhysicalType::Float => 4,
        PhysicalType::Int64 | PhysicalType::Double | PhysicalType::Int96 => 8,
        PhysicalType::ByteArray => 16,
        PhysicalType::FixedLenByteArray(size) => size,
    }
}

/// Splits rows into chunks at the bounds of pages. The pages of each chunk have about [`BYTES`] bytes in total.
fn split_at_pages(rows: Range<usize>, columns: &[Arc<Pages>]) -> Vec<Range<usize>> {
    let over = |rows: &Range<usize>| -> usize {
        let pages = columns.iter().flat_map(|pages| pages.over(rows));
        pages.map(|page: &Page| page.bytes).fold(0, usize::saturating_add)
    };
    if over(&rows) <= BYTES {
        return vec![rows];
    }
    // the pages of all columns by their first row; each page is visited once, because there may be very many
    let mut pages: Vec<_> = columns.iter().flat_map(|pages| pages.over(&rows)).collect();
    pages.sort_unstable_by_key(|page| page.rows.start);
    let mut bounds: Vec<_> = pages.iter().map(|page| page.rows.start).filter(|at| *at > rows.start).collect();
    bounds.push(rows.end);
    bounds.dedup();
    let mut pages = pages.into_iter().peekable();
    let (mut chunks, mut begin, mut end, mut held) = (Vec::new(), rows.start, rows.start, 0_usize);
    for bound in bounds {
        let more = iter::from_fn(|| pages.next_if(|page| page.rows.start < bound));
        held = more.map(|page| page.bytes).fold(held, usize::saturating_add);
        if end > begin && held > BYTES {
            chunks.push(begin..end);
            begin = end;
            // pages that begin earlier and reach into the next chunk count for it, too
            held = over(&(begin..bound));
        }
        end = bound;
    }
    chunks.push(begin..end);
    // a page may decode to much more than its decompressed size, and is then decoded in several parts
    let parts = chunks.into_iter().flat_map(|chunk| {
        let bytes = over(&chunk);
        let parts = if bytes > PAGE_BYTES { bytes.div_ceil(BYTES) } else { 1 };
        let (step, end) = (chunk.len().div_ceil(parts).max(1), chunk.end);
        chunk.step_by(step).map(move |at| at..(at + step).min(end))
    });
    parts.collect()
}

/// Splits the rows of row groups into windows. `groups` has the number of rows and the size in bytes of each row group,
/// and `columns` is the number of columns that are read.
fn plan(groups: &[(usize, usize)], columns: usize, max_rows: usize) -> Vec<Window> {
    let window_rows = (VALUES / columns.max(1)).max(MIN_ROWS).min(max_rows);
    let mut windows: Vec<Window> = Vec::new();
    let (mut rows, mut bytes) = (0, 0);
    for (index, (group_rows, group_bytes)) in groups.iter().copied().enumerate().filter(|(_, group)| group.0 > 0) {
        if rows > 0 && (rows + group_rows > window_rows || bytes + group_bytes > BYTES) {
            (rows, bytes) = (0, 0);
        }
        // a large group is sliced by the limits of rows and bytes, and shares no window with other groups
        let by_bytes = group_rows as u128 * BYTES as u128 / group_bytes.max(1) as u128;
        let by_bytes = usize::try_from(by_bytes).unwrap_or(usize::MAX);
        let slice = window_rows.min(by_bytes).max(1);
        if rows == 0 && group_rows > slice {
            let slices = group_rows.div_ceil(slice);
            let step = group_rows.div_ceil(slices);
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
