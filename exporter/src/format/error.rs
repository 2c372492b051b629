//! Errors of formats.

use std::io;

use polars::prelude::PolarsError;

use super::CompressionError;

/// Why a table cannot be written in a format.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// The format does not support the type of a column.
    #[error("column `{column}` is of type {dtype}, which {format} files can't hold")]
    Unsupported {
        /// The name of the column.
        column: String,
        /// The column's type, as polars names it.
        dtype: String,
        /// The name of the format.
        format: &'static str,
    },
    /// A frame does not have the columns of the layout.
    #[error("the data has {got} columns where the layout has {wanted}")]
    Width {
        /// The number of columns of the frame.
        got: usize,
        /// The number of columns of the layout.
        wanted: usize,
    },
    /// The file exceeds a limit.
    #[error("{subject} would be larger than {limit}: {advice}")]
    TooLarge {
        /// The part of the file that exceeds the limit.
        subject: &'static str,
        /// The limit with its unit.
        limit: String,
        /// A request that stays within the limit.
        advice: &'static str,
    },
    /// A workbook or an archive does not support a value or its size.
    #[error("{0}")]
    Workbook(String),
    /// The compression library failed.
    #[error(transparent)]
    Compression(#[from] CompressionError),
    /// A temporary file could not be written or read.
    #[error("a temporary file: {0}")]
    Spool(#[from] io::Error),
    /// polars failed to convert a column.
    #[error(transparent)]
    Polars(#[from] PolarsError),
}
