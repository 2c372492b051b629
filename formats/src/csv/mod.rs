//! The formats CSV and TSV.
//!
//! A file of the `machine` profile follows RFC 4180, in UTF-8 without a byte order mark, with these details:
//! - The delimiter is `,` in CSV and TAB in TSV. Lines end with LF.
//! - NULL is an empty field, and the empty string is `""`. In a table of one column, NULL is `""` too, because readers
//!   would skip an empty line and lose the row.
//! - A field or title with a `#` is quoted, because some readers would start a comment at the `#`.
//! - A field or title that begins or ends with white space is quoted, because some readers would remove the white
//!   space. `\.` and `\N` are quoted too, because some readers interpret them as the end of the input or as NULL.
//! - Timestamps with a time zone are written in UTC, and timestamps without a time zone have no offset, as in ISO 8601.
//!   Numbers are never rounded.
//! - Comment lines state the times of the export and its row count, as in the W3C's CSV on the Web: `#
//!   export_requested_at: …` before the header, and `# export_rows: …` and `# export_completed_at: …` after the last
//!   row.
//!
//! The `spreadsheet` profile and the options of a template change these rules through [`Style`](crate::layout::Style).

mod encoder;
mod field;
#[cfg(test)]
mod styled_tests;
#[cfg(test)]
mod tests;

use serde_json::Value;

use self::encoder::CsvEncoder;
use super::{Compression, Encoding, FinishedFile, Format, FormatDescription, FormatError, FormatLimits, csvw};
use crate::layout::Layout;

/// The format `csv`: comma-separated values (RFC 4180).
#[derive(Clone, Copy, Debug, Default)]
pub struct Csv;

/// The format `tsv`: tab-separated values with the quoting of CSV, so that fields may contain TAB and line ends.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tsv;

impl Format for Csv {
    fn info(&self) -> &FormatDescription {
        &FormatDescription {
            name: "csv",
            media_type: "text/csv; charset=utf-8; header=present",
            extension: "csv",
            compressions: &Compression::ALL,
            compresses_itself: false,
            has_timestamps: true,
            is_workbook: false,
        }
    }

    fn encoding(&self, layout: &Layout, _: Compression, _: &FormatLimits) -> Result<Encoding, FormatError> {
        Ok(Encoding::parallel(CsvEncoder::new("csv", layout.style.delimiter.unwrap_or(b','), layout)))
    }

    fn metadata(&self, layout: &Layout, file: &FinishedFile) -> Value {
        csvw::table(layout, file, layout.style.delimiter.unwrap_or(b','))
    }
}

impl Format for Tsv {
    fn info(&self) -> &FormatDescription {
        &FormatDescription {
            name: "tsv",
            media_type: "text/tab-separated-values; charset=utf-8; header=present",
            extension: "tsv",
            compressions: &Compression::ALL,
            compresses_itself: false,
            has_timestamps: true,
            is_workbook: false,
        }
    }

    fn encoding(&self, layout: &Layout, _: Compression, _: &FormatLimits) -> Result<Encoding, FormatError> {
        Ok(Encoding::parallel(CsvEncoder::new("tsv", b'\t', layout)))
    }

    fn metadata(&self, layout: &Layout, file: &FinishedFile) -> Value {
        csvw::table(layout, file, b'\t')
    }
}
