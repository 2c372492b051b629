//! Operators list and cancel exports over NATS, and list the exporters.

use entity::ledger;
use protocol::{
    catalog::{DatasetRef, ExporterHeartbeat},
    export::Status,
    id::{ExportId, Owner},
    ops::{
        CancelReply, CancelRequest, ExportLookup, ExportReply, ExportersReply, ExportersRequest, ExportsReply,
        ExportsRequest, MAX_LISTED_DATASETS, RequeueReply, RequeueRequest,
    },
    problem::Slug,
    subject,
};
use serde_json::json;

use crate::harness::{Harness, completed, heartbeat, operator_request};

async fn list(h: &Harness, request: ExportsRequest) -> (Vec<ExportId>, Option<ExportId>) {
    match operator_request(h, subject::OPS_EXPORTS, &request).await {
        ExportsReply::Exports { items, next_cursor } => (items.iter().map(|item| item.id).collect(), next_cursor),
        ExportsReply::Refused { problem } => panic!("{problem}"),
    }
}

async fn cancel(h: &Harness, export_id: ExportId) -> CancelReply {
    operator_request(h, subject::OPS_CANCEL, &CancelRequest::new(export_id)).await
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
        (json!({"tenant": "ac\0me"}), "/tenant"),
        (json!({"tenant": "acme", "user": "\0"}), "/user"),
        (json!({"dataset": "flights\0"}), "/dataset"),
        (json!({"cursor": "x"}), "/cursor"),
    ] {
        let reply: ExportsReply = operator_request(&h, subject::OPS_EXPORTS, &question).await;
        let ExportsReply::Refused { problem } = reply else { panic!("{question}") };
        assert_eq!((problem.slug(), problem.errors[0].pointer.as_str()), (Slug::InvalidRequest, pointer), "{question}");
    }
    let nothing: ExportReply = operator_request(&h, subject::OPS_EXPORT, &json!({})).await;
    let ExportReply::Refused { problem } = nothing else { panic!("{nothing:?}") };
    assert!(problem.detail.contains("export_id"), "{problem}");
    let unknown: ExportReply =
        operator_request(&h, subject::OPS_EXPORT, &ExportLookup { export_id: ExportId::generate() }).await;
    let ExportReply::Refused { problem } = unknown else { panic!("{unknown:?}") };
    assert_eq!(problem.slug(), Slug::NotFound);
}

#[tokio::test]
async fn one_export_is_shown_with_its_internal_details() {
    let h = Harness::running().await;
    let (id, attempt) = h.running_export().await;
    let reply: ExportReply = operator_request(&h, subject::OPS_EXPORT, &ExportLookup { export_id: id }).await;
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
    let segments = h.write_segments(id, attempt, &[b"a,b\n"]).await;
    h.publish_outcome(id, "done", completed(attempt, &segments)).await;
    h.wait_for_status(id, Status::Completed).await;
    let CancelReply::Ended { export } = cancel(&h, id).await else { panic!() };
    assert_eq!(export.status, Status::Completed);
    let requeued = operator_request(&h, subject::OPS_REQUEUE, &RequeueRequest::new(id)).await;
    let RequeueReply::Refused { problem } = requeued else { panic!("{requeued:?}") };
    assert_eq!(problem.slug(), Slug::InvalidRequest);
    h.wait_until_settled().await;
    assert_eq!(h.row(id).await.cancel_requested_at, None);
}

#[tokio::test]
async fn exporters_are_listed_and_the_service_describes_itself() {
    let h = Harness::running().await;
    let items = testkit::eventually("the catalog is loaded", || async {
        match operator_request(&h, subject::OPS_EXPORTERS, &ExportersRequest {}).await {
            ExportersReply::Exporters { items } => Some(items).filter(|items| !items.is_empty()),
            ExportersReply::Refused { problem } => panic!("{problem}"),
        }
    })
    .await;
    assert_eq!((items[0].instance.as_str(), items[0].slots, items[0].draining), ("exporter", 100, false));

    // a list of many datasets is cut, so that the reply fits into one message
    let named =
        |n: usize| DatasetRef { name: format!("dataset{n}"), revision: String::new(), rows: None, rows_hidden: false };
    let datasets = (0..MAX_LISTED_DATASETS + 3).map(named).collect();
    testkit::catalog::advertise(&h.bus, ExporterHeartbeat { datasets, ..heartbeat("many") }, &[]).await;
    let many = testkit::eventually("the second exporter is listed", || async {
        match operator_request(&h, subject::OPS_EXPORTERS, &ExportersRequest {}).await {
            ExportersReply::Exporters { items } => items.into_iter().find(|item| item.instance == "many"),
            ExportersReply::Refused { problem } => panic!("{problem}"),
        }
    })
    .await;
    assert_eq!((many.datasets.len(), many.dataset_count as usize), (MAX_LISTED_DATASETS, MAX_LISTED_DATASETS + 3));

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
