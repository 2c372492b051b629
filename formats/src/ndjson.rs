//! The format NDJSON: one JSON object per line. A file has no header and no comments, so only the metadata document can
//! state the request and completion times of the export.
//!
//! Decimals are strings, because many readers round JSON numbers. The floats `NaN`, `INF` and `-INF` are strings too.

use polars::prelude::DataFrame;

use super::{
    Compression, Encoder, Encoding, Format, FormatDescription, FormatError, FormatLimits, Head, Tail,
    physical::{Cell, Kind, Physical},
};
use crate::{layout::Layout, value::json};

/// The name of the format, which is also its file extension.
const NAME: &str = "ndjson";

/// The format NDJSON, with one JSON object per row.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ndjson;

impl Format for Ndjson {
    fn info(&self) -> &FormatDescription {
        &FormatDescription {
            name: NAME,
            media_type: "application/x-ndjson",
            extension: NAME,
            compressions: &Compression::ALL,
            compresses_itself: false,
            has_timestamps: false,
            is_workbook: false,
        }
    }

    fn encoding(&self, layout: &Layout, _: Compression, _: &FormatLimits) -> Result<Encoding, FormatError> {
        let keys = layout
            .columns
            .iter()
            .enumerate()
            .map(|(index, column)| {
                let mut key = vec![if index == 0 { b'{' } else { b',' }];
                json::string(&mut key, &column.title);
                key.push(b':');
                key
            })
            .collect();
        Ok(Encoding::parallel(NdjsonEncoder { keys, local: layout.local() }))
    }
}

struct NdjsonEncoder {
    /// For each column, the bytes before its value in a row: a separator, the key and a colon.
    keys: Vec<Vec<u8>>,
    /// For each column, whether its timestamps are local times, that is, without a time zone.
    local: Vec<bool>,
}

impl Encoder for NdjsonEncoder {
    fn begin(&self, _: &Head, _: &mut Vec<u8>) {}

    fn encode(&self, frame: &DataFrame, out: &mut Vec<u8>) -> Result<(), FormatError> {
        if frame.width() != self.keys.len() {
            return Err(FormatError::Width { got: frame.width(), wanted: self.keys.len() });
        }
        let physical = Physical::of(frame);
        let columns = physical.cells(NAME, &self.local)?;
        for row in 0..physical.rows() {
            for (key, column) in self.keys.iter().zip(&columns) {
                out.extend_from_slice(key);
                let at = out.len();
                match column.write(row, out) {
                    Cell::Null => out.extend_from_slice(b"null"),
                    Cell::Text(value) => json::string(out, value),
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

#[cfg(test)]
mod tests {
    use polars::prelude::*;
    use protocol::catalog::{Column as CatalogColumn, ColumnType};
    use serde_json::{Value, json};

    use super::{Encoding, Format, Ndjson};
    use crate::{
        Compression, FormatLimits,
        layout::{Layout, LayoutColumn},
    };

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
        let encoding = Ndjson.encoding(&Layout::plain(columns), Compression::None, &FormatLimits::default()).unwrap();
        let Encoding::Parallel(encoder) = encoding else { panic!("a text format has no state") };
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
