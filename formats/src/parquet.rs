//! The format Parquet. polars writes the files, with pages compressed by zstd, statistics, and row groups of a bounded
//! size.
//!
//! A row group ends when it reaches the maximum number of rows or the maximum size of its values. The bytes of the file
//! do not depend on how the rows are split into data frames, or on the number of threads.

use polars::{
    io::parquet::write::{BatchedWriter, KeyValueMetadata, ParquetWriter},
    prelude::{DataFrame, DataType, PolarsResult, Schema, StringNameSpaceImpl, TimeUnit, TimeZone},
};
use protocol::catalog::{Column, ColumnType};

use super::{Compression, Encoding, Format, FormatDescription, FormatError, FormatLimits, Head, Output, Tail, Writer};
use crate::layout::Layout;

/// The number of rows that the writer adds to a row group between two comparisons of the group's size with the limit.
const STEP: usize = 8_192;

/// The Apache Parquet format, with row groups compressed by zstd.
#[derive(Clone, Copy, Debug, Default)]
pub struct Parquet;

impl Format for Parquet {
    fn info(&self) -> &FormatDescription {
        &FormatDescription {
            name: "parquet",
            media_type: "application/vnd.apache.parquet",
            extension: "parquet",
            compressions: &Compression::NONE,
            has_timestamps: false,
            is_workbook: false,
        }
    }

    fn encoding(&self, layout: &Layout, limits: &FormatLimits) -> Result<Encoding, FormatError> {
        let (layout, limits) = (layout.clone(), limits.clone());
        Ok(Encoding::sequential(move |head, output| Ok(RowGroups::new(layout, limits, head, output))))
    }
}

/// The Parquet writer, which collects rows and writes one row group at a time.
struct RowGroups {
    titles: Vec<String>,
    columns: Vec<Column>,
    limits: FormatLimits,
    metadata: Vec<(String, String)>,
    output: Output,
    /// The polars writer; None before the first row group. The file has the column types of the first row group.
    writer: Option<BatchedWriter<Output>>,
    /// Rows that belong to no row group yet. After each write, there are fewer than [`STEP`] such rows.
    pending: Option<DataFrame>,
    group: Option<DataFrame>,
    group_size: usize,
}

impl RowGroups {
    fn new(layout: Layout, limits: FormatLimits, head: &Head, output: Output) -> Self {
        let mut metadata = vec![
            ("sluice.requested_at".to_owned(), head.requested_at.to_string()),
            ("sluice.template".to_owned(), layout.template.name.clone()),
            ("sluice.template_version".to_owned(), layout.template.version.clone()),
        ];
        metadata.extend(head.completed_at.map(|at| ("sluice.completed_at".to_owned(), at.to_string())));
        let columns = layout.columns.iter().map(|column| column.source.clone()).collect();
        let titles = layout.columns.into_iter().map(|column| column.title).collect();
        Self { titles, columns, limits, metadata, output, writer: None, pending: None, group: None, group_size: 0 }
    }

    fn writer(&mut self, schema: &Schema) -> PolarsResult<&mut BatchedWriter<Output>> {
        if self.writer.is_none() {
            let metadata = KeyValueMetadata::from_static(self.metadata.clone());
            let writer =
                ParquetWriter::new(self.output.clone()).with_key_value_metadata(Some(metadata)).batched(schema)?;
            self.writer = Some(writer);
        }
        self.writer.as_mut().ok_or_else(|| polars::prelude::polars_err!(ComputeError: "no writer"))
    }

    /// Moves pending rows into the open row group, [`STEP`] rows at a time, and writes each full row group. If the next
    /// [`STEP`] rows alone reach the size limit of a row group, moves only as many of these rows as reach the limit. If
    /// fewer than [`STEP`] rows are left and do not reach the limit, they stay pending.
    fn step(&mut self) -> PolarsResult<()> {
        let Some(mut pending) = self.pending.take() else { return Ok(()) };
        loop {
            let next = pending.slice(0, STEP);
            let (mut rows, mut bytes) = (next.height(), size(&next)?);
            if bytes >= self.limits.row_group_size {
                (rows, bytes) = leading_rows_of_size(&next, self.limits.row_group_size)?;
            } else if rows < STEP {
                break;
            }
            let step = pending.slice(0, rows);
            pending = pending.slice(rows as i64, pending.height());
            self.group_size += bytes;
            append(&mut self.group, step)?;
            let rows = self.group.as_ref().map_or(0, DataFrame::height);
            if self.group_size >= self.limits.row_group_size || rows >= self.limits.max_row_group_rows {
                self.close()?;
            }
        }
        self.pending = Some(pending);
        Ok(())
    }

    fn close(&mut self) -> PolarsResult<()> {
        self.group_size = 0;
        let Some(mut group) = self.group.take() else { return Ok(()) };
        group.rechunk_mut_par();
        let schema = group.schema().clone();
        self.writer(&schema)?.write_batch(&group)
    }
}

impl Writer for RowGroups {
    fn write(&mut self, frame: &DataFrame) -> Result<(), FormatError> {
        if frame.width() != self.titles.len() {
            return Err(FormatError::Width { got: frame.width(), wanted: self.titles.len() });
        }
        let mut frame = frame.clone();
        frame.set_column_names(&self.titles)?;
        mark_zones(&mut frame, &self.columns)?;
        append(&mut self.pending, frame)?;
        Ok(self.step()?)
    }

    fn end(mut self: Box<Self>, _: &Tail) -> Result<(), FormatError> {
        if let Some(rest) = self.pending.take().filter(|rest| rest.height() > 0) {
            append(&mut self.group, rest)?;
        }
        self.close()?;
        let schema: Schema = self
            .titles
            .iter()
            .zip(&self.columns)
            .map(|(title, column)| (title.as_str().into(), empty_type(column)))
            .collect();
        self.writer(&schema)?.finish()?;
        Ok(())
    }
}

/// Appends `rows` to the data frame in `to`. If `to` is None, `rows` become the data frame.
fn append(to: &mut Option<DataFrame>, rows: DataFrame) -> PolarsResult<()> {
    match to {
        Some(frame) => frame.vstack_mut_owned(rows).map(drop),
        None => {
            *to = Some(rows);
            Ok(())
        }
    }
}

/// Returns the size of a frame's values in bytes: the length of a text, 16 for a decimal, and 8 for any other value.
/// The result does not depend on how polars stores the frame.
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
/// column gets UTC. Parquet stores the zone as `isAdjustedToUTC`. The stored numbers do not change.
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
