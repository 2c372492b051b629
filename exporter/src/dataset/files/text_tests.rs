//! Tests the columns, the guessed types and the faults of CSV and NDJSON files.

use std::path::Path;

use protocol::catalog::{Column, ColumnType};
use serde_json::{Value, json};

use super::{tests::opened, type_tests::exported, *};
use crate::{
    dataset::{Dataset, DatasetError},
    format::{Csv, Ndjson},
};

/// Opens the files of a folder that match a pattern, without declared columns.
pub(super) async fn open(dir: &Path, files: &str) -> Result<Files, DatasetError> {
    opened("t", Location::Local(dir.join(files)), FileKind::from_name(files).unwrap(), &[]).await
}

pub(super) async fn open_declared(dir: &Path, files: &str, columns: &[Column]) -> Result<Files, DatasetError> {
    opened("t", Location::Local(dir.join(files)), FileKind::from_name(files).unwrap(), columns).await
}

pub(super) fn write(dir: &Path, name: &str, text: impl AsRef<[u8]>) {
    std::fs::write(dir.join(name), text).unwrap();
}

/// Exports all rows as CSV, and returns the header and the rows.
pub(super) async fn table(files: &Files) -> Result<Vec<Vec<String>>, String> {
    let bytes = exported(files, &json!({}), &Csv).await.map_err(|e| e.to_string())?;
    let mut reader = ::csv::ReaderBuilder::new().has_headers(false).from_reader(bytes.as_slice());
    Ok(reader.records().map(|record| record.unwrap().iter().map(str::to_owned).collect()).collect())
}

fn kinds(files: &Files) -> Vec<ColumnType> {
    files.info().columns.iter().map(|column| column.kind).collect()
}

#[tokio::test]
async fn columns_of_the_same_name_or_without_a_name_are_offered() {
    let dir = tempfile::tempdir().unwrap();
    for (text, names, row) in [
        ("a,a,,b\n1,2,3,4\n", &["a", "a_2", "column_3", "b"][..], &["1", "2", "3", "4"][..]),
        ("a,a,a_2\n1,2,3\n", &["a", "a_3", "a_2"], &["1", "2", "3"]),
        (",,\nx,y,z\n", &["column_1", "column_2", "column_3"], &["x", "y", "z"]),
    ] {
        write(dir.path(), "a.csv", text);
        let files = open(dir.path(), "a.csv").await.unwrap();
        assert_eq!(table(&files).await.unwrap(), [names, row], "{text}");
        assert!(!files.info().notes.is_empty() && files.info().notes[0].contains("is offered as"), "{text}");
    }
    write(dir.path(), "a.csv", "a,a\n1,2\n");
    let second = [Column::new("a_2", ColumnType::Int)];
    let files = open_declared(dir.path(), "a.csv", &second).await.unwrap();
    assert_eq!(table(&files).await.unwrap(), [["a_2"], ["2"]]);
}

#[tokio::test]
async fn columns_of_late_rows_and_later_files_are_offered() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "a1.csv", "a\n1\n");
    write(dir.path(), "a2.csv", "b,a\nx,2\n");
    write(dir.path(), "a3.csv", "");
    let files = open(dir.path(), "a*.csv").await.unwrap();
    assert_eq!(table(&files).await.unwrap(), [["a", "b"], ["1", ""], ["2", "x"]]);
    let mut lines = "{\"a\": 1}\n".repeat(1_500);
    lines.push_str("{\"late\": true}\n");
    write(dir.path(), "b1.ndjson", lines);
    write(dir.path(), "b2.ndjson", "{\"other\": \"x\"}\n");
    let files = open(dir.path(), "b*.ndjson").await.unwrap();
    let table = table(&files).await.unwrap();
    assert_eq!(table[0], ["a", "late", "other"]);
    assert_eq!(
        (table.len(), &table[1501], &table[1502]),
        (1503, &["", "true", ""].map(str::to_owned).to_vec(), &["", "", "x"].map(str::to_owned).to_vec())
    );
}

#[tokio::test]
async fn a_column_that_came_after_the_catalog_was_loaded_is_not_lost() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "a1.csv", "a,b\n1,x\n");
    write(dir.path(), "b1.ndjson", "{\"a\": 1}\n");
    let (csv, ndjson) = (open(dir.path(), "a*.csv").await.unwrap(), open(dir.path(), "b*.ndjson").await.unwrap());
    write(dir.path(), "a2.csv", "a,b,c\n1,x,y\n");
    write(dir.path(), "b2.ndjson", "{\"a\": 1}\n{\"a\": 2, \"c\": null}\n");
    for (files, place) in [(&csv, "a2.csv: it has"), (&ndjson, "b2.ndjson: line 2: it has")] {
        let error = table(files).await.unwrap_err();
        assert!(error.contains(place) && error.contains("new column `c`"), "{error}");
        assert!(files.is_outdated(), "the catalog is loaded again");
    }
    // the file of a single-file dataset must keep the columns that it had when the dataset was opened
    write(dir.path(), "a2.csv", "a\n1\n");
    let error = table(&csv).await.unwrap_err();
    assert!(error.contains("a2.csv") && error.contains("no column `b`"), "{error}");
    // declared columns leave out the other columns of a file on purpose
    let declared = [Column::new("a", ColumnType::Int)];
    let files = open_declared(dir.path(), "b*.ndjson", &declared).await.unwrap();
    assert_eq!(table(&files).await.unwrap(), [["a"], ["1"], ["1"], ["2"]]);
}

/// Values that would change if a column had the type that they resemble, such as numbers with leading zeros. Their
/// columns must stay text.
const ODD: [&str; 15] = [
    "01220",
    "12345678901234567890",
    "0.12345678901234567890",
    "05-03-24",
    "12E4",
    "NAN",
    "1.10",
    "+5",
    " 5",
    "-0",
    "1e400",
    "TRUE",
    "2026-11-22T10:00:00+01:00",
    "2026-11-22T10:00:00.123456789Z",
    "1_000",
];

#[tokio::test]
async fn every_value_keeps_its_text_wherever_it_stands() {
    let dir = tempfile::tempdir().unwrap();
    for first in ["7", "2.5", "true", "2026-11-22", "2026-11-22T10:00:00Z"] {
        for odd in ODD {
            // after the first thousand rows, and in a later file
            let text = format!("n\n{}{odd}\n", format!("{first}\n").repeat(1_200));
            write(dir.path(), "a.csv", text);
            let files = open(dir.path(), "a.csv").await.unwrap();
            let rows = table(&files).await.unwrap();
            assert_eq!((rows[1][0].as_str(), rows[1201][0].as_str()), (first, odd));
            write(dir.path(), "b1.csv", format!("n\n{first}\n"));
            write(dir.path(), "b2.csv", format!("n\n{odd}\n"));
            let rows = table(&open(dir.path(), "b*.csv").await.unwrap()).await.unwrap();
            assert_eq!(rows, [["n"], [first], [odd]]);
        }
    }
    for number in ["12345678901234567890", "0.12345678901234567890", "12E4", "1.10", "-0", "1e400", "1.0", "1E+2"] {
        write(dir.path(), "c.ndjson", format!("{}{{\"n\": {number}}}\n", "{\"n\": 7}\n".repeat(1_200)));
        let rows = table(&open(dir.path(), "c.ndjson").await.unwrap()).await.unwrap();
        assert_eq!((rows[1][0].as_str(), rows[1201][0].as_str()), ("7", number));
    }
}

/// Texts that look like values of certain types. A test makes further texts from them by random edits.
const SEEDS: [&str; 9] = [
    "12.50",
    "-7",
    "true",
    "1e+300",
    "2026-11-22",
    "2026-11-22T10:00:00.500Z",
    "9223372036854775807",
    "0.1",
    "15:26:01",
];
const CHARACTERS: &[u8] = b"0123456789.-+eETZ: tfx_,";

#[tokio::test]
async fn random_texts_are_exported_as_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let mut seed = 42_u64;
    let mut roll = move |sides: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % sides
    };
    let mut guessed = std::collections::HashSet::new();
    for _ in 0..40 {
        let mut texts = Vec::new();
        for _ in 0..100 {
            let mut text = SEEDS[roll(SEEDS.len())].as_bytes().to_vec();
            for _ in 0..roll(3) {
                let (at, with) = (roll(text.len()), CHARACTERS[roll(CHARACTERS.len())]);
                match roll(3) {
                    0 => text[at] = with,
                    1 => text.insert(at, with),
                    _ if text.len() > 1 => drop(text.remove(at)),
                    _ => {}
                }
            }
            texts.push(String::from_utf8(text).unwrap());
        }
        let mut csv = ::csv::Writer::from_writer(Vec::new());
        csv.write_record((0..texts.len()).map(|index| format!("c{index}"))).unwrap();
        csv.write_record(&texts).unwrap();
        write(dir.path(), "a.csv", csv.into_inner().unwrap());
        let object: serde_json::Map<_, _> =
            (0..).zip(&texts).map(|(at, text)| (format!("c{at}"), json!(text))).collect();
        write(dir.path(), "a.ndjson", serde_json::to_vec(&object).unwrap());
        for name in ["a.csv", "a.ndjson"] {
            let files = open(dir.path(), name).await.unwrap();
            guessed.extend(kinds(&files));
            let columns: Vec<_> = table(&files).await.unwrap();
            for (column, text) in columns[0].iter().zip(&columns[1]) {
                let at: usize = column[1..].parse().unwrap();
                assert_eq!(*text, texts[at], "{name}: {:?}", files.info().column(column));
            }
        }
    }
    assert_eq!(guessed.len(), 7, "all types but the time of day are guessed: {guessed:?}");
}

#[tokio::test]
async fn a_value_that_breaks_a_guess_later_is_named_with_its_line() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "a1.csv", "n,s\n1,x\n");
    write(dir.path(), "b1.ndjson", "{\"n\": 1}\n");
    let (csv, ndjson) = (open(dir.path(), "a*.csv").await.unwrap(), open(dir.path(), "b*.ndjson").await.unwrap());
    for odd in ["01220", "12345678901234567890", "1.10", " 5", "-0", "zebra"] {
        write(dir.path(), "a2.csv", format!("n,s\n7,\"two\nlines\"\n{odd},x\n"));
        let error = table(&csv).await.unwrap_err();
        assert!(error.contains("a2.csv: line 4: column `n`: ") && error.contains("guessed"), "{error}");
        assert!(!error.contains(odd), "{error}");
    }
    for odd in ["12345678901234567890", "1.10", "\"5\"", "true", "[1]"] {
        write(dir.path(), "b2.ndjson", format!("{{\"n\": 7}}\n\n{{\"n\": {odd}}}\n"));
        let error = table(&ndjson).await.unwrap_err();
        assert!(error.contains("b2.ndjson: line 3: column `n`: ") && !error.contains(odd), "{error}");
    }
}

#[tokio::test]
async fn nested_json_keeps_its_text() {
    let dir = tempfile::tempdir().unwrap();
    let nested = r#"{"z": 1.10,  "a": [12E4, "x  y", 12345678901234567890, 1e400], "é": {}}"#;
    write(dir.path(), "a.ndjson", format!("{{\"id\": 1, \"n\": {nested} }}\n{{\"id\": 2, \"n\": [ ]}}\n"));
    let files = open(dir.path(), "a.ndjson").await.unwrap();
    assert_eq!(table(&files).await.unwrap(), [["id", "n"], ["1", nested], ["2", "[ ]"]]);
    let ndjson = exported(&files, &json!({}), &Ndjson).await.unwrap();
    let first: Value = serde_json::from_str(std::str::from_utf8(&ndjson).unwrap().lines().next().unwrap()).unwrap();
    assert_eq!(first, json!({"id": 1, "n": nested}));
    // the column has the decoded text, and not the JSON text with its escapes
    write(dir.path(), "a.ndjson", "{\"s\": \"a\\u0062\\n\\\"\"}\n");
    let files = open(dir.path(), "a.ndjson").await.unwrap();
    assert_eq!(table(&files).await.unwrap()[1], ["ab\n\""]);
}

#[tokio::test]
async fn faults_of_text_files_name_the_file_and_the_line() {
    let dir = tempfile::tempdir().unwrap();
    let n = [Column::new("n", ColumnType::Int)];
    for (name, text, line, words) in [
        ("a.csv", "n,s\n1,x\n2,y,z\n", 3, "3 fields, and the header has 2: write as many fields in each row"),
        ("a.csv", "n,s\r\n1,x\r\n2\r\n", 3, "1 field, and the header has 2: write as many fields in each row"),
        ("a.csv", "\u{feff}# made: today\n\nn,s\n1,\"a\nb\"\n\n2,x\ny,x\n", 8, "column `n`"),
        ("a.csv", "n\r1\rx\r", 3, "column `n`"),
        ("a.csv", "n,s\n1,x\n2,\"y\n3,z\n", 3, "a quote is not closed"),
        ("a.csv", "n,s\n1,x\n\"2,y\n3,z\n", 3, "a quote is not closed"),
        ("a.ndjson", "{\"n\": 1}\n\n{\"n\": \"x\"}\n", 3, "column `n`"),
        ("a.ndjson", "{\"n\": 1}\n{\"n\": \n", 2, "does not end on its line"),
        ("a.ndjson", "{\"n\": 1}\n{\"n\": 1, \"n\": 2}\n", 2, "column `n`: an object has this member twice"),
        ("a.ndjson", "{\"n\": \"\\ud800\"}\n", 1, "column `n`: malformed data: a text has half of a surrogate"),
        ("a.ndjson", "{\"n\": 1}\n{\"\\ud800\": 1}\n", 2, "the name of a member has half of a surrogate pair"),
    ] {
        write(dir.path(), name, text);
        let error = match open_declared(dir.path(), name, &n).await {
            Ok(files) => exported(&files, &json!({}), &Csv).await.unwrap_err().to_string(),
            // the first lines of NDJSON are read for the names of members
            Err(e) => e.to_string(),
        };
        assert!(error.contains(&format!("{name}: line {line}: ")) && error.contains(words), "{text:?}: {error}");
    }
    write(dir.path(), "a.csv", b"n,s\n1,\xff\n");
    let error = open(dir.path(), "a.csv").await.unwrap_err().to_string();
    assert!(error.contains("a.csv: line 2: column `s`: a text is not UTF-8"), "{error}");
    let declared = ["n", "s"].map(|name| Column::new(name, ColumnType::String));
    let error = table(&open_declared(dir.path(), "a.csv", &declared).await.unwrap()).await.unwrap_err();
    assert!(error.contains("a.csv: line 2: column `s`: a text is not UTF-8"), "{error}");
    for name in ["a.csv", "a.ndjson"] {
        write(dir.path(), name, b"\xff\xfen\x00\n\x00");
        let error = open(dir.path(), name).await.unwrap_err().to_string();
        assert!(error.contains(name) && error.contains("UTF-16") && error.contains("convert it"), "{error}");
    }
    write(dir.path(), "a.ndjson", "{\"a\": 1}\n{\"b\": 1, \"b\": 2}\n");
    let error = open(dir.path(), "a.ndjson").await.unwrap_err().to_string();
    assert!(error.contains("a.ndjson: line 2: column `b`"), "{error}");
}

#[tokio::test]
async fn a_value_that_does_not_fit_its_declared_type_is_refused_with_advice() {
    use ColumnType::{Bool, Date, Datetime, Decimal, Float, Int, Time};
    let dir = tempfile::tempdir().unwrap();
    for (kind, declared, good, bad) in [
        (Int, "int", "7", "9223372036854775808"),
        (Float, "float", "0.5", "0.1234567890123456789"),
        (Decimal, "decimal", "1.5", "1,5"),
        (Bool, "bool", "true", "yes"),
        (Date, "date", "2026-11-22", "22.11.2026"),
        (Datetime, "datetime", "2026-11-22T10:00:00Z", "2026-11-22T10:00:00.1234567Z"),
        (Datetime, "datetime", "2026-11-22T10:00:00", "2026-11-22T25:00:00"),
        (Datetime, "datetime", "2026-11-22T10:00:00", "2026-11-22T10:00:00Z"),
        (Time, "time", "10:00:00", "24:00:01"),
    ] {
        let rows = |value: &str, count: usize| format!("\"{value}\"\n").repeat(count);
        let objects = |value: &str, count: usize| format!("{{\"v\": \"{value}\"}}\n").repeat(count);
        // the sample of the time zones ends before the bad value
        write(dir.path(), "a.csv", format!("v\n{}{}", rows(good, 1_000), rows(bad, 1)));
        write(dir.path(), "a.ndjson", format!("{}{}", objects(good, 1_000), objects(bad, 1)));
        for (name, line) in [("a.csv", 1_002), ("a.ndjson", 1_001)] {
            let files = open_declared(dir.path(), name, &[Column::new("v", kind)]).await.unwrap();
            let error = table(&files).await.unwrap_err();
            let place = format!("{name}: line {line}: column `v`: a value ");
            let advice =
                format!("the column is declared as `type = \"{declared}\"`: correct the value in the file, or declare");
            assert!(error.contains(&place) && error.contains(&advice) && !error.contains(bad), "{error}");
            assert!(error.contains("`type = \"string\"` to export every value as its exact text"), "{error}");
            let files = open_declared(dir.path(), name, &[Column::new("v", ColumnType::String)]).await.unwrap();
            assert_eq!(table(&files).await.unwrap()[1_001], [bad]);
        }
    }
}

#[tokio::test]
async fn objects_without_members_are_called_so() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "a1.ndjson", "\n");
    write(dir.path(), "a2.ndjson", "{}\n\n{ }\n");
    for files in ["a2.ndjson", "a*.ndjson"] {
        let error = open(dir.path(), files).await.unwrap_err();
        let words =
            "a2.ndjson: its objects have no members, and so it has no columns: write members, or declare the columns";
        assert_eq!(error.user_message(), words, "{files}");
        assert!(!error.is_transient());
    }
    let declared = [Column::new("n", ColumnType::Int)];
    let files = open_declared(dir.path(), "a2.ndjson", &declared).await.unwrap();
    assert_eq!(table(&files).await.unwrap().len(), 3, "a row for each object");
    // objects without members count as rows where other objects have members
    write(dir.path(), "a1.ndjson", "{\"n\": 1}\n");
    assert_eq!(table(&open(dir.path(), "a*.ndjson").await.unwrap()).await.unwrap().len(), 4);
}
