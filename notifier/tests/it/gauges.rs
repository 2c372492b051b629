//! The metrics of a notifier show the queue and JetStream.

use entity::export;
use platform::units::HumanDuration;
use protocol::{export::Status, id::Owner};
use sea_orm::{ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter};

use crate::harness::{Harness, advertise};

/// A tenant may have two exports in flight, and a user one. Three exports are dispatched, as many as exporters take: dave
/// and erin reach the limit of their tenant, and alice reaches the limit of a user. Another export of erin, two of alice
/// and one of bob wait.
async fn queue_gauges_are_updated(database: testkit::db::TestDatabase) {
    let metrics = platform::telemetry::init_metrics().unwrap();
    let mut h = Harness::with_database(database).await;
    advertise(&h.bus, 3, 2).await;
    h.config.metrics_interval = HumanDuration::from_millis(50);
    (h.config.max_in_flight_per_tenant_pool_and_lane, h.config.max_in_flight_per_user_pool_and_lane) = (2, 1);
    for user in ["dave", "erin", "erin"] {
        h.submit_for(Owner::new("initech", user)).await;
    }
    for _ in 0..3 {
        h.submit().await;
    }
    h.start().await;
    testkit::eventually("three exports are dispatched", || async {
        let dispatched = export::Entity::find().filter(export::Column::Status.eq(Status::Dispatched.as_str()));
        (dispatched.count(&h.db).await.unwrap() == 3).then_some(())
    })
    .await;
    h.submit_for(Owner::new("globex", "bob")).await;
    h.advance_clock(90);
    let wanted = [
        r#"sluice_queue_undispatched_exports{lane="bulk",class="tenant_limit"} 1"#,
        r#"sluice_queue_undispatched_exports{lane="bulk",class="user_limit"} 2"#,
        r#"sluice_queue_undispatched_exports{lane="bulk",class="capacity"} 1"#,
        r#"sluice_queue_undispatched_oldest_age_seconds{lane="bulk",class="tenant_limit"} 90"#,
        r#"sluice_queue_undispatched_oldest_age_seconds{lane="bulk",class="user_limit"} 90"#,
        r#"sluice_queue_undispatched_oldest_age_seconds{lane="bulk",class="capacity"} 90"#,
        r#"sluice_unfinished_exports{pool="default",lane="bulk",state="waiting"} 4"#,
        r#"sluice_unfinished_exports{pool="default",lane="bulk",state="dispatched"} 3"#,
        r#"sluice_catalog_exporters{state="active"} 1"#,
        "sluice_catalog_datasets 0",
        r#"sluice_jetstream_messages{stream="SLUICE_JOBS"} 3"#,
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
