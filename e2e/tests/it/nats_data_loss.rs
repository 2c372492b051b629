//! NATS loses all of its data, and no other process restarts.

use e2e::{Fleet, Plan};
use platform::bus::Bus;
use protocol::{
    catalog::DatasetList,
    client::ExportCreate,
    export::{ExportRequest, Status},
};
use testkit::eventually;

/// The number of catalog changes before the loss: the sequence numbers of the new bucket stay lower during the test.
const CHANGES: usize = 1_000;

async fn offered_datasets(fleet: &Fleet) -> usize {
    let list: DatasetList = fleet.rest().get("/v1/datasets").await.json();
    list.items.len()
}

#[tokio::test]
async fn slow_datasets_are_offered_and_exported_again_after_nats_lost_all_data() {
    let settings = vec![("SLUICE_EXPORTER__ADVERTISE_INTERVAL", "500ms".to_owned())];
    let mut fleet = Fleet::start(Plan { nats_users: true, settings, ..Plan::default() }).await;
    let before = offered_datasets(&fleet).await;
    assert!(before > 0);
    let exporter = Bus::join(&fleet.nats.config_of("exporter"), "changes", &[]).await.expect("a known user");
    let bucket = exporter.catalog().await.expect("the bucket is there");
    for _ in 0..CHANGES {
        bucket.delete("no-such-exporter").await.expect("stored");
    }
    drop((bucket, exporter));

    fleet.nats.kill();
    let is_ready = async || fleet.rest().get("/readyz").await.status.is_success();
    eventually("the gateway notices the loss", async || (!is_ready().await).then_some(())).await;
    // the gateway keeps the datasets that it knew, so exports are accepted and wait
    assert_eq!(offered_datasets(&fleet).await, before);
    fleet.nats.restart_empty().await;
    let is_ready = async || fleet.rest().get("/readyz").await.status.is_success();
    eventually("the gateway is ready again", async || is_ready().await.then_some(())).await;
    assert_eq!(offered_datasets(&fleet).await, before);

    let rest = fleet.rest();
    let export = rest.create(&ExportRequest { dataset: "menus".into(), ..ExportRequest::default() }).await;
    assert_eq!(rest.ended(export.id).await.status, Status::Completed, "{}", fleet.logs());
    // A session receives events again.
    let mut client = fleet.client().await;
    let export = client.create(ExportCreate { dataset: "flights".into(), ..ExportCreate::default() }).await;
    assert_eq!(client.ended(export.id).await.status, Status::Completed, "{}", fleet.logs());
    assert_eq!(fleet.nats.violations(), [""; 0]);
}
