//! Operators list dead letters and requeue them over NATS; each requeue holds one credit.

use entity::{export, ledger};
use protocol::{
    envelope::Envelope,
    export::Status,
    id::ExportId,
    ops::{DeadLetterKind, DeadLettersReply, DeadLettersRequest, RequeueReply, RequeueRequest},
    problem::{Problem, Slug},
    subject,
};
use sea_orm::{ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter, TransactionTrait};
use serde_json::json;

use crate::harness::{Harness, alice, completed, credit_policy, now, operator_request};

async fn requeue(h: &Harness, export_id: ExportId) -> RequeueReply {
    operator_request(h, subject::OPS_REQUEUE, &RequeueRequest::new(export_id)).await
}

fn expect_refusal(reply: RequeueReply) -> Problem {
    match reply {
        RequeueReply::Refused { problem } => problem,
        other => panic!("{other:?}"),
    }
}

/// Fails an export as an exporter does: publishes the outcome, and a dead letter for the job.
async fn fail(h: &Harness) -> ExportId {
    let (id, attempt) = h.running_export().await;
    let problem = Problem::new(Slug::ExportFailed, "The source is broken.");
    let body =
        json!({"export_id": id, "owner": alice(), "attempt": attempt, "reason": "dataset", "detail": "no table"});
    let dead = Envelope::new(format!("{id}:dead"), "", body);
    h.bus.publish_durable(subject::dead_letter("dataset", id), &dead.id.clone(), &dead).await.unwrap();
    h.publish_outcome(id, &format!("{id}:failed"), protocol::envelope::OutcomeResult::Failed { attempt, problem })
        .await;
    h.wait_for_status(id, Status::Failed).await;
    h.wait_until_settled().await;
    id
}

async fn count_holds(h: &Harness) -> u64 {
    let entries = entity::entry::Entity::find().filter(entity::entry::Column::Kind.eq("hold"));
    entries.count(&h.db).await.unwrap()
}

#[tokio::test]
async fn a_dead_job_is_listed_and_requeued_once_with_a_new_hold() {
    let h = Harness::running().await;
    let id = fail(&h).await;
    assert_eq!(h.balance().await, (5, 0));
    let reply: DeadLettersReply = operator_request(&h, subject::OPS_DEAD, &DeadLettersRequest::default()).await;
    let DeadLettersReply::DeadLetters { items, total, next_cursor } = reply else { panic!("{reply:?}") };
    assert_eq!((items.len(), total, next_cursor), (1, 1, None));
    assert_eq!((items[0].export_id, items[0].kind, items[0].reason.as_str()), (id, DeadLetterKind::Job, "dataset"));
    assert_eq!((items[0].detail.as_str(), items[0].attempt), ("no table", Some(1)));

    let RequeueReply::Requeued { export: new, failed_export_id } = requeue(&h, id).await else { panic!() };
    assert_eq!((failed_export_id, new.dataset.as_str(), new.status), (id, "flights", Status::Queued));
    assert_ne!(new.id, id);
    let (again, once_more) = tokio::join!(requeue(&h, id), requeue(&h, id));
    for reply in [again, once_more] {
        let RequeueReply::Requeued { export, .. } = reply else { panic!("{reply:?}") };
        assert_eq!(export.id, new.id);
    }
    assert_eq!((h.balance().await, count_holds(&h).await), ((4, 1), 2));
    assert_eq!(h.count_messages(subject::STREAM_DEAD).await, 0);
    assert_eq!(h.row(id).await.status, "failed", "a failed export stays failed");

    h.wait_for_status(new.id, Status::Dispatched).await;
    let attempt = h.claim(new.id).await;
    let segments = h.write_segments(new.id, attempt, &[b"a,b\n"]).await;
    h.publish_outcome(new.id, "done", completed(attempt, &segments)).await;
    h.wait_for_status(new.id, Status::Completed).await;
    h.wait_until_settled().await;
    assert_eq!(h.balance().await, (4, 0));
    let RequeueReply::Requeued { export, .. } = requeue(&h, id).await else { panic!() };
    assert_eq!((export.id, export.status), (new.id, Status::Completed));
    assert!(ledger::audit(&h.db).await.unwrap().is_empty());
}

#[tokio::test]
async fn concurrent_requeues_hold_one_credit_on_postgres() {
    let postgres = testkit::db::Postgres::start().await;
    let h = Harness::with_database(postgres.database().await).await;
    h.start().await;
    let id = fail(&h).await;
    let replies = futures::future::join_all((0..8).map(|_| requeue(&h, id))).await;
    let mut ids: Vec<_> = replies
        .into_iter()
        .map(|reply| match reply {
            RequeueReply::Requeued { export, .. } => export.id,
            other => panic!("{other:?}"),
        })
        .collect();
    ids.dedup();
    assert_eq!((ids.len(), h.balance().await, count_holds(&h).await), (1, (4, 1), 2));
}

#[tokio::test]
async fn a_requeue_without_credits_is_refused() {
    let h = Harness::running().await;
    let id = fail(&h).await;
    let tx = h.db.begin().await.unwrap();
    assert!(ledger::adjust(&tx, &alice(), -5, "a test", now()).await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(expect_refusal(requeue(&h, id).await).slug(), Slug::CreditsExhausted);
    assert_eq!(h.count_messages(subject::STREAM_DEAD).await, 1, "the dead letter stays for a later requeue");
    let tx = h.db.begin().await.unwrap();
    ledger::grant(&tx, &alice(), 1, "a test", now()).await.unwrap();
    tx.commit().await.unwrap();
    assert!(matches!(requeue(&h, id).await, RequeueReply::Requeued { .. }));
    assert_eq!(h.balance().await, (0, 1));
}

#[tokio::test]
async fn a_requeue_joins_an_identical_running_export() {
    let h = Harness::running().await;
    let id = fail(&h).await;
    let twin = export::Model { join_key: Some("same".into()), ..h.row(id).await };
    let update = export::ActiveModel {
        id: sea_orm::ActiveValue::Unchanged(id.0),
        join_key: sea_orm::ActiveValue::Set(Some("same".into())),
        ..Default::default()
    };
    export::Entity::update(update).exec(&h.db).await.unwrap();
    let fresh = ExportId::generate();
    let tx = h.db.begin().await.unwrap();
    ledger::open_and_accrue(&tx, &alice(), &credit_policy(), now()).await.unwrap();
    assert!(ledger::hold(&tx, &alice(), fresh, 1, now()).await.unwrap());
    let row = export::Model {
        dataset: twin.dataset,
        join_key: twin.join_key,
        ..export::Model::queued(fresh, &alice(), now())
    };
    export::insert(&tx, row).await.unwrap();
    tx.commit().await.unwrap();
    let RequeueReply::Requeued { export, .. } = requeue(&h, id).await else { panic!() };
    assert_eq!((export.id, h.balance().await), (fresh, (4, 1)));
}

#[tokio::test]
async fn an_export_without_a_dead_letter_is_not_requeued() {
    let h = Harness::running().await;
    let (running, _) = h.running_export().await;
    assert_eq!(expect_refusal(requeue(&h, running).await).slug(), Slug::NotReady);
    assert_eq!(expect_refusal(requeue(&h, ExportId::generate()).await).slug(), Slug::NotFound);
    let id = fail(&h).await;
    let stream = h.bus.jetstream().get_stream(subject::STREAM_DEAD).await.unwrap();
    stream.purge().await.unwrap();
    assert_eq!(expect_refusal(requeue(&h, id).await).slug(), Slug::NotFound);
    assert_eq!(count_holds(&h).await, 2, "one hold for each submitted export");
}

#[tokio::test]
async fn a_dead_outcome_is_requeued_and_settled() {
    let h = Harness::running().await;
    let (id, attempt) = h.running_export().await;
    let segments = h.write_segments(id, attempt, &[b"a,b\n"]).await;
    // the dead letter that the notifier writes for an unsettled outcome
    let outcome = protocol::envelope::Outcome { export_id: id, result: completed(attempt, &segments) };
    let message = Envelope::new("dead", "", outcome);
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("Sluice-Reason", "a defect");
    let payload = serde_json::to_vec(&message).unwrap();
    let sent =
        h.bus.jetstream().publish_with_headers(subject::dead_letter("outcome", id), headers, payload.into()).await;
    sent.unwrap().await.unwrap();
    let reply: DeadLettersReply = operator_request(&h, subject::OPS_DEAD, &DeadLettersRequest::default()).await;
    let DeadLettersReply::DeadLetters { items, .. } = reply else { panic!("{reply:?}") };
    assert_eq!((items[0].kind, items[0].detail.as_str()), (DeadLetterKind::Outcome, "a defect"));

    assert!(matches!(requeue(&h, id).await, RequeueReply::OutcomeRequeued { .. }));
    h.wait_for_status(id, Status::Completed).await;
    h.wait_until_settled().await;
    assert_eq!((h.balance().await, h.count_messages(subject::STREAM_DEAD).await), ((4, 0), 0));
}

#[tokio::test]
async fn dead_letters_are_listed_in_pages_across_gaps() {
    let h = Harness::running().await;
    let mut ids = Vec::new();
    for n in 0..5 {
        let id = ExportId::generate();
        let body = json!({"attempt": n, "detail": "x"});
        h.bus.publish_durable(subject::dead_letter("filter", id), &id.to_string(), &body).await.unwrap();
        ids.push(id);
    }
    let stream = h.bus.jetstream().get_stream(subject::STREAM_DEAD).await.unwrap();
    stream.delete_message(3).await.unwrap();
    ids.remove(2);
    let (mut seen, mut cursor) = (Vec::new(), None);
    loop {
        let reply: DeadLettersReply =
            operator_request(&h, subject::OPS_DEAD, &DeadLettersRequest { limit: Some(2), cursor }).await;
        let DeadLettersReply::DeadLetters { items, total, next_cursor } = reply else { panic!("{reply:?}") };
        assert_eq!(total, 4);
        seen.extend(items.iter().map(|item| item.export_id));
        cursor = next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    ids.reverse();
    assert_eq!(seen, ids);
}
