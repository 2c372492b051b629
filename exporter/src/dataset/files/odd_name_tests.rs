//! Tests filters on columns whose names polars would take for patterns. The filter must compare the column with exactly
//! this name.

use std::{
    fs::{self, File},
    path::Path,
};

use futures::TryStreamExt;
use polars::prelude::{DataFrame, IpcWriter, ParquetWriter, SerWriter, df};
use protocol::filter;
use serde_json::{Map, Value, json};

use super::{tests::opened, *};
use crate::dataset::{Dataset, Query};

const NAMES: [&str; 4] = ["*", "^a$", "^.*$", "a"];
/// The values of the columns. Each item is a row.
const ROWS: [[i64; 4]; 3] = [[1, 2, 3, 4], [4, 1, 9, 1], [7, 5, 2, 2]];

fn write(path: &Path) {
    let column = |at: usize| ROWS.map(|row| row[at]).to_vec();
    let mut frame =
        df!(NAMES[0] => column(0), NAMES[1] => column(1), NAMES[2] => column(2), NAMES[3] => column(3)).unwrap();
    let lines = |line: &dyn Fn([i64; 4]) -> String| ROWS.map(line).join("\n");
    match path.extension().and_then(|extension| extension.to_str()).unwrap() {
        "parquet" => drop(ParquetWriter::new(File::create(path).unwrap()).finish(&mut frame).unwrap()),
        "arrow" => IpcWriter::new(File::create(path).unwrap()).finish(&mut frame).unwrap(),
        "csv" => {
            let rows = lines(&|row| row.map(|value| value.to_string()).join(","));
            fs::write(path, format!("{}\n{rows}\n", NAMES.join(","))).unwrap();
        }
        _ => {
            let object = |row: [i64; 4]| {
                let members = NAMES.iter().zip(row).map(|(name, value)| ((*name).to_owned(), json!(value)));
                Value::Object(members.collect()).to_string()
            };
            fs::write(path, lines(&object) + "\n").unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_compares_the_column_whose_name_polars_takes_as_a_pattern() {
    let dir = tempfile::tempdir().unwrap();
    for file in ["a.parquet", "a.arrow", "a.csv", "a.ndjson"] {
        let path = dir.path().join(file);
        write(&path);
        let files = opened("odd", Location::Local(path), FileKind::from_name(file).unwrap(), &[]).await.unwrap();
        for (at, name) in NAMES.iter().enumerate() {
            for expected in ROWS {
                let filter = filter::parse(&json!({*name: {"eq": expected[at]}}), &files.info().columns).unwrap();
                let columns = NAMES.map(str::to_owned).to_vec();
                let query = Query { columns, filter, params: Map::new(), limit: None };
                let frames: Vec<DataFrame> = files.open(&query).await.unwrap().frames.try_collect().await.unwrap();
                let found: Vec<Vec<i64>> = frames
                    .iter()
                    .flat_map(|frame| (0..frame.height()).map(|row| frame.get_row(row).unwrap()))
                    .map(|row| row.0.iter().map(|value| value.extract::<i64>().unwrap()).collect())
                    .collect();
                assert_eq!(found, [expected.to_vec()], "{file}: {name} = {}", expected[at]);
            }
        }
    }
}
