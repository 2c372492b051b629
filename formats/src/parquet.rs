//! The format Parquet. polars writes the files, with pages compressed by zstd, statistics, and row groups of a bounded
//! size.
//!
//! A row group ends when it reaches the maximum number of rows or the maximum size of its values. The bytes of the file
//! do not depend on how the rows are split into data frames, or on the number of threads.

use polars::{
    io::parquet::write::{BatchedWriter, KeyValueMetadata, ParquetWriter},
    prelude::{DataFrame, PolarsResult, Schema},
};

use super::{
    Compression, Encoding, Format, FormatDescription, FormatError, FormatLimits, Head, Output, Tail, Writer,
    row_batches::{RowBatches, file_metadata},
};
use crate::layout::Layout;

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
            compresses_itself: false,
            has_timestamps: false,
            is_workbook: false,
        }
    }

    fn encoding(&self, layout: &Layout, _: Compression, limits: &FormatLimits) -> Result<Encoding, FormatError> {
        let (layout, limits) = (layout.clone(), limits.clone());
        Ok(Encoding::sequential(move |head, output| Ok(RowGroups::new(layout, &limits, head, output))))
    }
}

/// The Parquet writer, which writes one row group at a time.
struct RowGroups {
    rows: RowBatches,
    file: ParquetFile,
}

/// The polars writer of one file, and the settings with which it is created.
struct ParquetFile {
    metadata: Vec<(String, String)>,
    output: Output,
    /// The polars writer; None before the first row group. The file has the column types of the first row group.
    writer: Option<BatchedWriter<Output>>,
}

impl RowGroups {
    fn new(layout: Layout, limits: &FormatLimits, head: &Head, output: Output) -> Self {
        let file = ParquetFile { metadata: file_metadata(&layout, head), output, writer: None };
        Self { rows: RowBatches::new(layout, limits.row_group_size, limits.max_row_group_rows), file }
    }
}

impl ParquetFile {
    fn writer(&mut self, schema: &Schema) -> PolarsResult<&mut BatchedWriter<Output>> {
        if self.writer.is_none() {
            let metadata = KeyValueMetadata::from_static(self.metadata.clone());
            let writer =
                ParquetWriter::new(self.output.clone()).with_key_value_metadata(Some(metadata)).batched(schema)?;
            self.writer = Some(writer);
        }
        self.writer.as_mut().ok_or_else(|| polars::prelude::polars_err!(ComputeError: "no writer"))
    }

    fn write(&mut self, group: &DataFrame) -> PolarsResult<()> {
        let schema = group.schema().clone();
        self.writer(&schema)?.write_batch(group)
    }
}

impl Writer for RowGroups {
    fn write(&mut self, frame: &DataFrame) -> Result<(), FormatError> {
        self.rows.push(frame, |group| self.file.write(group))
    }

    fn end(mut self: Box<Self>, _: &Tail) -> Result<(), FormatError> {
        self.rows.finish(|group| self.file.write(group))?;
        let schema = self.rows.empty_schema();
        self.file.writer(&schema)?.finish()?;
        Ok(())
    }
}
