//! Tests files that other programs write: columns have the meaning that their annotation in the file states.

use std::{env, path::Path, process::Command};

use exporter::dataset::{Dataset, DatasetInfo, FileKind, Files, Location, Query};
use futures::TryStreamExt;
use polars::prelude::{DataFrame, DataType};
use protocol::{catalog::ColumnType, filter};
use serde_json::{Map, Value, json};
use tempfile::TempDir;

/// Writes a file of DuckDB and a file of polars into the folder that is the argument.
const WRITE: &str = r#"
import duckdb, polars, sys
folder = sys.argv[1]
duckdb.sql("""COPY (SELECT uuid '01020304-0506-0708-090a-0b0c0d0e0f10' AS id, '{"b":1,  "a":[2.50]}'::JSON AS doc,
    'low'::ENUM ('low', 'high') AS level, 42::VARIANT AS variant, 'x' AS name) TO '%s/duckdb.parquet'""" % folder)
halves = polars.DataFrame({"half": [1.5, None, -0.0]}, schema={"half": polars.Float16})
halves.write_parquet(folder + "/halves.parquet")
"#;

fn written() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let python = env::var_os("SLUICE_PYTHON").expect(
        "SLUICE_PYTHON names a Python with the packages of xtask/python/readers.txt; `cargo xtask test` makes one",
    );
    let status = Command::new(python).arg("-c").arg(WRITE).arg(folder.path()).status().unwrap();
    assert!(status.success());
    folder
}

async fn open(folder: &Path, name: &str) -> Files {
    let info = DatasetInfo::new("foreign", Vec::new());
    Files::open(Location::Local(folder.join(name)), FileKind::Parquet, info).await.unwrap()
}

async fn rows(files: &Files, columns: &[&str], filter: Value) -> DataFrame {
    let filter = filter::parse(&filter, &files.info().columns).unwrap();
    let columns = columns.iter().map(ToString::to_string).collect();
    let query = Query { columns, filter, params: Map::new(), limit: None };
    let frames: Vec<_> = files.open(&query).await.unwrap().frames.try_collect().await.unwrap();
    frames.into_iter().reduce(|all, frame| all.vstack(&frame).unwrap()).unwrap_or_default()
}

#[tokio::test]
async fn annotated_columns_of_duckdb_are_texts() {
    let folder = written();
    let files = open(folder.path(), "duckdb.parquet").await;
    let id = "01020304-0506-0708-090a-0b0c0d0e0f10";
    let frame = rows(&files, &["id", "doc", "level", "name"], json!({"id": {"eq": id}})).await;
    let texts = frame.columns().iter().map(|column| column.str().unwrap().get(0).unwrap().to_owned());
    assert_eq!(texts.collect::<Vec<_>>(), [id, r#"{"b":1,  "a":[2.50]}"#, "low", "x"]);
    // polars does not know the annotation VARIANT, so that the column is read as the record that stores it
    let variant = rows(&files, &["variant"], json!({})).await;
    let text = variant.column("variant").unwrap().str().unwrap().get(0).unwrap().to_owned();
    let record: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(record["typed_value"], json!(42));
}

#[tokio::test]
async fn floats_of_16_bits_are_floats() {
    let folder = written();
    let files = open(folder.path(), "halves.parquet").await;
    assert_eq!(files.info().columns[0].kind, ColumnType::Float);
    let frame = rows(&files, &["half"], json!({"half": {"gte": 1.5}})).await;
    assert_eq!((frame.height(), frame.column("half").unwrap().dtype()), (1, &DataType::Float32));
    let frame = rows(&files, &["half"], json!({})).await;
    let halves: Vec<_> = frame.column("half").unwrap().f32().unwrap().iter().collect();
    assert_eq!(halves, [Some(1.5), None, Some(-0.0)]);
}
