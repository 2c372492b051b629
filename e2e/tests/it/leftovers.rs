//! Exporters are killed at random moments; then every export ends, and after one sweep the store and the tables hold what
//! exports need, and nothing else.

use std::time::Duration;

use chrono::TimeDelta;
use e2e::{Fleet, Plan};
use entity::{export, scheduled_job};
use platform::{
    clock::{Clock, SystemClock},
    config::StoreConfig,
    store::FileStore,
};
use protocol::{client::ExportCreate, export::Status};
use sea_orm::{ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter, sea_query::Expr};
use testkit::{eventually, leftovers::differences, s3::S3Server};

/// The number of killed exporters. An export fails after five deaths.
const KILLS: i32 = 3;

async fn nothing_is_left(plan: Plan, store: FileStore) {
    let mut fleet = Fleet::start(plan).await;
    let mut client = fleet.client().await;
    // different requests, because equal ones join
    for columns in [vec![], vec!["origin"], vec!["destination"], vec!["delay"]] {
        let columns = (!columns.is_empty()).then(|| columns.into_iter().map(str::to_owned).collect());
        client.create(ExportCreate { dataset: "flights".into(), columns, ..ExportCreate::default() }).await;
    }
    let db = fleet.database.db.clone();
    for kill in 0..KILLS {
        // an exporter that has begun to write
        eventually("an export writes rows", async || {
            let writing = export::Entity::find().filter(export::Column::Status.eq("running"));
            let writing = writing.filter(export::Column::Rows.gt(0)).filter(export::Column::Attempt.gt(kill));
            let unfinished = export::Entity::find().filter(export::Column::Status.is_in(export::UNFINISHED));
            let (writing, unfinished) = (writing.count(&db).await.ok()?, unfinished.count(&db).await.ok()?);
            (writing > 0 || unfinished == 0).then_some(())
        })
        .await;
        let mut exporter = fleet.exporters.remove(0);
        exporter.kill();
        fleet.add_exporter();
    }
    eventually_ended(&fleet).await;
    let rows = export::Entity::find().all(&db).await.expect("the database answers");
    assert!(rows.iter().all(|row| row.status == Status::Completed.as_str()), "{rows:#?}\n{}", fleet.logs());
    assert!(rows.iter().any(|row| row.attempt > 1), "no exporter was killed while it worked");

    // all exports ended long ago, and their files are kept
    let (ended, kept) = (SystemClock.now() - TimeDelta::hours(2), SystemClock.now() + TimeDelta::days(9));
    let aged = export::Entity::update_many()
        .col_expr(export::Column::UpdatedAt, Expr::value(ended))
        .col_expr(export::Column::ExpiresAt, Expr::value(kept));
    aged.exec(&db).await.expect("the database answers");
    assert!(scheduled_job::request(&db, "sweep", SystemClock.now()).await.expect("the database answers"));
    eventually("the sweep has run", async || {
        let row = scheduled_job::find(&db, "sweep").await.ok()??;
        (row.requested_at.is_none() && row.result.as_deref() == Some("ok")).then_some(())
    })
    .await;
    assert_eq!(differences(&db, &store).await, [""; 0], "{}", fleet.logs());
}

/// Waits until every export has ended, as long as exports make progress.
async fn eventually_ended(fleet: &Fleet) {
    let unfinished = export::Entity::find().filter(export::Column::Status.is_in(export::UNFINISHED));
    for _ in 0..10 {
        let waited = tokio::time::timeout(Duration::from_secs(50), async {
            while unfinished.clone().count(&fleet.database.db).await.expect("the database answers") > 0 {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
        if waited.await.is_ok() {
            return;
        }
    }
    panic!("exports do not end:\n{}", fleet.logs());
}

#[tokio::test]
async fn slow_nothing_is_left_in_a_folder_after_exporters_were_killed() {
    let folder = testkit::store::folder();
    let plan = Plan { store: Some(folder.config()), ..Plan::default() };
    nothing_is_left(plan, folder.store()).await;
}

#[tokio::test]
async fn slow_nothing_is_left_in_a_bucket_after_exporters_were_killed() {
    let bucket = S3Server::start().await.bucket().await;
    let store: StoreConfig = bucket.config("");
    let plan = Plan { postgres: true, store: Some(store), ..Plan::default() };
    nothing_is_left(plan, bucket.store("")).await;
}
