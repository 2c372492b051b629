//! Committed exports become jobs, whoever told of them, and what was forgotten is found.

use chrono::TimeDelta;
use entity::transition;
use protocol::{
    delivery,
    envelope::{Job, OutcomeResult},
    export::Status,
    id::Owner,
    subject::{self, Lane},
};

use crate::harness::{Harness, advertise, alice, completed, now, quiet};

#[tokio::test]
async fn a_committed_export_that_nobody_told_of_is_published_once() {
    let h = Harness::new().await;
    let id = h.submit().await;
    // two of them look for it at the same time
    h.start().await;
    h.start().await;
    h.until(id, Status::Dispatched).await;
    quiet().await;
    let jobs = h.all_jobs().await;
    assert_eq!(jobs, [(subject::job("default", Lane::Bulk, id), Job { export_id: id, owner: alice() })]);
    h.until_told().await;
    assert_eq!(h.events().await, ["credits hold 4+1"]);
}

#[tokio::test]
async fn a_hint_is_heard_at_once() {
    let mut h = Harness::new().await;
    h.config.dispatch_poll_ms = 600_000;
    h.start().await;
    let id = h.submit().await;
    h.bus.publish_lossy(subject::DELIVERY_SUBMITTED.into(), "", &serde_json::json!({ "export_id": id })).await.unwrap();
    h.until(id, Status::Dispatched).await;
}

#[tokio::test]
async fn exports_are_published_in_the_order_of_their_requests() {
    let h = Harness::new().await;
    let (a, b, c) = (h.submit().await, h.submit().await, h.submit().await);
    h.start().await;
    h.until(c, Status::Dispatched).await;
    let order: Vec<_> = h.all_jobs().await.into_iter().map(|(_, job)| job.export_id).collect();
    assert_eq!(order, [a, b, c]);
}

#[tokio::test]
async fn an_export_canceled_before_its_turn_never_becomes_a_job() {
    let h = Harness::new().await;
    let id = h.submit().await;
    assert!(transition::request_cancel(&h.db, &alice(), id, now()).await.unwrap());
    h.start().await;
    h.until_told().await;
    h.rest().await;
    h.advance(60);
    h.until(id, Status::Canceled).await;
    testkit::eventually("the owner hears of it", || async { (h.events().await.len() == 3).then_some(()) }).await;
    assert_eq!(h.events().await, ["credits hold 4+1", "canceled", "credits release 5+0"]);
    assert!(h.all_jobs().await.is_empty());
}

#[tokio::test]
async fn an_export_that_cannot_be_published_does_not_stand_before_others() {
    let h = Harness::new().await;
    // room for two of them, and no more
    advertise(&h.bus, 2, 1).await;
    // no message may be that long
    let bad = h.submit_for(Owner::new("acme", "x".repeat(2 * 1024 * 1024))).await;
    for tenant in ["one", "two", "three"] {
        h.submit_for(Owner::new(tenant, "x".repeat(2 * 1024 * 1024))).await;
    }
    let good = h.submit().await;
    h.start().await;
    h.until(good, Status::Dispatched).await;
    assert_eq!(h.row(bad).await.status, "queued");
}

#[tokio::test]
async fn nothing_counts_as_dispatched_before_the_stream_has_it() {
    let mut h = Harness::running().await;
    h.nats.stop().await;
    let id = h.submit().await;
    quiet().await;
    assert_eq!(h.row(id).await.status, "queued");
    h.nats.restart().await;
    h.until(id, Status::Dispatched).await;
    assert_eq!(h.all_jobs().await.len(), 1);
}

#[tokio::test]
async fn objects_that_came_after_the_end_are_found() {
    let h = Harness::running().await;
    let (canceled, attempt) = h.running_export().await;
    assert!(transition::request_cancel(&h.db, &alice(), canceled, now()).await.unwrap());
    h.say(canceled, "cancel", OutcomeResult::CancelRequested).await;
    let (done, first) = h.running_export().await;
    let second = h.claim(done).await;
    let segments = h.write(done, second, &[b"hello"]).await;
    h.say(done, "done", completed(second, &segments)).await;
    h.until(canceled, Status::Canceled).await;
    h.until(done, Status::Completed).await;
    h.until_settled().await;

    // from exporters that did not hear of it in time
    for (id, attempt) in [(canceled, attempt), (done, first)] {
        h.store.put(&delivery::segment_path(id, attempt, 7), &b"late"[..]).await.unwrap();
    }
    h.rest().await;
    h.advance(1800);
    testkit::eventually("only the file is left", || async {
        (h.store.list("exports").await.unwrap() == [delivery::segment_path(done, second, 0)]).then_some(())
    })
    .await;
    assert_eq!(h.row(done).await.status, "completed");
}

#[tokio::test]
async fn the_sweep_settles_a_cancel_whose_message_was_lost() {
    let h = Harness::running().await;
    let (id, _) = h.running_export().await;
    assert!(transition::request_cancel(&h.db, &alice(), id, now()).await.unwrap());
    h.rest().await;
    h.advance(60);
    h.until(id, Status::Canceled).await;
    assert_eq!(h.balance().await, (5, 0));
}

#[tokio::test]
async fn the_sweep_deletes_files_whose_time_is_over() {
    let h = Harness::running().await;
    let (id, attempt) = h.running_export().await;
    let segments = h.write(id, attempt, &[b"hello"]).await;
    h.say(id, "done", completed(attempt, &segments)).await;
    h.until(id, Status::Completed).await;
    // a sweep leaves alone what is being settled
    h.until_settled().await;
    h.rest().await;
    h.advance(3599);
    tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
    assert_eq!(h.row(id).await.status, "completed");
    // the next hour
    h.rest().await;
    h.advance(3600);
    h.until(id, Status::Expired).await;
    h.until_settled().await;
    assert_eq!(h.events().await.last().unwrap(), "expired");
    assert!(h.store.list(&delivery::export_prefix(id)).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_lost_job_is_published_again_and_one_that_waits_is_not() {
    let h = Harness::running().await;
    let (waiting, lost) = (h.submit().await, h.submit().await);
    h.until(waiting, Status::Dispatched).await;
    h.until(lost, Status::Dispatched).await;
    let jobs = h.bus.jetstream().get_stream(subject::STREAM_JOBS).await.unwrap();
    let subject = subject::job("default", Lane::Bulk, lost);
    let sequence = jobs.get_last_raw_message_by_subject(&subject).await.unwrap().sequence;
    jobs.delete_message(sequence).await.unwrap();
    h.rest().await;
    h.clock.advance(TimeDelta::seconds(601));
    testkit::eventually("the lost job is back", || async { (h.all_jobs().await.len() == 2).then_some(()) }).await;
    tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
    let order: Vec<_> = h.all_jobs().await.into_iter().map(|(_, job)| job.export_id).collect();
    assert_eq!(order, [waiting, lost]);
}
