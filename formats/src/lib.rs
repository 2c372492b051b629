//! Formats encode the rows of an export as the bytes of a file.
//!
//! A [`Format`] creates the [`Encoding`] of one export, which is an encoder or a writer:
//!
//! - Text formats use an [`Encoder`]. An encoder has no state, so that several threads encode data frames concurrently.
//!   The bytes do not depend on how the rows are split into data frames.
//! - Formats with an inner structure, such as Parquet and workbooks, use a [`Writer`]. A writer takes the frames in
//!   order on one thread.
//!
//! A [`layout`] states which columns a file has, and in which style. [`value`] writes values as text, for formats and
//! sources. [`frame_spool`] keeps frames in a temporary file until all rows are known.

pub mod archive;
mod arrow;
mod compression;
pub mod csv;
pub mod csvw;
mod error;
pub mod frame_spool;
pub mod gzip;
pub mod layout;
mod named_column;
pub mod ndjson;
mod number;
mod output;
pub mod parquet;
mod physical;
mod row_batches;
pub mod value;
mod value_style;
pub mod xlsx;

use std::{path::PathBuf, sync::Arc};

use polars::prelude::DataFrame;
use protocol::{export::FileInfo, id::ExportId, time::Timestamp};
use serde_json::Value;

pub use self::{
    archive::{CsvZip, XlsxZip},
    arrow::Arrow,
    compression::{Compression, CompressionError, CompressionLevels, UnknownCompression, zstd_frame},
    csv::{Csv, Tsv},
    error::FormatError,
    named_column::named_column,
    ndjson::Ndjson,
    output::Output,
    parquet::Parquet,
    xlsx::Xlsx,
};
use crate::layout::{Layout, Timestamps};

/// The name, media type, file extension and features of a format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FormatDescription {
    /// The name of the format in requests, such as `csv`.
    pub name: &'static str,
    /// The media type of an uncompressed file, for the header `Content-Type`.
    pub media_type: &'static str,
    /// The extension of a file's name, without the dot.
    pub extension: &'static str,
    /// The supported compressions, the default one first. A format that compresses its content supports `none` only.
    pub compressions: &'static [Compression],
    /// Whether the format applies the requested compression inside the file. If false, the pipeline compresses the whole
    /// file, and the file's name ends with the suffix of the compression.
    pub compresses_itself: bool,
    /// Whether the format supports [`Timestamps::Envelope`] and [`Timestamps::Rows`]. If false, [`Timestamps::Sidecar`]
    /// replaces these two.
    pub has_timestamps: bool,
    /// Whether a file is one workbook. A workbook states the timestamps on a separate sheet instead of above its rows.
    pub is_workbook: bool,
}

impl FormatDescription {
    /// Returns the compression that the pipeline applies to the whole file, for a requested compression.
    #[must_use]
    pub const fn whole_file_compression(&self, requested: Compression) -> Compression {
        if self.compresses_itself { Compression::None } else { requested }
    }

    /// Returns the location at which a file of this format states the timestamps. This is the `requested` location if
    /// the format supports it. Otherwise, it is [`Timestamps::Envelope`] for a workbook, and [`Timestamps::Sidecar`]
    /// for other formats.
    #[must_use]
    pub const fn timestamps(&self, requested: Timestamps) -> Timestamps {
        match requested {
            Timestamps::Envelope | Timestamps::Rows if !self.has_timestamps => Timestamps::Sidecar,
            Timestamps::Rows if self.is_workbook => Timestamps::Envelope,
            supported => supported,
        }
    }
}

/// A file format that a request may name.
pub trait Format: Send + Sync {
    /// Returns the description of the format.
    fn info(&self) -> &FormatDescription;

    /// Creates the encoder of one file, or the function that opens its writer. The data frames of the file must have
    /// the columns of `layout`, in the same order. A format that compresses itself applies `compression`; other formats
    /// ignore it, because the pipeline compresses their files.
    ///
    /// # Errors
    /// When the format does not support the layout.
    fn encoding(
        &self,
        layout: &Layout,
        compression: Compression,
        limits: &FormatLimits,
    ) -> Result<Encoding, FormatError>;

    /// Returns the metadata document of a finished file, in the vocabulary of CSV on the Web ([`csvw`]).
    fn metadata(&self, layout: &Layout, file: &FinishedFile) -> Value {
        csvw::document(layout, file)
    }
}

/// A function that opens the [`Writer`] of one file. The pipeline calls the function on the thread that writes the
/// file.
pub type OpenWriter = Box<dyn FnOnce(&Head, Output) -> Result<Box<dyn Writer>, FormatError> + Send>;

/// The encoder or the writer of one file.
pub enum Encoding {
    /// Several threads encode data frames concurrently.
    Parallel(Arc<dyn Encoder>),
    /// One thread writes the data frames in order.
    Sequential(OpenWriter),
}

impl Encoding {
    /// Creates an encoding from an encoder, which several threads share.
    pub fn parallel(encoder: impl Encoder + 'static) -> Self {
        Self::Parallel(Arc::new(encoder))
    }

    /// Creates an encoding from a function that opens a writer. One thread uses the writer.
    pub fn sequential<W, F>(open: F) -> Self
    where
        W: Writer + 'static,
        F: FnOnce(&Head, Output) -> Result<W, FormatError> + Send + 'static,
    {
        Self::Sequential(Box::new(|head, output| Ok(Box::new(open(head, output)?))))
    }
}

/// Encodes the rows of one export as text. An encoder has no state, so several threads share it.
pub trait Encoder: Send + Sync {
    /// Appends the bytes of the file before the first row, such as a header.
    fn begin(&self, head: &Head, out: &mut Vec<u8>);

    /// Appends all rows of a data frame.
    ///
    /// # Errors
    /// When the format does not support the type of a column.
    fn encode(&self, frame: &DataFrame, out: &mut Vec<u8>) -> Result<(), FormatError>;

    /// Appends the bytes of the file after the last row.
    fn end(&self, tail: &Tail, out: &mut Vec<u8>);
}

/// Writes the rows of one export to an [`Output`], in their order. One thread calls all methods, and each method may
/// block. Dropping the writer deletes its temporary files.
pub trait Writer: Send {
    /// Takes all rows of a data frame. The writer may buffer rows until a part of the file is complete, such as a
    /// Parquet row group.
    ///
    /// # Errors
    /// When the format does not support the type of a column, the file exceeds a limit or the disk is full.
    fn write(&mut self, frame: &DataFrame) -> Result<(), FormatError>;

    /// Writes the rest of the file, after the last data frame.
    ///
    /// # Errors
    /// When the file exceeds a limit, the format does not support the type of a column or the disk is full.
    fn end(self: Box<Self>, tail: &Tail) -> Result<(), FormatError>;
}

/// The limits of temporary files, sheets, archive parts and Parquet row groups for one file.
#[derive(Clone, Debug)]
pub struct FormatLimits {
    /// The folder of temporary files. The files have no names, so the operating system deletes them when the process
    /// ends.
    pub spool_dir: PathBuf,
    /// The maximum size of the temporary files of one export, in bytes.
    pub max_spool_size_per_export: u64,
    /// The maximum number of rows of a sheet, including the header; the XLSX format allows 1,048,576.
    pub max_sheet_rows: u32,
    /// The maximum number of rows of a workbook, in all its sheets together.
    pub max_workbook_rows: u64,
    /// The number of rows of each part of an archive.
    pub archive_part_rows: u64,
    /// The size at which the writer ends a Parquet row group, in bytes of its values before compression.
    pub row_group_size: usize,
    /// The maximum number of rows of a Parquet row group.
    pub max_row_group_rows: usize,
}

impl Default for FormatLimits {
    fn default() -> Self {
        Self {
            spool_dir: std::env::temp_dir(),
            max_spool_size_per_export: 4 << 30,
            max_sheet_rows: 1 << 20,
            max_workbook_rows: 5_000_000,
            archive_part_rows: 1_000_000,
            row_group_size: 32 << 20,
            max_row_group_rows: 1 << 18,
        }
    }
}

/// The timestamps that are known before the first row is written.
#[derive(Clone, Copy, Debug)]
pub struct Head {
    /// The time at which the gateway accepted the export.
    pub requested_at: Timestamp,
    /// The completion time, if the exporter spools all rows before it writes the file. Otherwise None, because the
    /// completion time is not known yet.
    pub completed_at: Option<Timestamp>,
}

/// The row count and the completion time, which are known after the last row.
#[derive(Clone, Copy, Debug)]
pub struct Tail {
    /// The number of data rows, without headers.
    pub rows: u64,
    /// The time at which the exporter finished encoding the rows. If the rows are spooled, the time at which the
    /// exporter finished spooling them.
    pub completed_at: Timestamp,
}

/// The description of a finished file, from which a format creates the metadata document.
#[derive(Clone, Debug)]
pub struct FinishedFile {
    /// The identifier of the export.
    pub id: ExportId,
    /// The name of the exported dataset.
    pub dataset: String,
    /// The version of the dataset, from the description of the dataset.
    pub dataset_version: String,
    /// Sentences for users about columns or files of the source that the dataset omits or renames.
    pub notes: Vec<String>,
    /// The file's name, size, digest and media type.
    pub file: FileInfo,
    /// The compression of the whole file.
    pub compression: Compression,
    /// The time at which the gateway accepted the export.
    pub requested_at: Timestamp,
    /// The time of the snapshot from which all rows come; None if the rows do not come from one snapshot.
    pub snapshot_at: Option<Timestamp>,
    /// The time at which the exporter finished encoding the rows. If the rows are spooled, the time at which the
    /// exporter finished spooling them.
    pub completed_at: Timestamp,
}
