//! Paused owners: their exports wait, nothing is lost, and the history tells it. On SQLite and PostgreSQL.

use std::time::Duration;

use chrono::{DateTime, Utc};
use entity::{
    dispatch_queue::QueueSnapshot,
    export, history, operator,
    pause::{self, Model},
    transition::{self, Claim, Claimant},
};
use protocol::{
    id::{ExportId, Owner},
    ops::HistoryKind,
};
use sea_orm::{
    ActiveModelTrait, ConnectionTrait, DatabaseConnection, DbBackend, EntityTrait, IntoActiveModel, QueryTrait,
    Statement, TransactionTrait,
};
use testkit::db::Postgres;

fn now() -> DateTime<Utc> {
    "2026-11-22T15:26:01.123Z".parse().unwrap()
}

fn paused(tenant: &str, user: &str) -> Model {
    let (tenant, user_id) = (tenant.into(), user.into());
    Model { tenant, user_id, reason: "floods the queue".into(), paused_by: "olga".into(), paused_at: now() }
}

async fn set_paused(db: &DatabaseConnection, tenant: &str, user: &str) -> bool {
    let tx = db.begin().await.unwrap();
    let changed = pause::pause(&tx, paused(tenant, user)).await.unwrap();
    tx.commit().await.unwrap();
    changed
}

async fn queued(db: &DatabaseConnection, tenant: &str, user: &str) -> ExportId {
    let id = ExportId::generate();
    export::insert(db, export::Model::queued(id, &Owner::new(tenant, user), now())).await.unwrap();
    id
}

/// The exports in the dispatch order, oldest first.
async fn waiting(db: &DatabaseConnection) -> Vec<ExportId> {
    let snapshot = QueueSnapshot::read(db, 100).await.unwrap();
    let mut ids: Vec<_> = snapshot.waiting.iter().map(|row| row.export_id()).collect();
    ids.sort();
    ids
}

async fn claim(db: &DatabaseConnection, id: ExportId, job_number: u32) -> Claim {
    let claimant = Claimant { worker: "exporter", job_number, lease: Duration::from_secs(10) };
    transition::claim(db, id, claimant, now()).await.unwrap()
}

async fn row(db: &DatabaseConnection, id: ExportId) -> export::Model {
    export::find(db, id).await.unwrap().unwrap()
}

#[tokio::test]
async fn the_exports_of_a_paused_owner_wait_and_none_is_lost_on_sqlite() {
    let database = testkit::db::sqlite().await;
    the_exports_of_a_paused_owner_wait_and_none_is_lost(&database.db).await;
}

#[tokio::test]
async fn the_exports_of_a_paused_owner_wait_and_none_is_lost_on_postgresql() {
    let server = Postgres::start().await;
    let database = server.database().await;
    the_exports_of_a_paused_owner_wait_and_none_is_lost(&database.db).await;
}

async fn the_exports_of_a_paused_owner_wait_and_none_is_lost(db: &DatabaseConnection) {
    let alice = queued(db, "acme", "alice").await;
    let dispatched = queued(db, "acme", "alice").await;
    let running = queued(db, "acme", "alice").await;
    let (bob, other) = (queued(db, "acme", "bob").await, queued(db, "globex", "alice").await);
    assert!(transition::dispatched(db, dispatched, now()).await.unwrap());
    assert!(matches!(claim(db, running, 0).await, Claim::Won(_)));

    assert!(set_paused(db, "acme", "alice").await);
    assert!(!set_paused(db, "acme", "alice").await, "the first reason stays");
    assert_eq!(waiting(db).await, [bob, other], "the dispatched export of alice is back in the queue, and waits");
    let snapshot = QueueSnapshot::read(db, 100).await.unwrap();
    assert!(snapshot.is_paused(alice) && snapshot.is_paused(dispatched) && !snapshot.is_paused(bob));
    let back = row(db, dispatched).await;
    assert_eq!((back.status.as_str(), back.job_number, back.dispatched_at), ("queued", 1, None));
    assert_eq!(claim(db, dispatched, 0).await, Claim::Superseded, "its published job starts nothing");

    // A dispatcher and an exporter that read the rows before the pause change nothing either.
    assert!(!transition::dispatched(db, alice, now()).await.unwrap());
    assert_eq!(claim(db, alice, 0).await, Claim::Paused);
    assert_eq!(
        row(db, alice).await.job_number,
        1,
        "the exporter acknowledges the job, so the next one has a new number"
    );

    // A running export continues, also with its next attempt.
    assert!(transition::attempt_failed(db, running, 1, now()).await.unwrap());
    let Claim::Won(again) = claim(db, running, 0).await else { panic!("the next attempt starts") };
    assert_eq!(again.attempt, 2);

    assert!(set_paused(db, "acme", "").await);
    assert_eq!(waiting(db).await, [other]);
    assert!(pause::resume(db, "acme", Some("alice")).await.unwrap());
    assert_eq!(waiting(db).await, [other], "the tenant is still paused");
    assert!(pause::resume(db, "acme", None).await.unwrap());
    assert!(!pause::resume(db, "acme", None).await.unwrap());
    assert_eq!(waiting(db).await, [alice, dispatched, bob, other]);
    assert!(matches!(claim(db, dispatched, 1).await, Claim::Won(_)));

    let kinds = |rows: &[history::Model]| history::events(rows).iter().map(|event| event.kind).collect::<Vec<_>>();
    let rows = history::of_export(db, dispatched, 100).await.unwrap();
    use HistoryKind::{AttemptFailed, AttemptStarted, Dispatched, Queued, TakenBack};
    assert_eq!(kinds(&rows), [Queued, Dispatched, TakenBack, AttemptStarted]);
    let rows = history::of_export(db, running, 100).await.unwrap();
    assert_eq!(kinds(&rows), [Queued, AttemptStarted, AttemptFailed, AttemptStarted]);
}

/// The number of exports in the table of a search.
const EXPORTS: usize = 100_000;
/// The number of rows in one insert.
const BATCH: usize = 500;

#[tokio::test]
async fn slow_a_search_among_100_000_exports_reads_only_the_index_on_sqlite() {
    let database = testkit::db::sqlite().await;
    let plan = search(&database.db).await;
    assert!(plan.contains("COVERING INDEX export_names"), "{plan}");
}

#[tokio::test]
async fn slow_a_search_among_100_000_exports_reads_only_the_index_on_postgresql() {
    let server = Postgres::start().await;
    let database = server.database().await;
    let plan = search(&database.db).await;
    assert!(plan.contains("Index Only Scan") && plan.contains("export_names"), "{plan}");
}

/// Fills the table, checks the results of searches, and returns the plan of a search by a part of a name.
async fn search(db: &DatabaseConnection) -> String {
    let (mut failed, mut rows) = (Vec::new(), Vec::with_capacity(BATCH));
    for n in 0..EXPORTS {
        let (tenant, user) = (format!("tenant-{}", n % 50), format!("user-{}@example.com", n % 2_000));
        let mut row = export::Model {
            dataset: if n % 25_000 == 7 { "Quarterly_Report".into() } else { format!("dataset-{}", n % 200) },
            filter: serde_json::json!({"origin": {"in": ["SEA", "JFK", "LAX"]}, "delay": {"gte": n}}),
            ..export::Model::queued(ExportId::generate(), &Owner::new(tenant, user), now())
        };
        row.status = if n % 25_000 == 7 { "failed".into() } else { "completed".into() };
        if row.status == "failed" {
            failed.insert(0, row.export_id());
        }
        rows.push(row.into_active_model().reset_all());
        if rows.len() == BATCH {
            let batch = std::mem::replace(&mut rows, Vec::with_capacity(BATCH));
            export::Entity::insert_many(batch).exec_without_returning(db).await.unwrap();
        }
    }
    let backend = db.get_database_backend();
    let vacuum = if backend == DbBackend::Postgres { "VACUUM ANALYZE export" } else { "ANALYZE" };
    db.execute_unprepared(vacuum).await.unwrap();

    let query = |text: &str| operator::Query { text: Some(text.into()), limit: 51, ..Default::default() };
    let find = async |query: operator::Query| {
        let started = std::time::Instant::now();
        let found = operator::list(db, &query).await.unwrap();
        let (text, took) = (query.text.unwrap_or_default(), started.elapsed());
        println!("{backend:?}: {:?} {text:?}: {} exports in {took:?}", query.status, found.len());
        found.iter().map(export::Model::export_id).collect::<Vec<_>>()
    };
    assert_eq!(find(query("ly_rep")).await, failed, "a part, in another case, and `_` is no wildcard");
    assert_eq!(find(query("ly%rep")).await, []);
    assert_eq!(find(query("USER-1999@")).await.len(), 50);
    assert_eq!(find(query("nobody")).await, []);
    assert_eq!(find(query(&failed[1].to_string())).await, [failed[1]]);
    let only_failed = operator::Query { status: Some(protocol::export::Status::Failed), ..query("report") };
    assert_eq!(find(only_failed).await, failed);

    let statement = operator::search_ids(&query("nobody")).build(backend);
    let explain = if backend == DbBackend::Postgres { "EXPLAIN" } else { "EXPLAIN QUERY PLAN" };
    let explain = Statement { sql: format!("{explain} {}", statement.sql), ..statement };
    let column = if backend == DbBackend::Postgres { "QUERY PLAN" } else { "detail" };
    let lines = db.query_all_raw(explain).await.unwrap();
    let plan: Vec<String> = lines.iter().map(|line| line.try_get("", column).unwrap()).collect();
    println!("{}", plan.join("\n"));
    plan.join("\n")
}
