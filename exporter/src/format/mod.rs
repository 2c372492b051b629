//! Formats: a table into the bytes of a file.
//!
//! A [`Format`] makes the [`Encoding`] of one export, of which there are two kinds:
//! - [`Encoder`], for text: it has no state of its own, so that frames are encoded on several cores at once and in any
//!   partition, and the bytes, put together in order, are always the same.
//! - [`Writer`], for files with an inside, such as Parquet and workbooks: it takes the frames one after the other and
//!   writes whenever it has something.

pub(crate) mod cell;
mod compression;
pub mod csv;
pub mod csvw;
pub(crate) mod endless;
mod layout;
mod look;
pub mod ndjson;
mod number;
mod out;
pub mod parquet;
mod pattern;
mod physical;
mod style;
pub mod xlsx;
pub mod zipped;

use std::{io, path::PathBuf, sync::Arc};

use polars::prelude::DataFrame;
use protocol::{export::FileInfo, time::Timestamp};
use serde_json::Value;

pub use compression::{Compression, CompressionError, Levels, UnknownCompression};
pub use csv::{Csv, Tsv};
pub use layout::{COMPLETED_AT, Layout, LayoutColumn, MadeBy, REQUESTED_AT, ROWS, Timestamps};
pub use look::ColumnLook;
pub use ndjson::Ndjson;
pub use out::Out;
pub use parquet::Parquet;
pub use pattern::{Pattern, PatternError};
pub use style::{LineEnd, Profile, Quoting, Style};
pub use xlsx::Xlsx;
pub use zipped::{CsvZip, XlsxZip};

/// A kind of file.
pub trait Format: Send + Sync {
    /// The name in requests.
    fn name(&self) -> &str;

    /// For `Content-Type`.
    fn media_type(&self) -> &str;

    /// The end of a file's name, without its dot.
    fn extension(&self) -> &str;

    /// How its files may be compressed, the default one first. What is compressed inside takes none.
    fn compressions(&self) -> &'static [Compression] {
        &Compression::NONE
    }

    /// Where the timestamps stand when a template wants them there. Formats that have no such place keep them in the
    /// metadata.
    fn timestamps(&self, wanted: Timestamps) -> Timestamps {
        match wanted {
            Timestamps::Columns => Timestamps::Columns,
            Timestamps::Envelope | Timestamps::Rows | Timestamps::Sidecar => Timestamps::Sidecar,
        }
    }

    /// Begins a file with the columns of `layout` in its order.
    ///
    /// # Errors
    /// A layout that this format can't hold.
    fn encoding(&self, layout: &Layout, bounds: &Bounds) -> Result<Encoding, FormatError>;

    /// The metadata document of a finished file.
    fn metadata(&self, layout: &Layout, file: &Finished) -> Value;
}

/// Begins the file of a [`Writer`], on the thread that it stays on.
pub type Open = Box<dyn FnOnce(&Head, Out) -> Result<Box<dyn Writer>, FormatError> + Send>;

/// How frames become the bytes of one file.
pub enum Encoding {
    /// On several cores at once.
    Frames(Arc<dyn Encoder>),
    /// One after the other.
    Whole(Open),
}

impl Encoding {
    /// The kind without a state.
    pub fn frames(encoder: impl Encoder + 'static) -> Self {
        Self::Frames(Arc::new(encoder))
    }

    /// The kind with a state.
    pub fn whole<W, F>(open: F) -> Self
    where
        W: Writer + 'static,
        F: FnOnce(&Head, Out) -> Result<W, FormatError> + Send + 'static,
    {
        Self::Whole(Box::new(|head, out| Ok(Box::new(open(head, out)?))))
    }
}

/// Turns the rows of one export into bytes; pure, and shared between threads.
pub trait Encoder: Send + Sync {
    /// Appends what comes before the first row.
    fn begin(&self, head: &Head, out: &mut Vec<u8>);

    /// Appends all rows of a frame.
    ///
    /// # Errors
    /// A column of a type that the format can't hold.
    fn encode(&self, frame: &DataFrame, out: &mut Vec<u8>) -> Result<(), FormatError>;

    /// Appends what comes after the last row.
    fn end(&self, tail: &Tail, out: &mut Vec<u8>);
}

/// Turns the rows of one export into bytes, in order, and writes them to the [`Out`] that it was opened with. All calls
/// come from one thread, which may wait. Dropping it removes whatever it keeps on disk.
pub trait Writer: Send {
    /// Takes all rows of a frame, and writes what it can.
    ///
    /// # Errors
    /// A column of a type that the format can't hold, a file that grows too large, or a disk that is full.
    fn write(&mut self, frame: &DataFrame) -> Result<(), FormatError>;

    /// Writes the rest of the file.
    ///
    /// # Errors
    /// As [`Writer::write`].
    fn end(self: Box<Self>, tail: &Tail) -> Result<(), FormatError>;
}

/// What one file may use of the machine.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// Where temporary files are made; they have no name, so that they are gone with the process at the latest.
    pub spool_dir: PathBuf,
    /// How large they may grow, bytes.
    pub spool_bytes: u64,
    /// Rows of a sheet at most, header included. A workbook has 1,048,576.
    pub sheet_rows: u32,
    /// Rows of a workbook at most, over all its sheets.
    pub workbook_rows: u64,
    /// Rows of each part of an archive.
    pub part_rows: u64,
    /// About how many bytes of memory a group of rows takes before it is written into a Parquet file.
    pub group_bytes: usize,
    /// Rows of such a group at most.
    pub group_rows: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            spool_dir: std::env::temp_dir(),
            spool_bytes: 4 << 30,
            sheet_rows: 1 << 20,
            workbook_rows: 5_000_000,
            part_rows: 1_000_000,
            group_bytes: 32 << 20,
            group_rows: 1 << 18,
        }
    }
}

/// What is known before the first row.
#[derive(Clone, Copy, Debug)]
pub struct Head {
    /// When the gateway took the request.
    pub requested_at: Timestamp,
    /// When the last row was made, where the layout wants that before the first one.
    pub completed_at: Option<Timestamp>,
}

/// What is known after the last row.
#[derive(Clone, Copy, Debug)]
pub struct Tail {
    /// Data rows.
    pub rows: u64,
    /// When the last row was made.
    pub completed_at: Timestamp,
}

/// A finished file, for its metadata document.
#[derive(Clone, Debug)]
pub struct Finished {
    /// Which export.
    pub id: protocol::id::ExportId,
    /// The dataset it is of.
    pub dataset: String,
    /// Which version of it.
    pub dataset_version: String,
    /// The file.
    pub file: FileInfo,
    /// How it is compressed.
    pub compression: Compression,
    /// When the gateway took the request.
    pub requested_at: Timestamp,
    /// When the dataset was opened, if later changes to it are not in the file.
    pub snapshot_at: Option<Timestamp>,
    /// When the last row was made.
    pub completed_at: Timestamp,
}

/// Why a table can't be written in a format.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// No writer for this type.
    #[error("column `{column}` is of type {dtype}, which {format} files can't hold")]
    Unsupported {
        /// The column.
        column: String,
        /// Its type, as polars names it.
        dtype: String,
        /// The format.
        format: &'static str,
    },
    /// The frame is not what the layout says.
    #[error("the data has {got} columns where the layout has {wanted}")]
    Width {
        /// Of the frame.
        got: usize,
        /// Of the layout.
        wanted: usize,
    },
    /// There is a limit, and this is beyond it.
    #[error("{what} would be larger than {limit}: {advice}")]
    TooLarge {
        /// What would.
        what: &'static str,
        /// The limit, with its unit.
        limit: String,
        /// What to do instead.
        advice: &'static str,
    },
    /// A workbook or an archive can't hold something.
    #[error("{0}")]
    Workbook(String),
    /// Bytes could not be compressed.
    #[error(transparent)]
    Compression(#[from] CompressionError),
    /// A temporary file could not be written or read.
    #[error("a temporary file: {0}")]
    Spool(#[from] io::Error),
    /// polars could not bring the columns into one piece.
    #[error(transparent)]
    Polars(#[from] polars::prelude::PolarsError),
}
