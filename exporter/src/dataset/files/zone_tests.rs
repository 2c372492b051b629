//! Tests that the files of a dataset decide whether the timestamps of a column have a time zone.

use std::{fs::File, path::Path};

use futures::TryStreamExt;
use polars::prelude::{
    Column as PolarsColumn, DataFrame, DataType, IpcWriter, ParquetWriter, SerWriter, TimeUnit, TimeZone,
};
use protocol::{
    catalog::{Column, ColumnType},
    filter::{self, Filter},
};
use serde_json::{Map, json};

use super::{tests::opened, *};
use crate::dataset::{Dataset, DatasetError, Query};

const MILLIS: i64 = 1_774_751_400_000;

fn moment(name: &str, zone: Option<TimeZone>) -> PolarsColumn {
    PolarsColumn::new(name.into(), [MILLIS]).cast(&DataType::Datetime(TimeUnit::Milliseconds, zone)).unwrap()
}

fn write_parquet(path: &Path, columns: Vec<PolarsColumn>) {
    let mut frame = DataFrame::new_infer_height(columns).unwrap();
    ParquetWriter::new(File::create(path).unwrap()).finish(&mut frame).unwrap();
}

async fn read(files: &Files, column: &str, filter: Filter) -> Result<Vec<DataFrame>, DatasetError> {
    let query = Query { columns: vec![column.into()], filter, params: Map::new(), limit: None };
    files.open(&query).await?.frames.try_collect().await
}

#[tokio::test]
async fn files_say_whether_a_column_has_a_time_zone() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let table = "local,zoned\n2026-03-29T02:30:00,2026-03-29T02:30:00Z\n,2026-03-29T02:30:00Z\n";
    std::fs::write(path("t.csv"), table).unwrap();
    let line = r#"{"local":"2026-03-29T02:30:00","zoned":"2026-03-29T00:30:00Z"}"#;
    std::fs::write(path("t.ndjson"), line).unwrap();
    let columns = vec![moment("local", None), moment("zoned", Some(TimeZone::UTC))];
    write_parquet(&path("t.parquet"), columns.clone());
    let mut frame = DataFrame::new_infer_height(columns).unwrap();
    IpcWriter::new(File::create(path("t.arrow")).unwrap()).finish(&mut frame).unwrap();
    for name in ["t.csv", "t.ndjson", "t.parquet", "t.arrow"] {
        let kind = FileKind::from_name(name).unwrap();
        let files = opened("t", Location::Local(path(name)), kind, &[]).await.unwrap();
        let mut local: Vec<_> = files.info().columns.iter().map(|column| (column.name.clone(), column.local)).collect();
        local.sort();
        assert_eq!(local, [("local".to_owned(), true), ("zoned".to_owned(), false)], "{name}");
        let declared = [Column::new("local", ColumnType::Datetime)];
        let files = opened("t", Location::Local(path(name)), kind, &declared).await.unwrap();
        assert!(files.info().columns[0].local, "{name}");
        for (text, rows) in [("2026-03-29T02:30:00", 1), ("2026-03-29T02:30:00Z", 1), ("2026-03-29T00:30:00", 0)] {
            let filter = filter::parse(&json!({"local": {"eq": text}}), &files.info().columns).unwrap();
            let frames = read(&files, "local", filter).await.unwrap();
            assert_eq!(frames.iter().map(DataFrame::height).sum::<usize>(), rows, "{name} {text}");
        }
    }
}

#[tokio::test]
async fn a_zone_that_comes_later_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let rows = "at\n".to_owned() + &"2026-03-29T02:30:00\n".repeat(2_000);
    std::fs::write(path("t.csv"), rows + "2026-03-29T02:30:00+02:00\n").unwrap();
    let declared = [Column::new("at", ColumnType::Datetime).typed(ColumnType::Datetime, true)];
    let files =
        opened("t", Location::Local(path("t.csv")), FileKind::Csv(CsvDialect::new(b',')), &declared).await.unwrap();
    let error = read(&files, "at", Filter::all()).await.unwrap_err();
    assert!(error.user_message().contains("time zone"), "{error}");

    write_parquet(&path("a.parquet"), vec![moment("at", None)]);
    write_parquet(&path("b.parquet"), vec![moment("at", Some(TimeZone::UTC))]);
    let open = || opened("t", Location::Local(path("*.parquet")), FileKind::Parquet, &[]);
    let error = open().await.unwrap_err();
    assert!(error.to_string().contains("timestamp with a time zone in `b.parquet`"), "{error}");
    // also if the file comes after the catalog was loaded
    std::fs::remove_file(path("b.parquet")).unwrap();
    let files = open().await.unwrap();
    write_parquet(&path("b.parquet"), vec![moment("at", Some(TimeZone::UTC))]);
    let error = read(&files, "at", Filter::all()).await.unwrap_err();
    assert!(error.to_string().contains("another type than in the first file"), "{error}");
}
