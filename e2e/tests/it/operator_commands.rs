//! `sluice ops` against running services: listing, cancelling, requeueing and draining.

use std::time::Duration;

use e2e::Fleet;
use protocol::{
    export::{ExportRequest, Status},
    id::ExportId,
    ops::{ExportSummary, ExporterInfo},
};
use serde_json::{Value, json};
use testkit::{DEADLINE, eventually};

/// The result of a command.
struct CommandOutput {
    code: Option<i32>,
    out: String,
    err: String,
}

impl CommandOutput {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {} {}", self.out, self.err))
    }
}

async fn run_ops(fleet: &Fleet, args: &[&str]) -> CommandOutput {
    let all: Vec<_> = ["ops"].iter().chain(args).copied().collect();
    let mut process = fleet.sluice(&all).spawn();
    let status = tokio::time::timeout(DEADLINE, process.ended()).await.expect("a command ends");
    CommandOutput { code: status.code(), out: process.stdout(), err: process.stderr() }
}

async fn exporters(fleet: &Fleet) -> Vec<ExporterInfo> {
    let output = run_ops(fleet, &["exporters", "--json"]).await;
    serde_json::from_value(output.json()).expect("exporters")
}

fn flights(origin: &str) -> ExportRequest {
    ExportRequest {
        dataset: "flights".into(),
        filter: Some(json!({"origin": {"eq": origin}})),
        ..ExportRequest::default()
    }
}

#[tokio::test]
async fn an_operator_lists_every_export_and_an_impossible_command_fails_with_one_line() {
    let fleet = Fleet::small().await;
    let rest = fleet.rest();
    let export = rest.create(&flights("SEA")).await;
    rest.ended(export.id).await;
    let id = export.id.to_string();

    let listed = run_ops(&fleet, &["exports", "--tenant", "acme", "--sub", "alice", "--json"]).await;
    let items: Vec<ExportSummary> = serde_json::from_value(listed.json()["items"].clone()).expect("summaries");
    assert_eq!((items.len(), items[0].id, items[0].status), (1, export.id, Status::Completed));
    let text = run_ops(&fleet, &["exports"]).await;
    assert!(text.out.contains(&id) && text.out.contains("acme/alice"), "{}", text.out);
    assert_eq!(run_ops(&fleet, &["exports", "--status", "failed"]).await.out.trim(), "no exports");
    let shown = run_ops(&fleet, &["export", &id]).await;
    assert!(shown.out.contains("alice of acme") && shown.out.contains("completed"), "{}", shown.out);
    assert_eq!(run_ops(&fleet, &["dead-letters"]).await.out.trim(), "no dead letters");

    let unknown = ExportId::generate().to_string();
    for args in [
        vec!["export", &unknown],
        vec!["cancel", &unknown],
        vec!["cancel", &id],
        vec!["requeue", &unknown],
        vec!["requeue", &id],
        vec!["drain", "exporter-unknown"],
        vec!["undrain", "exporter-unknown"],
    ] {
        let output = run_ops(&fleet, &args).await;
        assert_eq!(output.code, Some(1), "{args:?}: {} {}", output.out, output.err);
        let lines: Vec<_> = output.err.lines().filter(|line| line.starts_with("sluice: ")).collect();
        assert_eq!(lines.len(), 1, "{args:?}: {}", output.err);
    }
    assert_eq!(run_ops(&fleet, &["cancel", "x"]).await.code, Some(2));
    let help = run_ops(&fleet, &["drain", "--help"]).await;
    assert!(help.code == Some(0) && help.out.contains("--wait"), "{}", help.out);
}

#[tokio::test]
async fn slow_a_draining_exporter_takes_no_job_until_the_drain_ends() {
    let mut fleet = Fleet::small().await;
    let rest = fleet.rest();
    rest.ended(rest.create(&flights("SEA")).await.id).await;
    let first = exporters(&fleet).await.remove(0);
    assert!(!first.draining && first.slots > 0);

    let drained = run_ops(&fleet, &["drain", &first.instance, "--wait", "--json"]).await;
    assert_eq!(drained.json(), json!({"instance": first.instance, "draining": true, "running": 0}));
    let again = run_ops(&fleet, &["drain", &first.instance]).await;
    assert_eq!(again.code, Some(0), "{}", again.err);
    eventually("the catalog shows the drain", || async {
        let found = exporters(&fleet).await;
        found.iter().any(|exporter| exporter.draining && exporter.slots == 0 && exporter.bulk_slots == 0).then_some(())
    })
    .await;
    let reply =
        fleet.nats.bus().await.client().request("$SRV.STATS.sluice-exporter", "".into()).await.expect("an answer");
    let stats: Value = serde_json::from_slice(&reply.payload).expect("JSON");
    let data = &stats["endpoints"][0]["data"];
    assert_eq!((&data["draining"], &data["running"]), (&json!(true), &json!(0)), "{stats}");

    // Its datasets are still offered, and an export stays queued for longer than a pull request that was pending.
    let queued = rest.create(&flights("JFK")).await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    let status = rest.export(queued.id).await.status;
    assert!(matches!(status, Status::Queued | Status::Dispatched), "{status}");

    // Another exporter takes the job.
    fleet.add_exporter();
    assert_eq!(rest.ended(queued.id).await.status, Status::Completed);
    let row = run_ops(&fleet, &["exports", "--limit", "1", "--json"]).await.json();
    assert_ne!(row["items"][0]["exporter"], first.instance);

    let undrained = run_ops(&fleet, &["undrain", &first.instance]).await;
    assert!(undrained.out.contains("accepts jobs"), "{} {}", undrained.out, undrained.err);
    eventually("the catalog shows the end of the drain", || async {
        let found = exporters(&fleet).await;
        found.iter().any(|one| one.instance == first.instance && !one.draining && one.slots > 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_operator_cancels_a_queued_export_and_its_credit_is_released() {
    let fleet = Fleet::small().await;
    let rest = fleet.rest();
    rest.ended(rest.create(&flights("SEA")).await.id).await;
    let instance = exporters(&fleet).await.remove(0).instance;
    assert_eq!(run_ops(&fleet, &["drain", &instance, "--wait"]).await.code, Some(0));
    let queued = rest.create(&flights("JFK")).await;
    let id = queued.id.to_string();
    let canceled = run_ops(&fleet, &["cancel", &id]).await;
    assert_eq!(canceled.code, Some(0), "{}", canceled.err);
    assert_eq!(rest.ended(queued.id).await.status, Status::Canceled);
    // A second cancellation succeeds too.
    assert_eq!(run_ops(&fleet, &["cancel", &id, "--json"]).await.code, Some(0));
    let credits: protocol::credits::CreditsView = rest.get("/v1/credits").await.json();
    assert_eq!((credits.balance, credits.held), (4, 0));
}

#[tokio::test]
async fn a_requeued_dead_letter_becomes_a_new_export_of_its_owner() {
    let fleet = Fleet::small().await;
    let rest = fleet.rest();
    let export = rest.create(&flights("SEA")).await;
    let done = rest.ended(export.id).await;
    assert_eq!(done.status, Status::Completed);
    // A dead-lettered export: a failed row, and a dead letter.
    let db = &fleet.database.db;
    let id = export.id;
    set_failed(db, id).await;
    let bus = fleet.nats.bus().await;
    let body = json!({"v": 1, "id": "x", "traceparent": "", "export_id": id, "attempt": 1, "reason": "dataset", "detail": "table missing"});
    bus.publish_durable(protocol::subject::dead_letter("dataset", id), "x", &body).await.expect("stored");

    let listed = run_ops(&fleet, &["dead-letters"]).await;
    assert!(listed.out.contains(&id.to_string()) && listed.out.contains("table missing"), "{}", listed.out);
    let requeued = run_ops(&fleet, &["requeue", &id.to_string(), "--json"]).await.json();
    assert_eq!(requeued["answer"], "requeued");
    let new: ExportId = requeued["export"]["id"].as_str().expect("an id").parse().expect("an id");
    assert_eq!(rest.ended(new).await.status, Status::Completed);
    let again = run_ops(&fleet, &["requeue", &id.to_string(), "--json"]).await.json();
    assert_eq!(again["export"]["id"], new.to_string());
    assert_eq!(run_ops(&fleet, &["dead-letters"]).await.out.trim(), "no dead letters");
}

/// Sets the row of an export to failed, with its credit released.
async fn set_failed(db: &sea_orm::DatabaseConnection, id: ExportId) {
    use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter};
    let problem = protocol::problem::Problem::new(protocol::problem::Slug::ExportFailed, "table missing");
    let row = entity::export::ActiveModel {
        status: Set("failed".into()),
        problem: Set(Some(serde_json::to_value(problem).expect("JSON"))),
        ..Default::default()
    };
    let update = entity::export::Entity::update_many().set(row).filter(entity::export::Column::Id.eq(id.0));
    assert_eq!(update.exec(db).await.expect("updated").rows_affected, 1);
}
