//! What a notifier does when NATS goes away, and when it is told to stop.

use std::time::Duration;

use entity::transition;
use protocol::{
    delivery::{self, GrantReply},
    envelope::OutcomeResult,
    export::Status,
    problem::{Problem, Slug},
    subject,
};
use sea_orm::ConnectionTrait;
use tokio::time::timeout;

use crate::harness::{GRACE, Harness, alice, asking, completed, now};

/// Far more than what sockets buffer.
const SIZE: usize = 64 * 1024 * 1024;

#[tokio::test]
async fn an_outage_of_nats_is_waited_out() {
    let mut h = Harness::running().await;
    let (id, attempt) = h.running_export().await;
    let segments = h.write(id, attempt, &[b"hello"]).await;
    h.nats.restart().await;
    testkit::eventually("the test is connected again", || async { h.bus.ping().ok() }).await;
    let committed = h.submit().await;
    h.say(id, "done", completed(attempt, &segments)).await;
    h.until(id, Status::Completed).await;
    h.until(committed, Status::Dispatched).await;
    assert!(matches!(h.grant(asking(id, 0)).await, GrantReply::Granted { .. }));
    assert_eq!(h.life.failure(), None);
}

#[tokio::test]
async fn an_end_that_nobody_can_be_told_of_waits_for_nats() {
    let mut h = Harness::running().await;
    let (canceled, _) = h.running_export().await;
    let (over, attempt) = h.running_export().await;
    let segments = h.write(over, attempt, &[b"hello"]).await;
    h.say(over, "done", completed(attempt, &segments)).await;
    h.until(over, Status::Completed).await;
    h.until_settled().await;
    h.rest().await;
    h.nats.stop().await;
    assert!(transition::request_cancel(&h.db, &alice(), canceled, now()).await.unwrap());
    h.advance(3600);
    // two sweeps
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert_eq!((h.row(canceled).await.status.as_str(), h.row(over).await.status.as_str()), ("running", "completed"));

    h.nats.restart().await;
    h.until(canceled, Status::Canceled).await;
    h.until(over, Status::Expired).await;
    h.until_settled().await;
    let events = h.events().await;
    for told in ["canceled", "expired"] {
        assert_eq!(events.iter().filter(|event| *event == told).count(), 1, "{events:?}");
    }
}

#[tokio::test]
async fn an_outage_of_the_database_makes_no_dead_letter_however_long_it_lasts() {
    let mut h = Harness::new().await;
    h.config.intake_max_deliver = 1;
    h.start().await;
    let (id, attempt) = h.running_export().await;
    let segments = h.write(id, attempt, &[b"hello"]).await;
    h.db.execute_unprepared("ALTER TABLE credit_account RENAME TO away").await.unwrap();
    h.say(id, "done", completed(attempt, &segments)).await;
    let outcomes = h.bus.jetstream().get_stream(subject::STREAM_OUTCOMES).await.unwrap();
    testkit::eventually("it was tried again", || async {
        let info = outcomes.consumer_info("notifier").await.ok()?;
        (info.delivered.consumer_sequence > 2).then_some(())
    })
    .await;
    assert_eq!(h.messages(subject::STREAM_DEAD).await, 0);
    h.db.execute_unprepared("ALTER TABLE away RENAME TO credit_account").await.unwrap();
    h.until(id, Status::Completed).await;
    h.until_settled().await;
    assert_eq!(h.balance().await, (4, 0));
    assert_eq!(h.messages(subject::STREAM_DEAD).await, 0);
}

#[tokio::test]
async fn objects_that_cannot_be_deleted_keep_an_outcome_until_they_can() {
    let h = Harness::running().await;
    let (id, attempt) = h.running_export().await;
    h.write(id, attempt, &[b"hello"]).await;
    // beside its objects a link that no list gets through: to the folder that it is in
    let folder = h.folder.path().join(delivery::export_prefix(id));
    let link = folder.join("link");
    std::os::unix::fs::symlink(&folder, &link).unwrap();
    h.store.list(&delivery::export_prefix(id)).await.unwrap_err();
    let problem = Problem::new(Slug::ExportFailed, "the source is gone");
    h.say(id, "failed", OutcomeResult::Failed { attempt, problem }).await;
    h.until(id, Status::Failed).await;
    let outcomes = h.bus.jetstream().get_stream(subject::STREAM_OUTCOMES).await.unwrap();
    testkit::eventually("it was tried again", || async {
        let info = outcomes.consumer_info("notifier").await.ok()?;
        (info.delivered.consumer_sequence > 1).then_some(())
    })
    .await;
    assert_eq!(h.messages(subject::STREAM_OUTCOMES).await, 1);
    std::fs::remove_file(&link).unwrap();
    h.until_settled().await;
    assert!(h.store.list(&delivery::export_prefix(id)).await.unwrap().is_empty());
    assert_eq!(h.events().await.iter().filter(|event| *event == "failed").count(), 1);
}

#[tokio::test]
async fn the_consumer_is_made_again_when_somebody_deletes_it() {
    let h = Harness::running().await;
    let (id, attempt) = h.running_export().await;
    let segments = h.write(id, attempt, &[b"hello"]).await;
    let outcomes = h.bus.jetstream().get_stream(subject::STREAM_OUTCOMES).await.unwrap();
    testkit::eventually("the consumer is there", || async { outcomes.delete_consumer("notifier").await.ok() }).await;
    h.say(id, "done", completed(attempt, &segments)).await;
    h.until(id, Status::Completed).await;
}

#[tokio::test]
async fn a_stop_finishes_what_was_begun_and_takes_nothing_new() {
    let h = Harness::running().await;
    let (id, attempt) = h.running_export().await;
    h.write(id, attempt, &[&vec![1; SIZE]]).await;
    let GrantReply::Granted { grants, .. } = h.grant(asking(id, 0)).await else { panic!() };
    let mut reading = reqwest::get(&grants[0].url).await.unwrap();
    let mut read = reading.chunk().await.unwrap().unwrap().len();

    h.life.soft().cancel();
    let life = h.life.clone();
    let stopped = tokio::spawn(async move { life.shut_down(GRACE).await });
    while let Some(chunk) = reading.chunk().await.unwrap() {
        read += chunk.len();
    }
    assert_eq!(read, SIZE);
    drop(reading);
    timeout(GRACE / 2, stopped).await.expect("it drains in time").unwrap();
    assert_eq!(h.life.failure(), None);
    // somebody else may have its port by now
    let served = reqwest::get(&grants[0].url).await.is_ok_and(|answer| answer.status().is_success());
    assert!(!served, "it still serves");

    let late = h.submit().await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(h.row(late).await.status, "queued");
}
