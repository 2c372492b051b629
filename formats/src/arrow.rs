//! The format Arrow: the IPC streaming format of Apache Arrow, which data frame libraries read without guessing a type.
//!
//! A record batch ends when it reaches the maximum number of rows or the maximum size of its values. Text has the type
//! `LargeUtf8`, without views or dictionaries, because old readers support this type. With the compression `zstd`, each
//! buffer of a batch is compressed, as the Arrow specification defines it, so that a reader needs no option.

use std::sync::Arc;

use polars::{
    polars_utils::compression::ZstdLevel,
    prelude::{CompatLevel, DataFrame, PolarsResult, Schema, SchemaExt},
};
use polars_arrow::{
    array::Array,
    datatypes::Metadata,
    io::ipc::write::{Compression as BufferCompression, StreamWriter, WriteOptions},
    record_batch::RecordBatchT,
};

use super::{
    Compression, Encoding, Format, FormatDescription, FormatError, FormatLimits, Head, Output, Tail, Writer,
    row_batches::{RowBatches, file_metadata},
};
use crate::layout::Layout;

/// The size at which a record batch ends, in bytes of its values before compression.
const MAX_BATCH_SIZE: usize = 8 << 20;
/// The number of rows at which a record batch ends.
const MAX_BATCH_ROWS: usize = 1 << 16;

/// The Apache Arrow IPC streaming format.
#[derive(Clone, Copy, Debug, Default)]
pub struct Arrow;

impl Format for Arrow {
    fn info(&self) -> &FormatDescription {
        &FormatDescription {
            name: "arrow",
            media_type: "application/vnd.apache.arrow.stream",
            extension: "arrows",
            compressions: &[Compression::None, Compression::Zstd],
            compresses_itself: true,
            has_timestamps: false,
            is_workbook: false,
        }
    }

    fn encoding(&self, layout: &Layout, compression: Compression, _: &FormatLimits) -> Result<Encoding, FormatError> {
        let layout = layout.clone();
        Ok(Encoding::sequential(move |head, output| Ok(RecordBatches::new(layout, compression, head, output))))
    }
}

/// The Arrow writer, which writes one record batch at a time.
struct RecordBatches {
    rows: RowBatches,
    stream: ArrowStream,
}

/// The writer of the stream of one file. The stream has the column types of the first batch.
struct ArrowStream {
    writer: StreamWriter<Output>,
    is_started: bool,
}

impl RecordBatches {
    fn new(layout: Layout, compression: Compression, head: &Head, output: Output) -> Self {
        let compression = (compression == Compression::Zstd).then(|| BufferCompression::ZSTD(ZstdLevel::default()));
        let mut writer = StreamWriter::new(output, WriteOptions { compression });
        let metadata = file_metadata(&layout, head).into_iter().map(|(key, value)| (key.into(), value.into()));
        writer.set_custom_schema_metadata(Arc::new(metadata.collect::<Metadata>()));
        let stream = ArrowStream { writer, is_started: false };
        Self { rows: RowBatches::new(layout, MAX_BATCH_SIZE, MAX_BATCH_ROWS), stream }
    }
}

impl ArrowStream {
    /// Writes the schema, unless it has been written already.
    fn start(&mut self, schema: &Schema) -> PolarsResult<()> {
        if !self.is_started {
            self.writer.start(&schema.to_arrow(CompatLevel::oldest()), None)?;
            self.is_started = true;
        }
        Ok(())
    }

    fn write(&mut self, batch: &DataFrame) -> PolarsResult<()> {
        self.start(batch.schema())?;
        batch.iter_chunks(CompatLevel::oldest(), false).try_for_each(|chunk| self.writer.write(&plain(chunk)?, None))
    }
}

/// Removes the validity bitmaps of columns without NULL. Whether polars creates such a bitmap depends on how the rows
/// are split into data frames, but the bytes of the file must not depend on that.
fn plain(chunk: RecordBatchT<Box<dyn Array>>) -> PolarsResult<RecordBatchT<Box<dyn Array>>> {
    let (rows, (schema, mut arrays)) = (chunk.len(), chunk.into_schema_and_arrays());
    for array in &mut arrays {
        if array.null_count() == 0 && array.validity().is_some() {
            *array = array.with_validity(None);
        }
    }
    RecordBatchT::try_new(rows, schema, arrays)
}

impl Writer for RecordBatches {
    fn write(&mut self, frame: &DataFrame) -> Result<(), FormatError> {
        self.rows.push(frame, |batch| self.stream.write(batch))
    }

    fn end(mut self: Box<Self>, _: &Tail) -> Result<(), FormatError> {
        self.rows.finish(|batch| self.stream.write(batch))?;
        self.stream.start(&self.rows.empty_schema())?;
        Ok(self.stream.writer.finish()?)
    }
}
