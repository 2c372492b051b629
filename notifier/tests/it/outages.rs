//! A notifier survives outages of NATS, the database and the file store, and drains when it stops.

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

use crate::harness::{GRACE, Harness, alice, completed, grant_request, now};

/// The size of a segment that exceeds all socket buffers, in bytes.
const SIZE: usize = 64 * 1024 * 1024;

#[tokio::test]
async fn a_notifier_recovers_from_an_outage_of_nats() {
    let mut h = Harness::running().await;
    let (id, attempt) = h.running_export().await;
    let segments = h.write_segments(id, attempt, &[b"hello"]).await;
    h.nats.restart().await;
    testkit::eventually("the test is connected again", || async { h.bus.ping().ok() }).await;
    let committed = h.submit().await;
    h.publish_outcome(id, "done", completed(attempt, &segments)).await;
    h.wait_for_status(id, Status::Completed).await;
    h.wait_for_status(committed, Status::Dispatched).await;
    assert!(matches!(h.request_grants(grant_request(id, 0)).await, GrantReply::Granted { .. }));
    assert_eq!(h.life.failure(), None);
}

#[tokio::test]
async fn readiness_names_a_stream_that_stores_no_messages() {
    let h = Harness::new().await;
    let app = h.start().await;
    let jetstream = |ok: bool| {
        let url = format!("{}/readyz", app.url);
        testkit::eventually("readiness reports the stream", move || {
            let url = url.clone();
            async move {
                let answer = reqwest::get(url).await.unwrap();
                // the dependency is not required: exports are accepted and wait
                let status = answer.status().as_u16();
                let body: serde_json::Value = answer.json().await.unwrap();
                let found = body["dependencies"].as_array()?.iter().find(|one| one["name"] == "jetstream")?.clone();
                (found["ok"] == ok && status == 200).then_some(found)
            }
        })
    };
    jetstream(true).await;
    let (id, attempt) = h.running_export().await;
    let streams = h.bus.jetstream().clone();
    let events = streams.get_stream(subject::STREAM_EVENTS).await.unwrap().get_info().await.unwrap().config;
    streams.delete_stream(subject::STREAM_EVENTS).await.unwrap();
    let segments = h.write_segments(id, attempt, &[b"hello"]).await;
    h.publish_outcome(id, "done", completed(attempt, &segments)).await;
    let failed = jetstream(false).await;
    assert!(failed["detail"].as_str().unwrap().contains(subject::STREAM_EVENTS), "{failed}");
    streams.create_stream(events).await.unwrap();
    h.wait_until_settled().await;
    jetstream(true).await;
}

#[tokio::test]
async fn an_export_does_not_end_while_nats_is_unavailable() {
    let mut h = Harness::running().await;
    let (canceled, _) = h.running_export().await;
    let (expired, attempt) = h.running_export().await;
    let segments = h.write_segments(expired, attempt, &[b"hello"]).await;
    h.publish_outcome(expired, "done", completed(attempt, &segments)).await;
    h.wait_for_status(expired, Status::Completed).await;
    h.wait_until_settled().await;
    h.wait_until_idle().await;
    h.nats.stop().await;
    assert!(transition::request_cancel(&h.db, &alice(), canceled, now()).await.unwrap());
    h.advance_clock(3600);
    // the reconciler runs twice
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert_eq!((h.row(canceled).await.status.as_str(), h.row(expired).await.status.as_str()), ("running", "completed"));

    h.nats.restart().await;
    h.wait_for_status(canceled, Status::Canceled).await;
    h.wait_for_status(expired, Status::Expired).await;
    h.wait_until_settled().await;
    let events = h.events().await;
    for kind in ["canceled", "expired"] {
        assert_eq!(events.iter().filter(|event| *event == kind).count(), 1, "{events:?}");
    }
}

#[tokio::test]
async fn an_outage_of_the_database_makes_no_dead_letter() {
    let mut h = Harness::new().await;
    h.config.tuning.max_outcome_attempts = 1;
    h.start().await;
    let (id, attempt) = h.running_export().await;
    let segments = h.write_segments(id, attempt, &[b"hello"]).await;
    h.db.execute_unprepared("ALTER TABLE credit_account RENAME TO away").await.unwrap();
    h.publish_outcome(id, "done", completed(attempt, &segments)).await;
    let outcomes = h.bus.jetstream().get_stream(subject::STREAM_OUTCOMES).await.unwrap();
    testkit::eventually("the outcome is redelivered", || async {
        let info = outcomes.consumer_info("notifier").await.ok()?;
        (info.delivered.consumer_sequence > 2).then_some(())
    })
    .await;
    assert_eq!(h.count_messages(subject::STREAM_DEAD).await, 0);
    h.db.execute_unprepared("ALTER TABLE away RENAME TO credit_account").await.unwrap();
    h.wait_for_status(id, Status::Completed).await;
    h.wait_until_settled().await;
    assert_eq!(h.balance().await, (4, 0));
    assert_eq!(h.count_messages(subject::STREAM_DEAD).await, 0);
}

#[tokio::test]
async fn an_outcome_is_retried_until_its_leftover_objects_are_deleted() {
    let h = Harness::running().await;
    let (id, attempt) = h.running_export().await;
    h.write_segments(id, attempt, &[b"hello"]).await;
    // a link to its own folder makes every listing fail
    let folder = h.folder.path().join(delivery::export_prefix(id));
    let link = folder.join("link");
    std::os::unix::fs::symlink(&folder, &link).unwrap();
    h.store.list(&delivery::export_prefix(id)).await.unwrap_err();
    let problem = Problem::new(Slug::ExportFailed, "the source is gone");
    h.publish_outcome(id, "failed", OutcomeResult::Failed { attempt, problem }).await;
    h.wait_for_status(id, Status::Failed).await;
    let outcomes = h.bus.jetstream().get_stream(subject::STREAM_OUTCOMES).await.unwrap();
    testkit::eventually("the outcome is redelivered", || async {
        let info = outcomes.consumer_info("notifier").await.ok()?;
        (info.delivered.consumer_sequence > 1).then_some(())
    })
    .await;
    assert_eq!(h.count_messages(subject::STREAM_OUTCOMES).await, 1);
    std::fs::remove_file(&link).unwrap();
    h.wait_until_settled().await;
    assert!(h.store.list(&delivery::export_prefix(id)).await.unwrap().is_empty());
    assert_eq!(h.events().await.iter().filter(|event| *event == "failed").count(), 1);
}

#[tokio::test]
async fn a_deleted_consumer_is_created_again() {
    let h = Harness::running().await;
    let (id, attempt) = h.running_export().await;
    let segments = h.write_segments(id, attempt, &[b"hello"]).await;
    let outcomes = h.bus.jetstream().get_stream(subject::STREAM_OUTCOMES).await.unwrap();
    testkit::eventually("the consumer exists", || async { outcomes.delete_consumer("notifier").await.ok() }).await;
    h.publish_outcome(id, "done", completed(attempt, &segments)).await;
    h.wait_for_status(id, Status::Completed).await;
}

#[tokio::test]
async fn a_stop_finishes_open_responses_and_dispatches_nothing_new() {
    let h = Harness::running().await;
    let (id, attempt) = h.running_export().await;
    h.write_segments(id, attempt, &[&vec![1; SIZE]]).await;
    let GrantReply::Granted { grants, .. } = h.request_grants(grant_request(id, 0)).await else { panic!() };
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
    timeout(GRACE / 2, stopped).await.expect("the notifier drains in time").unwrap();
    assert_eq!(h.life.failure(), None);
    // another process may use the port of the stopped notifier now
    let served = reqwest::get(&grants[0].url).await.is_ok_and(|answer| answer.status().is_success());
    assert!(!served, "the stopped notifier still serves");

    let late = h.submit().await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(h.row(late).await.status, "queued");
}
