//! The commands of people at a terminal, each as the user of NATS that the documents name, with the files of `ops/nats`.

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
use sea_orm::{ActiveValue, EntityTrait};
use serde_json::{Value, json};
use testkit::eventually;

/// Of a message that somebody made by hand.
const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// For commands that get no answer: they need not wait as long as others.
const IMPATIENT: [(&str, &str); 2] =
    [("SLUICE_NATS__REQUEST_TIMEOUT", "500ms"), ("SLUICE_NATS__STARTUP_TIMEOUT", "500ms")];

/// How a command ended, and what it printed and said.
async fn run(fleet: &Fleet, user: &str, args: &[&str], settings: &[(&str, &str)]) -> (bool, String, String) {
    let launch = fleet.sluice(args).envs(fleet.nats_user(user)).envs(settings.iter().copied());
    let mut process = launch.run().await;
    let status = process.ended().await;
    (status.success(), process.stdout(), process.stderr())
}

/// A command that has to work.
async fn works(fleet: &Fleet, user: &str, args: &[&str]) -> String {
    let (well, out, err) = run(fleet, user, args, &[]).await;
    assert!(well, "{args:?} as {user}: {err}");
    assert!(!err.contains("not told") && !err.contains("not woken"), "{args:?} as {user}: {err}");
    out
}

async fn json(fleet: &Fleet, user: &str, args: &[&str]) -> Value {
    let out = works(fleet, user, args).await;
    serde_json::from_str(&out).unwrap_or_else(|e| panic!("{args:?}: {e}: {out}"))
}

/// A command that NATS must not let happen: the server's log says that it refused this subject to this user. On a machine
/// that is slow the command may be too impatient to get a connection at all, and then it is given again.
async fn is_refused(fleet: &Fleet, user: &str, args: &[&str], subject: &str) {
    let who = format!("user:{user}\"");
    eventually(&format!("{user} is refused {subject}"), async || {
        let (well, out, err) = run(fleet, user, args, &IMPATIENT).await;
        assert!(!well, "{args:?} as {user}: {out} {err}");
        let lines = fleet.nats.violations();
        lines.iter().any(|line| line.contains(&who) && line.contains(subject)).then_some(())
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

async fn made(fleet: &Fleet, origin: &str) -> Export {
    let rest = fleet.rest();
    let export = rest.ended(rest.create(&flights(origin)).await.id).await;
    assert_eq!(export.status, Status::Completed, "{:?}", export.problem);
    export
}

/// What an exporter and a notifier leave of an export that died: a row that has failed, and a letter.
async fn dies(fleet: &Fleet, exporter: &Bus, id: ExportId) {
    let row = entity::export::ActiveModel {
        id: ActiveValue::Unchanged(id.0),
        status: ActiveValue::Set("failed".into()),
        problem: ActiveValue::Set(Some(json!(Problem::new(Slug::ExportFailed, "gone")))),
        ..Default::default()
    };
    entity::export::Entity::update(row).exec(&fleet.database.db).await.expect("updated");
    let letter = json!({"v": 1, "id": "x", "traceparent": TRACEPARENT, "export_id": id, "attempt": 1,
        "reason": "dataset", "detail": "gone"});
    exporter.publish_durable(subject::dead_letter("dataset", id), "job", &letter).await.expect("stored");
}

/// The letter of an outcome that could not be settled: of an export that was, so that nothing comes of it anew.
async fn is_not_settled(notifier: &Bus, export: &Export) {
    let file = export.file.clone().expect("a file");
    let completed_at = export.completed_at.expect("a time");
    let result = OutcomeResult::Completed { attempt: export.attempt, file, completed_at };
    let outcome = Envelope::new("x", TRACEPARENT, Outcome { export_id: export.id, result });
    notifier.publish_durable(subject::dead_letter("outcome", export.id), "outcome", &outcome).await.expect("stored");
}

async fn dead_letters(fleet: &Fleet) -> u64 {
    json(fleet, "operator", &["ops", "dead", "--json"]).await["total"].as_u64().expect("a number")
}

/// An installation, an export of it whose outcome died later, and one that died itself.
async fn with_dead_letters() -> (Fleet, Export, Export) {
    let settings = vec![("SLUICE_CREDITS__OPENING", "50".to_owned())];
    let fleet = Fleet::start(Plan { nats_users: true, settings, ..Plan::default() }).await;
    let (whole, dead) = (made(&fleet, "SEA").await, made(&fleet, "JFK").await);
    let as_user = async |user: &str| Bus::join(&fleet.nats.config_of(user), user, &[]).await.expect("known");
    dies(&fleet, &as_user("exporter").await, dead.id).await;
    is_not_settled(&as_user("notifier").await, &whole).await;
    (fleet, whole, dead)
}

#[tokio::test]
async fn an_operator_does_all_that_the_documents_say_and_nobody_else_does() {
    let (fleet, whole, dead) = with_dead_letters().await;
    let (whole_id, dead_id) = (whole.id.to_string(), dead.id.to_string());
    let rest = fleet.rest();

    // looks
    let listed = json(&fleet, "operator", &["ops", "exports", "--tenant", "acme", "--json"]).await;
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(2), "{listed}");
    assert!(works(&fleet, "operator", &["ops", "export", &whole_id]).await.contains("alice of acme"));
    assert_eq!(dead_letters(&fleet).await, 2);
    let exporters = json(&fleet, "operator", &["ops", "exporters", "--json"]).await;
    let instance = exporters[0]["instance"].as_str().expect("a name").to_owned();

    // gives both another chance; one is made anew, the other settled again, which changes nothing
    let requeued = json(&fleet, "operator", &["ops", "requeue", &dead_id, "--json"]).await;
    let anew: ExportId = requeued["export"]["id"].as_str().expect("an id").parse().expect("an id");
    assert_eq!(rest.ended(anew).await.status, Status::Completed, "{}", fleet.logs());
    let before: Value = rest.get("/v1/credits").await.json();
    let replayed = json(&fleet, "operator", &["ops", "requeue", &whole_id, "--json"]).await;
    assert_eq!(replayed["answer"], "replayed");
    eventually("the outcome is settled and forgotten", async || {
        let looker = Bus::join(&fleet.nats.config_of("operator"), "looker", &[]).await.expect("known");
        let info = looker.client().request("$JS.API.STREAM.INFO.SLUICE_OUTCOMES", "".into()).await.expect("an answer");
        let info: Value = serde_json::from_slice(&info.payload).expect("JSON");
        (info["state"]["messages"] == 0).then_some(())
    })
    .await;
    assert_eq!(dead_letters(&fleet).await, 0);
    assert_eq!(rest.get("/v1/credits").await.json::<Value>(), before);

    // empties an exporter, ends what waits for it, and has it work again
    let drained = json(&fleet, "operator", &["ops", "drain", &instance, "--wait", "--json"]).await;
    assert_eq!(drained["draining"], true);
    let waits = rest.create(&flights("ATL")).await;
    works(&fleet, "operator", &["ops", "cancel", &waits.id.to_string()]).await;
    assert_eq!(rest.ended(waits.id).await.status, Status::Canceled);
    let undrained = json(&fleet, "operator", &["ops", "undrain", &instance, "--json"]).await;
    assert_eq!(undrained["draining"], false);
    made(&fleet, "ORD").await;

    // what wakes somebody by NATS
    works(&fleet, "operator", &["schedule", "run", "sweep", "--wait"]).await;
    let of = ["--tenant", "acme", "--sub", "alice"];
    works(&fleet, "operator", &[&["credits", "grant", "--amount", "1", "--reason", "thanks"][..], &of].concat()).await;
    assert_eq!(fleet.nats.violations(), [""; 0]);

    for user in ["gateway", "exporter", "notifier", "backup", "restore"] {
        is_refused(&fleet, user, &["ops", "exporters"], subject::OPS_EXPORTERS).await;
    }
    for (args, subject) in [
        (&["ops", "exports"][..], subject::OPS_EXPORTS.to_owned()),
        (&["ops", "export", &whole_id], subject::OPS_EXPORT.to_owned()),
        (&["ops", "cancel", &whole_id], subject::OPS_CANCEL.to_owned()),
        (&["ops", "dead"], subject::OPS_DEAD.to_owned()),
        (&["ops", "requeue", &dead_id], subject::OPS_REQUEUE.to_owned()),
        (&["ops", "drain", &instance], subject::ops_drain(&instance)),
        (&["ops", "undrain", &instance], subject::ops_undrain(&instance)),
    ] {
        is_refused(&fleet, "backup", args, &subject).await;
    }
}

#[tokio::test]
async fn the_user_restore_brings_everything_back_into_an_empty_nats_and_no_other_user_can() {
    let (fleet, whole, dead) = with_dead_letters().await;
    let place = tempfile::tempdir().expect("the folder for temporary files is writable");
    let to = place.path().display().to_string();
    works(&fleet, "backup", &["backup", "--to", &to]).await;
    for user in ["gateway", "exporter", "restore"] {
        is_refused(&fleet, user, &["backup", "--to", &to], "$JS.API.STREAM.").await;
    }
    drop(fleet);

    let plan = Plan { gateways: 0, exporters: 0, notifiers: 0, nats_users: true, ..Plan::default() };
    let mut fleet = Fleet::start(plan).await;
    for user in ["operator", "backup", "gateway", "exporter"] {
        is_refused(&fleet, user, &["restore", &to, "--yes"], "$JS.API.STREAM.").await;
    }
    let restored = json(&fleet, "restore", &["restore", &to, "--yes", "--json"]).await;
    // now, as the lines about those who were refused may have been late
    let denied = fleet.nats.violations();
    assert!(!denied.iter().any(|line| line.contains("user:restore\"")), "{denied:#?}");
    assert_eq!(restored["contents"]["counts"]["dead"], 2, "{restored}");
    assert_eq!(restored["unbalanced"], 0, "{restored}");

    fleet.add_notifier();
    fleet.add_exporter();
    fleet.add_gateway();
    let url = fleet.url().to_owned();
    fleet.gateways[0].ready(&format!("{url}/readyz")).await;
    let rest = fleet.rest();
    let file = rest.get(&whole.links.file).await;
    assert_eq!(file.status, StatusCode::OK, "{}", file.text());
    assert_eq!(testkit::sha256(&file.body), whole.file.expect("a file").sha256);
    assert_eq!(dead_letters(&fleet).await, 2);
    let requeued = json(&fleet, "operator", &["ops", "requeue", &dead.id.to_string(), "--json"]).await;
    let anew: ExportId = requeued["export"]["id"].as_str().expect("an id").parse().expect("an id");
    assert_eq!(rest.ended(anew).await.status, Status::Completed, "{}", fleet.logs());
    assert_eq!(fleet.nats.violations(), denied);
    let db = platform::db::connect(&fleet.database.config).await.expect("the restored database");
    assert_eq!(ledger::audit(&db).await.expect("a ledger"), []);
}
