//! The metrics of a notifier show the queue and JetStream.

use entity::export;
use platform::units::HumanDuration;
use protocol::{export::Status, id::Owner};
use sea_orm::{ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter};

use crate::harness::{Harness, advertise};

/// One export of alice is dispatched, which is the limit of her tenant; two of hers and one of bob wait.
async fn queue_gauges_are_updated(database: testkit::db::TestDatabase) {
    let metrics = platform::telemetry::init_metrics().unwrap();
    let mut h = Harness::with_database(database).await;
    advertise(&h.bus, 0, 0).await;
    (h.config.metrics_interval, h.config.max_in_flight_per_tenant_pool_and_lane) = (HumanDuration::from_millis(50), 1);
    for _ in 0..3 {
        h.submit().await;
    }
    h.start().await;
    testkit::eventually("the first export is dispatched", || async {
        let dispatched = export::Entity::find().filter(export::Column::Status.eq(Status::Dispatched.as_str()));
        (dispatched.count(&h.db).await.unwrap() == 1).then_some(())
    })
    .await;
    h.submit_for(Owner::new("globex", "bob")).await;
    h.advance_clock(90);
    let wanted = [
        r#"sluice_queue_waiting{lane="bulk",class="tenant_limit"} 2"#,
        r#"sluice_queue_waiting{lane="bulk",class="capacity"} 1"#,
        r#"sluice_queue_oldest_age_seconds{lane="bulk",class="tenant_limit"} 90"#,
        r#"sluice_queue_oldest_age_seconds{lane="bulk",class="capacity"} 90"#,
        r#"sluice_queue_exports{pool="default",lane="bulk",state="waiting"} 3"#,
        r#"sluice_queue_exports{pool="default",lane="bulk",state="dispatched"} 1"#,
        r#"sluice_catalog_exporters{state="active"} 1"#,
        "sluice_catalog_datasets 0",
        r#"sluice_jetstream_messages{stream="SLUICE_JOBS"} 1"#,
        r#"sluice_jetstream_consumer_pending{stream="SLUICE_OUTCOMES",consumer="notifier"} 0"#,
        r#"sluice_notifier_metrics_polls_total{result="failed"} 0"#,
    ];
    let updated = testkit::eventually("the gauges are updated", || async {
        let text = metrics.render();
        let missing = wanted.iter().find(|line| !text.lines().any(|found| found == **line));
        missing.is_none().then_some(())
    });
    updated.await;
}

#[tokio::test]
async fn the_metrics_show_the_queue() {
    queue_gauges_are_updated(testkit::db::sqlite().await).await;
}

#[tokio::test]
async fn the_metrics_show_the_queue_on_postgres() {
    let postgres = testkit::db::Postgres::start().await;
    queue_gauges_are_updated(postgres.database().await).await;
}
