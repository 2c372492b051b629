//! Tests datasets whose files differ in columns, types or delimiters.

use std::path::Path;

use polars::prelude::{Column as PolarsColumn, DataFrame, DataType, IpcWriter, ParquetWriter, SerWriter, TimeUnit};
use protocol::catalog::{Column, ColumnType};
use serde_json::json;

use super::{tests::opened, type_tests::exported, *};
use crate::{
    dataset::{Dataset, DatasetError},
    format::Csv,
};

fn write(dir: &Path, name: &str, columns: Vec<PolarsColumn>) {
    let mut frame = DataFrame::new_infer_height(columns).unwrap();
    let file = std::fs::File::create(dir.join(name)).unwrap();
    if name.ends_with("parquet") {
        ParquetWriter::new(file).finish(&mut frame).unwrap();
    } else {
        IpcWriter::new(file).finish(&mut frame).unwrap();
    }
}

async fn open(dir: &Path, files: &str, declared: &[Column]) -> Result<Files, DatasetError> {
    opened("x", Location::local(dir, files), FileKind::from_name(files).unwrap(), declared).await
}

fn names(files: &Files) -> Vec<&str> {
    files.info().columns.iter().map(|column| column.name.as_str()).collect()
}

async fn csv(files: &Files) -> Result<String, String> {
    let bytes = exported(files, &json!({}), &Csv).await.map_err(|e| e.to_string())?;
    Ok(String::from_utf8(bytes).unwrap())
}

fn text(name: &str, value: &str) -> PolarsColumn {
    PolarsColumn::new(name.into(), [value])
}

#[tokio::test]
async fn columns_that_not_all_files_can_show_are_left_out_with_a_note() {
    for extension in ["parquet", "arrow"] {
        let dir = tempfile::tempdir().unwrap();
        let (first, second) = (format!("a.{extension}"), format!("b.{extension}"));
        let number = PolarsColumn::new("n".into(), [1_i64]);
        write(dir.path(), &first, vec![text("s", "one"), number, text("gone", "x"), text("bytes", "y")]);
        let bytes = PolarsColumn::new("bytes".into(), [&b"z"[..]]);
        write(dir.path(), &second, vec![text("s", "two"), text("n", "2"), bytes.clone()]);

        let files = open(dir.path(), &format!("*.{extension}"), &[]).await.unwrap();
        assert_eq!(names(&files), ["s"]);
        let notes = files.info().notes.join("\n");
        for (column, why) in [
            ("n", "i64 in the first file, and str in"),
            ("gone", "no such column"),
            ("bytes", "str in the first file, and bytes in"),
        ] {
            let note = notes.lines().find(|note| note.contains(&format!("column `{column}`"))).unwrap();
            assert!(note.contains(&second) && note.contains(why) && note.contains("not offered"), "{note}");
        }
        let shown = csv(&files).await.unwrap();
        assert!(shown.contains("\none\n") && shown.contains("\ntwo\n"), "{shown}");

        for name in ["n", "gone", "bytes"] {
            let declared = [Column::new(name, ColumnType::String)];
            let error = open(dir.path(), &format!("*.{extension}"), &declared).await.unwrap_err().to_string();
            assert!(error.contains(&format!("`{name}`")) && error.contains(&second), "{error}");
            assert!(error.contains("declare only the other columns"), "{error}");
        }

        // the files change after the catalog was loaded
        write(dir.path(), &first, vec![text("s", "one")]);
        write(dir.path(), &second, vec![text("s", "two")]);
        for (changed, why) in [(bytes.with_name("s".into()), "another type"), (text("t", "two"), "new column `t`")] {
            let files = open(dir.path(), &format!("*.{extension}"), &[]).await.unwrap();
            write(dir.path(), &second, vec![changed]);
            let error = csv(&files).await.unwrap_err();
            assert!(error.contains(&second) && error.contains(why), "{error}");
            write(dir.path(), &second, vec![text("s", "two")]);
        }
    }
}

#[tokio::test]
async fn a_column_that_comes_after_the_load_is_not_lost() {
    for extension in ["parquet", "arrow"] {
        let dir = tempfile::tempdir().unwrap();
        let (first, second) = (format!("a.{extension}"), format!("b.{extension}"));
        write(dir.path(), &first, vec![text("a", "x")]);
        let pattern = format!("*.{extension}");
        let files = open(dir.path(), &pattern, &[]).await.unwrap();
        let declared = open(dir.path(), &pattern, &[Column::new("a", ColumnType::String)]).await.unwrap();
        for name in [&first, &second] {
            write(dir.path(), name, vec![text("a", "x"), text("b", "y")]);
            let error = csv(&files).await.unwrap_err();
            assert!(error.contains("new column `b`") && files.is_outdated(), "{error}");
            assert!(csv(&declared).await.is_ok(), "declared columns leave the others out on purpose");
        }
        assert_eq!(names(&open(dir.path(), &pattern, &[]).await.unwrap()), ["a", "b"]);
    }
}

#[tokio::test]
async fn a_column_that_was_left_out_is_offered_after_the_files_are_repaired() {
    for extension in ["parquet", "arrow"] {
        let dir = tempfile::tempdir().unwrap();
        let (first, second, third) = (format!("a.{extension}"), format!("b.{extension}"), format!("c.{extension}"));
        let pattern = format!("*.{extension}");
        let both = || vec![text("a", "x"), text("b", "y")];
        let bytes = || vec![text("a", "x"), PolarsColumn::new("b".into(), [&b"z"[..]])];
        write(dir.path(), &third, both());
        // the file that lacks the column or has another type of it, and its repair
        for (name, broken, repair) in [
            (&second, vec![text("a", "x")], None),
            (&second, vec![text("a", "x")], Some(both())),
            (&second, bytes(), Some(both())),
            (&first, vec![text("a", "x")], None),
        ] {
            write(dir.path(), &first, both());
            write(dir.path(), name, broken);
            let files = open(dir.path(), &pattern, &[]).await.unwrap();
            assert_eq!(names(&files), ["a"]);
            assert!(csv(&files).await.is_ok() && !files.is_outdated());
            // other new files change nothing
            write(dir.path(), &format!("d.{extension}"), both());
            assert!(csv(&files).await.is_ok() && !files.is_outdated());
            match repair {
                Some(columns) => write(dir.path(), name, columns),
                None => std::fs::remove_file(dir.path().join(name)).unwrap(),
            }
            let error = exported(&files, &json!({}), &Csv).await.unwrap_err();
            assert!(error.to_string().contains("loaded again") && files.is_outdated(), "{error}");
            assert_eq!(names(&open(dir.path(), &pattern, &[]).await.unwrap()), ["a", "b"]);
        }
    }
}

#[tokio::test]
async fn a_text_file_that_lacks_a_column_is_loaded_again() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("a.csv"), "id,v\n1,a\n").unwrap();
    let files = open(dir.path(), "*.csv", &[]).await.unwrap();
    std::fs::write(dir.path().join("b.csv"), "id\n7\n").unwrap();
    let error = csv(&files).await.unwrap_err();
    assert!(error.contains("no column `v`") && files.is_outdated(), "{error}");
    let shown = csv(&open(dir.path(), "*.csv", &[]).await.unwrap()).await.unwrap();
    assert!(shown.contains("\n1,a\n7,\n"), "{shown}");
}

#[tokio::test]
async fn a_moment_beyond_the_finest_unit_of_the_files_is_refused_with_its_cause() {
    let dir = tempfile::tempdir().unwrap();
    for (name, unit, moment) in
        [("a.parquet", TimeUnit::Milliseconds, 100_000_000_000_000_i64), ("b.parquet", TimeUnit::Nanoseconds, 1)]
    {
        let column = PolarsColumn::new("at".into(), [moment]).cast(&DataType::Datetime(unit, None)).unwrap();
        write(dir.path(), name, vec![column]);
    }
    let files = open(dir.path(), "*.parquet", &[]).await.unwrap();
    let error = csv(&files).await.unwrap_err();
    assert!(error.contains("a.parquet: column `at`: a value is too large"), "{error}");
}

#[tokio::test]
async fn a_text_that_is_not_utf8_is_found_at_the_load() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("a.csv"), b"a,b\nx,y\nx,\xff\n").unwrap();
    std::fs::write(dir.path().join("a.ndjson"), b"{\"a\": \"\xff\"}\n").unwrap();
    for (name, line) in [("a.csv", 3), ("a.ndjson", 1)] {
        let error = open(dir.path(), name, &[]).await.unwrap_err().to_string();
        assert!(error.contains(&format!("{name}: line {line}: ")) && error.contains("not UTF-8"), "{error}");
    }
}

#[tokio::test]
async fn the_headers_of_all_files_have_the_declared_columns() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("a.csv"), "a,b\n1,2\n").unwrap();
    std::fs::write(dir.path().join("b.csv"), "a\n1\n").unwrap();
    std::fs::write(dir.path().join("c.csv"), "").unwrap();
    let declared = [Column::new("b", ColumnType::String)];
    let error = open(dir.path(), "*.csv", &declared).await.unwrap_err().to_string();
    assert!(error.contains("b.csv: it has no column `b`"), "{error}");
    std::fs::write(dir.path().join("b.csv"), "b;a\n1;2\n").unwrap();
    let error = open(dir.path(), "*.csv", &declared).await.unwrap_err().to_string();
    assert!(error.contains("b.csv: it looks as if"), "{error}");
}

#[tokio::test]
async fn a_cut_arrow_file_is_called_so() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "a.arrow", vec![text("a", "x")]);
    let whole = std::fs::read(dir.path().join("a.arrow")).unwrap();
    for length in [0, 6, whole.len() / 2, whole.len() - 1] {
        std::fs::write(dir.path().join("a.arrow"), &whole[..length]).unwrap();
        let error = open(dir.path(), "a.arrow", &[]).await.unwrap_err().user_message();
        let is_clear = ["cut off", "damaged", "specification"].iter().any(|words| error.contains(words));
        assert!(is_clear, "{length}: {error}");
    }
}

#[tokio::test]
async fn no_column_in_common_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "a.parquet", vec![text("a", "x")]);
    write(dir.path(), "b.parquet", vec![text("b", "x")]);
    let error = open(dir.path(), "*.parquet", &[]).await.unwrap_err().to_string();
    assert!(error.contains("column `a`") && error.contains("`b.parquet` has no such column"), "{error}");
}

#[tokio::test]
async fn two_columns_of_one_name_are_named() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["a.parquet", "a.arrow"] {
        // polars refuses to write such a file, so the second name is changed afterwards
        write(dir.path(), name, vec![text("twice", "x"), text("other", "y")]);
        let mut bytes = std::fs::read(dir.path().join(name)).unwrap();
        for at in 0..bytes.len() - 5 {
            if bytes[at..].starts_with(b"other") {
                bytes[at..at + 5].copy_from_slice(b"twice");
            }
        }
        std::fs::write(dir.path().join(name), bytes).unwrap();
        let error = open(dir.path(), name, &[]).await.unwrap_err().to_string();
        assert!(error.contains("two columns are called `twice`"), "{error}");
    }
}

#[tokio::test]
async fn a_file_with_another_delimiter_than_the_others_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let declared = |delimiter: u8| FileKind::Csv(CsvDialect { is_declared: true, ..CsvDialect::new(delimiter) });
    for (first, second, wrong) in
        [("a,b\n1,2\n", "a;b\n3;4\n", "b.csv"), ("a;b\n3;4\n", "a,b\n1,2\n", "b.csv"), ("a,b\n1,2\n", "a\n3\n", "")]
    {
        std::fs::write(dir.path().join("a.csv"), first).unwrap();
        std::fs::write(dir.path().join("b.csv"), second).unwrap();
        let found = opened("x", Location::local(dir.path(), "*.csv"), declared(b','), &[]).await;
        match (found, wrong) {
            (Err(error), wrong) if !wrong.is_empty() => {
                assert!(error.to_string().contains(wrong) && error.to_string().contains("one delimiter"), "{error}");
            }
            (Ok(files), "") => {
                assert_eq!(files.info().notes, ["some of its files lack `b`, which is NULL in their rows"]);
            }
            (found, _) => panic!("{second}: {found:?}"),
        }
    }
    // a single file with one column may have the other delimiter in its texts
    std::fs::remove_file(dir.path().join("b.csv")).unwrap();
    std::fs::write(dir.path().join("a.csv"), "a;b\n3;4\n").unwrap();
    let files = opened("x", Location::local(dir.path(), "*.csv"), declared(b','), &[]).await.unwrap();
    assert_eq!(names(&files), ["a;b"]);
}

#[tokio::test]
async fn a_declared_member_that_no_object_has_is_noted() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("a.ndjson"), "{\"n\":1}\n{\"n\":2}\n").unwrap();
    let declared = [Column::new("n", ColumnType::Int), Column::new("m", ColumnType::Int)];
    let files = open(dir.path(), "a.ndjson", &declared).await.unwrap();
    assert_eq!(files.info().notes, ["no object on the first lines has `m`, which is NULL where it is missing"]);
    assert!(csv(&files).await.unwrap().contains("\n2,\n"));
}

#[tokio::test]
async fn an_empty_text_between_quotes_is_not_null() {
    let dir = tempfile::tempdir().unwrap();
    let rows = "s,n,t\n\"\",\"\",x\n,1,\"\"\"\"\n\"\n\",\"2\",\"\"\r\n\n\"a\"\"\",3,\"\"";
    std::fs::write(dir.path().join("a.csv"), rows).unwrap();
    let files = open(dir.path(), "a.csv", &[]).await.unwrap();
    let kinds: Vec<_> = files.info().columns.iter().map(|column| column.kind).collect();
    assert_eq!(kinds, [ColumnType::String, ColumnType::Int, ColumnType::String]);
    let shown = csv(&files).await.unwrap();
    let expected = "\n\"\",,x\n,1,\"\"\"\"\n\"\n\",2,\"\"\n\"a\"\"\",3,\"\"\n";
    assert!(shown.contains(expected), "{shown:?}");
}
