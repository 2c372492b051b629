//! `sluice ops` against running services: what an operator sees, ends, and drains.

use std::time::Duration;

use e2e::Fleet;
use protocol::{
    export::{ExportRequest, Status},
    id::ExportId,
    ops::{ExportSummary, ExporterInfo},
};
use serde_json::{Value, json};
use testkit::{DEADLINE, eventually};

/// What a command said, and how it ended.
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Said {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {} {}", self.out, self.err))
    }
}

async fn say(fleet: &Fleet, args: &[&str]) -> Said {
    let all: Vec<_> = ["ops"].iter().chain(args).copied().collect();
    let mut process = fleet.sluice(&all).spawn();
    let status = tokio::time::timeout(DEADLINE, process.ended()).await.expect("a command ends");
    Said { code: status.code(), out: process.stdout(), err: process.stderr() }
}

async fn exporters(fleet: &Fleet) -> Vec<ExporterInfo> {
    let said = say(fleet, &["exporters", "--json"]).await;
    serde_json::from_value(said.json()).expect("exporters")
}

fn flights(origin: &str) -> ExportRequest {
    ExportRequest {
        dataset: "flights".into(),
        filter: Some(json!({"origin": {"eq": origin}})),
        ..ExportRequest::default()
    }
}

#[tokio::test]
async fn an_operator_sees_every_export_and_misuse_is_one_line_and_code_1() {
    let fleet = Fleet::small().await;
    let rest = fleet.rest();
    let export = rest.create(&flights("SEA")).await;
    rest.ended(export.id).await;
    let id = export.id.to_string();

    let listed = say(&fleet, &["exports", "--tenant", "acme", "--sub", "alice", "--json"]).await;
    let items: Vec<ExportSummary> = serde_json::from_value(listed.json()["items"].clone()).expect("summaries");
    assert_eq!((items.len(), items[0].id, items[0].status), (1, export.id, Status::Completed));
    let text = say(&fleet, &["exports"]).await;
    assert!(text.out.contains(&id) && text.out.contains("acme/alice"), "{}", text.out);
    assert_eq!(say(&fleet, &["exports", "--status", "failed"]).await.out.trim(), "no exports");
    let shown = say(&fleet, &["export", &id]).await;
    assert!(shown.out.contains("alice of acme") && shown.out.contains("completed"), "{}", shown.out);
    assert_eq!(say(&fleet, &["dead"]).await.out.trim(), "no dead letters");

    let unknown = ExportId::generate().to_string();
    for args in [
        vec!["export", &unknown],
        vec!["cancel", &unknown],
        vec!["cancel", &id],
        vec!["requeue", &unknown],
        vec!["requeue", &id],
        vec!["drain", "exporter-nobody"],
        vec!["undrain", "exporter-nobody"],
    ] {
        let said = say(&fleet, &args).await;
        assert_eq!(said.code, Some(1), "{args:?}: {} {}", said.out, said.err);
        let lines: Vec<_> = said.err.lines().filter(|line| line.starts_with("sluice: ")).collect();
        assert_eq!(lines.len(), 1, "{args:?}: {}", said.err);
    }
    assert_eq!(say(&fleet, &["cancel", "x"]).await.code, Some(2));
    let help = say(&fleet, &["drain", "--help"]).await;
    assert!(help.code == Some(0) && help.out.contains("--wait"), "{}", help.out);
}

#[tokio::test]
async fn a_drained_exporter_takes_nothing_until_it_is_wanted_again() {
    let mut fleet = Fleet::small().await;
    let rest = fleet.rest();
    rest.ended(rest.create(&flights("SEA")).await.id).await;
    let first = exporters(&fleet).await.remove(0);
    assert!(!first.draining && first.slots > 0);

    let drained = say(&fleet, &["drain", &first.instance, "--wait", "--json"]).await;
    assert_eq!(drained.json(), json!({"instance": first.instance, "draining": true, "running": 0}));
    let again = say(&fleet, &["drain", &first.instance]).await;
    assert_eq!(again.code, Some(0), "{}", again.err);
    eventually("it says so in the catalog", || async {
        let found = exporters(&fleet).await;
        found.iter().any(|one| one.draining && one.slots == 0 && one.bulk_slots == 0).then_some(())
    })
    .await;
    let reply =
        fleet.nats.bus().await.client().request("$SRV.STATS.sluice-exporter", "".into()).await.expect("an answer");
    let stats: Value = serde_json::from_slice(&reply.payload).expect("JSON");
    let data = &stats["endpoints"][0]["data"];
    assert_eq!((&data["draining"], &data["running"]), (&json!(true), &json!(0)), "{stats}");

    // it is still on offer, and what is asked for waits: for longer than a pull that was under way
    let waiting = rest.create(&flights("JFK")).await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    let status = rest.export(waiting.id).await.status;
    assert!(matches!(status, Status::Queued | Status::Dispatched), "{status}");

    // another exporter takes it
    fleet.add_exporter();
    assert_eq!(rest.ended(waiting.id).await.status, Status::Completed);
    let row = say(&fleet, &["exports", "--limit", "1", "--json"]).await.json();
    assert_ne!(row["items"][0]["exporter"], first.instance);

    let undrained = say(&fleet, &["undrain", &first.instance]).await;
    assert!(undrained.out.contains("takes jobs"), "{} {}", undrained.out, undrained.err);
    eventually("it is back in the catalog", || async {
        let found = exporters(&fleet).await;
        found.iter().any(|one| one.instance == first.instance && !one.draining && one.slots > 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_operator_cancels_what_waits_and_its_credit_comes_back() {
    let fleet = Fleet::small().await;
    let rest = fleet.rest();
    rest.ended(rest.create(&flights("SEA")).await.id).await;
    let instance = exporters(&fleet).await.remove(0).instance;
    assert_eq!(say(&fleet, &["drain", &instance, "--wait"]).await.code, Some(0));
    let waiting = rest.create(&flights("JFK")).await;
    let id = waiting.id.to_string();
    let canceled = say(&fleet, &["cancel", &id]).await;
    assert_eq!(canceled.code, Some(0), "{}", canceled.err);
    assert_eq!(rest.ended(waiting.id).await.status, Status::Canceled);
    // twice is as good as once
    assert_eq!(say(&fleet, &["cancel", &id, "--json"]).await.code, Some(0));
    let credits: protocol::credits::CreditsView = rest.get("/v1/credits").await.json();
    assert_eq!((credits.balance, credits.held), (4, 0));
}

#[tokio::test]
async fn a_dead_export_is_made_anew_for_its_owner() {
    let fleet = Fleet::small().await;
    let rest = fleet.rest();
    let export = rest.create(&flights("SEA")).await;
    let done = rest.ended(export.id).await;
    assert_eq!(done.status, Status::Completed);
    // as if it had died: the row as an exporter and a notifier leave it, and the letter
    let db = &fleet.database.db;
    let id = export.id;
    leave_failed(db, id).await;
    let bus = fleet.nats.bus().await;
    let body = json!({"v": 1, "id": "x", "traceparent": "", "export_id": id, "attempt": 1, "reason": "dataset", "detail": "gone"});
    bus.publish_durable(protocol::subject::dead("dataset", id), "x", &body).await.expect("stored");

    let dead = say(&fleet, &["dead"]).await;
    assert!(dead.out.contains(&id.to_string()) && dead.out.contains("gone"), "{}", dead.out);
    let requeued = say(&fleet, &["requeue", &id.to_string(), "--json"]).await.json();
    assert_eq!(requeued["answer"], "requeued");
    let new: ExportId = requeued["export"]["id"].as_str().expect("an id").parse().expect("an id");
    assert_eq!(rest.ended(new).await.status, Status::Completed);
    let again = say(&fleet, &["requeue", &id.to_string(), "--json"]).await.json();
    assert_eq!(again["export"]["id"], new.to_string());
    assert_eq!(say(&fleet, &["dead"]).await.out.trim(), "no dead letters");
}

/// A failed export whose credit went back.
async fn leave_failed(db: &sea_orm::DatabaseConnection, id: ExportId) {
    use sea_orm::{ActiveValue::Set, EntityTrait};
    let problem = protocol::problem::Problem::new(protocol::problem::Slug::ExportFailed, "gone");
    let row = entity::export::ActiveModel {
        id: sea_orm::ActiveValue::Unchanged(id.0),
        status: Set("failed".into()),
        problem: Set(Some(serde_json::to_value(problem).expect("JSON"))),
        ..Default::default()
    };
    entity::export::Entity::update(row).exec(db).await.expect("updated");
}
