//! What a notifier does when NATS goes away, and when it is told to stop.

use std::time::Duration;

use protocol::{delivery::GrantReply, export::Status, subject};
use tokio::time::timeout;

use crate::harness::{Harness, asking, completed};

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
    let stopped = tokio::spawn(async move { life.shut_down(Duration::from_secs(20)).await });
    while let Some(chunk) = reading.chunk().await.unwrap() {
        read += chunk.len();
    }
    assert_eq!(read, SIZE);
    drop(reading);
    timeout(Duration::from_secs(10), stopped).await.expect("it drains in time").unwrap();
    assert_eq!(h.life.failure(), None);
    assert!(reqwest::get(&grants[0].url).await.is_err(), "it still serves");

    let late = h.submit().await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(h.row(late).await.status, "queued");
}
