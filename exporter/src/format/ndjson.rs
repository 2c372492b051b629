//! NDJSON: one JSON object a line, no header and no comments, so that the timestamps stand in the metadata alone.
//!
//! Decimals are strings, as many readers would round them; so are `NaN`, `INF` and `-INF`.

use polars::prelude::DataFrame;
use serde_json::Value;

use super::{
    Bounds, Compression, Encoder, Encoding, Finished, Format, FormatError, Head, Layout, Tail, csvw,
    physical::{Cell, Kind, Physical},
};

/// The name of the format, and the extension of its files.
const NAME: &str = "ndjson";

/// Newline-delimited JSON.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ndjson;

impl Format for Ndjson {
    fn name(&self) -> &str {
        NAME
    }

    fn media_type(&self) -> &str {
        "application/x-ndjson"
    }

    fn extension(&self) -> &str {
        NAME
    }

    fn compressions(&self) -> &'static [Compression] {
        &Compression::ALL
    }

    fn encoding(&self, layout: &Layout, _: &Bounds) -> Result<Encoding, FormatError> {
        let keys = layout
            .columns
            .iter()
            .enumerate()
            .map(|(index, column)| {
                let mut key = vec![if index == 0 { b'{' } else { b',' }];
                string(&mut key, &column.title);
                key.push(b':');
                key
            })
            .collect();
        Ok(Encoding::frames(NdjsonEncoder { keys }))
    }

    fn metadata(&self, layout: &Layout, file: &Finished) -> Value {
        csvw::document(layout, file)
    }
}

struct NdjsonEncoder {
    /// What stands before each value.
    keys: Vec<Vec<u8>>,
}

impl Encoder for NdjsonEncoder {
    fn begin(&self, _: &Head, _: &mut Vec<u8>) {}

    fn encode(&self, frame: &DataFrame, out: &mut Vec<u8>) -> Result<(), FormatError> {
        if frame.width() != self.keys.len() {
            return Err(FormatError::Width { got: frame.width(), wanted: self.keys.len() });
        }
        let physical = Physical::of(frame);
        let columns = physical.cells(NAME)?;
        for row in 0..physical.rows() {
            for (key, column) in self.keys.iter().zip(&columns) {
                out.extend_from_slice(key);
                let at = out.len();
                match column.write(row, out) {
                    Cell::Null => out.extend_from_slice(b"null"),
                    Cell::Text(value) => string(out, value),
                    Cell::Plain(Kind::Literal) => {}
                    Cell::Plain(Kind::Lexical) => {
                        out.insert(at, b'"');
                        out.push(b'"');
                    }
                }
            }
            out.extend_from_slice(b"}\n");
        }
        Ok(())
    }

    fn end(&self, _: &Tail, _: &mut Vec<u8>) {}
}

/// A JSON string (RFC 8259, section 7).
pub(crate) fn string(out: &mut Vec<u8>, value: &str) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    for byte in value.bytes() {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0..=0x1f => {
                out.extend_from_slice(b"\\u00");
                out.push(HEX[usize::from(byte >> 4)]);
                out.push(HEX[usize::from(byte & 15)]);
            }
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use polars::prelude::*;
    use protocol::catalog::{Column as CatalogColumn, ColumnType};
    use serde_json::{Value, json};

    use super::{Encoding, Format, Layout, Ndjson};
    use crate::format::{Bounds, LayoutColumn};

    #[test]
    fn each_line_is_an_object_with_values_of_their_types() {
        let day = Column::new("day".into(), [Some(0_i32), None]).cast(&DataType::Date).unwrap();
        let columns = vec![
            Column::new("n".into(), [Some(1_i64), None]),
            Column::new("x".into(), [0.5, f64::NAN]),
            Column::new("t\"".into(), ["a\u{1}\n\"\\é", ""]),
            day,
        ];
        let frame = DataFrame::new_infer_height(columns).unwrap();
        let titles: Vec<_> = frame.columns().iter().map(|c| c.name().as_str()).collect();
        let columns = titles.iter().map(|n| LayoutColumn::plain(CatalogColumn::new(*n, ColumnType::String))).collect();
        let encoding = Ndjson.encoding(&Layout::plain(columns), &Bounds::default()).unwrap();
        let Encoding::Frames(encoder) = encoding else { panic!("text has no state") };
        let mut out = Vec::new();
        encoder.encode(&frame, &mut out).unwrap();
        let lines: Vec<Value> =
            String::from_utf8(out).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(
            lines,
            [
                json!({"n": 1, "x": 0.5, "t\"": "a\u{1}\n\"\\é", "day": "1970-01-01"}),
                json!({"n": null, "x": "NaN", "t\"": "", "day": null}),
            ]
        );
    }
}
