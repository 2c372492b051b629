//! Committed exports become jobs, with or without a hint, and the scheduled jobs repair lost messages.

use entity::transition;
use platform::units::HumanDuration;
use protocol::{
    delivery,
    envelope::{Job, OutcomeResult},
    export::Status,
    id::Owner,
    subject::{self, Lane},
};

use crate::harness::{Harness, advertise, alice, completed, now, observation_time};

#[tokio::test]
async fn a_committed_export_without_a_hint_is_published_once() {
    let h = Harness::new().await;
    let id = h.submit().await;
    // both notifiers poll at the same time
    h.start().await;
    h.start().await;
    h.wait_for_status(id, Status::Dispatched).await;
    observation_time().await;
    let jobs = h.all_jobs().await;
    assert_eq!(jobs, [(subject::job("default", Lane::Bulk, id), Job { export_id: id, owner: alice(), number: 0 })]);
    h.wait_until_notified().await;
    assert_eq!(h.events().await, ["credits hold 4+1"]);
}

#[tokio::test]
async fn a_hint_dispatches_an_export_before_the_next_poll() {
    let mut h = Harness::new().await;
    h.config.tuning.dispatch_poll_interval = HumanDuration::from_secs(600);
    h.start().await;
    let id = h.submit().await;
    h.bus.publish_lossy(subject::DELIVERY_SUBMITTED.into(), "", &serde_json::json!({ "export_id": id })).await.unwrap();
    h.wait_for_status(id, Status::Dispatched).await;
}

#[tokio::test]
async fn exports_are_published_in_the_order_of_their_requests() {
    let h = Harness::new().await;
    let (a, b, c) = (h.submit().await, h.submit().await, h.submit().await);
    h.start().await;
    h.wait_for_status(c, Status::Dispatched).await;
    let order: Vec<_> = h.all_jobs().await.into_iter().map(|(_, job)| job.export_id).collect();
    assert_eq!(order, [a, b, c]);
}

#[tokio::test]
async fn an_export_canceled_while_waiting_never_becomes_a_job() {
    let h = Harness::new().await;
    let id = h.submit().await;
    assert!(transition::request_cancel(&h.db, &alice(), id, now()).await.unwrap());
    h.start().await;
    h.wait_until_notified().await;
    h.wait_until_idle().await;
    h.advance_clock(60);
    h.wait_for_status(id, Status::Canceled).await;
    testkit::eventually("the owner is notified", || async { (h.events().await.len() == 3).then_some(()) }).await;
    assert_eq!(h.events().await, ["credits hold 4+1", "canceled", "credits release 5+0"]);
    assert!(h.all_jobs().await.is_empty());
}

#[tokio::test]
async fn an_export_that_cannot_be_published_does_not_delay_others() {
    let h = Harness::new().await;
    // the capacity is two exports
    advertise(&h.bus, 2, 1).await;
    // NATS refuses a message of this size
    let bad = h.submit_for(Owner::new("acme", "x".repeat(2 * 1024 * 1024))).await;
    for tenant in ["one", "two", "three"] {
        h.submit_for(Owner::new(tenant, "x".repeat(2 * 1024 * 1024))).await;
    }
    let good = h.submit().await;
    h.start().await;
    h.wait_for_status(good, Status::Dispatched).await;
    assert_eq!(h.row(bad).await.status, "queued");
}

#[tokio::test]
async fn an_export_is_not_dispatched_before_the_stream_confirms_its_job() {
    let mut h = Harness::running().await;
    h.nats.stop().await;
    let id = h.submit().await;
    observation_time().await;
    assert_eq!(h.row(id).await.status, "queued");
    h.nats.restart().await;
    h.wait_for_status(id, Status::Dispatched).await;
    assert_eq!(h.all_jobs().await.len(), 1);
}

#[tokio::test]
async fn objects_written_after_the_end_of_an_export_are_deleted() {
    let h = Harness::running().await;
    let (canceled, attempt) = h.running_export().await;
    assert!(transition::request_cancel(&h.db, &alice(), canceled, now()).await.unwrap());
    h.publish_outcome(canceled, "cancel", OutcomeResult::CancelRequested).await;
    let (done, first) = h.running_export().await;
    let second = h.claim(done).await;
    let segments = h.write_segments(done, second, &[b"hello"]).await;
    h.publish_outcome(done, "done", completed(second, &segments)).await;
    h.wait_for_status(canceled, Status::Canceled).await;
    h.wait_for_status(done, Status::Completed).await;
    h.wait_until_settled().await;

    // a slow exporter writes these objects late
    for (id, attempt) in [(canceled, attempt), (done, first)] {
        h.store.put(&delivery::segment_path(id, attempt, 7), &b"late"[..]).await.unwrap();
    }
    h.wait_until_idle().await;
    h.advance_clock(1800);
    testkit::eventually("only the file remains", || async {
        (h.store.list("exports").await.unwrap() == [delivery::segment_path(done, second, 0)]).then_some(())
    })
    .await;
    assert_eq!(h.row(done).await.status, "completed");
}

#[tokio::test]
async fn the_reconciler_cancels_an_export_whose_command_was_lost() {
    let h = Harness::running().await;
    let (id, _) = h.running_export().await;
    assert!(transition::request_cancel(&h.db, &alice(), id, now()).await.unwrap());
    h.wait_until_idle().await;
    h.advance_clock(60);
    h.wait_for_status(id, Status::Canceled).await;
    assert_eq!(h.balance().await, (5, 0));
}

#[tokio::test]
async fn the_sweep_deletes_a_file_after_its_retention() {
    let h = Harness::running().await;
    let (id, attempt) = h.running_export().await;
    let segments = h.write_segments(id, attempt, &[b"hello"]).await;
    h.publish_outcome(id, "done", completed(attempt, &segments)).await;
    h.wait_for_status(id, Status::Completed).await;
    // the sweep skips an export with a pending outcome
    h.wait_until_settled().await;
    h.wait_until_idle().await;
    h.advance_clock(3599);
    tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
    assert_eq!(h.row(id).await.status, "completed");
    // the sweep runs again in the next hour
    h.wait_until_idle().await;
    h.advance_clock(3600);
    h.wait_for_status(id, Status::Expired).await;
    h.wait_until_settled().await;
    assert_eq!(h.events().await.last().unwrap(), "expired");
    assert!(h.store.list(&delivery::export_prefix(id)).await.unwrap().is_empty());
}
