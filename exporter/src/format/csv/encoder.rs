//! Rows of fields. One pass over the rows, column by column in each, straight into the bytes of the file.

use polars::prelude::DataFrame;

use super::field::{self, Dialect};
use crate::format::{
    Encoder, FormatError, Head, Layout, Tail,
    layout::{COMPLETED_AT, REQUESTED_AT, ROWS, Timestamps},
    look::Look,
    number::{self, Written},
    physical::{Cell, Cells, Physical},
    style::Quoting,
};

/// The byte order mark.
const BOM: &[u8] = "\u{feff}".as_bytes();

/// Writes CSV or TSV.
pub(super) struct CsvEncoder {
    format: &'static str,
    /// The header line, as it stands in the file.
    header: Vec<u8>,
    bom: bool,
    timestamps: Timestamps,
    dialect: Dialect,
    line_end: &'static [u8],
    looks: Vec<Look>,
    /// Whether nothing but the delimiter is of a template's choice.
    plain: bool,
}

impl CsvEncoder {
    pub(super) fn new(format: &'static str, delimiter: u8, layout: &Layout) -> Self {
        let style = &layout.style;
        let dialect = Dialect { delimiter, quoting: style.quoting, null: style.null.as_bytes().to_vec() };
        let line_end = style.line_end.bytes();
        let mut header = Vec::new();
        for (index, column) in layout.columns.iter().enumerate() {
            if index > 0 {
                header.push(delimiter);
            }
            dialect.safe_text(&mut header, column.title.as_bytes(), style.formula_guard, false);
        }
        header.extend_from_slice(line_end);
        let looks: Vec<_> =
            layout.columns.iter().map(|column| Look::of(column.source.kind, &column.look, style)).collect();
        let plain = looks.iter().all(|look| *look == Look::Plain)
            && style.quoting == Quoting::Minimal
            && style.null.is_empty()
            && line_end == b"\n";
        Self { format, header, bom: style.bom, timestamps: layout.timestamps, dialect, line_end, looks, plain }
    }

    /// A key and its value as an ordinary row, as wide as the others.
    fn key_row(&self, out: &mut Vec<u8>, key: &str, value: &str) {
        let delimiter = self.dialect.delimiter;
        self.dialect.text(out, key.as_bytes());
        out.push(delimiter);
        self.dialect.text(out, value.as_bytes());
        out.resize(out.len() + self.looks.len().saturating_sub(2), delimiter);
        out.extend_from_slice(self.line_end);
    }

    /// The rows of a file for programs.
    fn plain_rows(&self, columns: &[Cells<'_>], rows: usize, out: &mut Vec<u8>) {
        let delimiter = self.dialect.delimiter;
        let lone_null: &[u8] = if columns.len() == 1 { b"\"\"" } else { b"" };
        let Some((first, others)) = columns.split_first() else { return };
        for row in 0..rows {
            match first.write(row, out) {
                Cell::Plain(_) => {}
                Cell::Text(value) => field::text(out, value.as_bytes(), delimiter),
                Cell::Null => out.extend_from_slice(lone_null),
            }
            for column in others {
                out.push(delimiter);
                if let Cell::Text(value) = column.write(row, out) {
                    field::text(out, value.as_bytes(), delimiter);
                }
            }
            out.push(b'\n');
        }
    }

    /// The rows of a file in a template's way.
    fn styled_rows(&self, columns: &[Cells<'_>], rows: usize, out: &mut Vec<u8>) {
        let dialect = &self.dialect;
        let mut scratch = Vec::with_capacity(64);
        let mut written = Vec::with_capacity(64);
        for row in 0..rows {
            for (index, (column, look)) in columns.iter().zip(&self.looks).enumerate() {
                if index > 0 {
                    out.push(dialect.delimiter);
                }
                scratch.clear();
                match column.write(row, &mut scratch) {
                    Cell::Null if columns.len() == 1 && dialect.null.is_empty() => out.extend_from_slice(b"\"\""),
                    Cell::Null => out.extend_from_slice(&dialect.null),
                    Cell::Text(value) => match look {
                        // exact numbers that are wider than polars has them come as text
                        Look::Number(look) => {
                            written.clear();
                            match number::write(&mut written, value.as_bytes(), look) {
                                Written::Number => dialect.value(out, &written),
                                Written::Digits => dialect.digits(out, &written),
                            }
                        }
                        Look::Text { guard, digits } => {
                            dialect.safe_text(out, value.as_bytes(), *guard, *digits);
                        }
                        _ => dialect.text(out, value.as_bytes()),
                    },
                    Cell::Plain(_) => match look {
                        Look::Number(look) => {
                            if let (Some(decimals), Some(value)) = (look.decimals, column.float(row)) {
                                scratch.clear();
                                crate::format::cell::fixed(&mut scratch, value, usize::from(decimals));
                            }
                            written.clear();
                            match number::write(&mut written, &scratch, look) {
                                Written::Number => dialect.value(out, &written),
                                Written::Digits => dialect.digits(out, &written),
                            }
                        }
                        Look::Moment(pattern) => {
                            if let Some((seconds, nanos)) = column.moment(row) {
                                scratch.clear();
                                pattern.write(&mut scratch, seconds, nanos);
                            }
                            dialect.value(out, &scratch);
                        }
                        Look::Words(yes, no) => {
                            let word = if scratch == b"true" { yes } else { no };
                            dialect.value(out, word.as_bytes());
                        }
                        Look::Plain | Look::Text { .. } => dialect.value(out, &scratch),
                    },
                }
            }
            out.extend_from_slice(self.line_end);
        }
    }
}

impl Encoder for CsvEncoder {
    fn begin(&self, head: &Head, out: &mut Vec<u8>) {
        if self.bom {
            out.extend_from_slice(BOM);
        }
        match (self.timestamps, head.completed_at) {
            (Timestamps::Envelope, _) => {
                out.extend_from_slice(format!("# {REQUESTED_AT}: {}", head.requested_at).as_bytes());
                out.extend_from_slice(self.line_end);
            }
            (Timestamps::Rows, Some(completed_at)) => {
                self.key_row(out, REQUESTED_AT, &head.requested_at.to_string());
                self.key_row(out, COMPLETED_AT, &completed_at.to_string());
            }
            (Timestamps::Rows | Timestamps::Columns | Timestamps::Sidecar, _) => {}
        }
        out.extend_from_slice(&self.header);
    }

    fn encode(&self, frame: &DataFrame, out: &mut Vec<u8>) -> Result<(), FormatError> {
        if frame.width() != self.looks.len() {
            return Err(FormatError::Width { got: frame.width(), wanted: self.looks.len() });
        }
        let physical = Physical::of(frame);
        let columns = physical.cells(self.format)?;
        if self.plain {
            self.plain_rows(&columns, physical.rows(), out);
        } else {
            self.styled_rows(&columns, physical.rows(), out);
        }
        Ok(())
    }

    fn end(&self, tail: &Tail, out: &mut Vec<u8>) {
        if self.timestamps == Timestamps::Envelope {
            for line in [format!("# {ROWS}: {}", tail.rows), format!("# {COMPLETED_AT}: {}", tail.completed_at)] {
                out.extend_from_slice(line.as_bytes());
                out.extend_from_slice(self.line_end);
            }
        }
    }
}
