//! The metadata document of a file, in the vocabulary of CSV on the Web (<https://www.w3.org/TR/tabular-metadata/>).
//! The document of a CSV or TSV file also describes the dialect: the delimiter, the quotes and the line ends.
//!
//! Properties that are not part of the vocabulary have absolute names of the form `urn:sluice:…`, as the standard
//! requires.

use protocol::catalog::{Column, ColumnType};
use serde_json::{Map, Value, json};

use super::{
    FinishedFile,
    value_style::{NumberStyle, ValueStyle},
};
use crate::layout::{Layout, LayoutColumn, LineEnd, Profile, Timestamps};

/// The date patterns that CSV on the Web defines. Every reader of CSV on the Web supports these patterns.
const DATES: [&str; 13] = [
    "yyyy-MM-dd",
    "yyyyMMdd",
    "dd-MM-yyyy",
    "d-M-yyyy",
    "MM-dd-yyyy",
    "M-d-yyyy",
    "dd/MM/yyyy",
    "d/M/yyyy",
    "MM/dd/yyyy",
    "M/d/yyyy",
    "dd.MM.yyyy",
    "d.M.yyyy",
    "MM.dd.yyyy",
];
/// The patterns of times of day that CSV on the Web defines.
const TIMES: [&str; 4] = ["HH:mm:ss", "HHmmss", "HH:mm", "HHmm"];

/// Returns the metadata document of a CSV or TSV file. The document states the types and formats of the columns, the
/// dialect, the row count, the digest and the timestamps of the export.
#[must_use]
pub fn table(layout: &Layout, finished: &FinishedFile, delimiter: u8) -> Value {
    let style = &layout.style;
    let columns = layout.columns.iter().map(|column| {
        let value_style = ValueStyle::of(&column.source, &column.style, style);
        let (datatype, value_type) = datatype(column, &value_style, style.profile);
        let mut described = described(column);
        described.insert("datatype".into(), datatype);
        described.insert("null".into(), json!(style.null));
        if let Some(value_type) = value_type {
            described.insert("urn:sluice:datatype".into(), json!(value_type));
        }
        Value::Object(described)
    });
    let columns: Vec<Value> = columns.collect();
    let mut document = common(layout, finished, columns);
    document["dialect"] = json!({
        "encoding": "utf-8",
        "delimiter": char::from(delimiter).to_string(),
        "quoteChar": "\"",
        "doubleQuote": true,
        "lineTerminators": [match style.line_end { LineEnd::Lf => "\n", LineEnd::Crlf => "\r\n" }],
        "commentPrefix": (layout.timestamps == Timestamps::Envelope).then_some("#"),
        "header": true,
        "headerRowCount": 1,
        // two rows above the header state the timestamps
        "skipRows": if layout.timestamps == Timestamps::Rows { 2 } else { 0 },
        "skipBlankRows": false,
        "skipInitialSpace": false,
        "trim": false,
    });
    document
}

/// Returns the metadata document of a file in any format other than CSV and TSV.
#[must_use]
pub fn document(layout: &Layout, finished: &FinishedFile) -> Value {
    let columns = layout.columns.iter().map(|column| {
        let mut described = described(column);
        described.insert("datatype".into(), json!(plain_type(&column.source)));
        Value::Object(described)
    });
    let columns: Vec<Value> = columns.collect();
    common(layout, finished, columns)
}

fn common(layout: &Layout, finished: &FinishedFile, columns: Vec<Value>) -> Value {
    json!({
        "@context": "http://www.w3.org/ns/csvw",
        "url": finished.file.name,
        "dc:identifier": finished.id,
        "dc:title": finished.dataset,
        "dc:format": finished.file.media_type,
        "tableSchema": {"columns": columns},
        "urn:sluice:rows": finished.file.rows,
        "urn:sluice:bytes": finished.file.size,
        "urn:sluice:sha256": finished.file.sha256,
        "urn:sluice:compression": finished.compression.as_str(),
        "urn:sluice:dataset": finished.dataset,
        "urn:sluice:dataset_version": finished.dataset_version,
        "urn:sluice:notes": finished.notes,
        "urn:sluice:template": layout.template.name,
        "urn:sluice:template_version": layout.template.version,
        "urn:sluice:requested_at": finished.requested_at,
        "urn:sluice:transactionTime": finished.snapshot_at,
        "urn:sluice:completed_at": finished.completed_at,
    })
}

fn described(column: &LayoutColumn) -> Map<String, Value> {
    let mut described = Map::new();
    described.insert("name".into(), json!(name(&column.source.name)));
    described.insert("titles".into(), json!(column.title));
    described.insert("required".into(), json!(!column.source.nullable));
    described
}

const fn plain_type(column: &Column) -> &'static str {
    match column.kind {
        ColumnType::String => "string",
        ColumnType::Int => "long",
        ColumnType::Float => "double",
        ColumnType::Decimal => "decimal",
        ColumnType::Bool => "boolean",
        ColumnType::Date => "date",
        ColumnType::Datetime if column.local => "dateTime",
        ColumnType::Datetime => "dateTimeStamp",
        ColumnType::Time => "time",
    }
}

/// Returns the datatype in CSV on the Web of a column's fields. If a reader can parse the fields only as text, also
/// returns the datatype of the original values. Otherwise, the second result is None.
fn datatype(column: &LayoutColumn, style: &ValueStyle, profile: Profile) -> (Value, Option<&'static str>) {
    let plain = plain_type(&column.source);
    let text = || (json!("string"), Some(plain));
    match style {
        ValueStyle::Plain | ValueStyle::Text { .. } => (json!(plain), None),
        // the encoder writes numbers with many digits as text, in the form of a formula
        ValueStyle::Number(NumberStyle { digits_as_text: true, .. }) => text(),
        ValueStyle::Number(style) => number(plain, style),
        ValueStyle::Words(yes, no) if !yes.contains('|') && !no.contains('|') => {
            (json!({"base": "boolean", "format": format!("{yes}|{no}")}), None)
        }
        ValueStyle::Words(..) => text(),
        ValueStyle::Time(pattern) => {
            let pattern = pattern.to_string();
            let base = if column.source.kind == ColumnType::Datetime { "dateTime" } else { plain };
            match column.source.kind {
                // the field has the offset, and also a fraction unless the fraction is zero
                ColumnType::Datetime if column.style.pattern.is_none() && profile == Profile::Machine => {
                    (json!("dateTimeStamp"), None)
                }
                // no CSVW pattern describes an optional fraction
                ColumnType::Datetime if column.style.pattern.is_none() => text(),
                ColumnType::Date if DATES.contains(&pattern.as_str()) => {
                    (json!({"base": base, "format": pattern}), None)
                }
                ColumnType::Time if TIMES.contains(&pattern.as_str()) => {
                    (json!({"base": base, "format": pattern}), None)
                }
                ColumnType::Datetime if is_timestamp(&pattern) => (json!({"base": base, "format": pattern}), None),
                _ => text(),
            }
        }
    }
}

/// Whether CSV on the Web defines this pattern for timestamps. Such a pattern has one of [`DATES`], a space or `T`, and
/// one of [`TIMES`].
fn is_timestamp(pattern: &str) -> bool {
    let split = pattern.split_once([' ', 'T']);
    split.is_some_and(|(date, time)| DATES.contains(&date) && TIMES.contains(&time))
}

fn number(plain: &'static str, style: &NumberStyle) -> (Value, Option<&'static str>) {
    let mut format = Map::new();
    if style.decimal_mark != b'.' {
        format.insert("decimalChar".into(), json!(char::from(style.decimal_mark).to_string()));
    }
    if let Some(mark) = style.grouping {
        format.insert("groupChar".into(), json!(mark.to_string()));
    }
    if style.decimals.is_some() || style.grouping.is_some() {
        let whole = if style.grouping.is_some() { "#,##0" } else { "0" };
        let digits = usize::from(style.decimals.unwrap_or_default());
        let fraction = match (style.decimals, plain) {
            (Some(0), _) | (None, "long") => String::new(),
            (Some(_), _) => format!(".{}", "0".repeat(digits)),
            (None, _) => format!(".{}", "#".repeat(20)),
        };
        format.insert("pattern".into(), json!(format!("{whole}{fraction}")));
    }
    // a whole number that is written with digits after the point is a decimal
    let base = if plain == "long" && style.decimals.is_some_and(|digits| digits > 0) { "decimal" } else { plain };
    (json!({"base": base, "format": format}), None)
}

/// Percent-encodes all bytes of a column name except letters, digits and `_`, because CSV on the Web allows only such
/// names.
fn name(column: &str) -> String {
    column
        .bytes()
        .map(|b| match b {
            b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'_' => char::from(b).to_string(),
            _ => format!("%{b:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use protocol::{export::FileInfo, id::ExportId};

    use super::*;
    use crate::{
        Compression,
        layout::{ColumnStyle, Pattern, Style},
    };

    fn finished() -> FinishedFile {
        let at = serde_json::from_value(json!("2026-11-22T15:26:01.123Z")).unwrap();
        let file =
            FileInfo { name: "x.csv".into(), size: 10, rows: 2, sha256: "ab".into(), media_type: "text/csv".into() };
        FinishedFile {
            id: ExportId::generate(),
            dataset: "x".into(),
            dataset_version: "7".into(),
            notes: vec!["column 2 is a further `a`, and is offered as `a_2`".into()],
            file,
            compression: Compression::Gzip,
            requested_at: at,
            snapshot_at: Some(at),
            completed_at: at,
        }
    }

    #[test]
    fn the_document_describes_the_file() {
        let zoned = Column::new("a b", ColumnType::Datetime);
        let local = Column::new("c", ColumnType::String).typed(ColumnType::Datetime, true);
        let layout = Layout::plain(vec![
            LayoutColumn { title: "When".into(), ..LayoutColumn::plain(zoned) },
            LayoutColumn::plain(local),
        ]);
        let document = table(&layout, &finished(), b',');
        assert_eq!(document["tableSchema"]["columns"][0]["name"], "a%20b");
        assert_eq!(document["tableSchema"]["columns"][0]["titles"], "When");
        assert_eq!(document["tableSchema"]["columns"][0]["datatype"], "dateTimeStamp");
        assert_eq!(document["tableSchema"]["columns"][1]["datatype"], "dateTime");
        // the time zone of a template does not apply to a timestamp without a time zone
        let style = Style { time_zone: Some(chrono_tz::Europe::Berlin), ..Style::machine() };
        let zoned = table(&Layout { style, ..layout.clone() }, &finished(), b',');
        assert_eq!(zoned["tableSchema"]["columns"][1]["datatype"], "dateTime");
        assert_eq!(super::document(&layout, &finished())["tableSchema"]["columns"][1]["datatype"], "dateTime");
        assert_eq!(document["dialect"]["commentPrefix"], "#");
        assert_eq!(document["urn:sluice:completed_at"], "2026-11-22T15:26:01.123Z");
        assert_eq!(document["urn:sluice:transactionTime"], "2026-11-22T15:26:01.123Z");
        assert_eq!(document["urn:sluice:template"], "default");
        assert_eq!(document["urn:sluice:dataset_version"], "7");
        let moving = FinishedFile { snapshot_at: None, ..finished() };
        assert_eq!(table(&layout, &moving, b',')["urn:sluice:transactionTime"], Value::Null);
        assert_eq!(document["urn:sluice:compression"], "gzip");
        assert_eq!(document["urn:sluice:rows"], 2);
        assert_eq!(document["urn:sluice:notes"], json!(finished().notes));
    }

    #[test]
    fn the_document_has_the_format_of_styled_fields() {
        let styled = |style: ColumnStyle, kind| LayoutColumn { style, ..LayoutColumn::plain(Column::new("x", kind)) };
        let pattern = |text| Some(Pattern::parse(text).unwrap());
        let mut layout = Layout::plain(vec![
            styled(
                ColumnStyle { decimals: Some(2), grouping: Some('.'), ..ColumnStyle::default() },
                ColumnType::Decimal,
            ),
            styled(ColumnStyle { pattern: pattern("dd.MM.yyyy"), ..ColumnStyle::default() }, ColumnType::Date),
            styled(ColumnStyle { pattern: pattern("MM/yyyy"), ..ColumnStyle::default() }, ColumnType::Date),
            styled(
                ColumnStyle { words: Some(("ja".into(), "nein".into())), ..ColumnStyle::default() },
                ColumnType::Bool,
            ),
        ]);
        layout.timestamps = Timestamps::Rows;
        layout.style = Style { delimiter: Some(b';'), decimal_mark: b',', ..Style::machine() };
        let document = table(&layout, &finished(), b';');
        let types: Vec<_> =
            document["tableSchema"]["columns"].as_array().unwrap().iter().map(|c| c["datatype"].clone()).collect();
        assert_eq!(
            types,
            [
                json!({"base": "decimal", "format": {"decimalChar": ",", "groupChar": ".", "pattern": "#,##0.00"}}),
                json!({"base": "date", "format": "dd.MM.yyyy"}),
                json!("string"),
                json!({"base": "boolean", "format": "ja|nein"}),
            ]
        );
        assert_eq!(document["tableSchema"]["columns"][2]["urn:sluice:datatype"], "date");
        assert_eq!(document["dialect"]["skipRows"], 2);
        assert_eq!(document["dialect"]["commentPrefix"], Value::Null);
    }
}
