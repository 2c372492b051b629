//! Tests the columns, the guessed types and the faults of CSV and NDJSON files.

use std::path::Path;

use protocol::catalog::{Column, ColumnType};
use serde_json::{Value, json};

use super::{tests::opened, type_tests::exported, *};
use crate::{
    dataset::{Dataset, DatasetError},
    format::{Csv, Ndjson, Xlsx},
};

/// Opens the files of a folder that match a pattern, without declared columns.
async fn open(dir: &Path, files: &str) -> Result<Files, DatasetError> {
    opened("t", Location::Local(dir.join(files)), FileKind::from_name(files).unwrap(), &[]).await
}

async fn open_declared(dir: &Path, files: &str, columns: &[Column]) -> Result<Files, DatasetError> {
    opened("t", Location::Local(dir.join(files)), FileKind::from_name(files).unwrap(), columns).await
}

fn write(dir: &Path, name: &str, text: impl AsRef<[u8]>) {
    std::fs::write(dir.join(name), text).unwrap();
}

/// Exports all rows as CSV, and returns the header and the rows.
async fn table(files: &Files) -> Result<Vec<Vec<String>>, String> {
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

#[tokio::test]
async fn a_byte_order_mark_belongs_to_no_name() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "a.ndjson", "\u{feff}{\"n\": 1}\n");
    write(dir.path(), "a.csv", "\u{feff}n\n1\n");
    for name in ["a.ndjson", "a.csv"] {
        assert_eq!(table(&open(dir.path(), name).await.unwrap()).await.unwrap(), [["n"], ["1"]]);
    }
}

#[tokio::test]
async fn a_file_with_another_delimiter_is_refused_with_the_key_to_declare() {
    let dir = tempfile::tempdir().unwrap();
    for (name, text, delimiter, shown) in [
        ("a.csv", "a;b\n1,5;2\n", b';', "`;`"),
        ("a.csv", "a\tb\n1\t2\n", b'\t', "`\\t`"),
        ("a.csv", "a|b|c\n", b'|', "`|`"),
        ("a.tsv", "a,b\n1,2\n", b',', "`,`"),
    ] {
        write(dir.path(), name, text);
        let error = open(dir.path(), name).await.unwrap_err().to_string();
        assert!(error.contains(name) && error.contains(shown) && error.contains("declare `delimiter = "), "{error}");
        let dialect = CsvDialect { delimiter, is_declared: true, ..CsvDialect::new(b',') };
        let location = Location::Local(dir.path().join(name));
        let files = opened("t", location, FileKind::Csv(dialect), &[]).await.unwrap();
        assert_eq!(files.info().columns[0].name, "a");
        assert!(files.info().columns.len() > 1);
    }
    // one column, whose texts have semicolons now and then
    for text in ["a\n1;2\n", "a;b\nx\n", "\"a\"\n\"x;y\"\n"] {
        write(dir.path(), "a.csv", text);
        assert_eq!(open(dir.path(), "a.csv").await.unwrap().info().columns.len(), 1, "{text}");
    }
}

#[tokio::test]
async fn a_field_that_goes_on_after_its_closing_quote_is_refused_with_its_line() {
    let dir = tempfile::tempdir().unwrap();
    for (text, line) in [
        ("a,b\n1,\"x\\\"y\"\n", 2),
        ("a\n\"x\"\n\n\"x\" y\n", 4),
        ("a,b\n1,2\n\"x\\\"y,z\",3\n", 3),
        ("\"a\"b\nx\n", 1),
        ("a,b\n1,2\n3,\"x\"y", 3),
    ] {
        write(dir.path(), "a.csv", text);
        let error = match open(dir.path(), "a.csv").await {
            Ok(files) => table(&files).await.unwrap_err(),
            Err(error) => error.to_string(),
        };
        assert!(error.contains(&format!("a.csv: line {line}: ")), "{text}: {error}");
        assert!(error.contains("after its closing quote") && error.contains("declare `quote = \"\"`"), "{error}");
    }
    // a quote within a plain field, and doubled quotes within a quoted field, are no faults
    for text in ["a,b\n1,5\" pipe\n", "a,b\n1,\"x\"\"\"\"y\"\r\n\"\",\"\n\"\r\n"] {
        write(dir.path(), "a.csv", text);
        table(&open(dir.path(), "a.csv").await.unwrap()).await.unwrap();
    }
}

#[tokio::test]
async fn quotes_may_be_ordinary_characters() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "a.tsv", "id\tname\n1\t\"A\" team\n2\t\"open\n");
    let dialect = CsvDialect { has_quotes: false, ..CsvDialect::new(b'\t') };
    let files = opened("t", Location::Local(dir.path().join("a.tsv")), FileKind::Csv(dialect), &[]).await.unwrap();
    assert_eq!(table(&files).await.unwrap(), [["id", "name"], ["1", "\"A\" team"], ["2", "\"open"]]);
}

#[tokio::test]
async fn a_last_note_says_that_there_are_more() {
    let dir = tempfile::tempdir().unwrap();
    for (columns, notes) in [(20, 20), (21, 21), (30, 21)] {
        write(dir.path(), "a.csv", ",".repeat(columns - 1));
        let files = open(dir.path(), "a.csv").await.unwrap();
        let found = &files.info().notes;
        assert_eq!((found.len(), found.last().unwrap().contains("further columns")), (notes, columns > 20));
    }
}

#[tokio::test]
async fn brackets_in_the_name_of_a_file_are_no_pattern() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "a[1].csv", "n\n1\n");
    write(dir.path(), "a1.csv", "n\n2\n");
    write(dir.path(), "b?.csv", "n\n3\n");
    write(dir.path(), "bc.csv", "n\n4\n");
    for (files, expected) in [
        ("a[1].csv", &["1"][..]),
        ("a[12].csv", &["2"]),
        ("a[[]1].csv", &["1"]),
        ("a*.csv", &["2", "1"]),
        ("b?.csv", &["3"]),
    ] {
        let rows = table(&open(dir.path(), files).await.unwrap()).await.unwrap();
        assert_eq!(rows[1..].concat(), expected, "{files}");
    }
    // wildcard characters in the names of folders above a pattern have no special meaning either
    let folder = dir.path().join("data [2026]");
    std::fs::create_dir(&folder).unwrap();
    write(&folder, "a1.csv", "n\n5\n");
    for (files, count) in [("a*.csv", 2), ("a1.csv", 2)] {
        let location = Location::local(&folder, files);
        let files = opened("t", location, FileKind::from_name(files).unwrap(), &[]).await.unwrap();
        assert_eq!(table(&files).await.unwrap().len(), count);
    }
}

#[tokio::test]
async fn a_header_may_begin_with_a_number_sign() {
    let dir = tempfile::tempdir().unwrap();
    let open_with = async |comments| {
        let dialect = CsvDialect { comments, ..CsvDialect::new(b',') };
        opened("t", Location::Local(dir.path().join("a.csv")), FileKind::Csv(dialect), &[]).await
    };
    for (text, expected) in [
        ("#chrom,start\nchr1,5\n", Some(&["#chrom", "start"][..])),
        ("# made today\n#chrom,start\nchr1,5\n", Some(&["#chrom", "start"])),
        ("#id\n1\n", Some(&["#id"])),
        ("# made today\nid\n1\n", Some(&["id"])),
        ("# a, b, c\nid,name\n1,x\n", Some(&["id", "name"])),
        ("#chrom,start\n", Some(&["#chrom", "start"])),
        ("# made today, by hand\nid,name\n1,x\n", None),
    ] {
        write(dir.path(), "a.csv", text);
        let opened = open_with(Comments::Detected).await;
        match expected {
            Some(names) => assert_eq!(table(&opened.unwrap()).await.unwrap()[0], names, "{text}"),
            None => {
                let error = opened.unwrap_err().to_string();
                assert!(error.contains("declare `comment = \"#\"`"), "{error}");
                let names = table(&open_with(Comments::Hash).await.unwrap()).await.unwrap().remove(0);
                assert_eq!(names, ["id", "name"]);
                let names = table(&open_with(Comments::None).await.unwrap()).await.unwrap().remove(0);
                assert_eq!(names, ["# made today", " by hand"]);
            }
        }
    }
}

#[tokio::test]
async fn empty_files_have_no_rows_and_are_named_if_there_is_no_other() {
    let dir = tempfile::tempdir().unwrap();
    for (name, texts) in [("a.csv", &["", "\n\n", "# only a comment\n", "\u{feff}"][..]), ("a.ndjson", &["", "\n \n"])]
    {
        for text in texts {
            write(dir.path(), name, text);
            let error = open(dir.path(), name).await.unwrap_err().to_string();
            assert!(error.contains(name) && error.contains("it is empty"), "{text:?}: {error}");
        }
    }
    // an empty file beside others
    write(dir.path(), "b1.csv", "");
    write(dir.path(), "b2.csv", "n\n1\n");
    let files = open(dir.path(), "b*.csv").await.unwrap();
    assert_eq!(table(&files).await.unwrap(), [["n"], ["1"]]);
    let declared = [Column::new("n", ColumnType::Int)];
    let first = open_declared(dir.path(), "b2.csv", &declared).await.unwrap();
    // files that became empty do not look like a table without rows
    write(dir.path(), "b2.csv", "");
    for files in [files, first] {
        let error = table(&files).await.unwrap_err();
        assert!(error.contains("b2.csv: it is empty"), "{error}");
    }
    write(dir.path(), "b2.csv", "n\n");
    let files = open(dir.path(), "b2.csv").await.unwrap();
    assert_eq!(table(&files).await.unwrap(), [["n"]]);
}

#[tokio::test]
async fn rows_without_values_at_the_end_are_rows_of_a_workbook() {
    let dir = tempfile::tempdir().unwrap();
    // NULL, and texts without a character
    for text in ["a,b\n1,2\n,\n,\n", "a\nx\n\"\"\n\"\"\n"] {
        write(dir.path(), "a.csv", text);
        let files = open(dir.path(), "a.csv").await.unwrap();
        let bytes = exported(&files, &json!({}), &Xlsx).await.unwrap();
        let mut book = zip::ZipArchive::new(std::io::Cursor::new(bytes)).unwrap();
        let mut sheet = String::new();
        std::io::Read::read_to_string(&mut book.by_name("xl/worksheets/sheet1.xml").unwrap(), &mut sheet).unwrap();
        assert!(sheet.contains("<row r=\"4\"") && sheet.contains("r=\"A4\""), "{sheet}");
    }
}

#[tokio::test]
async fn partition_folders_are_noted() {
    let dir = tempfile::tempdir().unwrap();
    for (year, month) in [(2025, 12), (2026, 1)] {
        let folder = dir.path().join(format!("year={year}/month={month}"));
        std::fs::create_dir_all(&folder).unwrap();
        write(&folder, "a.csv", "n\n1\n");
    }
    let files = open(dir.path(), "year=*/month=*/a.csv").await.unwrap();
    let notes = &files.info().notes;
    assert!(notes[0].contains("`month`, `year`") && notes[0].contains("not offered"), "{notes:?}");
    // the note leaves out a partition column that the files themselves have
    write(&dir.path().join("year=2026/month=1"), "a.csv", "n,month\n1,1\n");
    let files = open(dir.path(), "year=*/month=*/a.csv").await.unwrap();
    let notes = &files.info().notes;
    assert!(notes[0].contains("lack `month`") && notes[1].contains("values of `year` that"), "{notes:?}");
    // more folders may follow the first one
    let files = open(dir.path(), "year=2025/month=*/a.csv").await.unwrap();
    assert!(files.info().notes[0].contains("`month`, `year`"), "{:?}", files.info().notes);
    assert!(open(dir.path(), "year=2025/month=12/a.csv").await.unwrap().info().notes.is_empty());
    write(dir.path(), "plain.csv", "n\n1\n");
    assert!(open(dir.path(), "plain.csv").await.unwrap().info().notes.is_empty());
}
