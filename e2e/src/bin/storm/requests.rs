//! The requests of the storm, and the file of each as it was before the storm.

use protocol::export::{ExportRequest, Status};
use serde_json::{Value, json};
use testkit::rest::Rest;

use crate::{
    reference::{Reference, Times},
    site,
    world::World,
};

/// A request and the file that it must give each time.
pub(crate) struct Variant {
    pub(crate) request: ExportRequest,
    pub(crate) file: Reference,
}

/// The bodies of the requests: from a hundred bytes to a few million, in each way in which an exporter makes a file. The
/// template `plain` writes no time into text files, so that the same request gives the same bytes.
fn bodies() -> Vec<(Value, Times)> {
    let flights = |filter: Value, format: &str| json!({"dataset": "flights", "template": "plain", "format": format, "filter": filter});
    let from_seattle = || json!({"origin": {"eq": "SEA"}, "delay": {"gte": 60}});
    vec![
        (json!({"dataset": "menus", "template": "plain"}), Times::None),
        (json!({"dataset": "muscles", "template": "plain", "format": "ndjson"}), Times::None),
        (json!({"dataset": "muscle_menus", "template": "plain"}), Times::None),
        (flights(json!({"delay": {"gte": 600}}), "csv"), Times::None),
        (flights(json!({"origin": {"eq": "SEA"}, "delay": {"gte": 30}}), "ndjson"), Times::None),
        (flights(json!({"origin": {"eq": "JFK"}}), "csv"), Times::None),
        (flights(json!({"distance": {"gte": 2500}}), "csv"), Times::None),
        (
            json!({"dataset": "flights", "template": "plain", "compression": "gzip", "filter": {"origin": {"eq": "BOS"}}}),
            Times::None,
        ),
        // a spool each: a workbook, and a template whose first rows state the end
        (flights(from_seattle(), "xlsx"), Times::InWorkbook),
        (json!({"dataset": "flights", "template": "spreadsheet", "filter": from_seattle()}), Times::InRows),
        (flights(json!({"origin": {"eq": "LAS"}}), "parquet"), Times::InMetadata),
    ]
}

/// Exports each request once, before the storm.
///
/// # Panics
/// When an export fails, or a file does not state its times where it should.
pub(crate) async fn with_references(world: &World) -> Vec<Variant> {
    let mut variants = vec![];
    for (number, (body, times)) in bodies().into_iter().enumerate() {
        let token = site::token(&world.issuer, &format!("reference-{number}"));
        let rest = Rest::new(&world.urls[0], Some(&token));
        let request: ExportRequest = serde_json::from_value(body).expect("a request of the protocol");
        testkit::eventually("the datasets are offered", async || {
            let answer = rest.get(&format!("/v1/datasets/{}", request.dataset)).await;
            answer.status.is_success().then_some(())
        })
        .await;
        let export = rest.ended(rest.create(&request).await.id).await;
        assert_eq!(export.status, Status::Completed, "{:?}", export.problem);
        let bytes = rest.get(&export.links.file).await.body;
        assert_eq!(export.file.map(|file| file.sha256), Some(testkit::sha256(&bytes)), "the digest of a file");
        eprintln!("  reference {number}: {} {} bytes", request.dataset, bytes.len());
        let file = Reference::new(bytes, times).unwrap_or_else(|e| panic!("reference {number}: {e}"));
        variants.push(Variant { request, file });
    }
    variants
}
