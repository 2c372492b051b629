//! CSV in the `machine` profile: UTF-8 without BOM, `,`, LF, `"` doubled, RFC 4180 quoting.
//!
//! - NULL is an empty field and the empty string is `""`. In a table of one column a NULL would be an empty line,
//!   which readers skip, so that there NULL is `""` too: no row is ever lost.
//! - A first field that begins with `#` is quoted, in the header as well, so that no row looks like a comment.
//! - Times are ISO 8601 in UTC; a time without a zone is taken as UTC. Numbers are never rounded.
//! - The envelope stands in comment lines, as the W3C's CSV on the Web has them: `# export_requested_at: …` first,
//!   `# export_rows: …` and `# export_completed_at: …` last.

#[cfg(test)]
mod tests;

use polars::prelude::DataFrame;
use serde_json::Value;

use super::{
    Encoder, Envelope, Finished, Format, FormatError, Head, Layout, Tail, csvw,
    physical::{Cell, Physical},
};

/// The name of the format, and the extension of its files.
const NAME: &str = "csv";

/// Comma-separated values, `machine` profile.
#[derive(Clone, Copy, Debug, Default)]
pub struct Csv;

impl Format for Csv {
    fn name(&self) -> &str {
        NAME
    }

    fn media_type(&self) -> &str {
        "text/csv; charset=utf-8; header=present"
    }

    fn extension(&self) -> &str {
        NAME
    }

    fn encoder(&self, layout: &Layout) -> Result<Box<dyn Encoder>, FormatError> {
        let mut header = Vec::new();
        for (index, column) in layout.columns.iter().enumerate() {
            if index > 0 {
                header.push(b',');
            }
            text(&mut header, &column.title, index == 0);
        }
        header.push(b'\n');
        Ok(Box::new(CsvEncoder {
            header,
            comments: layout.envelope == Envelope::Comments,
            width: layout.columns.len(),
        }))
    }

    fn metadata(&self, layout: &Layout, file: &Finished) -> Value {
        csvw::document(layout, file, Some(csvw::csv_dialect()))
    }
}

struct CsvEncoder {
    /// The header line, as it stands in the file.
    header: Vec<u8>,
    /// Whether the timestamps stand in comments.
    comments: bool,
    width: usize,
}

impl Encoder for CsvEncoder {
    fn begin(&self, head: &Head, out: &mut Vec<u8>) {
        if self.comments {
            out.extend_from_slice(format!("# export_requested_at: {}\n", head.requested_at).as_bytes());
        }
        out.extend_from_slice(&self.header);
    }

    fn encode(&self, frame: &DataFrame, out: &mut Vec<u8>) -> Result<(), FormatError> {
        if frame.width() != self.width {
            return Err(FormatError::Width { got: frame.width(), wanted: self.width });
        }
        let physical = Physical::of(frame);
        let columns = physical.cells(NAME)?;
        let lone_null: &[u8] = if columns.len() == 1 { b"\"\"" } else { b"" };
        out.reserve(physical.rows() * columns.len() * 8);
        for row in 0..physical.rows() {
            for (index, column) in columns.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                match column.write(row, out) {
                    Cell::Plain(_) => {}
                    Cell::Text(value) => text(out, value, index == 0),
                    Cell::Null => out.extend_from_slice(lone_null),
                }
            }
            out.push(b'\n');
        }
        Ok(())
    }

    fn end(&self, tail: &Tail, out: &mut Vec<u8>) {
        if self.comments {
            let lines = format!("# export_rows: {}\n# export_completed_at: {}\n", tail.rows, tail.completed_at);
            out.extend_from_slice(lines.as_bytes());
        }
    }
}

/// Which bytes make a field need quotes.
const SPECIAL: [bool; 256] = {
    let mut table = [false; 256];
    table[b',' as usize] = true;
    table[b'"' as usize] = true;
    table[b'\n' as usize] = true;
    table[b'\r' as usize] = true;
    table
};

/// A text field, quoted when it must be.
#[inline]
fn text(out: &mut Vec<u8>, value: &str, first: bool) {
    let bytes = value.as_bytes();
    let quote = match bytes.first() {
        None => true,
        Some(b'#') if first => true,
        Some(_) => bytes.iter().any(|byte| SPECIAL[*byte as usize]),
    };
    if !quote {
        return out.extend_from_slice(bytes);
    }
    out.push(b'"');
    for (index, part) in bytes.split(|byte| *byte == b'"').enumerate() {
        if index > 0 {
            out.extend_from_slice(b"\"\"");
        }
        out.extend_from_slice(part);
    }
    out.push(b'"');
}
