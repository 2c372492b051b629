//! Outcomes move exports and credits once, whatever comes twice, late or broken.

use async_nats::HeaderMap;
use chrono::TimeDelta;
use entity::{ledger, transition};
use futures::StreamExt;
use protocol::{
    delivery,
    envelope::OutcomeResult,
    export::Status,
    id::ExportId,
    problem::{Problem, Slug},
    subject,
};

use crate::harness::{Harness, alice, asking, completed, now, quiet};

#[tokio::test]
async fn a_completion_counts_once_however_often_it_comes() {
    counts_once(Harness::new().await).await;
}

#[tokio::test]
async fn a_completion_counts_once_on_postgres_too() {
    let postgres = testkit::db::Postgres::start().await;
    counts_once(Harness::on(postgres.database().await).await).await;
}

async fn counts_once(h: Harness) {
    h.start().await;
    let (id, attempt) = h.running_export().await;
    let segments = h.write(id, attempt, &[b"hello ", b"world"]).await;
    let mut announced = h.bus.subscribe(subject::delivery_announce(id)).await.unwrap();
    // three ids: the stream can't know that they are the same
    for message_id in ["one", "two", "three"] {
        h.say(id, message_id, completed(attempt, &segments)).await;
    }
    let row = h.until(id, Status::Completed).await;
    h.until_settled().await;
    assert_eq!(row.expires_at, Some(now() + TimeDelta::seconds(3600)));
    assert_eq!((row.file_size, row.rows), (Some(11), 2));
    assert_eq!(h.balance().await, (4, 0));
    let kinds: Vec<_> = ledger::entries(&h.db, &alice(), 9).await.unwrap().iter().map(|e| e.kind.as_str()).collect();
    assert_eq!(kinds, ["capture", "hold", "grant"]);
    assert_eq!(h.events().await, ["credits hold 4+1", "completed", "credits capture 4+0"]);
    let news = platform::bus::open::<delivery::Announcement>(&announced.next().await.unwrap().payload).unwrap();
    assert_eq!(news.body, delivery::Announcement::Ended);
    assert_eq!(h.all(subject::STREAM_DEAD).await.len(), 0);
}

#[tokio::test]
async fn events_go_to_the_owner_with_the_export_as_it_is() {
    let h = Harness::running().await;
    let (id, attempt) = h.running_export().await;
    let segments = h.write(id, attempt, &[b"hello"]).await;
    h.say(id, "one", completed(attempt, &segments)).await;
    h.until_settled().await;
    let messages = h.all(subject::STREAM_EVENTS).await;
    let message = messages.iter().find(|m| m.subject.ends_with(".completed")).unwrap();
    assert_eq!(message.subject.as_str(), subject::user_event(&alice(), "completed"));
    let body: serde_json::Value = serde_json::from_slice(&message.payload).unwrap();
    assert_eq!(body["id"], format!("{id}:completed"));
    assert!(body["traceparent"].as_str().unwrap().starts_with("00-0af7651916cd43dd8448eb211c80319c-"));
    assert_eq!(body["event"]["export"]["status"], "completed");
    assert_eq!(body["event"]["export"]["file"]["size"], 5);
}

#[tokio::test]
async fn an_overtaken_attempt_is_refused() {
    let h = Harness::running().await;
    let (id, first) = h.running_export().await;
    let second = h.claim(id).await;
    assert_eq!((first, second), (1, 2));
    let stale = h.write(id, first, &[b"old"]).await;
    let problem = Problem::new(Slug::ExportFailed, "stale");
    h.say(id, "stale", completed(first, &stale)).await;
    h.say(id, "stale failure", OutcomeResult::Failed { attempt: first, problem }).await;
    h.until_settled().await;
    assert_eq!(h.row(id).await.status, "running");
    assert_eq!(h.events().await, ["credits hold 4+1"]);

    let segments = h.write(id, second, &[b"new"]).await;
    h.say(id, "good", completed(second, &segments)).await;
    h.until(id, Status::Completed).await;
    h.until_settled().await;
    assert_eq!(h.balance().await, (4, 0));
    // the objects of the overtaken attempt go, those of the good one stay
    testkit::eventually("old objects are gone", || async {
        (h.store.list(&delivery::export_prefix(id)).await.unwrap() == [delivery::segment_path(id, second, 0)])
            .then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_failure_gives_the_credit_back_and_says_why() {
    let h = Harness::running().await;
    let (id, attempt) = h.running_export().await;
    h.write(id, attempt, &[b"half"]).await;
    let problem = Problem::new(Slug::ExportFailed, "the source is gone");
    for message_id in ["one", "two"] {
        h.say(id, message_id, OutcomeResult::Failed { attempt, problem: problem.clone() }).await;
    }
    h.until(id, Status::Failed).await;
    h.until_settled().await;
    assert_eq!(h.balance().await, (5, 0));
    assert_eq!(h.events().await, ["credits hold 4+1", "failed", "credits release 5+0"]);
    let delivery::GrantReply::Refused { problem: told } = h.grant(asking(id, 0)).await else { panic!() };
    assert_eq!(told, problem);
    testkit::eventually("no object is left", || async {
        h.store.list(&delivery::export_prefix(id)).await.unwrap().is_empty().then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_cancel_stops_the_work_and_gives_the_credit_back() {
    let h = Harness::running().await;
    let (id, attempt) = h.running_export().await;
    let mut stops = h.bus.subscribe(subject::CANCEL_ALL.into()).await.unwrap();
    h.bus.flush().await.unwrap();
    assert!(transition::request_cancel(&h.db, &alice(), id, now()).await.unwrap());
    h.say(id, "one", OutcomeResult::CancelRequested).await;
    assert_eq!(stops.next().await.unwrap().subject.as_str(), subject::cancel(id));
    let row = h.until(id, Status::Canceled).await;
    h.until_settled().await;
    assert_eq!(row.problem.unwrap()["type"], "/problems/canceled");
    assert_eq!(h.balance().await, (5, 0));
    assert_eq!(h.events().await, ["credits hold 4+1", "canceled", "credits release 5+0"]);

    // the worker's completion comes too late, and so does a second wish
    let segments = h.write(id, attempt, &[b"late"]).await;
    h.say(id, "late", completed(attempt, &segments)).await;
    h.say(id, "again", OutcomeResult::CancelRequested).await;
    h.until_settled().await;
    assert_eq!(h.row(id).await.status, "canceled");
    assert_eq!(h.balance().await, (5, 0));
    assert_eq!(h.events().await.len(), 3);
}

#[tokio::test]
async fn a_cancel_of_what_is_finished_changes_nothing() {
    let h = Harness::running().await;
    let (id, attempt) = h.running_export().await;
    let segments = h.write(id, attempt, &[b"hello"]).await;
    h.say(id, "done", completed(attempt, &segments)).await;
    h.until(id, Status::Completed).await;
    h.say(id, "cancel", OutcomeResult::CancelRequested).await;
    h.until_settled().await;
    assert_eq!(h.row(id).await.status, "completed");
    assert_eq!(h.balance().await, (4, 0));
}

#[tokio::test]
async fn a_delete_takes_the_objects_and_then_the_export() {
    let h = Harness::running().await;
    let (id, attempt) = h.running_export().await;
    let segments = h.write(id, attempt, &[b"hello"]).await;
    h.say(id, "done", completed(attempt, &segments)).await;
    h.until(id, Status::Completed).await;
    assert!(transition::request_delete(&h.db, &alice(), id, now()).await.unwrap());
    for message_id in ["delete", "again"] {
        h.say(id, message_id, OutcomeResult::DeleteRequested).await;
    }
    h.until(id, Status::Expired).await;
    h.until_settled().await;
    assert!(h.store.list(&delivery::export_prefix(id)).await.unwrap().is_empty());
    assert_eq!(h.events().await.iter().filter(|event| *event == "expired").count(), 1);
    assert_eq!(h.balance().await, (4, 0));
}

#[tokio::test]
async fn a_delete_that_nobody_asked_for_waits_for_the_time_to_be_over() {
    let mut h = Harness::new().await;
    // nobody but the message
    h.config.patrol_s = 36_000;
    h.config.sweep_cron = "0 0 1 1 *".into();
    h.start().await;
    let (id, attempt) = h.running_export().await;
    let segments = h.write(id, attempt, &[b"hello"]).await;
    h.say(id, "done", completed(attempt, &segments)).await;
    h.until(id, Status::Completed).await;
    h.say(id, "too soon", OutcomeResult::DeleteRequested).await;
    h.until_settled().await;
    assert_eq!(h.row(id).await.status, "completed");
    assert_eq!(h.store.list(&delivery::export_prefix(id)).await.unwrap().len(), 1);
    h.advance(3600);
    h.say(id, "over", OutcomeResult::DeleteRequested).await;
    h.until(id, Status::Expired).await;
    h.until_settled().await;
    assert_eq!(h.events().await.last().unwrap(), "expired");
}

#[tokio::test]
async fn who_died_between_the_commit_and_the_telling_is_made_up_for() {
    let h = Harness::running().await;
    let (canceled, _) = h.running_export().await;
    let problem = Problem::new(Slug::Canceled, "It was canceled.");
    assert!(transition::canceled(&h.db, canceled, &problem, now()).await.unwrap());
    let (expired, attempt) = h.running_export().await;
    let segments = h.write(expired, attempt, &[b"hello"]).await;
    h.say(expired, "done", completed(attempt, &segments)).await;
    h.until(expired, Status::Completed).await;
    h.until_settled().await;
    assert!(transition::expired(&h.db, expired, now()).await.unwrap());

    h.say(canceled, "cancel", OutcomeResult::CancelRequested).await;
    h.say(expired, "delete", OutcomeResult::DeleteRequested).await;
    h.until_settled().await;
    let events = h.events().await;
    for told in ["canceled", "expired"] {
        assert_eq!(events.iter().filter(|event| *event == told).count(), 1, "{events:?}");
    }
}

#[tokio::test]
async fn what_cannot_be_read_becomes_a_dead_letter_as_it_came() {
    let h = Harness::running().await;
    let id = ExportId::generate();
    let wrong_version =
        format!(r#"{{"v":9,"id":"x","traceparent":"","export_id":"{id}","result":"cancel_requested"}}"#);
    for payload in ["not json", wrong_version.as_str()] {
        let sent =
            h.bus.jetstream().publish_with_headers(subject::outcome(id), HeaderMap::new(), payload.to_owned().into());
        sent.await.unwrap().await.unwrap();
    }
    h.until_settled().await;
    let dead = h.all(subject::STREAM_DEAD).await;
    let payload = |message: &async_nats::jetstream::Message| String::from_utf8_lossy(&message.payload).into_owned();
    let mut payloads: Vec<_> = dead.iter().map(payload).collect();
    // both are taken at once
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
async fn an_outcome_that_keeps_failing_becomes_a_dead_letter_and_changes_nothing() {
    let mut h = Harness::new().await;
    h.config.intake_max_deliver = 2;
    h.start().await;
    let id = h.submit_unpaid().await;
    h.until(id, Status::Dispatched).await;
    let attempt = h.claim(id).await;
    h.say(id, "one", completed(attempt, &[])).await;
    testkit::eventually("it is given up", || async { (h.messages(subject::STREAM_DEAD).await == 1).then_some(()) })
        .await;
    h.until_settled().await;
    // neither half of the transaction happened
    assert_eq!(h.row(id).await.status, "running");
    assert_eq!(h.balance().await, (5, 0));
}

#[tokio::test]
async fn an_outcome_of_nothing_is_dropped() {
    let h = Harness::running().await;
    h.say(ExportId::generate(), "one", OutcomeResult::CancelRequested).await;
    h.until_settled().await;
    quiet().await;
    assert_eq!(h.events().await.len() + h.all(subject::STREAM_DEAD).await.len(), 0);
}
