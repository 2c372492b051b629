//! Saved exports and their schedules from the command line to the file.

use chrono::{DateTime, TimeDelta, Utc};
use e2e::Fleet;
use entity::schedule;
use platform::clock::{Clock, SystemClock};
use protocol::{
    export::{Export, Status},
    saved_export::{SavedExport, SavedExportId},
    time::Timestamp,
};
use serde_json::{Value, json};
use testkit::{eventually, fault::Process};

/// Runs `sluice` against the first gateway as this user.
async fn sluice(fleet: &Fleet, sub: &str, args: &[&str]) -> Process {
    let token = fleet.issuer.token(sub, "acme").sign();
    fleet.sluice(args).env("SLUICE_URL", fleet.url()).env("SLUICE_TOKEN", token).run().await
}

/// Runs a command as alice that must succeed, and returns its standard output.
async fn done(fleet: &Fleet, args: &[&str]) -> String {
    let mut process = sluice(fleet, "alice", args).await;
    let status = process.ended().await;
    assert!(status.success(), "{args:?}: {status}\n{}\n{}", process.stderr(), fleet.logs());
    process.stdout()
}

/// Runs a command that must fail with this code and one line, and returns the line.
async fn refused(fleet: &Fleet, sub: &str, args: &[&str], code: i32) -> String {
    let mut process = sluice(fleet, sub, args).await;
    assert_eq!(process.ended().await.code(), Some(code), "{args:?}: {}", process.stderr());
    assert_eq!(process.stderr().lines().count(), 1, "{}", process.stderr());
    process.stderr()
}

#[tokio::test]
async fn the_command_line_saves_runs_edits_and_deletes_exports() {
    let fleet = Fleet::small().await;
    let filter = r#"{"name": {"ne": ""}}"#;
    let created = done(&fleet, &["saved", "create", "all menus", "menus", "--filter", filter, "--json"]).await;
    let created: SavedExport = serde_json::from_str(&created).expect("a saved export");
    let id = created.id.to_string();
    assert_eq!((created.name.as_str(), created.version), ("all menus", 1));
    let wrong = refused(&fleet, "alice", &["saved", "create", "x", "menus", "--columns", "nope"], 1).await;
    assert!(wrong.contains("/request/columns/0"), "{wrong}");

    let listed = done(&fleet, &["saved", "list"]).await;
    assert!(listed.contains("all menus") && listed.contains(&id) && listed.contains("never"), "{listed}");
    let run = done(&fleet, &["saved", "run", "all menus", "--wait", "--json"]).await;
    let export: Export = serde_json::from_str(&run).expect("an export");
    assert_eq!((export.status, export.dataset.as_str()), (Status::Completed, "menus"));
    let file = done(&fleet, &["saved", "run", &id, "-o", "-"]).await;
    assert!(file.contains("# export_rows: 6"), "{file}");

    let edit = ["saved", "edit", &id, "--rename", "tsv", "--format", "tsv", "--reset", "filter", "--shared"];
    assert!(done(&fleet, &edit).await.contains("version 2"));
    let shown: Value = serde_json::from_str(&done(&fleet, &["saved", "show", "tsv", "--json"]).await).expect("JSON");
    assert_eq!(shown["saved_export"]["request"], json!({"dataset": "menus", "format": "tsv"}));
    assert_eq!(shown["runs"].as_array().map(Vec::len), Some(2));
    assert_eq!(shown["runs"][1]["id"], json!(export.id));
    let text = done(&fleet, &["saved", "show", "tsv"]).await;
    assert!(text.contains("by hand") && text.contains("tenant"), "{text}");

    // another user of the tenant runs it, and can't change it
    let mut by_bob = sluice(&fleet, "bob", &["saved", "run", "tsv", "-o", "-"]).await;
    assert!(by_bob.ended().await.success() && by_bob.stdout().contains('\t'), "{}", by_bob.stderr());
    let edit = refused(&fleet, "bob", &["saved", "edit", "tsv", "--rename", "mine"], 1).await;
    assert!(edit.contains("Only the owner"), "{edit}");
    let unknown = refused(&fleet, "alice", &["saved", "run", "all menus"], 2).await;
    assert!(unknown.contains("all menus"), "{unknown}");

    done(&fleet, &["saved", "delete", "tsv"]).await;
    refused(&fleet, "alice", &["saved", "show", &id], 1).await;
    assert!(done(&fleet, &["saved", "list"]).await.contains("no saved exports"));
}

/// Lets a moment of the schedule come now, and returns the ended run of this moment.
async fn moment(fleet: &Fleet, id: SavedExportId, moment: DateTime<Utc>) -> Value {
    let row = schedule::find(&fleet.database.db, id).await.expect("a database").expect("a schedule");
    schedule::put(&fleet.database.db, schedule::Model { next_run_at: Some(moment), ..row }).await.expect("a database");
    let at = json!(Timestamp::from(moment));
    eventually("the run of the moment ends", async || {
        let shown = done(fleet, &["saved", "show", &id.to_string(), "--json"]).await;
        let shown: Value = serde_json::from_str(&shown).expect("JSON");
        let runs = shown["runs"].as_array().expect("runs");
        let run = runs.iter().find(|run| run["scheduled_for"] == at)?;
        (!["queued", "dispatched", "running"].contains(&run["status"].as_str()?)).then(|| run.clone())
    })
    .await
}

#[tokio::test]
async fn a_schedule_runs_by_itself_and_a_run_with_the_same_rows_ends_as_unchanged() {
    let fleet = Fleet::small().await;
    let create = ["saved", "create", "yearly", "menus", "--cron", "0 0 1 1 *", "--only-if-changed", "--json"];
    let created: SavedExport = serde_json::from_str(&done(&fleet, &create).await).expect("a saved export");
    let schedule = created.schedule.as_ref().expect("a schedule");
    assert_eq!((schedule.enabled, schedule.zone.as_str(), schedule.next_run_at.is_some()), (true, "UTC", true));
    let now = SystemClock.now();
    let first = moment(&fleet, created.id, now - TimeDelta::minutes(2)).await;
    assert_eq!((&first["status"], &first["file"]["rows"]), (&json!("completed"), &json!(6)), "{first}");
    let second = moment(&fleet, created.id, now - TimeDelta::minutes(1)).await;
    assert_eq!((&second["status"], &second["file"]), (&json!("unchanged"), &Value::Null), "{second}");
    let text = done(&fleet, &["saved", "show", "yearly"]).await;
    assert!(text.contains("0 0 1 1 * in UTC, only if the rows changed") && text.contains("unchanged"), "{text}");

    let paused = done(&fleet, &["saved", "edit", "yearly", "--enabled", "false", "--json"]).await;
    let paused: SavedExport = serde_json::from_str(&paused).expect("a saved export");
    assert_eq!(paused.schedule.map(|schedule| (schedule.enabled, schedule.next_run_at)), Some((false, None)));
    let wrong = refused(&fleet, "alice", &["saved", "edit", "yearly", "--cron", "every day"], 1).await;
    assert!(wrong.contains("/schedule/cron"), "{wrong}");
}
