//! Schedules: each moment has one run, with the rights and the credits of its owner.

use chrono::{DateTime, TimeDelta, Utc};
use entity::{
    export, ledger, saved_export, saved_export_run, schedule,
    user_rights::{self, VerifiedToken},
};
use platform::lifecycle::Lifecycle;
use protocol::{
    access::Access,
    catalog::{CatalogDataset, Column, ColumnType, DatasetInfo, TemplateInfo},
    envelope::OutcomeResult,
    export::Status,
    id::ExportId,
    problem::{Problem, Slug},
    saved_export::SavedExportId,
};
use sea_orm::{EntityTrait, QueryOrder};
use serde_json::{Value, json};
use testkit::{db::Postgres, eventually};

use crate::harness::{Harness, alice, completed, credit_policy, heartbeat, now, observation_time};

/// The first moment of the schedules, half an hour after the start of a test.
const FIRST: &str = "2026-11-22T16:00:00Z";

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// Advertises the dataset `flights`, whose row policy compares the claim `region`.
async fn advertise_flights(h: &Harness, access: Access) {
    let dataset = CatalogDataset {
        info: DatasetInfo {
            name: "flights".into(),
            title: "Flights".into(),
            description: String::new(),
            columns: vec![Column::new("delay", ColumnType::Int), Column::new("at", ColumnType::Datetime)],
            params: json!({}),
            templates: vec![TemplateInfo { name: "default".into(), ..TemplateInfo::default() }],
            formats: vec!["csv".into()],
            compressions: vec!["none".into()],
            formats_info: vec![],
            rows_estimate: Some(10),
            credits: 1,
        },
        param_specs: vec![],
        retention_seconds: 3600,
        access: Access { policy_claims: Some(vec!["region".into()]), ..access },
        total_rows: None,
    };
    let exporter = protocol::catalog::ExporterHeartbeat { slots: 100, bulk_slots: 100, ..heartbeat("exporter") };
    testkit::catalog::advertise(&h.bus, exporter, &[dataset]).await;
}

fn claims() -> Value {
    json!({"sub": alice().user, "tenant": alice().tenant, "scope": "export:*", "region": "north", "name": "Alice"})
}

/// Records a token of alice with these claims, as a gateway does.
async fn sign_in(h: &Harness, claims: &Value, issued_at: i64) {
    let claims = claims.as_object().unwrap().clone();
    let token = VerifiedToken { owner: alice(), claims, issued_at, seen_at: h.clock_now() };
    user_rights::keep(&h.db, &token).await.unwrap();
}

/// Saves an export of alice with a schedule, as a gateway does.
async fn save(h: &Harness, cron: &str, change: impl FnOnce(&mut schedule::Model)) -> SavedExportId {
    let id = SavedExportId::generate();
    let row = saved_export::Model {
        id: id.0,
        tenant: alice().tenant,
        user_id: alice().user,
        name: "hourly".into(),
        dataset: "flights".into(),
        request: json!({"dataset": "flights", "filter": {"at": {"gte": "now-1h/h"}}}),
        visibility: "private".into(),
        version: 1,
        created_at: now(),
        updated_at: now(),
        deleted_at: None,
    };
    assert!(saved_export::insert(&h.db, row, 100).await.unwrap());
    let mut row = schedule::Model {
        saved_export_id: id.0,
        tenant: alice().tenant,
        user_id: alice().user,
        cron: cron.into(),
        zone: "UTC".into(),
        enabled: true,
        only_if_changed: false,
        claims: claims(),
        next_run_at: Some(at(FIRST)),
        paused_reason: None,
        pause_notified: false,
        failures: 0,
        last_content_sha256: None,
    };
    change(&mut row);
    schedule::put(&h.db, row).await.unwrap();
    id
}

/// A harness with the dataset and alice's rights, without a notifier.
async fn harness() -> Harness {
    let h = Harness::new().await;
    advertise_flights(&h, Access::default()).await;
    sign_in(&h, &claims(), 1).await;
    h
}

/// The runs of a schedule, oldest moment first: the moment, and the export unless the moment was missed.
async fn runs(h: &Harness, id: SavedExportId) -> Vec<(DateTime<Utc>, Option<ExportId>)> {
    let rows =
        saved_export_run::Entity::find().order_by_asc(saved_export_run::Column::ScheduledFor).all(&h.db).await.unwrap();
    let rows = rows.into_iter().filter(|row| row.saved_export_id == id.0);
    rows.map(|row| (row.scheduled_for.unwrap(), row.export_id.map(ExportId))).collect()
}

async fn wait_for_runs(h: &Harness, id: SavedExportId, count: usize) -> Vec<(DateTime<Utc>, Option<ExportId>)> {
    eventually("the moments have runs", || async { Some(runs(h, id).await).filter(|runs| runs.len() >= count) }).await
}

async fn schedule_row(h: &Harness, id: SavedExportId) -> schedule::Model {
    schedule::find(&h.db, id).await.unwrap().unwrap()
}

async fn wait_for_pause(h: &Harness, id: SavedExportId) -> String {
    let paused = || async { schedule_row(h, id).await.paused_reason };
    let reason = eventually("the schedule is paused", paused).await;
    eventually("the owner is notified", || async { schedule_row(h, id).await.pause_notified.then_some(()) }).await;
    assert!(h.events().await.contains(&"schedule-paused".to_owned()));
    let row = schedule_row(h, id).await;
    assert_eq!((row.enabled, row.next_run_at), (false, None));
    reason
}

/// Lets the exporter end the run of the last moment.
async fn end(h: &Harness, id: ExportId, result: impl FnOnce(u32) -> OutcomeResult) {
    h.wait_for_status(id, Status::Dispatched).await;
    let attempt = h.claim(id).await;
    h.publish_outcome(id, &id.to_string(), result(attempt)).await;
    h.wait_until_settled().await;
}

async fn each_moment_runs_once_on(h: &Harness) {
    // two notifiers compete
    h.start().await;
    let second = Lifecycle::new();
    h.start_with(credit_policy(), &second).await;
    let id = save(h, "0 * * * *", |_| {}).await;
    h.set_clock("2026-11-22T15:59:59Z");
    observation_time().await;
    assert_eq!(runs(h, id).await, []);
    h.set_clock(FIRST);
    let first = wait_for_runs(h, id, 1).await;
    let export = h.row(first[0].1.unwrap()).await;
    assert_eq!((first[0].0, export.owner()), (at(FIRST), alice()));
    assert_eq!(export.filter, json!({"at": {"gte": "2026-11-22T15:00:00.000Z"}}));
    assert_eq!((export.credits, export.lane.as_str(), export.join_key.as_deref()), (1, "bulk", None));
    assert_eq!(export.claims["region"], "north");
    assert_eq!(schedule_row(h, id).await.next_run_at, Some(at("2026-11-22T17:00:00Z")));
    assert_eq!(h.balance().await, (4, 1));
    h.wait_for_status(export.export_id(), Status::Dispatched).await;

    // the clock goes back, and the owner saves the schedule again
    h.set_clock("2026-11-22T15:59:30Z");
    let row = schedule_row(h, id).await;
    schedule::put(&h.db, schedule::Model { next_run_at: Some(at(FIRST)), ..row }).await.unwrap();
    h.set_clock("2026-11-22T16:00:01Z");
    eventually("the moment is taken", || async {
        (schedule_row(h, id).await.next_run_at == Some(at("2026-11-22T17:00:00Z"))).then_some(())
    })
    .await;
    assert_eq!(runs(h, id).await, first);
    assert_eq!(h.balance().await, (4, 1));
    assert_eq!(ledger::audit(&h.db).await.unwrap(), []);
    second.soft().cancel();
}

#[tokio::test]
async fn each_moment_runs_once_on_two_notifiers_and_after_a_step_back_of_the_clock() {
    each_moment_runs_once_on(&harness().await).await;
}

#[tokio::test]
async fn each_moment_runs_once_on_two_notifiers_with_postgresql() {
    let server = Postgres::start().await;
    let h = Harness::with_database(server.database().await).await;
    advertise_flights(&h, Access::default()).await;
    sign_in(&h, &claims(), 1).await;
    each_moment_runs_once_on(&h).await;
}

#[tokio::test]
async fn after_three_nights_down_the_newest_moment_runs_and_the_others_are_missed() {
    let h = harness().await;
    let id = save(&h, "0 16 * * *", |_| {}).await;
    h.set_clock("2026-11-25T03:00:00Z");
    h.start().await;
    let found = wait_for_runs(&h, id, 3).await;
    let moments: Vec<_> = found.iter().map(|(moment, export)| (*moment, export.is_some())).collect();
    let day = TimeDelta::days(1);
    assert_eq!(moments, [(at(FIRST), false), (at(FIRST) + day, false), (at(FIRST) + day * 2, true)]);
    assert_eq!(schedule_row(&h, id).await.next_run_at, Some(at("2026-11-25T16:00:00Z")));
    let missed = saved_export_run::missed(&h.db, id, &alice(), 10).await.unwrap();
    assert_eq!(missed, [at(FIRST) + day, at(FIRST)]);
}

#[tokio::test]
async fn without_a_credit_a_run_is_listed_as_failed_and_five_failures_pause() {
    let h = harness().await;
    assert!(ledger::adjust(&h.db, &alice(), -5, "spent", now()).await.unwrap());
    let id = save(&h, "* * * * *", |_| {}).await;
    h.start().await;
    for failures in 1..=5 {
        h.set_clock(&format!("2026-11-22T16:0{}:00Z", failures - 1));
        let found = wait_for_runs(&h, id, failures).await;
        let row = h.row(found[failures - 1].1.unwrap()).await;
        assert_eq!((row.status.as_str(), row.credits), ("failed", 0));
        let problem: Problem = serde_json::from_value(row.problem.unwrap()).unwrap();
        assert_eq!(problem.slug(), Slug::CreditsExhausted);
        assert_eq!(schedule_row(&h, id).await.failures, i32::try_from(failures).unwrap());
    }
    assert!(wait_for_pause(&h, id).await.starts_with("5 runs in a row failed"));
    h.wait_until_settled().await;
    assert_eq!(h.events().await.iter().filter(|event| *event == "failed").count(), 5);
    assert_eq!(h.balance().await, (0, 0));
    assert_eq!(ledger::audit(&h.db).await.unwrap(), []);
    h.set_clock("2026-11-22T16:10:00Z");
    observation_time().await;
    assert_eq!(runs(&h, id).await.len(), 5);
}

#[tokio::test]
async fn a_failure_is_counted_once_and_a_success_ends_the_count() {
    let h = harness().await;
    let id = save(&h, "0 * * * *", |row| row.failures = 3).await;
    h.start().await;
    h.set_clock(FIRST);
    let first = wait_for_runs(&h, id, 1).await[0].1.unwrap();
    let problem = Problem::new(Slug::ExportFailed, "the source broke");
    end(&h, first, |attempt| OutcomeResult::Failed { attempt, problem: problem.clone() }).await;
    // the same outcome again
    h.publish_outcome(first, "again", OutcomeResult::Failed { attempt: 1, problem }).await;
    h.wait_until_settled().await;
    assert_eq!(schedule_row(&h, id).await.failures, 4);
    h.set_clock("2026-11-22T17:00:00Z");
    let second = wait_for_runs(&h, id, 2).await[1].1.unwrap();
    end(&h, second, |attempt| completed(attempt, &[])).await;
    let row = schedule_row(&h, id).await;
    assert_eq!((row.failures, row.enabled), (0, true));
}

#[tokio::test]
async fn rights_that_were_taken_away_pause_the_schedule() {
    let h = harness().await;
    h.start().await;
    let id = save(&h, "0 * * * *", |_| {}).await;
    sign_in(&h, &json!({"sub": "a", "scope": "export:counts", "region": "north"}), 2).await;
    h.set_clock(FIRST);
    assert!(wait_for_pause(&h, id).await.contains("scope"));
    // the claim of the row policy has changed
    let id = save(&h, "0 * * * *", |_| {}).await;
    sign_in(&h, &json!({"sub": "a", "scope": "export:*", "region": "south"}), 3).await;
    assert!(wait_for_pause(&h, id).await.contains("`region`"));
    // an older token changes nothing
    sign_in(&h, &claims(), 2).await;
    let id = save(&h, "0 * * * *", |_| {}).await;
    assert!(wait_for_pause(&h, id).await.contains("`region`"));
    assert_eq!(export::Entity::find().all(&h.db).await.unwrap(), []);
    assert_eq!(h.balance().await, (5, 0));
}

#[tokio::test]
async fn a_run_has_the_rights_of_now_and_never_more_than_when_it_was_saved() {
    let h = harness().await;
    h.start().await;
    let saved = |scope: &str| json!({"sub": "a", "scope": scope, "region": "north"});
    let narrow = save(&h, "0 * * * *", |row| row.claims = saved("export:flights")).await;
    let wide = save(&h, "0 * * * *", |row| row.claims = saved("export:* hr pii")).await;
    sign_in(&h, &json!({"sub": "a", "scope": "export:* hr", "region": "north", "name": "New"}), 2).await;
    h.set_clock(FIRST);
    for (id, scope) in [(narrow, "export:flights"), (wide, "export:* hr")] {
        let run = wait_for_runs(&h, id, 1).await[0].1.unwrap();
        let claims = h.row(run).await.claims;
        assert_eq!((&claims["scope"], &claims["name"]), (&json!(scope), &json!("New")));
    }
}

#[tokio::test]
async fn rights_older_than_a_month_pause_the_schedule() {
    let h = harness().await;
    let id = save(&h, "0 16 * * *", |_| {}).await;
    h.set_clock("2026-12-22T15:00:00Z");
    sign_in(&h, &json!({"sub": "a", "scope": "export:*", "region": "north"}), 0).await;
    h.set_clock("2026-12-23T00:00:00Z");
    h.start().await;
    assert!(wait_for_pause(&h, id).await.contains("30 days"));
    assert_eq!(runs(&h, id).await, []);
}

#[tokio::test]
async fn a_run_with_the_content_of_the_last_one_costs_nothing_and_has_no_file() {
    let h = harness().await;
    h.start().await;
    let id = save(&h, "0 * * * *", |row| row.only_if_changed = true).await;
    let with_digest = |digest: &str, attempt| match completed(attempt, &[]) {
        OutcomeResult::Completed { attempt, file, completed_at, .. } => {
            OutcomeResult::Completed { attempt, file, completed_at, content_sha256: Some(digest.into()) }
        }
        other => panic!("{other:?}"),
    };
    let ends = [("16", "a", Status::Completed), ("17", "a", Status::Unchanged), ("18", "b", Status::Completed)];
    for (index, (hour, digest, status)) in ends.into_iter().enumerate() {
        h.set_clock(&format!("2026-11-22T{hour}:00:00Z"));
        let run = wait_for_runs(&h, id, index + 1).await[index].1.unwrap();
        assert!(h.row(run).await.wants_content_digest);
        end(&h, run, |attempt| with_digest(digest, attempt)).await;
        let row = h.wait_for_status(run, status).await;
        assert_eq!(
            (row.file_name.is_some(), row.expires_at.is_some()),
            (status == Status::Completed, status == Status::Completed)
        );
        // the same outcome again changes nothing
        h.publish_outcome(run, "again", with_digest(digest, row.attempt.unsigned_abs())).await;
        h.wait_until_settled().await;
        assert_eq!(h.row(run).await.status, status.as_str());
    }
    assert_eq!(h.balance().await, (3, 0));
    assert_eq!(ledger::audit(&h.db).await.unwrap(), []);
    let events = h.events().await;
    let count = |kind: &str| events.iter().filter(|event| *event == kind).count();
    assert_eq!((count("completed"), count("unchanged")), (2, 1));
}

#[tokio::test]
async fn a_request_that_is_no_longer_valid_fails_and_a_deleted_one_never_runs() {
    let h = harness().await;
    h.start().await;
    let broken = save(&h, "0 * * * *", |_| {}).await;
    let deleted = save(&h, "0 * * * *", |_| {}).await;
    let find = async |id: SavedExportId| saved_export::Entity::find_by_id(id.0).one(&h.db).await.unwrap().unwrap();
    let row = find(broken).await;
    let request = json!({"dataset": "flights", "columns": ["gone"]});
    assert!(saved_export::update(&h.db, &saved_export::Model { request, ..row }, now()).await.unwrap());
    assert!(saved_export::delete(&h.db, &find(deleted).await, now()).await.unwrap());
    h.set_clock(FIRST);
    let run = wait_for_runs(&h, broken, 1).await[0].1.unwrap();
    let row = h.row(run).await;
    let problem: Problem = serde_json::from_value(row.problem.clone().unwrap()).unwrap();
    assert_eq!((row.status.as_str(), problem.errors[0].pointer.as_str()), ("failed", "/columns/0"));
    eventually("the schedule is gone", || async {
        schedule::find(&h.db, deleted).await.unwrap().is_none().then_some(())
    })
    .await;
    assert_eq!(runs(&h, deleted).await, []);
}
