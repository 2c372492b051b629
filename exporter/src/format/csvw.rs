//! The metadata document beside a file: CSV on the Web (<https://www.w3.org/TR/tabular-metadata/>).
//!
//! What the vocabulary has no word for stands under absolute names, `urn:sluice:…`, as the standard demands.

use protocol::catalog::ColumnType;
use serde_json::{Value, json};

use super::{Finished, Layout};

/// The document: columns with their types, the row count, the digest and the two timestamps.
#[must_use]
pub fn document(layout: &Layout, finished: &Finished, dialect: Option<Value>) -> Value {
    let columns: Vec<_> = layout
        .columns
        .iter()
        .map(|column| {
            json!({
                "name": name(&column.source.name),
                "titles": column.title,
                "datatype": datatype(column.source.kind),
                "null": "",
                "required": !column.source.nullable,
            })
        })
        .collect();
    let mut document = json!({
        "@context": "http://www.w3.org/ns/csvw",
        "url": finished.file.name,
        "dc:identifier": finished.id,
        "dc:title": finished.dataset,
        "dc:format": finished.file.media_type,
        "tableSchema": {"columns": columns},
        "urn:sluice:rows": finished.file.rows,
        "urn:sluice:bytes": finished.file.size,
        "urn:sluice:sha256": finished.file.sha256,
        "urn:sluice:requested_at": finished.requested_at,
        "urn:sluice:completed_at": finished.completed_at,
    });
    if let Some(dialect) = dialect {
        document["dialect"] = dialect;
    }
    document
}

/// The dialect of our CSV files, with the defaults that readers often get wrong spelled out.
#[must_use]
pub fn csv_dialect() -> Value {
    json!({
        "encoding": "utf-8",
        "delimiter": ",",
        "quoteChar": "\"",
        "doubleQuote": true,
        "lineTerminators": ["\n"],
        "commentPrefix": "#",
        "header": true,
        "headerRowCount": 1,
        "skipBlankRows": false,
        "skipInitialSpace": false,
        "trim": false,
    })
}

fn datatype(kind: ColumnType) -> &'static str {
    match kind {
        ColumnType::String => "string",
        ColumnType::Int => "long",
        ColumnType::Float => "double",
        ColumnType::Decimal => "decimal",
        ColumnType::Bool => "boolean",
        ColumnType::Date => "date",
        ColumnType::Datetime => "dateTimeStamp",
        ColumnType::Time => "time",
    }
}

/// CSVW names are URI template variables: letters, digits and `_`, anything else percent-encoded.
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
    use protocol::{catalog::Column, export::FileInfo, id::ExportId};

    use super::*;
    use crate::format::{Envelope, LayoutColumn};

    #[test]
    fn the_document_says_what_is_in_the_file() {
        let layout = Layout {
            columns: vec![LayoutColumn { source: Column::new("a b", ColumnType::Datetime), title: "When".into() }],
            envelope: Envelope::Comments,
        };
        let at = serde_json::from_value(json!("2026-11-22T15:26:01.123Z")).unwrap();
        let file =
            FileInfo { name: "x.csv".into(), size: 10, rows: 2, sha256: "ab".into(), media_type: "text/csv".into() };
        let finished =
            Finished { id: ExportId::generate(), dataset: "x".into(), file, requested_at: at, completed_at: at };
        let document = document(&layout, &finished, Some(csv_dialect()));
        assert_eq!(document["tableSchema"]["columns"][0]["name"], "a%20b");
        assert_eq!(document["tableSchema"]["columns"][0]["datatype"], "dateTimeStamp");
        assert_eq!(document["dialect"]["commentPrefix"], "#");
        assert_eq!(document["urn:sluice:completed_at"], "2026-11-22T15:26:01.123Z");
        assert_eq!(document["urn:sluice:rows"], 2);
    }
}
