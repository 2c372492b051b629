//! Collects rows into batches of a bounded number of rows and a bounded size. Parquet writes each batch as a row group,
//! and Arrow as a record batch.
//!
//! The batches depend only on the rows, and not on how the rows are split into data frames.

use polars::prelude::{DataFrame, DataType, PolarsResult, Schema, StringNameSpaceImpl, TimeUnit, TimeZone};
use protocol::catalog::{Column, ColumnType};

use super::{FormatError, Head};
use crate::layout::Layout;

/// The number of rows that are added to a batch between two comparisons of the batch's size with the limit.
const STEP: usize = 8_192;

/// Collects rows into batches. The columns have the titles of the file's columns.
pub(super) struct RowBatches {
    titles: Vec<String>,
    columns: Vec<Column>,
    /// The size at which a batch ends, in bytes of its values.
    max_size: usize,
    /// The number of rows at which a batch ends.
    max_rows: usize,
    /// Rows that belong to no batch yet. After each call, there are fewer than [`STEP`] such rows.
    pending: Option<DataFrame>,
    batch: Option<DataFrame>,
    batch_size: usize,
}

impl RowBatches {
    /// Creates an empty collection for the columns of `layout`. A batch ends at `max_size` bytes of values or at
    /// `max_rows` rows.
    pub(super) fn new(layout: Layout, max_size: usize, max_rows: usize) -> Self {
        let columns = layout.columns.iter().map(|column| column.source.clone()).collect();
        let titles = layout.columns.into_iter().map(|column| column.title).collect();
        Self { titles, columns, max_size, max_rows, pending: None, batch: None, batch_size: 0 }
    }

    /// Adds the rows of a frame, and calls `write` with each full batch.
    ///
    /// # Errors
    /// When the frame does not have the columns of the layout, or `write` fails.
    pub(super) fn push(
        &mut self,
        frame: &DataFrame,
        mut write: impl FnMut(&DataFrame) -> PolarsResult<()>,
    ) -> Result<(), FormatError> {
        if frame.width() != self.titles.len() {
            return Err(FormatError::Width { got: frame.width(), wanted: self.titles.len() });
        }
        let mut frame = frame.clone();
        frame.set_column_names(&self.titles)?;
        mark_zones(&mut frame, &self.columns)?;
        append(&mut self.pending, frame)?;
        Ok(self.step(&mut write)?)
    }

    /// Calls `write` with the last batch, if it has rows.
    ///
    /// # Errors
    ///
    /// When `write` fails.
    pub(super) fn finish(&mut self, mut write: impl FnMut(&DataFrame) -> PolarsResult<()>) -> PolarsResult<()> {
        if let Some(rest) = self.pending.take().filter(|rest| rest.height() > 0) {
            append(&mut self.batch, rest)?;
        }
        self.close(&mut write)
    }

    /// Returns the schema of a file without rows.
    pub(super) fn empty_schema(&self) -> Schema {
        let columns = self.titles.iter().zip(&self.columns);
        columns.map(|(title, column)| (title.as_str().into(), empty_type(column))).collect()
    }

    /// Moves pending rows into the open batch, [`STEP`] rows at a time, and writes each full batch. If the next
    /// [`STEP`] rows alone reach the size limit of a batch, moves only as many rows as reach the limit. If fewer than
    /// [`STEP`] rows remain and do not reach the limit, they stay pending.
    fn step(&mut self, write: &mut impl FnMut(&DataFrame) -> PolarsResult<()>) -> PolarsResult<()> {
        let Some(mut pending) = self.pending.take() else { return Ok(()) };
        loop {
            let next = pending.slice(0, STEP);
            let (mut rows, mut bytes) = (next.height(), size(&next)?);
            if bytes >= self.max_size {
                (rows, bytes) = leading_rows_of_size(&next, self.max_size)?;
            } else if rows < STEP {
                break;
            }
            let step = pending.slice(0, rows);
            pending = pending.slice(rows as i64, pending.height());
            self.batch_size += bytes;
            append(&mut self.batch, step)?;
            let rows = self.batch.as_ref().map_or(0, DataFrame::height);
            if self.batch_size >= self.max_size || rows >= self.max_rows {
                self.close(write)?;
            }
        }
        self.pending = Some(pending);
        Ok(())
    }

    fn close(&mut self, write: &mut impl FnMut(&DataFrame) -> PolarsResult<()>) -> PolarsResult<()> {
        self.batch_size = 0;
        let Some(mut batch) = self.batch.take() else { return Ok(()) };
        batch.rechunk_mut_par();
        write(&batch)
    }
}

/// Returns the metadata that a file has in its own header or footer: the time of the request and the template.
pub(super) fn file_metadata(layout: &Layout, head: &Head) -> Vec<(String, String)> {
    let mut metadata = vec![
        ("sluice.requested_at".to_owned(), head.requested_at.to_string()),
        ("sluice.template".to_owned(), layout.template.name.clone()),
        ("sluice.template_version".to_owned(), layout.template.version.clone()),
    ];
    metadata.extend(head.completed_at.map(|at| ("sluice.completed_at".to_owned(), at.to_string())));
    metadata
}

/// Appends `rows` to the data frame in `to`. If `to` is None, sets `to` to `rows`.
fn append(to: &mut Option<DataFrame>, rows: DataFrame) -> PolarsResult<()> {
    match to {
        Some(frame) => frame.vstack_mut_owned(rows).map(drop),
        None => {
            *to = Some(rows);
            Ok(())
        }
    }
}

/// Returns the size of a data frame's values in bytes: the length of a text, 16 for a decimal, and 8 for any other
/// value. The result does not depend on how polars stores the frame.
fn size(frame: &DataFrame) -> PolarsResult<usize> {
    let mut bytes = 0;
    for column in frame.columns() {
        bytes += match column.dtype() {
            DataType::String => column.str()?.str_len_bytes().iter().flatten().map(|length| length as usize).sum(),
            DataType::Decimal(..) => 16 * frame.height(),
            _ => 8 * frame.height(),
        };
    }
    Ok(bytes)
}

/// Returns the smallest number of leading rows whose values together reach `limit` bytes, and the size of these rows in
/// bytes. If the values of all rows are smaller, returns the number and the size of all rows.
fn leading_rows_of_size(frame: &DataFrame, limit: usize) -> PolarsResult<(usize, usize)> {
    let mut rows = vec![0; frame.height()];
    for column in frame.columns() {
        match column.dtype() {
            DataType::String => {
                for (sum, length) in rows.iter_mut().zip(column.str()?.str_len_bytes().iter()) {
                    *sum += length.unwrap_or(0) as usize;
                }
            }
            DataType::Decimal(..) => rows.iter_mut().for_each(|sum| *sum += 16),
            _ => rows.iter_mut().for_each(|sum| *sum += 8),
        }
    }
    let mut bytes = 0;
    for (row, own) in rows.iter().enumerate() {
        bytes += own;
        if bytes >= limit {
            return Ok((row + 1, bytes));
        }
    }
    Ok((rows.len(), bytes))
}

/// Sets the time zone in the polars type of each timestamp column. A `local` column gets no time zone, and any other
/// column gets UTC. The stored numbers do not change.
fn mark_zones(frame: &mut DataFrame, columns: &[Column]) -> PolarsResult<()> {
    for (at, column) in columns.iter().enumerate() {
        let Some(values) = frame.columns().get(at) else { continue };
        let zone = match values.dtype() {
            DataType::Datetime(unit, Some(_)) if column.local => DataType::Datetime(*unit, None),
            DataType::Datetime(unit, None) if !column.local => DataType::Datetime(*unit, Some(TimeZone::UTC)),
            _ => continue,
        };
        let marked = values.cast(&zone)?;
        frame.replace_column(at, marked)?;
    }
    Ok(())
}

/// Returns the polars type of a column, for a file without rows.
const fn empty_type(column: &Column) -> DataType {
    match column.kind {
        ColumnType::String => DataType::String,
        ColumnType::Int => DataType::Int64,
        ColumnType::Float => DataType::Float64,
        ColumnType::Decimal => DataType::Decimal(38, 10),
        ColumnType::Bool => DataType::Boolean,
        ColumnType::Date => DataType::Date,
        ColumnType::Datetime if column.local => DataType::Datetime(TimeUnit::Microseconds, None),
        ColumnType::Datetime => DataType::Datetime(TimeUnit::Microseconds, Some(TimeZone::UTC)),
        ColumnType::Time => DataType::Time,
    }
}
