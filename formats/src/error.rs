//! Errors of encoders and writers.

use std::io;

use polars::prelude::PolarsError;

use super::CompressionError;

/// Why a format can't write the rows of an export.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// The format does not support the type of a column.
    #[error(
        "column `{column}` is of type {dtype}, which {format} files can't hold: leave it out, or convert it in the source"
    )]
    Unsupported {
        /// The name of the column.
        column: String,
        /// The polars type of the column.
        dtype: String,
        /// The name of the format.
        format: &'static str,
    },
    /// The number of columns of a data frame differs from the number of columns of the layout.
    #[error("the data has {got} columns where the layout has {wanted}")]
    Width {
        /// The number of columns of the data frame.
        got: usize,
        /// The number of columns of the layout.
        wanted: usize,
    },
    /// The size of the file, or the memory or disk space for writing it, would exceed a limit.
    #[error("{subject} would be larger than {limit}: {advice}")]
    TooLarge {
        /// The file or data that exceeds the limit, such as `this workbook`.
        subject: &'static str,
        /// The exceeded limit, with its unit.
        limit: String,
        /// A suggestion for another request that stays within the limit.
        advice: &'static str,
    },
    /// The workbook or ZIP library refused a value or a size.
    #[error("{0}")]
    Workbook(String),
    /// The compression library failed.
    #[error(transparent)]
    Compression(#[from] CompressionError),
    /// The exporter failed to write or read a temporary file.
    #[error("temporary file: {0}")]
    Spool(#[from] io::Error),
    /// polars failed to convert a column for the format.
    #[error(transparent)]
    Polars(#[from] PolarsError),
}
