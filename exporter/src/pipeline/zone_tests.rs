//! Tests that every format writes timestamps without a time zone unchanged, and timestamps with a time zone as
//! instants.

use std::io::Cursor;

use polars::prelude::*;
use protocol::catalog::{Column as CatalogColumn, ColumnType};

use super::tests::{entries, limits, run_format};
use crate::{
    format::{Csv, CsvZip, Format, Ndjson, Parquet, Tsv, Xlsx},
    layout::{Layout, LayoutColumn, Pattern, Style, Timestamps},
};

/// 2026-03-29T02:30:00.500, in microseconds since 1970-01-01T00:00:00. Clocks in Berlin skip this hour.
const GAP: i64 = 1_774_751_400_500_000;
/// 1850-01-01T00:00:00, in microseconds since 1970-01-01T00:00:00. A workbook can't store this time as a number.
const EARLY: i64 = -3_786_825_600_000_000;

/// Returns a table of two columns with the same numbers. One column has timestamps with a time zone, and the other
/// column has timestamps without a time zone.
fn frame() -> DataFrame {
    frame_of(&[GAP, EARLY])
}

fn frame_of(moments: &[i64]) -> DataFrame {
    let moment = |name: &str, zone| {
        let numbers = Column::new(name.into(), moments);
        numbers.cast(&DataType::Datetime(TimeUnit::Microseconds, zone)).unwrap()
    };
    // the zones of the frame contradict the layout, because only the layout decides
    DataFrame::new_infer_height(vec![moment("zoned", None), moment("local", Some(TimeZone::UTC))]).unwrap()
}

fn layout(style: Style) -> Layout {
    let columns = [("zoned", false), ("local", true)].map(|(name, local)| {
        LayoutColumn::plain(CatalogColumn::new(name, ColumnType::Datetime).typed(ColumnType::Datetime, local))
    });
    Layout { timestamps: Timestamps::Sidecar, style, ..Layout::plain(columns.to_vec()) }
}

fn in_berlin(style: Style) -> Style {
    Style { time_zone: Some(chrono_tz::Europe::Berlin), ..style }
}

async fn bytes(format: &dyn Format, layout: Layout) -> Vec<u8> {
    run_format(format, vec![frame()], layout, limits(1)).await.unwrap().bytes()
}

async fn text(format: &dyn Format, layout: Layout) -> String {
    String::from_utf8(bytes(format, layout).await).unwrap()
}

#[tokio::test]
async fn text_formats_write_no_offset_for_a_moment_without_a_zone() {
    let plain =
        "zoned,local\n2026-03-29T02:30:00.500Z,2026-03-29T02:30:00.500\n1850-01-01T00:00:00Z,1850-01-01T00:00:00\n";
    assert_eq!(text(&Csv, layout(Style::machine())).await, plain);
    assert_eq!(text(&Tsv, layout(Style::machine())).await, plain.replace(',', "\t"));
    let berlin = text(&Csv, layout(in_berlin(Style::machine()))).await;
    assert!(berlin.contains("2026-03-29T04:30:00.500+02:00,2026-03-29T02:30:00.500\n"), "{berlin}");
    let spreadsheet = text(&Csv, layout(in_berlin(Style::spreadsheet()))).await;
    assert!(spreadsheet.contains("2026-03-29 04:30:00.500,2026-03-29 02:30:00.500\r\n"), "{spreadsheet}");
    let mut styled = layout(in_berlin(Style::machine()));
    for column in &mut styled.columns {
        column.style.pattern = Some(Pattern::parse("dd.MM. HH:mm").unwrap());
    }
    let styled = text(&Csv, styled).await;
    assert!(styled.contains("29.03. 04:30,29.03. 02:30\n"), "{styled}");
    let lines = text(&Ndjson, layout(in_berlin(Style::machine()))).await;
    let first = r#"{"zoned":"2026-03-29T02:30:00.500Z","local":"2026-03-29T02:30:00.500"}"#;
    assert_eq!(lines.lines().next(), Some(first));
    let parts = entries(bytes(&CsvZip, layout(Style::machine())).await);
    assert_eq!(String::from_utf8_lossy(&parts[0].1), plain);
}

#[tokio::test]
async fn parquet_marks_moments_as_adjusted_to_utc_or_not() {
    let moment = |zone| DataType::Datetime(TimeUnit::Microseconds, zone);
    for frames in [vec![frame()], vec![]] {
        let rows = frames.iter().map(DataFrame::height).sum::<usize>();
        let run = run_format(&Parquet, frames, layout(in_berlin(Style::machine())), limits(1)).await.unwrap();
        let read = ParquetReader::new(Cursor::new(run.bytes())).finish().unwrap();
        assert_eq!(read.dtypes(), [moment(Some(TimeZone::UTC)), moment(None)]);
        let numbers = |name| read.column(name).unwrap().cast(&DataType::Int64).unwrap();
        assert_eq!(read.height(), rows);
        assert!(
            numbers("zoned")
                .as_materialized_series()
                .equals(&numbers("local").as_materialized_series().clone().with_name("zoned".into()))
        );
    }
}

/// Returns the text of one XML file in a workbook with these timestamps. The text is empty if the workbook has no such
/// file.
async fn workbook_xml(moments: &[i64], file: &str) -> String {
    let run = run_format(&Xlsx, vec![frame_of(moments)], layout(in_berlin(Style::spreadsheet())), limits(1)).await;
    let files = entries(run.unwrap().bytes());
    let found = files.iter().find(|(name, _)| name.ends_with(file));
    found.map_or(String::new(), |(_, xml)| String::from_utf8_lossy(xml).into_owned())
}

#[tokio::test]
async fn a_workbook_shifts_only_moments_with_a_zone() {
    let sheet = workbook_xml(&[GAP], "sheet1.xml").await;
    let cells: Vec<f64> = sheet
        .split("<v>")
        .skip(1)
        .filter_map(|cell| cell.split_once("</v>")?.0.parse().ok())
        .filter(|v| *v > 40_000.0)
        .collect();
    let hours: Vec<_> =
        cells.iter().map(|day| ((day.fract() * 86_400_000.0).round() / 3_600_000.0, day.trunc())).collect();
    assert_eq!(hours, [(4.5 + 0.5 / 3_600.0, 46_110.0), (2.5 + 0.5 / 3_600.0, 46_110.0)]);
}

#[tokio::test]
async fn a_workbook_column_with_a_part_of_a_millisecond_is_text_with_all_digits() {
    let moments = [GAP, GAP + 1];
    let texts = workbook_xml(&moments, "sheet1.xml").await + &workbook_xml(&moments, "sharedStrings.xml").await;
    for text in ["02:30:00.500Z", "02:30:00.500", "02:30:00.500001Z", "02:30:00.500001"] {
        assert!(texts.contains(&format!(">2026-03-29T{text}<")), "{text}: {texts}");
    }
}

#[tokio::test]
async fn a_workbook_column_with_a_moment_before_1900_is_text() {
    let texts =
        workbook_xml(&[GAP, EARLY], "sheet1.xml").await + &workbook_xml(&[GAP, EARLY], "sharedStrings.xml").await;
    for text in ["2026-03-29T02:30:00.500Z", "2026-03-29T02:30:00.500", "1850-01-01T00:00:00Z", "1850-01-01T00:00:00"] {
        assert!(texts.contains(&format!(">{text}<")), "{text}: {texts}");
    }
}
