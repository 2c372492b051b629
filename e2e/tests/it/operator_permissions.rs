//! The commands of an operator with the files of `ops/nats`: each works as its documented NATS user, and as no other user.

use e2e::{Fleet, Plan};
use entity::ledger;
use platform::bus::Bus;
use protocol::{
    envelope::{Envelope, Outcome, OutcomeResult},
    export::{Export, ExportRequest, Status},
    id::ExportId,
    problem::{Problem, Slug},
    subject,
};
use reqwest::StatusCode;
use sea_orm::{ActiveValue, ColumnTrait, EntityTrait, QueryFilter};
use serde_json::{Value, json};
use testkit::eventually;

/// The trace context of messages that a test publishes.
const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// Short timeouts for commands that get no answer.
const SHORT_TIMEOUTS: [(&str, &str); 1] = [("SLUICE_NATS__REQUEST_TIMEOUT", "500ms")];

/// Runs a command as a NATS user. Returns whether the command succeeded, and its stdout and stderr.
async fn run(fleet: &Fleet, user: &str, args: &[&str], settings: &[(&str, &str)]) -> (bool, String, String) {
    let launch = fleet.sluice(args).envs(fleet.nats_user(user)).envs(settings.iter().copied());
    let mut process = launch.run().await;
    let status = process.ended().await;
    (status.success(), process.stdout(), process.stderr())
}

/// Runs a command that must succeed. Returns its stdout.
async fn run_ok(fleet: &Fleet, user: &str, args: &[&str]) -> String {
    let (success, out, err) = run(fleet, user, args, &[]).await;
    assert!(success, "{args:?} as {user}: {err}");
    assert!(!err.contains("failed to notify"), "{args:?} as {user}: {err}");
    out
}

async fn json(fleet: &Fleet, user: &str, args: &[&str]) -> Value {
    let out = run_ok(fleet, user, args).await;
    serde_json::from_str(&out).unwrap_or_else(|e| panic!("{args:?}: {e}: {out}"))
}

/// Asserts that NATS refuses a command: the server's log names the user and the subject. On a slow machine the command may
/// time out before it connects, so it is retried.
async fn assert_refused(fleet: &Fleet, user: &str, args: &[&str], subject: &str) {
    let log_user = format!("user:{user}\"");
    eventually(&format!("{user} is refused {subject}"), async || {
        let (success, out, err) = run(fleet, user, args, &SHORT_TIMEOUTS).await;
        assert!(!success, "{args:?} as {user}: {out} {err}");
        let lines = fleet.nats.violations();
        lines.iter().any(|line| line.contains(&log_user) && line.contains(subject)).then_some(())
    })
    .await;
}

fn flights(origin: &str) -> ExportRequest {
    ExportRequest {
        dataset: "flights".into(),
        filter: Some(json!({"origin": {"eq": origin}})),
        ..ExportRequest::default()
    }
}

async fn completed(fleet: &Fleet, origin: &str) -> Export {
    let rest = fleet.rest();
    let export = rest.ended(rest.create(&flights(origin)).await.id).await;
    assert_eq!(export.status, Status::Completed, "{:?}", export.problem);
    export
}

/// Leaves an export as an exporter and a notifier leave a dead-lettered one: a failed row, and a dead letter.
async fn dead_letter_export(fleet: &Fleet, exporter: &Bus, id: ExportId) {
    let row = entity::export::ActiveModel {
        status: ActiveValue::Set("failed".into()),
        problem: ActiveValue::Set(Some(json!(Problem::new(Slug::ExportFailed, "table missing")))),
        ..Default::default()
    };
    let update = entity::export::Entity::update_many().set(row).filter(entity::export::Column::Id.eq(id.0));
    assert_eq!(update.exec(&fleet.database.db).await.expect("updated").rows_affected, 1);
    let dead_letter = json!({"v": 1, "id": "x", "traceparent": TRACEPARENT, "export_id": id, "attempt": 1,
        "reason": "dataset", "detail": "table missing"});
    exporter.publish_durable(subject::dead_letter("dataset", id), "job", &dead_letter).await.expect("stored");
}

/// Publishes a dead letter of an outcome. The export is completed already, so that a replay changes nothing.
async fn dead_letter_outcome(notifier: &Bus, export: &Export) {
    let file = export.file.clone().expect("a file");
    let completed_at = export.completed_at.expect("a time");
    let result = OutcomeResult::Completed { attempt: export.attempt, file, completed_at, content_sha256: None };
    let outcome = Envelope::new("x", TRACEPARENT, Outcome { export_id: export.id, result });
    notifier.publish_durable(subject::dead_letter("outcome", export.id), "outcome", &outcome).await.expect("stored");
}

async fn dead_letters(fleet: &Fleet) -> u64 {
    json(fleet, "operator", &["ops", "dead-letters", "--json"]).await["total"].as_u64().expect("a number")
}

/// Starts a fleet with two dead letters: of the outcome of the first export, and of the second export.
async fn fleet_with_dead_letters() -> (Fleet, Export, Export) {
    let settings = vec![("SLUICE_CREDITS__INITIAL_BALANCE", "50".to_owned())];
    let fleet = Fleet::start(Plan { nats_users: true, settings, ..Plan::default() }).await;
    let (settled, dead) = (completed(&fleet, "SEA").await, completed(&fleet, "JFK").await);
    let as_user = async |user: &str| Bus::join(&fleet.nats.config_of(user), user, &[]).await.expect("a known user");
    dead_letter_export(&fleet, &as_user("exporter").await, dead.id).await;
    dead_letter_outcome(&as_user("notifier").await, &settled).await;
    (fleet, settled, dead)
}

#[tokio::test]
async fn slow_the_user_operator_can_run_every_ops_command_and_no_other_user_can() {
    let (fleet, settled, dead) = fleet_with_dead_letters().await;
    let (settled_id, dead_id) = (settled.id.to_string(), dead.id.to_string());
    let rest = fleet.rest();

    // The operator reads.
    let listed = json(&fleet, "operator", &["ops", "exports", "--tenant", "acme", "--json"]).await;
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(2), "{listed}");
    assert!(run_ok(&fleet, "operator", &["ops", "export", &settled_id]).await.contains("alice of acme"));
    assert_eq!(dead_letters(&fleet).await, 2);
    let exporters = json(&fleet, "operator", &["ops", "exporters", "--json"]).await;
    let instance = exporters[0]["instance"].as_str().expect("a name").to_owned();

    // The operator requeues both: the export runs again, and the repeated outcome changes nothing.
    let requeued = json(&fleet, "operator", &["ops", "requeue", &dead_id, "--json"]).await;
    let new_id: ExportId = requeued["export"]["id"].as_str().expect("an id").parse().expect("an id");
    assert_eq!(rest.ended(new_id).await.status, Status::Completed, "{}", fleet.logs());
    let before: Value = rest.get("/v1/credits").await.json();
    let requeued = json(&fleet, "operator", &["ops", "requeue", &settled_id, "--json"]).await;
    assert_eq!(requeued["answer"], "outcome_requeued");
    eventually("the outcome is settled and acknowledged", async || {
        let bus = Bus::join(&fleet.nats.config_of("operator"), "reader", &[]).await.expect("a known user");
        let info = bus.client().request("$JS.API.STREAM.INFO.SLUICE_OUTCOMES", "".into()).await.expect("an answer");
        let info: Value = serde_json::from_slice(&info.payload).expect("JSON");
        (info["state"]["messages"] == 0).then_some(())
    })
    .await;
    assert_eq!(dead_letters(&fleet).await, 0);
    assert_eq!(rest.get("/v1/credits").await.json::<Value>(), before);

    // The operator drains an exporter, cancels a queued export, and ends the drain.
    let drained = json(&fleet, "operator", &["ops", "drain", &instance, "--wait", "--json"]).await;
    assert_eq!(drained["draining"], true);
    let queued = rest.create(&flights("ATL")).await;
    run_ok(&fleet, "operator", &["ops", "cancel", &queued.id.to_string()]).await;
    assert_eq!(rest.ended(queued.id).await.status, Status::Canceled);
    let undrained = json(&fleet, "operator", &["ops", "undrain", &instance, "--json"]).await;
    assert_eq!(undrained["draining"], false);
    completed(&fleet, "ORD").await;

    // The operator pauses a user and resumes the user.
    let acme = ["--tenant", "acme", "--sub", "alice"];
    run_ok(&fleet, "operator", &[&["ops", "pause", "--reason", "floods"][..], &acme].concat()).await;
    assert!(run_ok(&fleet, "operator", &["ops", "pauses"]).await.contains("floods"));
    run_ok(&fleet, "operator", &[&["ops", "resume"][..], &acme].concat()).await;
    let story = run_ok(&fleet, "operator", &["ops", "story", &settled_id]).await;
    assert!(story.contains("alice of acme") && story.contains("attempt started"), "{story}");

    // Commands that notify a service over NATS.
    run_ok(&fleet, "operator", &["schedule", "run", "sweep", "--wait"]).await;
    let owner = ["--tenant", "acme", "--sub", "alice"];
    run_ok(&fleet, "operator", &[&["credits", "grant", "--amount", "1", "--reason", "thanks"][..], &owner].concat())
        .await;
    assert_eq!(fleet.nats.violations(), [""; 0]);

    for user in ["gateway", "exporter", "notifier", "backup", "restore"] {
        assert_refused(&fleet, user, &["ops", "exporters"], subject::OPS_EXPORTERS).await;
    }
    for (args, subject) in [
        (&["ops", "exports"][..], subject::OPS_EXPORTS.to_owned()),
        (&["ops", "export", &settled_id], subject::OPS_EXPORT.to_owned()),
        (&["ops", "cancel", &settled_id], subject::OPS_CANCEL.to_owned()),
        (&["ops", "dead-letters"], subject::OPS_DEAD.to_owned()),
        (&["ops", "requeue", &dead_id], subject::OPS_REQUEUE.to_owned()),
        (&["ops", "story", &settled_id], subject::OPS_STORY.to_owned()),
        (&["ops", "pauses"], subject::OPS_PAUSES.to_owned()),
        (&["ops", "drain", &instance], subject::ops_drain(&instance)),
        (&["ops", "undrain", &instance], subject::ops_undrain(&instance)),
    ] {
        assert_refused(&fleet, "backup", args, &subject).await;
    }
}

#[tokio::test]
async fn slow_the_user_restore_can_restore_into_an_empty_nats_and_no_other_user_can() {
    let (fleet, settled, dead) = fleet_with_dead_letters().await;
    let folder = tempfile::tempdir().expect("the folder for temporary files is writable");
    let to = folder.path().display().to_string();
    run_ok(&fleet, "backup", &["backup", "--to", &to]).await;
    for user in ["gateway", "exporter", "restore"] {
        assert_refused(&fleet, user, &["backup", "--to", &to], "$JS.API.STREAM.").await;
    }
    drop(fleet);

    let plan = Plan { gateways: 0, exporters: 0, notifiers: 0, nats_users: true, ..Plan::default() };
    let mut fleet = Fleet::start(plan).await;
    for user in ["operator", "backup", "gateway", "exporter"] {
        assert_refused(&fleet, user, &["restore", &to, "--yes"], "$JS.API.STREAM.").await;
    }
    let restored = json(&fleet, "restore", &["restore", &to, "--yes", "--json"]).await;
    // The log is read after the restore, because lines about refused users may arrive late.
    let denied = fleet.nats.violations();
    assert!(!denied.iter().any(|line| line.contains("user:restore\"")), "{denied:#?}");
    assert_eq!(restored["contents"]["counts"]["dead_letters"], 2, "{restored}");
    assert_eq!(restored["unbalanced"], 0, "{restored}");

    fleet.add_notifier();
    fleet.add_exporter();
    fleet.add_gateway();
    let url = fleet.url().to_owned();
    fleet.gateways[0].ready(&format!("{url}/readyz")).await;
    let rest = fleet.rest();
    let file = rest.get(&settled.links.file).await;
    assert_eq!(file.status, StatusCode::OK, "{}", file.text());
    assert_eq!(testkit::sha256(&file.body), settled.file.expect("a file").sha256);
    assert_eq!(dead_letters(&fleet).await, 2);
    let requeued = json(&fleet, "operator", &["ops", "requeue", &dead.id.to_string(), "--json"]).await;
    let new_id: ExportId = requeued["export"]["id"].as_str().expect("an id").parse().expect("an id");
    assert_eq!(rest.ended(new_id).await.status, Status::Completed, "{}", fleet.logs());
    assert_eq!(fleet.nats.violations(), denied);
    let db = platform::db::connect(&fleet.database.config).await.expect("the restored database");
    assert_eq!(ledger::audit(&db).await.expect("a ledger"), []);
}
