//! Exports of millions of rows, run by `cargo xtask test --full`: three times the rows must not need more memory.

#![expect(clippy::print_stdout, reason = "prints the measured memory")]

use std::path::PathBuf;

use e2e::{Datasets, Fleet, Plan};
use protocol::export::{Export, FileInfo, Status};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

const MIB: u64 = 1024 * 1024;
/// The maximum memory of an exporter, for any export.
const EXPORTER_LIMIT: u64 = 600 * MIB;

/// Exports `lineitem` of a scale with this request. Returns the file and the peak memory of the exporter in bytes.
async fn export_lineitem(scale: u32, mut request: Value) -> (FileInfo, u64) {
    let root = std::env::var_os("SLUICE_TPCH_DIR").map(PathBuf::from);
    let root =
        root.expect("SLUICE_TPCH_DIR names a folder with scale1/lineitem.parquet; `cargo xtask test --full` does");
    let fleet =
        Fleet::start(Plan { datasets: Datasets::DemoWith(root.join(format!("scale{scale}"))), ..Plan::default() })
            .await;
    let rest = fleet.rest();
    request["dataset"] = json!("lineitem");
    let answer = rest.send(rest.request(Method::POST, "/v1/exports").json(&request)).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text());
    let mut export: Export = answer.json();
    while export.status.is_unfinished() {
        let wait = rest.request(Method::GET, &export.links.this).header("Prefer", "wait=30");
        export = rest.send(wait).await.json();
    }
    assert_eq!(export.status, Status::Completed, "{:?}\n{}", export.problem, fleet.logs());
    (export.file.expect("a completed export has a file"), fleet.exporters[0].memory().peak)
}

/// Asserts that an export of about three times the rows needs no more memory. Returns both files.
async fn assert_flat_memory(what: &str, one: (u32, Value), three: (u32, Value)) -> (FileInfo, FileInfo) {
    let (one, peak_one) = export_lineitem(one.0, one.1).await;
    let (three, peak_three) = export_lineitem(three.0, three.1).await;
    for (file, peak) in [(&one, peak_one), (&three, peak_three)] {
        println!("{what}: {} rows, {} bytes, peak {} MiB", file.rows, file.size, peak / MIB);
    }
    assert!(three.rows > 5 * one.rows / 2, "{} and {} rows", one.rows, three.rows);
    assert!(peak_one < EXPORTER_LIMIT, "{what}: {} MiB", peak_one / MIB);
    // Memory of an allocator varies, by an eighth in measurements. The limit is an eighth of the growth that memory
    // proportional to the rows would have.
    assert!(peak_three < peak_one + peak_one / 4, "{what}: from {} to {} MiB", peak_one / MIB, peak_three / MIB);
    (one, three)
}

#[tokio::test]
async fn heavy_csv_exports_need_memory_that_does_not_grow_with_the_rows() {
    let (one, three) = assert_flat_memory("csv", (1, json!({})), (3, json!({}))).await;
    assert_eq!((one.rows, three.rows), (6_001_215, 17_996_609));
}

/// A request for the order lines of `millions` of order keys: about a million lines for each million keys.
fn lines_request(format: &str, millions: f64) -> Value {
    json!({"format": format, "filter": {"l_orderkey": {"lte": (millions * 1_000_000.0) as i64}}})
}

/// A request for six columns of the order lines of `millions` of order keys.
fn six_columns_request(format: &str, millions: f64) -> Value {
    let mut request = lines_request(format, millions);
    request["columns"] =
        json!(["l_orderkey", "l_quantity", "l_extendedprice", "l_shipdate", "l_shipmode", "l_comment"]);
    request
}

#[tokio::test]
async fn heavy_parquet_exports_need_memory_that_does_not_grow_with_the_rows() {
    // The larger export has all lines of scale 1.
    let (_, three) =
        assert_flat_memory("parquet", (1, lines_request("parquet", 2.0)), (1, lines_request("parquet", 6.0))).await;
    assert_eq!(three.rows, 6_001_215);
}

#[tokio::test]
async fn heavy_workbooks_need_memory_that_does_not_grow_with_the_rows() {
    // The larger workbook has two sheets.
    let (_, three) =
        assert_flat_memory("xlsx", (1, six_columns_request("xlsx", 0.4)), (1, six_columns_request("xlsx", 1.2))).await;
    assert!(three.rows > 1 << 20, "{} rows fit on one sheet", three.rows);
}

#[tokio::test]
async fn heavy_archives_of_workbooks_need_memory_that_does_not_grow_with_the_rows() {
    // The larger archive has two workbooks.
    let (_, three) = assert_flat_memory(
        "xlsx-zip",
        (1, six_columns_request("xlsx-zip", 0.4)),
        (1, six_columns_request("xlsx-zip", 1.2)),
    )
    .await;
    assert!(three.rows > 1_000_000, "{} rows fit in one workbook", three.rows);
}
