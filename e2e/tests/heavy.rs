//! Millions of rows: `cargo xtask test --full` makes them and runs these. Bytes grow threefold; memory must not.

use std::path::PathBuf;

use e2e::{Fleet, Plan};
use protocol::export::{Export, Status};
use reqwest::{Method, StatusCode};
use serde_json::json;

const MIB: u64 = 1024 * 1024;
/// What an exporter may ever hold, whatever it exports.
const EXPORTER_LIMIT: u64 = 600 * MIB;

/// Exports all of `lineitem` at a scale; gives the export and the exporter's peak memory.
async fn lineitem(scale: u32) -> (Export, u64) {
    let root = std::env::var_os("SLUICE_TPCH_DIR").map(PathBuf::from);
    let root =
        root.expect("SLUICE_TPCH_DIR names a folder with scale1/lineitem.parquet; `cargo xtask test --full` does");
    let fleet = Fleet::start(Plan { datasets: Some(root.join(format!("scale{scale}"))), ..Plan::default() }).await;
    let rest = fleet.rest();
    let ask = rest.request(Method::POST, "/v1/exports").json(&json!({"dataset": "lineitem"}));
    let answer = rest.send(ask).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text());
    let mut export: Export = answer.json();
    // progress in each window of time is what keeps this loop alive
    while export.status.is_unfinished() {
        let rows = export.progress.rows;
        let wait = rest.request(Method::GET, &export.links.this).header("Prefer", "wait=20");
        export = rest.send(wait).await.json();
        assert!(!export.status.is_unfinished() || export.progress.rows > rows, "no progress in 20 s: {export:?}");
    }
    assert_eq!(export.status, Status::Completed, "{:?}\n{}", export.problem, fleet.logs());
    (export, fleet.exporters[0].memory().peak)
}

#[tokio::test]
async fn heavy_lineitem_is_exported_in_memory_that_does_not_grow_with_it() {
    let (one, peak_one) = lineitem(1).await;
    let (three, peak_three) = lineitem(3).await;
    let file = |export: &Export| export.file.clone().expect("a completed export has a file");
    assert_eq!((file(&one).rows, file(&three).rows), (6_001_215, 17_996_609));
    println!(
        "scale 1: {} bytes, peak {} MiB; scale 3: {} bytes, peak {} MiB",
        file(&one).size,
        peak_one / MIB,
        file(&three).size,
        peak_three / MIB
    );
    assert!(peak_one < EXPORTER_LIMIT, "{} MiB", peak_one / MIB);
    // allocators breathe; a tenth of what three times the rows would take is the line
    assert!(peak_three < peak_one + peak_one / 5, "from {} to {} MiB", peak_one / MIB, peak_three / MIB);
}
