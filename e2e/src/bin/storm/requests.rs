//! The requests of the storm, and the file of each as it was before the storm.

use bytes::Bytes;
use protocol::export::{ExportRequest, Status};
use serde_json::{Value, json};
use testkit::rest::Rest;

use crate::{site, world::World};

/// A request and the file that it must give each time.
pub(crate) struct Variant {
    pub(crate) request: ExportRequest,
    pub(crate) bytes: Bytes,
    pub(crate) sha256: String,
}

/// The bodies of the requests: from a hundred bytes to a few million. The template `plain` writes no time into the file, so
/// that the same request gives the same bytes.
fn bodies() -> Vec<Value> {
    let flights = |filter: Value, format: &str| json!({"dataset": "flights", "template": "plain", "format": format, "filter": filter});
    vec![
        json!({"dataset": "menus", "template": "plain"}),
        json!({"dataset": "muscles", "template": "plain", "format": "ndjson"}),
        json!({"dataset": "muscle_menus", "template": "plain"}),
        flights(json!({"delay": {"gte": 600}}), "csv"),
        flights(json!({"origin": {"eq": "SEA"}, "delay": {"gte": 30}}), "ndjson"),
        flights(json!({"origin": {"eq": "JFK"}}), "csv"),
        flights(json!({"distance": {"gte": 2500}}), "csv"),
    ]
}

/// Exports each request once, before the storm.
///
/// # Panics
/// When an export fails.
pub(crate) async fn with_references(world: &World) -> Vec<Variant> {
    let mut variants = vec![];
    for (number, body) in bodies().into_iter().enumerate() {
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
        let sha256 = testkit::sha256(&bytes);
        assert_eq!(export.file.map(|file| file.sha256).as_ref(), Some(&sha256), "the digest of a file");
        eprintln!("  reference {number}: {} {} bytes", request.dataset, bytes.len());
        variants.push(Variant { request, bytes, sha256 });
    }
    variants
}
