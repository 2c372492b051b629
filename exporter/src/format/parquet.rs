//! Parquet, by polars: zstd pages, statistics, groups of rows that are bounded by their size in memory.
//!
//! Groups end at multiples of a few thousand rows and by the size of the values alone, so that the file depends neither
//! on how the rows were cut into frames nor on the number of threads.

use polars::{
    io::parquet::write::{BatchedWriter, KeyValueMetadata, ParquetWriter},
    prelude::{DataFrame, DataType, PolarsResult, Schema, StringNameSpaceImpl, TimeUnit},
};
use protocol::catalog::ColumnType;
use serde_json::Value;

use super::{Bounds, Encoding, Finished, Format, FormatError, Head, Layout, Out, Tail, Writer, csvw};

/// Groups are measured and end in steps of so many rows.
const STEP: usize = 8_192;

/// Apache Parquet.
#[derive(Clone, Copy, Debug, Default)]
pub struct Parquet;

impl Format for Parquet {
    fn name(&self) -> &str {
        "parquet"
    }

    fn media_type(&self) -> &str {
        "application/vnd.apache.parquet"
    }

    fn extension(&self) -> &str {
        "parquet"
    }

    fn encoding(&self, layout: &Layout, bounds: &Bounds) -> Result<Encoding, FormatError> {
        let (layout, bounds) = (layout.clone(), bounds.clone());
        Ok(Encoding::whole(move |head, out| Ok(Groups::new(layout, bounds, head, out))))
    }

    fn metadata(&self, layout: &Layout, file: &Finished) -> Value {
        csvw::document(layout, file)
    }
}

/// Collects rows and writes them group by group.
struct Groups {
    titles: Vec<String>,
    kinds: Vec<ColumnType>,
    bounds: Bounds,
    metadata: Vec<(String, String)>,
    out: Out,
    /// Made with the first rows, whose types are the file's.
    writer: Option<BatchedWriter<Out>>,
    /// Rows that are fewer than a step.
    loose: Option<DataFrame>,
    group: Option<DataFrame>,
    group_bytes: usize,
}

impl Groups {
    fn new(layout: Layout, bounds: Bounds, head: &Head, out: Out) -> Self {
        let mut metadata = vec![
            ("sluice.requested_at".to_owned(), head.requested_at.to_string()),
            ("sluice.template".to_owned(), layout.made_by.template.clone()),
            ("sluice.template_version".to_owned(), layout.made_by.version.clone()),
        ];
        metadata.extend(head.completed_at.map(|at| ("sluice.completed_at".to_owned(), at.to_string())));
        let kinds = layout.columns.iter().map(|column| column.source.kind).collect();
        let titles = layout.columns.into_iter().map(|column| column.title).collect();
        Self { titles, kinds, bounds, metadata, out, writer: None, loose: None, group: None, group_bytes: 0 }
    }

    fn writer(&mut self, schema: &Schema) -> PolarsResult<&mut BatchedWriter<Out>> {
        if self.writer.is_none() {
            let metadata = KeyValueMetadata::from_static(self.metadata.clone());
            let writer =
                ParquetWriter::new(self.out.clone()).with_key_value_metadata(Some(metadata)).batched(schema)?;
            self.writer = Some(writer);
        }
        self.writer.as_mut().ok_or_else(|| polars::prelude::polars_err!(ComputeError: "no writer"))
    }

    /// Moves whole steps from the loose rows into groups, and writes the groups that are full. A step whose values are as
    /// large as a group is cut at the row where they are, and its group with it.
    fn step(&mut self) -> PolarsResult<()> {
        let Some(mut loose) = self.loose.take() else { return Ok(()) };
        loop {
            let begun = loose.slice(0, STEP);
            let (mut rows, mut bytes) = (begun.height(), size(&begun)?);
            if bytes >= self.bounds.group_bytes {
                (rows, bytes) = reaching(&begun, self.bounds.group_bytes)?;
            } else if rows < STEP {
                break;
            }
            let step = loose.slice(0, rows);
            loose = loose.slice(rows as i64, loose.height());
            self.group_bytes += bytes;
            join(&mut self.group, step)?;
            let rows = self.group.as_ref().map_or(0, DataFrame::height);
            if self.group_bytes >= self.bounds.group_bytes || rows >= self.bounds.group_rows {
                self.close()?;
            }
        }
        self.loose = Some(loose);
        Ok(())
    }

    fn close(&mut self) -> PolarsResult<()> {
        self.group_bytes = 0;
        let Some(mut group) = self.group.take() else { return Ok(()) };
        group.rechunk_mut_par();
        let schema = group.schema().clone();
        self.writer(&schema)?.write_batch(&group)
    }
}

impl Writer for Groups {
    fn write(&mut self, frame: &DataFrame) -> Result<(), FormatError> {
        if frame.width() != self.titles.len() {
            return Err(FormatError::Width { got: frame.width(), wanted: self.titles.len() });
        }
        let mut frame = frame.clone();
        frame.set_column_names(&self.titles)?;
        join(&mut self.loose, frame)?;
        Ok(self.step()?)
    }

    fn end(mut self: Box<Self>, _: &Tail) -> Result<(), FormatError> {
        if let Some(rest) = self.loose.take().filter(|rest| rest.height() > 0) {
            join(&mut self.group, rest)?;
        }
        self.close()?;
        let schema: Schema = self
            .titles
            .iter()
            .zip(&self.kinds)
            .map(|(title, kind)| (title.as_str().into(), empty_type(*kind)))
            .collect();
        self.writer(&schema)?.finish()?;
        Ok(())
    }
}

/// Appends rows to those that are there.
fn join(to: &mut Option<DataFrame>, rows: DataFrame) -> PolarsResult<()> {
    match to {
        Some(frame) => frame.vstack_mut_owned(rows).map(drop),
        None => {
            *to = Some(rows);
            Ok(())
        }
    }
}

/// How large the values are, however they lie in memory.
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

/// The first rows whose values are so large, and how large they are; all if they are not.
fn reaching(frame: &DataFrame, most: usize) -> PolarsResult<(usize, usize)> {
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
        if bytes >= most {
            return Ok((row + 1, bytes));
        }
    }
    Ok((rows.len(), bytes))
}

/// The type of a column in a file without rows, where no row tells it.
const fn empty_type(kind: ColumnType) -> DataType {
    match kind {
        ColumnType::String => DataType::String,
        ColumnType::Int => DataType::Int64,
        ColumnType::Float => DataType::Float64,
        ColumnType::Decimal => DataType::Decimal(38, 10),
        ColumnType::Bool => DataType::Boolean,
        ColumnType::Date => DataType::Date,
        ColumnType::Datetime => DataType::Datetime(TimeUnit::Microseconds, None),
        ColumnType::Time => DataType::Time,
    }
}
