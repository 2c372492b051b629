//! CSV and TSV.
//!
//! In the `machine` profile: UTF-8 without BOM, `,` or TAB, LF, `"` doubled, RFC 4180 quoting.
//! - NULL is an empty field and the empty string is `""`. In a table of one column a NULL would be an empty line,
//!   which readers skip, so that there NULL is `""` too: no row is ever lost.
//! - A field that holds a `#` is quoted, in the header as well: readers that know comments would take a row or the rest
//!   of one for a comment.
//! - Times are ISO 8601 in UTC; a time without a zone is taken as UTC. Numbers are never rounded.
//! - The envelope stands in comment lines, as the W3C's CSV on the Web has them: `# export_requested_at: …` first,
//!   `# export_rows: …` and `# export_completed_at: …` last.
//!
//! What the `spreadsheet` profile and templates change of that is in [`Style`](super::Style).

mod encoder;
mod field;
#[cfg(test)]
mod styled_tests;
#[cfg(test)]
mod tests;

use serde_json::Value;

use self::encoder::CsvEncoder;
use super::{Bounds, Compression, Encoding, Finished, Format, FormatError, Layout, Timestamps, csvw};

/// Comma-separated values.
#[derive(Clone, Copy, Debug, Default)]
pub struct Csv;

/// Tab-separated values, quoted as CSV is, so that TAB and line ends are no trouble.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tsv;

impl Format for Csv {
    fn name(&self) -> &str {
        "csv"
    }

    fn media_type(&self) -> &str {
        "text/csv; charset=utf-8; header=present"
    }

    fn extension(&self) -> &str {
        "csv"
    }

    fn compressions(&self) -> &'static [Compression] {
        &Compression::ALL
    }

    fn timestamps(&self, wanted: Timestamps) -> Timestamps {
        wanted
    }

    fn encoding(&self, layout: &Layout, _: &Bounds) -> Result<Encoding, FormatError> {
        Ok(Encoding::frames(CsvEncoder::new("csv", layout.style.delimiter.unwrap_or(b','), layout)))
    }

    fn metadata(&self, layout: &Layout, file: &Finished) -> Value {
        csvw::table(layout, file, layout.style.delimiter.unwrap_or(b','))
    }
}

impl Format for Tsv {
    fn name(&self) -> &str {
        "tsv"
    }

    fn media_type(&self) -> &str {
        "text/tab-separated-values; charset=utf-8; header=present"
    }

    fn extension(&self) -> &str {
        "tsv"
    }

    fn compressions(&self) -> &'static [Compression] {
        &Compression::ALL
    }

    fn timestamps(&self, wanted: Timestamps) -> Timestamps {
        wanted
    }

    fn encoding(&self, layout: &Layout, _: &Bounds) -> Result<Encoding, FormatError> {
        Ok(Encoding::frames(CsvEncoder::new("tsv", b'\t', layout)))
    }

    fn metadata(&self, layout: &Layout, file: &Finished) -> Value {
        csvw::table(layout, file, b'\t')
    }
}
