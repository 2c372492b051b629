//! The encoder of CSV and TSV.

use polars::prelude::DataFrame;

use super::field::{self, Dialect};
use crate::{
    Encoder, FormatError, Head, Tail,
    layout::{COMPLETED_AT, Layout, Quoting, REQUESTED_AT, ROWS, Timestamps},
    number::{self, NumberText},
    physical::{Cell, Cells, Physical},
    value_style::ValueStyle,
};

/// The byte order mark of UTF-8, with which a file may begin.
const BOM: &[u8] = "\u{feff}".as_bytes();

/// Encodes rows as CSV or TSV.
pub(super) struct CsvEncoder {
    format: &'static str,
    /// The encoded header line, with its line terminator.
    header: Vec<u8>,
    bom: bool,
    timestamps: Timestamps,
    dialect: Dialect,
    line_end: &'static [u8],
    styles: Vec<ValueStyle>,
    /// For each column, whether its timestamps are local times, that is, without a time zone.
    local: Vec<bool>,
    /// Whether values, quoting, NULL and line ends have the defaults of the `machine` profile. If true,
    /// [`Self::plain_rows`] can write the rows.
    is_plain: bool,
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
            dialect.title(&mut header, column.title.as_bytes(), style.formula_guard, style.quoted_titles);
        }
        header.extend_from_slice(line_end);
        let styles: Vec<_> =
            layout.columns.iter().map(|column| ValueStyle::of(&column.source, &column.style, style)).collect();
        let is_plain = styles.iter().all(|style| *style == ValueStyle::Plain)
            && style.quoting == Quoting::Minimal
            && style.null.is_empty()
            && line_end == b"\n";
        let (timestamps, local) = (layout.timestamps, layout.local());
        Self { format, header, bom: style.bom, timestamps, dialect, line_end, styles, local, is_plain }
    }

    /// Appends a row above the header that has a key, its value, and empty fields for the other columns.
    fn key_row(&self, out: &mut Vec<u8>, key: &str, value: &str) {
        let delimiter = self.dialect.delimiter;
        self.dialect.text(out, key.as_bytes());
        out.push(delimiter);
        self.dialect.text(out, value.as_bytes());
        out.resize(out.len() + self.styles.len().saturating_sub(2), delimiter);
        out.extend_from_slice(self.line_end);
    }

    /// Appends rows in the default style of the `machine` profile. This function is faster than [`Self::styled_rows`].
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

    /// Appends rows with the styles of their columns.
    fn styled_rows(&self, columns: &[Cells<'_>], rows: usize, out: &mut Vec<u8>) {
        let dialect = &self.dialect;
        let mut scratch = Vec::with_capacity(64);
        let mut written = Vec::with_capacity(64);
        for row in 0..rows {
            for (index, (column, style)) in columns.iter().zip(&self.styles).enumerate() {
                if index > 0 {
                    out.push(dialect.delimiter);
                }
                scratch.clear();
                match column.write(row, &mut scratch) {
                    Cell::Null if columns.len() == 1 && dialect.null.is_empty() => out.extend_from_slice(b"\"\""),
                    Cell::Null => out.extend_from_slice(&dialect.null),
                    Cell::Text(value) => match style {
                        // decimals with more digits than polars supports are text in the frame
                        ValueStyle::Number(style) => {
                            written.clear();
                            match number::write(&mut written, value.as_bytes(), style) {
                                NumberText::Number => dialect.value(out, &written),
                                NumberText::Digits => dialect.digits(out, &written),
                            }
                        }
                        ValueStyle::Text { guard, digits } => {
                            dialect.safe_text(out, value.as_bytes(), *guard, *digits);
                        }
                        _ => dialect.text(out, value.as_bytes()),
                    },
                    Cell::Plain(_) => match style {
                        ValueStyle::Number(style) => {
                            written.clear();
                            match number::write(&mut written, &scratch, style) {
                                NumberText::Number => dialect.value(out, &written),
                                NumberText::Digits => dialect.digits(out, &written),
                            }
                        }
                        ValueStyle::Time(pattern) => {
                            if let Some((seconds, nanos)) = column.seconds(row) {
                                scratch.clear();
                                pattern.write(&mut scratch, seconds, nanos);
                            }
                            dialect.value(out, &scratch);
                        }
                        ValueStyle::Words(yes, no) => {
                            let word = if scratch == b"true" { yes } else { no };
                            dialect.value(out, word.as_bytes());
                        }
                        ValueStyle::Plain | ValueStyle::Text { .. } => dialect.value(out, &scratch),
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
        if frame.width() != self.styles.len() {
            return Err(FormatError::Width { got: frame.width(), wanted: self.styles.len() });
        }
        let physical = Physical::of(frame);
        let columns = physical.cells(self.format, &self.local)?;
        if self.is_plain {
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
