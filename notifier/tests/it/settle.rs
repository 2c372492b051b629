//! Outcomes change exports and credits once, even if they are delivered twice, late or damaged.

use async_nats::HeaderMap;
use chrono::TimeDelta;
use entity::{ledger, transition};
use futures::StreamExt;
use platform::units::HumanDuration;
use protocol::{
    delivery,
    envelope::OutcomeResult,
    export::Status,
    id::ExportId,
    problem::{Problem, Slug},
    subject,
};

use crate::harness::{Harness, alice, completed, grant_request, now, observation_time};

#[tokio::test]
async fn a_repeated_completion_applies_once() {
    applies_once(Harness::new().await).await;
}

#[tokio::test]
async fn a_repeated_completion_applies_once_on_postgres() {
    let postgres = testkit::db::Postgres::start().await;
    applies_once(Harness::with_database(postgres.database().await).await).await;
}

async fn applies_once(h: Harness) {
    h.start().await;
    let (id, attempt) = h.running_export().await;
    let segments = h.write_segments(id, attempt, &[b"hello ", b"world"]).await;
    let mut announced = h.bus.subscribe(subject::delivery_announce(id)).await.unwrap();
    // the stream does not deduplicate messages with different ids
    for message_id in ["one", "two", "three"] {
        h.publish_outcome(id, message_id, completed(attempt, &segments)).await;
    }
    let row = h.wait_for_status(id, Status::Completed).await;
    h.wait_until_settled().await;
    assert_eq!(row.expires_at, Some(now() + TimeDelta::seconds(3600)));
    assert_eq!((row.file_size, row.rows), (Some(11), 2));
    assert_eq!(h.balance().await, (4, 0));
    let kinds: Vec<_> = ledger::entries(&h.db, &alice(), 9).await.unwrap().iter().map(|e| e.kind.as_str()).collect();
    assert_eq!(kinds, ["capture", "hold", "grant"]);
    assert_eq!(h.events().await, ["credits hold 4+1", "completed", "credits capture 4+0"]);
    let announcement = platform::bus::open::<delivery::Announcement>(&announced.next().await.unwrap().payload).unwrap();
    assert_eq!(announcement.body, delivery::Announcement::Ended);
    assert_eq!(h.all_messages(subject::STREAM_DEAD).await.len(), 0);
}

#[tokio::test]
async fn an_event_carries_the_current_export_to_its_owner() {
    let h = Harness::running().await;
    let (id, attempt) = h.running_export().await;
    let segments = h.write_segments(id, attempt, &[b"hello"]).await;
    h.publish_outcome(id, "one", completed(attempt, &segments)).await;
    h.wait_until_settled().await;
    let messages = h.all_messages(subject::STREAM_EVENTS).await;
    let message = messages.iter().find(|m| m.subject.ends_with(".completed")).unwrap();
    assert_eq!(message.subject.as_str(), subject::user_event(&alice(), "completed"));
    let body: serde_json::Value = serde_json::from_slice(&message.payload).unwrap();
    assert_eq!(body["id"], format!("{id}:completed"));
    assert!(body["traceparent"].as_str().unwrap().starts_with("00-0af7651916cd43dd8448eb211c80319c-"));
    assert_eq!(body["event"]["export"]["status"], "completed");
    assert_eq!(body["event"]["export"]["file"]["size"], 5);
}

#[tokio::test]
async fn the_outcome_of_a_superseded_attempt_is_dropped() {
    let h = Harness::running().await;
    let (id, first) = h.running_export().await;
    let second = h.claim(id).await;
    assert_eq!((first, second), (1, 2));
    let stale = h.write_segments(id, first, &[b"old"]).await;
    let problem = Problem::new(Slug::ExportFailed, "stale");
    h.publish_outcome(id, "stale", completed(first, &stale)).await;
    h.publish_outcome(id, "stale failure", OutcomeResult::Failed { attempt: first, problem }).await;
    h.wait_until_settled().await;
    assert_eq!(h.row(id).await.status, "running");
    assert_eq!(h.events().await, ["credits hold 4+1"]);

    let segments = h.write_segments(id, second, &[b"new"]).await;
    h.publish_outcome(id, "good", completed(second, &segments)).await;
    h.wait_for_status(id, Status::Completed).await;
    h.wait_until_settled().await;
    assert_eq!(h.balance().await, (4, 0));
    // the objects of the superseded attempt are deleted; those of the completed one are kept
    testkit::eventually("the superseded objects are deleted", || async {
        (h.store.list(&delivery::export_prefix(id)).await.unwrap() == [delivery::segment_path(id, second, 0)])
            .then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_failure_releases_the_credit_and_reports_the_problem() {
    let h = Harness::running().await;
    let (id, attempt) = h.running_export().await;
    h.write_segments(id, attempt, &[b"half"]).await;
    let problem = Problem::new(Slug::ExportFailed, "the source is gone");
    for message_id in ["one", "two"] {
        h.publish_outcome(id, message_id, OutcomeResult::Failed { attempt, problem: problem.clone() }).await;
    }
    h.wait_for_status(id, Status::Failed).await;
    h.wait_until_settled().await;
    assert_eq!(h.balance().await, (5, 0));
    assert_eq!(h.events().await, ["credits hold 4+1", "failed", "credits release 5+0"]);
    let delivery::GrantReply::Refused { problem: reported } = h.request_grants(grant_request(id, 0)).await else {
        panic!()
    };
    assert_eq!(reported, problem);
    testkit::eventually("no object is left", || async {
        h.store.list(&delivery::export_prefix(id)).await.unwrap().is_empty().then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_cancel_stops_the_exporter_and_releases_the_credit() {
    let h = Harness::running().await;
    let (id, attempt) = h.running_export().await;
    let mut stops = h.bus.subscribe(subject::CANCEL_ALL.into()).await.unwrap();
    h.bus.flush().await.unwrap();
    assert!(transition::request_cancel(&h.db, &alice(), id, now()).await.unwrap());
    h.publish_outcome(id, "one", OutcomeResult::CancelRequested).await;
    assert_eq!(stops.next().await.unwrap().subject.as_str(), subject::cancel(id));
    let row = h.wait_for_status(id, Status::Canceled).await;
    h.wait_until_settled().await;
    assert_eq!(row.problem.unwrap()["type"], "/problems/canceled");
    assert_eq!(h.balance().await, (5, 0));
    assert_eq!(h.events().await, ["credits hold 4+1", "canceled", "credits release 5+0"]);

    // a late completion and a second cancel change nothing
    let segments = h.write_segments(id, attempt, &[b"late"]).await;
    h.publish_outcome(id, "late", completed(attempt, &segments)).await;
    h.publish_outcome(id, "again", OutcomeResult::CancelRequested).await;
    h.wait_until_settled().await;
    assert_eq!(h.row(id).await.status, "canceled");
    assert_eq!(h.balance().await, (5, 0));
    assert_eq!(h.events().await.len(), 3);
}

#[tokio::test]
async fn a_cancel_of_a_completed_export_changes_nothing() {
    let h = Harness::running().await;
    let (id, attempt) = h.running_export().await;
    let segments = h.write_segments(id, attempt, &[b"hello"]).await;
    h.publish_outcome(id, "done", completed(attempt, &segments)).await;
    h.wait_for_status(id, Status::Completed).await;
    h.publish_outcome(id, "cancel", OutcomeResult::CancelRequested).await;
    h.wait_until_settled().await;
    assert_eq!(h.row(id).await.status, "completed");
    assert_eq!(h.balance().await, (4, 0));
}

#[tokio::test]
async fn a_delete_removes_the_objects_and_then_expires_the_export() {
    let h = Harness::running().await;
    let (id, attempt) = h.running_export().await;
    let segments = h.write_segments(id, attempt, &[b"hello"]).await;
    h.publish_outcome(id, "done", completed(attempt, &segments)).await;
    h.wait_for_status(id, Status::Completed).await;
    assert!(transition::request_delete(&h.db, &alice(), id, now()).await.unwrap());
    for message_id in ["delete", "again"] {
        h.publish_outcome(id, message_id, OutcomeResult::DeleteRequested).await;
    }
    h.wait_for_status(id, Status::Expired).await;
    h.wait_until_settled().await;
    assert!(h.store.list(&delivery::export_prefix(id)).await.unwrap().is_empty());
    assert_eq!(h.events().await.iter().filter(|event| *event == "expired").count(), 1);
    assert_eq!(h.balance().await, (4, 0));
}

#[tokio::test]
async fn an_unrequested_delete_is_refused_before_the_retention_ends() {
    let mut h = Harness::new().await;
    // only the command may delete the file
    h.config.command_reconcile_interval = HumanDuration::from_secs(36_000);
    h.config.sweep_schedule = "0 0 1 1 *".into();
    h.start().await;
    let (id, attempt) = h.running_export().await;
    let segments = h.write_segments(id, attempt, &[b"hello"]).await;
    h.publish_outcome(id, "done", completed(attempt, &segments)).await;
    h.wait_for_status(id, Status::Completed).await;
    h.publish_outcome(id, "too soon", OutcomeResult::DeleteRequested).await;
    h.wait_until_settled().await;
    assert_eq!(h.row(id).await.status, "completed");
    assert_eq!(h.store.list(&delivery::export_prefix(id)).await.unwrap().len(), 1);
    h.advance_clock(3600);
    h.publish_outcome(id, "over", OutcomeResult::DeleteRequested).await;
    h.wait_for_status(id, Status::Expired).await;
    h.wait_until_settled().await;
    assert_eq!(h.events().await.last().unwrap(), "expired");
}

#[tokio::test]
async fn a_crash_between_the_commit_and_the_events_is_repaired() {
    let h = Harness::running().await;
    let (canceled, _) = h.running_export().await;
    let problem = Problem::new(Slug::Canceled, "It was canceled.");
    assert!(transition::canceled(&h.db, canceled, &problem, now()).await.unwrap());
    let (expired, attempt) = h.running_export().await;
    let segments = h.write_segments(expired, attempt, &[b"hello"]).await;
    h.publish_outcome(expired, "done", completed(attempt, &segments)).await;
    h.wait_for_status(expired, Status::Completed).await;
    h.wait_until_settled().await;
    assert!(transition::expired(&h.db, expired, now()).await.unwrap());

    h.publish_outcome(canceled, "cancel", OutcomeResult::CancelRequested).await;
    h.publish_outcome(expired, "delete", OutcomeResult::DeleteRequested).await;
    h.wait_until_settled().await;
    let events = h.events().await;
    for kind in ["canceled", "expired"] {
        assert_eq!(events.iter().filter(|event| *event == kind).count(), 1, "{events:?}");
    }
}

#[tokio::test]
async fn an_unreadable_outcome_becomes_an_unchanged_dead_letter() {
    let h = Harness::running().await;
    let id = ExportId::generate();
    let wrong_version =
        format!(r#"{{"v":9,"id":"x","traceparent":"","export_id":"{id}","result":"cancel_requested"}}"#);
    for payload in ["not json", wrong_version.as_str()] {
        let sent =
            h.bus.jetstream().publish_with_headers(subject::outcome(id), HeaderMap::new(), payload.to_owned().into());
        sent.await.unwrap().await.unwrap();
    }
    h.wait_until_settled().await;
    let dead = h.all_messages(subject::STREAM_DEAD).await;
    let payload = |message: &async_nats::jetstream::Message| String::from_utf8_lossy(&message.payload).into_owned();
    let mut payloads: Vec<_> = dead.iter().map(payload).collect();
    // the notifier processes both outcomes concurrently
    payloads.sort_unstable();
    assert_eq!(payloads, ["not json", wrong_version.as_str()]);
    for message in dead {
        assert_eq!(message.subject.as_str(), subject::dead_letter("outcome", id));
        let headers = message.headers.as_ref().unwrap();
        assert_eq!(headers.get("Sluice-Subject").unwrap().as_str(), subject::outcome(id));
        assert!(headers.get("Sluice-Reason").unwrap().as_str().starts_with("unreadable"));
    }
}

#[tokio::test]
async fn a_permanently_failing_outcome_becomes_a_dead_letter_and_changes_nothing() {
    let mut h = Harness::new().await;
    h.config.tuning.max_outcome_attempts = 2;
    h.start().await;
    let id = h.submit_unpaid().await;
    h.wait_for_status(id, Status::Dispatched).await;
    let attempt = h.claim(id).await;
    h.publish_outcome(id, "one", completed(attempt, &[])).await;
    testkit::eventually("the outcome is dead-lettered", || async {
        (h.count_messages(subject::STREAM_DEAD).await == 1).then_some(())
    })
    .await;
    h.wait_until_settled().await;
    // the whole transaction was rolled back
    assert_eq!(h.row(id).await.status, "running");
    assert_eq!(h.balance().await, (5, 0));
}

#[tokio::test]
async fn an_outcome_of_an_unknown_export_is_dropped() {
    let h = Harness::running().await;
    h.publish_outcome(ExportId::generate(), "one", OutcomeResult::CancelRequested).await;
    h.wait_until_settled().await;
    observation_time().await;
    assert_eq!(h.events().await.len() + h.all_messages(subject::STREAM_DEAD).await.len(), 0);
}
