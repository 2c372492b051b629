//! Millions of rows: `cargo xtask test --full` makes them and runs these. Bytes grow threefold; memory must not.

#![expect(clippy::print_stdout, reason = "what was measured is told")]

use std::path::PathBuf;

use e2e::{Fleet, Plan};
use protocol::export::{Export, FileInfo, Status};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

const MIB: u64 = 1024 * 1024;
/// What an exporter may ever hold, whatever it exports.
const EXPORTER_LIMIT: u64 = 600 * MIB;

/// Exports of `lineitem` at a scale what the request says; gives the file and the exporter's peak memory.
async fn lineitem(scale: u32, mut request: Value) -> (FileInfo, u64) {
    let root = std::env::var_os("SLUICE_TPCH_DIR").map(PathBuf::from);
    let root =
        root.expect("SLUICE_TPCH_DIR names a folder with scale1/lineitem.parquet; `cargo xtask test --full` does");
    let fleet = Fleet::start(Plan { datasets: Some(root.join(format!("scale{scale}"))), ..Plan::default() }).await;
    let rest = fleet.rest();
    request["dataset"] = json!("lineitem");
    let answer = rest.send(rest.request(Method::POST, "/v1/exports").json(&request)).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text());
    let mut export: Export = answer.json();
    // progress in each window of time is what keeps this loop alive; at the end of a workbook it is bytes that grow
    while export.status.is_unfinished() {
        let before = (export.progress.rows, export.progress.bytes);
        let wait = rest.request(Method::GET, &export.links.this).header("Prefer", "wait=20");
        export = rest.send(wait).await.json();
        let after = (export.progress.rows, export.progress.bytes);
        assert!(!export.status.is_unfinished() || after > before, "no progress in 20 s: {export:?}");
    }
    assert_eq!(export.status, Status::Completed, "{:?}\n{}", export.problem, fleet.logs());
    (export.file.expect("a completed export has a file"), fleet.exporters[0].memory().peak)
}

/// Compares the memory of one export with that of one of about three times the rows.
async fn flat(what: &str, one: (u32, Value), three: (u32, Value)) -> (FileInfo, FileInfo) {
    let (one, peak_one) = lineitem(one.0, one.1).await;
    let (three, peak_three) = lineitem(three.0, three.1).await;
    for (file, peak) in [(&one, peak_one), (&three, peak_three)] {
        println!("{what}: {} rows, {} bytes, peak {} MiB", file.rows, file.size, peak / MIB);
    }
    assert!(three.rows > 5 * one.rows / 2, "{} and {} rows", one.rows, three.rows);
    assert!(peak_one < EXPORTER_LIMIT, "{what}: {} MiB", peak_one / MIB);
    // allocators breathe, by an eighth as was seen; an eighth of what three times the rows would add is the line
    assert!(peak_three < peak_one + peak_one / 4, "{what}: from {} to {} MiB", peak_one / MIB, peak_three / MIB);
    (one, three)
}

#[tokio::test]
async fn heavy_lineitem_is_exported_in_memory_that_does_not_grow_with_it() {
    let (one, three) = flat("csv", (1, json!({})), (3, json!({}))).await;
    assert_eq!((one.rows, three.rows), (6_001_215, 17_996_609));
}

/// The lines of about so many millions of orders, four to each, of the six million at scale 1.
fn lines(format: &str, millions: f64) -> Value {
    json!({"format": format, "filter": {"l_orderkey": {"lte": (millions * 1_000_000.0) as i64}}})
}

/// The same with the columns that people look at.
fn some(format: &str, millions: f64) -> Value {
    let mut request = lines(format, millions);
    request["columns"] =
        json!(["l_orderkey", "l_quantity", "l_extendedprice", "l_shipdate", "l_shipmode", "l_comment"]);
    request
}

#[tokio::test]
async fn heavy_parquet_files_are_made_in_memory_that_does_not_grow_with_them() {
    // the larger one has all lines
    let (_, three) = flat("parquet", (1, lines("parquet", 2.0)), (1, lines("parquet", 6.0))).await;
    assert_eq!(three.rows, 6_001_215);
}

#[tokio::test]
async fn heavy_workbooks_are_made_in_memory_that_does_not_grow_with_them() {
    // the larger one has two sheets
    let (_, three) = flat("xlsx", (1, some("xlsx", 0.4)), (1, some("xlsx", 1.2))).await;
    assert!(three.rows > 1 << 20, "{} rows are on one sheet", three.rows);
}

#[tokio::test]
async fn heavy_archives_of_workbooks_are_made_in_memory_that_does_not_grow_with_them() {
    // the larger one has two workbooks
    let (_, three) = flat("xlsx-zip", (1, some("xlsx-zip", 0.4)), (1, some("xlsx-zip", 1.2))).await;
    assert!(three.rows > 1_000_000, "{} rows are in one workbook", three.rows);
}
