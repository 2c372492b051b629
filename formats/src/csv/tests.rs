//! Tests CSV files. A small RFC 4180 parser reads the files back. The files must not depend on how the rows are split
//! into data frames.

use std::sync::Arc;

use polars::prelude::*;
use protocol::catalog::{Column as CatalogColumn, ColumnType};

use super::{Csv, Encoding, Format, FormatError};
use crate::{
    Compression, Encoder, FormatLimits, Head, Tail,
    layout::{Layout, LayoutColumn, Timestamps},
};

/// A parsed field, and whether it was quoted in the file.
#[derive(Clone, Debug, PartialEq)]
enum Field {
    Bare(String),
    Quoted(String),
}

/// Parses RFC 4180 text with comment lines, and returns the comments and the rows. Panics when the text is malformed.
fn read(bytes: &[u8]) -> (Vec<String>, Vec<Vec<Field>>) {
    let text = std::str::from_utf8(bytes).unwrap();
    let (mut comments, mut rows) = (Vec::new(), Vec::new());
    let mut rest = text;
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('#') {
            let (line, tail) = after.split_once('\n').unwrap();
            comments.push(line.trim().to_owned());
            rest = tail;
            continue;
        }
        let mut row = Vec::new();
        loop {
            let field;
            if let Some(mut quoted) = rest.strip_prefix('"') {
                let mut value = String::new();
                loop {
                    let (part, tail) = quoted.split_once('"').expect("an open quote is closed");
                    value.push_str(part);
                    match tail.strip_prefix('"') {
                        Some(again) => {
                            value.push('"');
                            quoted = again;
                        }
                        None => {
                            rest = tail;
                            break;
                        }
                    }
                }
                field = Field::Quoted(value);
            } else {
                let end = rest.find([',', '\n']).expect("each line ends");
                assert!(!rest[..end].contains(['"', '\r']), "bare special in {:?}", &rest[..end]);
                field = Field::Bare(rest[..end].to_owned());
                rest = &rest[end..];
            }
            row.push(field);
            match rest.split_at(1) {
                (",", tail) => rest = tail,
                ("\n", tail) => {
                    rest = tail;
                    break;
                }
                other => panic!("{other:?}"),
            }
        }
        rows.push(row);
    }
    (comments, rows)
}

fn layout(names: &[&str], timestamps: Timestamps) -> Layout {
    let columns = names.iter().map(|name| LayoutColumn::plain(CatalogColumn::new(*name, ColumnType::String))).collect();
    Layout { timestamps, ..Layout::plain(columns) }
}

fn encoder(layout: &Layout) -> Arc<dyn Encoder> {
    match Csv.encoding(layout, Compression::None, &FormatLimits::default()).unwrap() {
        Encoding::Parallel(encoder) => encoder,
        Encoding::Sequential(_) => panic!("a text format has no state"),
    }
}

fn encode(frame: &DataFrame) -> Vec<u8> {
    let names: Vec<_> = frame.columns().iter().map(|c| c.name().as_str()).collect();
    let mut out = Vec::new();
    encoder(&layout(&names, Timestamps::Sidecar)).encode(frame, &mut out).unwrap();
    out
}

/// A small pseudorandom generator with a fixed seed.
struct Random(u64);

impl Random {
    fn below(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % sides
    }

    fn text(&mut self) -> Option<String> {
        const PIECES: [&str; 18] = [
            "", "#", "\"", "\"\"", ",", "\n", "\r", "\r\n", " ", "\t", "é", "漢", "🦀", "a", "NULL", "=1+1", "\0",
            "# x\n",
        ];
        match self.below(8) {
            0 => None,
            n => Some((1..n).map(|_| PIECES[self.below(PIECES.len())]).collect()),
        }
    }
}

#[test]
fn any_text_reads_back_in_any_column() {
    let mut random = Random(7);
    for width in [1, 2, 5] {
        let values: Vec<Vec<_>> = (0..width).map(|_| (0..400).map(|_| random.text()).collect()).collect();
        let columns = values.iter().enumerate().map(|(i, v)| Column::new(format!("c{i}").into(), v)).collect();
        let (comments, rows) = read(&encode(&DataFrame::new_infer_height(columns).unwrap()));
        assert_eq!((comments.len(), rows.len()), (0, 400));
        for (index, row) in rows.iter().enumerate() {
            for (field, column) in row.iter().zip(&values) {
                match (field, &column[index]) {
                    (Field::Bare(text), None) => assert_eq!(text, ""),
                    (Field::Quoted(text), None) => assert!(width == 1 && text.is_empty()),
                    (Field::Bare(text), Some(value)) => assert!(text == value && !text.is_empty()),
                    (Field::Quoted(text), Some(value)) => assert_eq!(text, value),
                }
            }
        }
    }
}

#[test]
fn white_space_at_an_edge_and_backslash_words_are_quoted() {
    for text in [
        " a",
        "a ",
        " ",
        "\t",
        "a\t",
        "\u{b}a",
        "a\u{c}",
        "\u{a0}a",
        "a\u{3000}",
        "\u{85}",
        "\u{2003}x",
        "\u{feff}a",
        "\\.",
        "\\N",
    ] {
        let frame = df!("a" => [text], "b" => [text]).unwrap();
        assert_eq!(String::from_utf8(encode(&frame)).unwrap(), format!("\"{text}\",\"{text}\"\n"), "{text:?}");
        // a title follows the same rule
        let mut header = Vec::new();
        let head = Head {
            requested_at: serde_json::from_value(serde_json::json!("2026-11-22T15:26:01.123Z")).unwrap(),
            completed_at: None,
        };
        encoder(&layout(&["n", text], Timestamps::Sidecar)).begin(&head, &mut header);
        assert_eq!(String::from_utf8(header).unwrap(), format!("n,\"{text}\"\n"));
    }
    for text in ["a b", "é", "漢字", "\\", "\\n", "\\.x", "x\\N", "a\u{a0}b", "\u{200b}"] {
        let frame = df!("a" => [text]).unwrap();
        assert_eq!(String::from_utf8(encode(&frame)).unwrap(), format!("{text}\n"));
    }
}

#[test]
fn the_envelope_surrounds_the_table_and_a_header_is_never_a_comment() {
    let encoder = encoder(&layout(&["#id", "a,b", "#c"], Timestamps::Envelope));
    let at = |text: &str| serde_json::from_value(serde_json::json!(text)).unwrap();
    let mut out = Vec::new();
    encoder.begin(&Head { requested_at: at("2026-11-22T15:26:01.123Z"), completed_at: None }, &mut out);
    encoder.end(&Tail { rows: 0, completed_at: at("2026-11-22T15:26:04.567Z") }, &mut out);
    let expected = "# export_requested_at: 2026-11-22T15:26:01.123Z\n\"#id\",\"a,b\",\"#c\"\n\
                    # export_rows: 0\n# export_completed_at: 2026-11-22T15:26:04.567Z\n";
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}

fn every_type() -> DataFrame {
    let day = Column::new("day".into(), [Some(0_i32), None, Some(-1)]).cast(&DataType::Date).unwrap();
    let at = Column::new("at".into(), [Some(979_397_760_000_000_i64), None, Some(-1)])
        .cast(&DataType::Datetime(TimeUnit::Microseconds, None))
        .unwrap();
    let clock =
        Column::new("clock".into(), [Some(0_i64), None, Some(86_399_999_999_999)]).cast(&DataType::Time).unwrap();
    let price =
        Column::new("price".into(), [Some("1.10"), None, Some("-0.05")]).cast(&DataType::Decimal(15, 2)).unwrap();
    let columns = vec![
        Column::new("int".into(), [Some(1_i64), None, Some(i64::MIN)]),
        Column::new("byte".into(), [Some(1_i8), None, Some(-128)]),
        Column::new("float".into(), [Some(0.1), None, Some(f64::NAN)]),
        Column::new("real".into(), [Some(0.1_f32), None, Some(f32::INFINITY)]),
        Column::new("flag".into(), [Some(true), None, Some(false)]),
        day,
        at,
        clock,
        price,
        Column::new("text".into(), [Some("a"), None, Some("")]),
    ];
    DataFrame::new_infer_height(columns).unwrap()
}

#[test]
fn every_type_is_written_as_text() {
    let expected = "1,1,0.1,0.1,true,1970-01-01,2001-01-13T14:56:00Z,00:00:00,1.10,a\n\
                    ,,,,,,,,,\n\
                    -9223372036854775808,-128,NaN,INF,false,1969-12-31,1969-12-31T23:59:59.999999Z,23:59:59.999999999,-0.05,\"\"\n";
    assert_eq!(String::from_utf8(encode(&every_type())).unwrap(), expected);
}

#[test]
fn the_bytes_do_not_depend_on_the_frames() {
    let mut random = Random(11);
    let small = every_type();
    let mut frame = small.clone();
    for _ in 0..200 {
        frame.vstack_mut(&small).unwrap();
    }
    let whole = encode(&frame);
    for _ in 0..5 {
        let (mut at, mut parts) = (0, Vec::new());
        while at < frame.height() {
            let rows = 1 + random.below(100);
            parts.extend(encode(&frame.slice(at as i64, rows)));
            at += rows;
        }
        assert_eq!(parts, whole);
    }
}

#[test]
fn a_nested_column_is_refused_by_name() {
    let list = Series::new("x".into(), [1_i64]).implode().unwrap().into_series();
    let frame = DataFrame::new_infer_height(vec![list.into_column()]).unwrap();
    let error = encoder(&layout(&["x"], Timestamps::Sidecar)).encode(&frame, &mut Vec::new()).unwrap_err();
    assert!(matches!(error, FormatError::Unsupported { column, .. } if column == "x"));
}
