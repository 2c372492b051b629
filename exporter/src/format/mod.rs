//! Formats: a table into the bytes of a file.
//!
//! A [`Format`] makes an [`Encoder`] for one export. An encoder has no state of its own, so frames may be encoded on
//! several cores at once and in any partition, and the bytes, put together in order, are always the same.

mod cell;
pub mod csv;
pub mod csvw;
pub mod ndjson;
mod physical;

use polars::prelude::DataFrame;
use protocol::{catalog::Column, export::FileInfo, time::Timestamp};
use serde_json::Value;

pub use csv::Csv;
pub use ndjson::Ndjson;

/// A kind of file.
pub trait Format: Send + Sync {
    /// The name in requests.
    fn name(&self) -> &str;

    /// For `Content-Type`.
    fn media_type(&self) -> &str;

    /// The end of a file's name, without its dot.
    fn extension(&self) -> &str;

    /// An encoder of frames that have the columns of `layout` in its order.
    ///
    /// # Errors
    /// A layout that this format can't hold.
    fn encoder(&self, layout: &Layout) -> Result<Box<dyn Encoder>, FormatError>;

    /// The metadata document of a finished file.
    fn metadata(&self, layout: &Layout, file: &Finished) -> Value;
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

/// Where the two timestamps of an export stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Envelope {
    /// In comment lines before and after the table, where the format has comments.
    Comments,
    /// Only in the metadata document.
    Sidecar,
}

/// The shape of a file, as its template made it.
#[derive(Clone, Debug, PartialEq)]
pub struct Layout {
    /// The columns in the file's order.
    pub columns: Vec<LayoutColumn>,
    /// The place of the timestamps.
    pub envelope: Envelope,
}

/// One column of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct LayoutColumn {
    /// The dataset's column.
    pub source: Column,
    /// Its name in the file.
    pub title: String,
}

/// What is known before the first row.
#[derive(Clone, Copy, Debug)]
pub struct Head {
    /// When the gateway took the request.
    pub requested_at: Timestamp,
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
    /// The file.
    pub file: FileInfo,
    /// When the gateway took the request.
    pub requested_at: Timestamp,
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
    /// polars could not bring the columns into one piece.
    #[error(transparent)]
    Polars(#[from] polars::prelude::PolarsError),
}

/// The name to save a file under: dataset, time of the request and extension.
#[must_use]
pub fn file_name(dataset: &str, requested_at: Timestamp, extension: &str) -> String {
    let safe: String =
        dataset.chars().map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' }).collect();
    format!("{safe}-{}.{extension}", requested_at.as_datetime().format("%Y%m%dT%H%M%SZ"))
}
