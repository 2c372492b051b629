//! The layout of CSV and NDJSON files: byte order marks, delimiters, quotes, headers, empty files, and the names of files
//! and folders.

use protocol::catalog::{Column, ColumnType};
use serde_json::json;

use super::{
    tests::opened,
    text_tests::{open, open_declared, table, write},
    type_tests::exported,
    *,
};
use crate::{dataset::Dataset, format::Xlsx};

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
