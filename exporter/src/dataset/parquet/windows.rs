//! Bounded windows over a Parquet file.
//!
//! The streaming engine of polars keeps the whole file mapped and several decoded row groups in flight, which grows
//! with the file. Here a window is a run of small row groups or a slice of a large one, and each is mapped, decoded
//! and let go before the next.

use std::{fs::File, ops::Range, sync::Arc};

use polars::{
    io::parquet::{
        metadata::FileMetadataRef,
        read::{ParallelStrategy, ParquetReader, infer_schema},
    },
    prelude::{DataFrame, DataType, Schema, SchemaExt, SchemaRef, SerReader},
};

use super::super::DatasetError;

/// Windows have about this many cells, …
const CELLS: usize = 2_000_000;
/// … at most about this many bytes in their plain encoding, …
const BYTES: usize = 32 << 20;
/// … and at least this many rows, unless the file has fewer.
const MIN_ROWS: usize = 1024;

/// An open Parquet file.
pub(super) struct Windows {
    file: File,
    metadata: FileMetadataRef,
    /// The same without its row groups: each window puts in its own.
    bare: FileMetadataRef,
    schema: SchemaRef,
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
    pub(super) fn open(file: File) -> Result<Self, DatasetError> {
        let mut reader = ParquetReader::new(file.try_clone()?);
        let metadata = reader.get_metadata()?.clone();
        let mut schema = Schema::from_arrow_schema(&infer_schema(&metadata)?);
        schema.iter_values_mut().for_each(|dtype| *dtype = given(dtype));
        let schema = Arc::new(schema);
        let mut bare = (*metadata).clone();
        bare.row_groups = Vec::new();
        Ok(Self { file, metadata, bare: Arc::new(bare), schema })
    }

    pub(super) const fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    pub(super) fn rows(&self) -> u64 {
        self.metadata.num_rows as u64
    }

    /// All windows of the file, in order, when these columns are read; with few rows each, if that is wanted.
    pub(super) fn plan(&self, columns: &[String], few: Option<usize>) -> Vec<Window> {
        let groups: Vec<_> =
            self.metadata.row_groups.iter().map(|group| (group.num_rows(), group.total_byte_size())).collect();
        plan(&groups, columns.len(), few.unwrap_or(usize::MAX))
    }

    /// Reads these columns of a window, in this order.
    pub(super) fn read(&self, window: &Window, columns: &[String]) -> Result<DataFrame, DatasetError> {
        let mut metadata = (*self.bare).clone();
        metadata.row_groups = self.metadata.row_groups[window.groups.clone()].to_vec();
        metadata.num_rows = metadata.row_groups.iter().map(|group| group.num_rows()).sum();
        let parallel = if window.groups.len() > 1 { ParallelStrategy::RowGroups } else { ParallelStrategy::Columns };
        let mut reader = ParquetReader::new(self.file.try_clone()?)
            .with_slice(Some((window.rows.start, window.rows.len())))
            .with_columns(Some(columns.to_vec()))
            .read_parallel(parallel);
        reader.set_metadata(Arc::new(metadata));
        let mut frame = reader.finish()?.select(columns.iter().map(String::as_str))?;
        for name in columns {
            let column = frame.column(name)?;
            let dtype = given(column.dtype());
            if *column.dtype() != dtype {
                let cast = column.strict_cast(&dtype)?;
                frame.replace(name, cast)?;
            }
        }
        Ok(frame)
    }
}

/// What a type of the file is given as: whole numbers of 64 bits without a sign may be larger than ours.
fn given(dtype: &DataType) -> DataType {
    match dtype {
        DataType::UInt64 => DataType::Decimal(20, 0),
        other => other.clone(),
    }
}

/// Cuts row groups, given as (rows, bytes), into windows.
fn plan(groups: &[(usize, usize)], width: usize, few: usize) -> Vec<Window> {
    let most_rows = (CELLS / width.max(1)).min(few).max(MIN_ROWS);
    let mut windows: Vec<Window> = Vec::new();
    let (mut rows, mut bytes) = (0, 0);
    for (index, (group_rows, group_bytes)) in groups.iter().copied().enumerate().filter(|(_, group)| group.0 > 0) {
        if rows > 0 && (rows + group_rows > most_rows || bytes + group_bytes > BYTES) {
            (rows, bytes) = (0, 0);
        }
        // a large group is cut by both limits, and stays alone
        let by_bytes = group_rows * BYTES / group_bytes.max(1);
        let slice = most_rows.min(by_bytes).max(MIN_ROWS);
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
        ] {
            let windows = plan(&groups, width, usize::MAX);
            assert!(covers(&groups, &windows), "{groups:?}: {windows:?}");
            assert_eq!(windows.len(), expected, "{groups:?}: {windows:?}");
        }
    }
}
