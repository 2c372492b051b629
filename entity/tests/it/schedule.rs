//! Schedules: of two notifiers one takes a moment, failures in a row pause, and an older token changes no rights.

use chrono::{DateTime, TimeDelta, Utc};
use entity::{
    saved_export_run,
    schedule::{self, MAX_FAILURES, Model},
    user_rights::{self, VerifiedToken},
};
use protocol::{
    id::{ExportId, Owner},
    saved_export::SavedExportId,
};
use sea_orm::{DatabaseConnection, TransactionTrait};
use serde_json::json;
use testkit::db::Postgres;
use uuid::Uuid;

fn now() -> DateTime<Utc> {
    "2026-11-22T15:26:01.123Z".parse().unwrap()
}

fn alice() -> Owner {
    Owner::new("acme", "alice")
}

async fn put(db: &DatabaseConnection, change: impl FnOnce(&mut Model)) -> Model {
    let mut row = Model {
        saved_export_id: SavedExportId::generate().0,
        tenant: alice().tenant,
        user_id: alice().user,
        cron: "0 * * * *".into(),
        zone: "UTC".into(),
        enabled: true,
        only_if_changed: false,
        claims: json!({"sub": "alice"}),
        next_run_at: Some(now()),
        paused_reason: None,
        pause_notified: false,
        failures: 0,
        last_content_sha256: None,
    };
    change(&mut row);
    schedule::put(db, row.clone()).await.unwrap();
    row
}

async fn find(db: &DatabaseConnection, row: &Model) -> Model {
    schedule::find(db, row.id()).await.unwrap().unwrap()
}

async fn a_moment_is_taken_once(db: &DatabaseConnection) {
    let row = put(db, |_| {}).await;
    let later = put(db, |row| row.next_run_at = Some(now() + TimeDelta::seconds(1))).await;
    let disabled = put(db, |row| row.enabled = false).await;
    assert_eq!(schedule::due(db, Uuid::nil(), now(), 10).await.unwrap(), std::slice::from_ref(&row));
    assert_eq!(schedule::due(db, row.saved_export_id, now(), 10).await.unwrap(), []);
    let next = Some(now() + TimeDelta::hours(1));
    assert!(schedule::advance(db, &row, next).await.unwrap());
    // a second notifier has read the same row
    assert!(!schedule::advance(db, &row, next).await.unwrap());
    assert!(!schedule::pause(db, &row, "too late").await.unwrap());
    assert_eq!(find(db, &row).await.next_run_at, next);
    for row in [&row, &later, &disabled] {
        schedule::delete(db, row.id()).await.unwrap();
    }

    // the row of the moment holds too
    let (id, export) = (row.id(), ExportId::generate());
    let tx = db.begin().await.unwrap();
    saved_export_run::record_missed(&tx, id, &alice(), now() - TimeDelta::hours(1), now()).await.unwrap();
    assert!(saved_export_run::record_moment(&tx, id, &alice(), export, now(), now()).await.unwrap());
    assert!(!saved_export_run::record_moment(&tx, id, &alice(), ExportId::generate(), now(), now()).await.unwrap());
    saved_export_run::record_missed(&tx, id, &alice(), now(), now()).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(saved_export_run::missed(db, id, &alice(), 10).await.unwrap(), [now() - TimeDelta::hours(1)]);
    let run = saved_export_run::scheduled(db, export).await.unwrap().unwrap();
    assert_eq!((run.scheduled_for, run.saved_export_id), (Some(now()), id.0));
    assert_eq!(saved_export_run::scheduled(db, ExportId::generate()).await.unwrap(), None);
}

async fn failures_in_a_row_pause_once(db: &DatabaseConnection) {
    let row = put(db, |_| {}).await;
    for _ in 1..MAX_FAILURES {
        schedule::record_failure(db, row.id()).await.unwrap();
    }
    schedule::record_success(db, row.id(), Some("digest")).await.unwrap();
    for count in 1..=MAX_FAILURES {
        assert!(find(db, &row).await.enabled);
        schedule::record_failure(db, row.id()).await.unwrap();
        assert_eq!(find(db, &row).await.failures, count);
    }
    let paused = find(db, &row).await;
    assert_eq!((paused.enabled, paused.next_run_at), (false, None));
    assert_eq!(paused.last_content_sha256.as_deref(), Some("digest"));
    assert_eq!(schedule::unnotified(db, 10).await.unwrap(), std::slice::from_ref(&paused));
    schedule::mark_notified(db, &paused).await.unwrap();
    // a run that was under way fails after the pause
    schedule::record_failure(db, row.id()).await.unwrap();
    assert_eq!(schedule::unnotified(db, 10).await.unwrap(), []);
    schedule::delete(db, row.id()).await.unwrap();
}

async fn only_a_newer_token_replaces_rights(db: &DatabaseConnection) {
    let token = |scope: &str, issued_at: i64| VerifiedToken {
        owner: alice(),
        claims: json!({"scope": scope}).as_object().cloned().unwrap(),
        issued_at,
        seen_at: now() + TimeDelta::seconds(issued_at),
    };
    let scope = async || user_rights::find(db, &alice()).await.unwrap().map(|row| row.claims["scope"].clone());
    user_rights::update(db, &token("none", 1)).await.unwrap();
    assert_eq!(scope().await, None);
    for (token, kept) in [(token("b", 2), "b"), (token("a", 1), "b"), (token("c", 2), "c"), (token("d", 3), "d")] {
        user_rights::keep(db, &token).await.unwrap();
        assert_eq!(scope().await, Some(json!(kept)));
    }
    user_rights::update(db, &token("e", 4)).await.unwrap();
    assert_eq!(scope().await, Some(json!("e")));
}

async fn all_rules_hold(db: &DatabaseConnection) {
    a_moment_is_taken_once(db).await;
    failures_in_a_row_pause_once(db).await;
    only_a_newer_token_replaces_rights(db).await;
}

#[tokio::test]
async fn schedules_follow_their_rules_on_sqlite() {
    all_rules_hold(&testkit::db::sqlite().await.db).await;
}

#[tokio::test]
async fn schedules_follow_their_rules_on_postgresql() {
    let server = Postgres::start().await;
    all_rules_hold(&server.database().await.db).await;
}
