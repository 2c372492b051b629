//! Operators list, cancel and requeue exports over NATS, and each request has its effect on credits once.

use entity::{export, ledger};
use platform::units::HumanDuration;
use protocol::{
    envelope::Envelope,
    export::Status,
    id::{ExportId, Owner},
    ops::{
        CancelReply, CancelRequest, DeadLetterKind, DeadLettersReply, DeadLettersRequest, ExportLookup, ExportReply,
        ExportersReply, ExportersRequest, ExportsReply, ExportsRequest, RequeueReply, RequeueRequest,
    },
    problem::{Problem, Slug},
    subject,
};
use sea_orm::{ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter, TransactionTrait};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;

use crate::harness::{Harness, advertise, alice, completed, credit_policy, now};

async fn ask<Q: Serialize, A: DeserializeOwned>(h: &Harness, subject: &str, question: &Q) -> A {
    h.bus.request::<_, Envelope<A>>(subject, question).await.unwrap().body
}

async fn list(h: &Harness, request: ExportsRequest) -> (Vec<ExportId>, Option<ExportId>) {
    match ask(h, subject::OPS_EXPORTS, &request).await {
        ExportsReply::Exports { items, next_cursor } => (items.iter().map(|item| item.id).collect(), next_cursor),
        ExportsReply::Refused { problem } => panic!("{problem}"),
    }
}

async fn cancel(h: &Harness, export_id: ExportId) -> CancelReply {
    ask(h, subject::OPS_CANCEL, &CancelRequest { export_id }).await
}

async fn requeue(h: &Harness, export_id: ExportId) -> RequeueReply {
    ask(h, subject::OPS_REQUEUE, &RequeueRequest { export_id }).await
}

fn refused(reply: RequeueReply) -> Problem {
    match reply {
        RequeueReply::Refused { problem } => problem,
        other => panic!("{other:?}"),
    }
}

/// Fails an export as an exporter does: publishes the outcome, and the job as a dead letter.
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

async fn holds(h: &Harness) -> u64 {
    let entries = entity::entry::Entity::find().filter(entity::entry::Column::Kind.eq("hold"));
    entries.count(&h.db).await.unwrap()
}

#[tokio::test]
async fn exports_of_all_owners_are_listed_newest_first_in_pages() {
    let h = Harness::running().await;
    let bob = Owner::new("globex", "bob");
    let first = h.submit().await;
    let second = h.submit_for(bob.clone()).await;
    let third = h.submit().await;
    let (page, next) = list(&h, ExportsRequest { limit: Some(2), ..ExportsRequest::default() }).await;
    assert_eq!((page, next), (vec![third, second], Some(second)));
    let (page, next) = list(&h, ExportsRequest { limit: Some(2), cursor: next, ..ExportsRequest::default() }).await;
    assert_eq!((page, next), (vec![first], None));
    let of = |tenant: &str, user: Option<&str>| ExportsRequest {
        tenant: Some(tenant.into()),
        user: user.map(Into::into),
        ..ExportsRequest::default()
    };
    assert_eq!(list(&h, of("globex", Some("bob"))).await.0, [second]);
    assert_eq!(list(&h, of("acme", None)).await.0, [third, first]);
    assert_eq!(list(&h, of("acme", Some("bob"))).await.0, []);
    let by = |status, dataset: &str| ExportsRequest {
        status: Some(status),
        dataset: Some(dataset.into()),
        ..ExportsRequest::default()
    };
    h.wait_for_status(first, Status::Dispatched).await;
    assert!(list(&h, by(Status::Dispatched, "flights")).await.0.contains(&first));
    assert_eq!(list(&h, by(Status::Completed, "flights")).await.0, []);
    assert_eq!(list(&h, by(Status::Dispatched, "menus")).await.0, []);
}

#[tokio::test]
async fn an_invalid_request_is_refused_by_the_name_of_its_field() {
    let h = Harness::running().await;
    for (question, pointer) in [
        (json!({"limit": 0}), "/limit"),
        (json!({"limit": 1000}), "/limit"),
        (json!({"limit": "many"}), "/limit"),
        (json!({"status": "lost"}), "/status"),
        (json!({"user": "bob"}), "/tenant"),
        (json!({"cursor": "x"}), "/cursor"),
    ] {
        let reply: ExportsReply = ask(&h, subject::OPS_EXPORTS, &question).await;
        let ExportsReply::Refused { problem } = reply else { panic!("{question}") };
        assert_eq!((problem.slug(), problem.errors[0].pointer.as_str()), (Slug::InvalidRequest, pointer), "{question}");
    }
    let nothing: ExportReply = ask(&h, subject::OPS_EXPORT, &json!({})).await;
    let ExportReply::Refused { problem } = nothing else { panic!("{nothing:?}") };
    assert!(problem.detail.contains("export_id"), "{problem}");
    let unknown: ExportReply = ask(&h, subject::OPS_EXPORT, &ExportLookup { export_id: ExportId::generate() }).await;
    let ExportReply::Refused { problem } = unknown else { panic!("{unknown:?}") };
    assert_eq!(problem.slug(), Slug::NotFound);
}

#[tokio::test]
async fn one_export_is_shown_with_its_internal_details() {
    let h = Harness::running().await;
    let (id, attempt) = h.running_export().await;
    let reply: ExportReply = ask(&h, subject::OPS_EXPORT, &ExportLookup { export_id: id }).await;
    let ExportReply::Export { summary, export } = reply else { panic!("{reply:?}") };
    assert_eq!((summary.tenant.as_str(), summary.user.as_str()), ("acme", "alice@example.com"));
    assert_eq!((summary.exporter.as_deref(), summary.attempt), (Some("worker"), attempt));
    assert_eq!(summary.trace_id.as_deref(), Some("0af7651916cd43dd8448eb211c80319c"));
    assert_eq!((export.id, export.status), (id, Status::Running));
}

#[tokio::test]
async fn an_operator_cancels_an_export_once() {
    let h = Harness::running().await;
    let (id, _) = h.running_export().await;
    assert_eq!(h.balance().await, (4, 1));
    let CancelReply::Requested { export } = cancel(&h, id).await else { panic!() };
    assert!(export.cancel_requested_at.is_some());
    cancel(&h, id).await;
    h.wait_for_status(id, Status::Canceled).await;
    h.wait_until_settled().await;
    assert_eq!(h.balance().await, (5, 0));
    let events = h.events().await;
    assert_eq!(events.iter().filter(|event| *event == "canceled").count(), 1, "{events:?}");
    let CancelReply::Ended { export } = cancel(&h, id).await else { panic!() };
    assert_eq!(export.status, Status::Canceled);
    assert_eq!(h.balance().await, (5, 0));
    let CancelReply::Refused { problem } = cancel(&h, ExportId::generate()).await else { panic!() };
    assert_eq!(problem.slug(), Slug::NotFound);
    assert!(ledger::audit(&h.db).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_completed_export_is_not_canceled() {
    let h = Harness::running().await;
    let (id, attempt) = h.running_export().await;
    let segments = h.write(id, attempt, &[b"a,b\n"]).await;
    h.publish_outcome(id, "done", completed(attempt, &segments)).await;
    h.wait_for_status(id, Status::Completed).await;
    let CancelReply::Ended { export } = cancel(&h, id).await else { panic!() };
    assert_eq!(export.status, Status::Completed);
    assert_eq!(refused(requeue(&h, id).await).slug(), Slug::InvalidRequest);
    h.wait_until_settled().await;
    assert_eq!(h.row(id).await.cancel_requested_at, None);
}

#[tokio::test]
async fn a_dead_job_is_listed_and_requeued_once_with_a_new_hold() {
    let h = Harness::running().await;
    let id = fail(&h).await;
    assert_eq!(h.balance().await, (5, 0));
    let reply: DeadLettersReply = ask(&h, subject::OPS_DEAD, &DeadLettersRequest::default()).await;
    let DeadLettersReply::DeadLetters { items, total, next_cursor } = reply else { panic!("{reply:?}") };
    assert_eq!((items.len(), total, next_cursor), (1, 1, None));
    assert_eq!((items[0].export_id, items[0].kind, items[0].reason.as_str()), (id, DeadLetterKind::Job, "dataset"));
    assert_eq!((items[0].detail.as_str(), items[0].attempt), ("no table", Some(1)));

    let RequeueReply::Requeued { export: new, of } = requeue(&h, id).await else { panic!() };
    assert_eq!((of, new.dataset.as_str(), new.status), (id, "flights", Status::Queued));
    assert_ne!(new.id, id);
    let (again, once_more) = tokio::join!(requeue(&h, id), requeue(&h, id));
    for reply in [again, once_more] {
        let RequeueReply::Requeued { export, .. } = reply else { panic!("{reply:?}") };
        assert_eq!(export.id, new.id);
    }
    assert_eq!((h.balance().await, holds(&h).await), ((4, 1), 2));
    assert_eq!(h.messages(subject::STREAM_DEAD).await, 0);
    assert_eq!(h.row(id).await.status, "failed", "a failed export stays failed");

    h.wait_for_status(new.id, Status::Dispatched).await;
    let attempt = h.claim(new.id).await;
    let segments = h.write(new.id, attempt, &[b"a,b\n"]).await;
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
    assert_eq!((ids.len(), h.balance().await, holds(&h).await), (1, (4, 1), 2));
}

#[tokio::test]
async fn a_requeue_without_credits_is_refused() {
    let h = Harness::running().await;
    let id = fail(&h).await;
    let tx = h.db.begin().await.unwrap();
    assert!(ledger::adjust(&tx, &alice(), -5, "a test", now()).await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(refused(requeue(&h, id).await).slug(), Slug::CreditsExhausted);
    assert_eq!(h.messages(subject::STREAM_DEAD).await, 1, "the dead letter stays for a later requeue");
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
    assert_eq!(refused(requeue(&h, running).await).slug(), Slug::NotReady);
    assert_eq!(refused(requeue(&h, ExportId::generate()).await).slug(), Slug::NotFound);
    let id = fail(&h).await;
    let stream = h.bus.jetstream().get_stream(subject::STREAM_DEAD).await.unwrap();
    stream.purge().await.unwrap();
    assert_eq!(refused(requeue(&h, id).await).slug(), Slug::NotFound);
    assert_eq!(holds(&h).await, 2, "one hold for each submitted export");
}

#[tokio::test]
async fn a_dead_outcome_is_requeued_and_settled() {
    let h = Harness::running().await;
    let (id, attempt) = h.running_export().await;
    let segments = h.write(id, attempt, &[b"a,b\n"]).await;
    // the notifier dead-letters an outcome like this
    let outcome = protocol::envelope::Outcome { export_id: id, result: completed(attempt, &segments) };
    let message = Envelope::new("dead", "", outcome);
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("Sluice-Reason", "a defect");
    let payload = serde_json::to_vec(&message).unwrap();
    let sent =
        h.bus.jetstream().publish_with_headers(subject::dead_letter("outcome", id), headers, payload.into()).await;
    sent.unwrap().await.unwrap();
    let reply: DeadLettersReply = ask(&h, subject::OPS_DEAD, &DeadLettersRequest::default()).await;
    let DeadLettersReply::DeadLetters { items, .. } = reply else { panic!("{reply:?}") };
    assert_eq!((items[0].kind, items[0].detail.as_str()), (DeadLetterKind::Outcome, "a defect"));

    assert!(matches!(requeue(&h, id).await, RequeueReply::Replayed { .. }));
    h.wait_for_status(id, Status::Completed).await;
    h.wait_until_settled().await;
    assert_eq!((h.balance().await, h.messages(subject::STREAM_DEAD).await), ((4, 0), 0));
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
        let reply: DeadLettersReply = ask(&h, subject::OPS_DEAD, &DeadLettersRequest { limit: Some(2), cursor }).await;
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

#[tokio::test]
async fn exporters_are_listed_and_the_service_describes_itself() {
    let h = Harness::running().await;
    let items = testkit::eventually("the catalog is loaded", || async {
        match ask(&h, subject::OPS_EXPORTERS, &ExportersRequest {}).await {
            ExportersReply::Exporters { items } => Some(items).filter(|items| !items.is_empty()),
            ExportersReply::Refused { problem } => panic!("{problem}"),
        }
    })
    .await;
    assert_eq!((items[0].instance.as_str(), items[0].slots, items[0].draining), ("exporter", 100, false));

    let reply = h.bus.client().request("$SRV.INFO.sluice-notifier", "".into()).await.unwrap();
    let info: serde_json::Value = serde_json::from_slice(&reply.payload).unwrap();
    assert_eq!(info["version"], env!("CARGO_PKG_VERSION"));
    assert!(info["metadata"]["instance"].as_str().unwrap().starts_with("notifier-"), "{info}");
    let endpoints: Vec<_> = info["endpoints"].as_array().unwrap().iter().map(|e| e["subject"].clone()).collect();
    for subject in [
        subject::OPS_EXPORTS,
        subject::OPS_EXPORT,
        subject::OPS_CANCEL,
        subject::OPS_DEAD,
        subject::OPS_REQUEUE,
        subject::OPS_EXPORTERS,
        subject::OPS_SCHEDULE,
        subject::OPS_RUN,
    ] {
        assert!(endpoints.contains(&subject.into()), "{subject}: {endpoints:?}");
    }
    let reply = h.bus.client().request("$SRV.STATS.sluice-notifier", "".into()).await.unwrap();
    let stats: serde_json::Value = serde_json::from_slice(&reply.payload).unwrap();
    let asked = stats["endpoints"].as_array().unwrap().iter().find(|e| e["name"] == "exporters").unwrap();
    assert!(asked["num_requests"].as_u64().unwrap() >= 1 && asked["processing_time"].as_u64().unwrap() > 0, "{asked}");
}

#[tokio::test]
async fn the_credit_audit_reports_an_account_that_differs_from_the_ledger() {
    let h = Harness::running().await;
    let row = h.job("credit-audit").await;
    assert_eq!(row.due_at.to_rfc3339(), "2026-11-23T03:30:00+00:00");
    h.submit_unpaid().await;
    h.set_clock("2026-11-23T03:30:00Z");
    let row = h.wait_for_runs("credit-audit", 1).await;
    assert_eq!(row.result.as_deref(), Some("ok"));
    assert_eq!(row.state.as_deref(), Some(r#"{"mismatches":1}"#));
    assert!(row.detail.unwrap().contains("sluice credits audit"));
}

/// One export of alice is dispatched, which is the limit of her tenant; two of hers and one of bob wait.
async fn queue_gauges_are_updated(database: testkit::db::TestDatabase) {
    let metrics = platform::telemetry::init_metrics().unwrap();
    let mut h = Harness::with_database(database).await;
    advertise(&h.bus, 0, 0).await;
    (h.config.metrics_interval, h.config.max_in_flight_per_tenant) = (HumanDuration::from_millis(50), 1);
    for _ in 0..3 {
        h.submit().await;
    }
    h.start().await;
    testkit::eventually("the first export is dispatched", || async {
        (list(&h, ExportsRequest { status: Some(Status::Dispatched), ..ExportsRequest::default() }).await.0.len() == 1)
            .then_some(())
    })
    .await;
    h.submit_for(Owner::new("globex", "bob")).await;
    h.advance(90);
    let wanted = [
        r#"sluice_queue_waiting{lane="bulk",class="tenant_limit"} 2"#,
        r#"sluice_queue_waiting{lane="bulk",class="capacity"} 1"#,
        r#"sluice_queue_oldest_age_seconds{lane="bulk",class="tenant_limit"} 90"#,
        r#"sluice_queue_oldest_age_seconds{lane="bulk",class="capacity"} 90"#,
        r#"sluice_queue_exports{pool="default",lane="bulk",state="waiting"} 3"#,
        r#"sluice_queue_exports{pool="default",lane="bulk",state="dispatched"} 1"#,
        r#"sluice_catalog_exporters{state="active"} 1"#,
        r#"sluice_jetstream_messages{stream="SLUICE_JOBS"} 1"#,
        r#"sluice_jetstream_consumer_pending{stream="SLUICE_OUTCOMES",consumer="notifier"} 0"#,
        r#"sluice_jetstream_polls_total{result="failed"} 0"#,
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
