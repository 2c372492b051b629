//! Tests CSV files in the `spreadsheet` profile and with the styles of templates.

use std::sync::Arc;

use polars::prelude::*;
use protocol::catalog::{Column as CatalogColumn, ColumnType};

use super::{Csv, Encoding, Format, Tsv};
use crate::{
    Compression, Encoder, FormatLimits, Head, Tail,
    layout::{ColumnStyle, Layout, LayoutColumn, LineEnd, Pattern, Quoting, Style, Timestamps},
};

fn encoder(format: &dyn Format, layout: &Layout) -> Arc<dyn Encoder> {
    match format.encoding(layout, Compression::None, &FormatLimits::default()).unwrap() {
        Encoding::Parallel(encoder) => encoder,
        Encoding::Sequential(_) => panic!("a text format has no state"),
    }
}

fn text_of(format: &dyn Format, layout: &Layout, frame: &DataFrame) -> String {
    let at = |text: &str| serde_json::from_value(serde_json::json!(text)).unwrap();
    let (requested_at, completed_at) = (at("2026-11-22T15:26:01.123Z"), at("2026-11-22T15:26:04.567Z"));
    let encoder = encoder(format, layout);
    let mut out = Vec::new();
    encoder.begin(&Head { requested_at, completed_at: Some(completed_at) }, &mut out);
    encoder.encode(frame, &mut out).unwrap();
    encoder.end(&Tail { rows: frame.height() as u64, completed_at }, &mut out);
    String::from_utf8(out).unwrap()
}

fn layout(columns: &[(&str, ColumnType)], style: Style, timestamps: Timestamps) -> Layout {
    let plain = columns.iter().map(|(name, kind)| LayoutColumn::plain(CatalogColumn::new(*name, *kind))).collect();
    Layout { style, timestamps, ..Layout::plain(plain) }
}

#[test]
fn the_formula_guard_changes_text_only_and_long_digits_stay_complete() {
    let text =
        ["=1+1", "+49 30", "-1", "@x", "\tx", "\rx", "a=1", "", "123456789012345678901234567890", "00123", "123"];
    let numbers = [-1_i64, 1, 2, 3, 4, 5, 6, 999_999_999_999_999, 1_000_000_000_000_000, i64::MIN, 0];
    let frame = df!("text" => text, "n" => numbers).unwrap();
    let columns = [("text", ColumnType::String), ("n", ColumnType::Int)];
    let out = text_of(&Csv, &layout(&columns, Style::spreadsheet(), Timestamps::Sidecar), &frame);
    let expected = "\u{feff}text,n\r\n'=1+1,-1\r\n'+49 30,1\r\n'-1,2\r\n'@x,3\r\n'\tx,4\r\n\"'\rx\",5\r\na=1,6\r\n\
                    \"\",999999999999999\r\n\
                    \"=\"\"123456789012345678901234567890\"\"\",\"=\"\"1000000000000000\"\"\"\r\n\
                    \"=\"\"00123\"\"\",\"=\"\"-9223372036854775808\"\"\"\r\n123,0\r\n";
    assert_eq!(out, expected);
}

#[test]
fn values_are_written_in_the_style_of_the_template() {
    let frame = df!("amount" => [Some(1234567.005_f64), None], "flag" => [Some(true), Some(false)], "at" => [Some(979_397_765_120_i64), None]).unwrap();
    let frame =
        frame.lazy().with_column(col("at").cast(DataType::Datetime(TimeUnit::Milliseconds, None))).collect().unwrap();
    let columns = [("amount", ColumnType::Float), ("flag", ColumnType::Bool), ("at", ColumnType::Datetime)];
    let style = Style {
        delimiter: Some(b';'),
        decimal_mark: b',',
        null: "NULL".into(),
        line_end: LineEnd::Lf,
        bom: false,
        time_zone: Some(chrono_tz::Europe::Berlin),
        ..Style::spreadsheet()
    };
    let mut layout = layout(&columns, style, Timestamps::Rows);
    layout.columns[0].style = ColumnStyle { decimals: Some(1), grouping: Some('.'), ..ColumnStyle::default() };
    layout.columns[1].style = ColumnStyle { words: Some(("ja".into(), "nein".into())), ..ColumnStyle::default() };
    let rows = "export_requested_at;2026-11-22T15:26:01.123Z;\nexport_completed_at;2026-11-22T15:26:04.567Z;\n";
    assert_eq!(
        text_of(&Csv, &layout, &frame),
        format!("{rows}amount;flag;at\n1.234.567,0;ja;2001-01-13 15:56:05.120\nNULL;nein;NULL\n")
    );
    layout.columns[2].style.pattern = Some(Pattern::parse("dd.MM.yyyy; HH:mm").unwrap());
    assert!(text_of(&Csv, &layout, &frame).contains(";\"13.01.2001; 15:56\"\n"));
}

#[test]
fn null_and_text_equal_to_the_null_word_differ() {
    let frame = df!("t" => [Some("NULL"), None, Some("")], "n" => [Some(1_i32), None, Some(2)]).unwrap();
    let style = Style { null: "NULL".into(), ..Style::machine() };
    let columns = [("t", ColumnType::String), ("n", ColumnType::Int)];
    let out = text_of(&Csv, &layout(&columns, style.clone(), Timestamps::Sidecar), &frame);
    assert_eq!(out, "t,n\n\"NULL\",1\nNULL,NULL\n\"\",2\n");
    let all = Style { quoting: Quoting::All, ..style };
    let out = text_of(&Csv, &layout(&columns, all, Timestamps::Sidecar), &frame);
    assert_eq!(out, "\"t\",\"n\"\n\"NULL\",\"1\"\nNULL,NULL\n\"\",\"2\"\n");
}

#[test]
fn tsv_differs_from_csv_only_in_its_delimiter() {
    let frame = df!("a" => ["x,y", "x\ty", "#"], "b" => [1, 2, 3]).unwrap();
    let columns = [("a", ColumnType::String), ("b", ColumnType::Int)];
    let layout = layout(&columns, Style::machine(), Timestamps::Sidecar);
    assert_eq!(text_of(&Csv, &layout, &frame), "a,b\n\"x,y\",1\nx\ty,2\n\"#\",3\n");
    assert_eq!(text_of(&Tsv, &layout, &frame), "a\tb\nx,y\t1\n\"x\ty\"\t2\n\"#\"\t3\n");
}

#[test]
fn floats_are_rounded_half_away_from_zero_on_their_digits() {
    let frame =
        df!("x" => [1.005_f64, 2.675, -0.125, 1e21, f64::NAN], "y" => [1.005_f32, 2.5, 0.045, 1e-7, 0.0]).unwrap();
    let columns = [("x", ColumnType::Float), ("y", ColumnType::Float)];
    let mut layout = layout(&columns, Style::machine(), Timestamps::Sidecar);
    for column in &mut layout.columns {
        column.style.decimals = Some(2);
    }
    let expected = "x,y\n1.01,1.01\n2.68,2.50\n-0.13,0.05\n1000000000000000000000.00,0.00\nNaN,0.00\n";
    assert_eq!(text_of(&Csv, &layout, &frame), expected);
}

#[test]
fn titles_can_always_be_quoted() {
    let frame = df!("a" => ["x", " y"], "b \"c\"" => [1, 2]).unwrap();
    let columns = [("a", ColumnType::String), ("b \"c\"", ColumnType::Int)];
    let style = Style { quoted_titles: true, ..Style::machine() };
    let layout = layout(&columns, style, Timestamps::Sidecar);
    assert_eq!(text_of(&Csv, &layout, &frame), "\"a\",\"b \"\"c\"\"\"\nx,1\n\" y\",2\n");
    assert_eq!(text_of(&Tsv, &layout, &frame), "\"a\"\t\"b \"\"c\"\"\"\nx\t1\n\" y\"\t2\n");
}

#[test]
fn styled_values_with_white_space_at_an_edge_are_quoted() {
    let frame = df!("flag" => [true, false], "text" => ["\\N", "x "]).unwrap();
    let columns = [("flag", ColumnType::Bool), ("text", ColumnType::String)];
    let style = Style { delimiter: Some(b';'), line_end: LineEnd::Crlf, ..Style::machine() };
    let mut layout = layout(&columns, style, Timestamps::Sidecar);
    layout.columns[0].style.words = Some((" yes".into(), "no".into()));
    assert_eq!(text_of(&Csv, &layout, &frame), "flag;text\r\n\" yes\";\"\\N\"\r\nno;\"x \"\r\n");
    // the text for NULL is never quoted, but a value with the same text is
    let nulls = df!("flag" => [Some(true), None], "text" => [Some("\\N"), None]).unwrap();
    layout.style.null = "\\N".into();
    assert_eq!(text_of(&Csv, &layout, &nulls), "flag;text\r\n\" yes\";\"\\N\"\r\n\\N;\\N\r\n");
}
