//! NATS comes back without anything that it had stored, and nothing else is restarted.

use e2e::{Fleet, Plan};
use platform::bus::Bus;
use protocol::{
    catalog::DatasetList,
    client::ExportCreate,
    export::{ExportRequest, Status},
};
use testkit::eventually;

/// Changes of the catalog before the loss, so that the numbers of the new bucket don't get there in the time of a test.
const CHANGES: usize = 1_000;

async fn on_offer(fleet: &Fleet) -> usize {
    let list: DatasetList = fleet.rest().get("/v1/datasets").await.json();
    list.items.len()
}

#[tokio::test]
async fn datasets_are_listed_and_exported_again_after_nats_lost_everything() {
    let settings = vec![("SLUICE_EXPORTER__CATALOG_MS", "500".to_owned())];
    let mut fleet = Fleet::start(Plan { nats_users: true, settings, ..Plan::default() }).await;
    let before = on_offer(&fleet).await;
    assert!(before > 0);
    let exporter = Bus::join(&fleet.nats.config_of("exporter"), "changes", &[]).await.expect("known");
    let bucket = exporter.catalog().await.expect("the bucket is there");
    for _ in 0..CHANGES {
        bucket.delete("nobody").await.expect("stored");
    }
    drop((bucket, exporter));

    fleet.nats.kill();
    eventually("what nobody says any more is forgotten", async || (on_offer(&fleet).await == 0).then_some(())).await;
    fleet.nats.restart_empty().await;
    eventually("it is listed again", async || (on_offer(&fleet).await == before).then_some(())).await;

    let rest = fleet.rest();
    let export = rest.create(&ExportRequest { dataset: "menus".into(), ..ExportRequest::default() }).await;
    assert_eq!(rest.ended(export.id).await.status, Status::Completed, "{}", fleet.logs());
    // and whoever has a session is told
    let mut client = fleet.client().await;
    let export = client.create(ExportCreate { dataset: "flights".into(), ..ExportCreate::default() }).await;
    assert_eq!(client.ended(export.id).await.status, Status::Completed, "{}", fleet.logs());
    assert_eq!(fleet.nats.violations(), [""; 0]);
}
