//! Saved exports: visibility, the limit of a user, versions, and runs.

use chrono::{DateTime, TimeDelta, Utc};
use entity::{
    export,
    saved_export::{self, Model, Reader, VisibleDatasets},
    saved_export_run,
};
use protocol::{
    id::{ExportId, Owner},
    saved_export::SavedExportId,
};
use sea_orm::{DatabaseConnection, TransactionTrait};
use serde_json::json;
use testkit::db::Postgres;

fn now() -> DateTime<Utc> {
    "2026-11-22T15:26:01.123Z".parse().unwrap()
}

fn row(owner: &Owner, dataset: &str, visibility: &str) -> Model {
    Model {
        id: SavedExportId::generate().0,
        tenant: owner.tenant.clone(),
        user_id: owner.user.clone(),
        name: "weekly".into(),
        dataset: dataset.into(),
        request: json!({"dataset": dataset, "filter": {"at": {"gte": "now-7d/d"}}}),
        visibility: visibility.into(),
        version: 1,
        created_at: now(),
        updated_at: now(),
        deleted_at: None,
    }
}

async fn insert(db: &DatabaseConnection, row: &Model, max: u64) -> bool {
    let tx = db.begin().await.unwrap();
    let inserted = saved_export::insert(&tx, row.clone(), max).await.unwrap();
    if inserted {
        tx.commit().await.unwrap();
    }
    inserted
}

async fn visible(db: &DatabaseConnection, owner: &Owner, datasets: VisibleDatasets) -> Vec<Model> {
    let reader = Reader { owner: owner.clone(), datasets };
    let rows = saved_export::list(db, &reader, None, 10).await.unwrap();
    for row in &rows {
        assert_eq!(saved_export::find(db, &reader, row.saved_export_id()).await.unwrap().as_ref(), Some(row));
    }
    rows
}

async fn only_own_ones_and_shared_ones_of_permitted_datasets_are_visible(db: &DatabaseConnection) {
    let (alice, bob, other) = (Owner::new("acme", "alice"), Owner::new("acme", "bob"), Owner::new("umbrella", "alice"));
    let private = row(&alice, "flights", "private");
    let shared = row(&alice, "flights", "tenant");
    let staff = row(&alice, "people", "tenant");
    for row in [&private, &shared, &staff] {
        assert!(insert(db, row, 3).await);
    }
    assert!(!insert(db, &row(&alice, "flights", "private"), 3).await);
    let every = || VisibleDatasets::AllExcept(vec![]);
    assert_eq!(
        visible(db, &alice, VisibleDatasets::Only(vec![])).await,
        [staff.clone(), shared.clone(), private.clone()]
    );
    assert_eq!(visible(db, &bob, every()).await, [staff.clone(), shared.clone()]);
    assert_eq!(
        visible(db, &bob, VisibleDatasets::AllExcept(vec!["people".into()])).await,
        std::slice::from_ref(&shared)
    );
    assert_eq!(visible(db, &bob, VisibleDatasets::Only(vec!["people".into()])).await, std::slice::from_ref(&staff));
    assert_eq!(visible(db, &bob, VisibleDatasets::Only(vec![])).await, []);
    assert_eq!(visible(db, &other, every()).await, []);
    let reader = Reader { owner: alice.clone(), datasets: every() };
    let older = saved_export::list(db, &reader, Some(shared.saved_export_id()), 10).await.unwrap();
    assert_eq!(older, [private]);

    // a deleted one frees its place
    assert!(saved_export::delete(db, &shared, now()).await.unwrap());
    assert!(!saved_export::delete(db, &shared, now()).await.unwrap());
    assert!(!saved_export::update(db, &shared, now()).await.unwrap());
    assert_eq!(visible(db, &bob, every()).await, [staff]);
    assert!(insert(db, &row(&alice, "flights", "private"), 3).await);
}

async fn a_change_needs_the_current_version_and_the_owner(db: &DatabaseConnection) {
    let (alice, bob) = (Owner::new("hooli", "alice"), Owner::new("hooli", "bob"));
    let first = row(&alice, "flights", "tenant");
    assert!(insert(db, &first, 3).await);
    let later = now() + TimeDelta::seconds(1);
    let changed = Model { name: "daily".into(), request: json!({"dataset": "flights"}), ..first.clone() };
    assert!(!saved_export::update(db, &Model { user_id: bob.user.clone(), ..changed.clone() }, later).await.unwrap());
    assert!(saved_export::update(db, &changed, later).await.unwrap());
    assert!(!saved_export::update(db, &changed, later).await.unwrap());
    let expected = Model { version: 2, updated_at: later, ..changed };
    assert_eq!(visible(db, &bob, VisibleDatasets::AllExcept(vec![])).await, std::slice::from_ref(&expected));
    assert!(!saved_export::delete(db, &first, later).await.unwrap());
    assert!(saved_export::delete(db, &expected, later).await.unwrap());
}

async fn runs_belong_to_the_user_who_started_them(db: &DatabaseConnection) {
    let (alice, bob) = (Owner::new("initech", "alice"), Owner::new("initech", "bob"));
    let saved = [row(&alice, "flights", "tenant"), row(&alice, "flights", "tenant"), row(&alice, "flights", "tenant")];
    let mut exports = Vec::new();
    for row in &saved {
        assert!(insert(db, row, 10).await);
    }
    for (index, owner) in [(0, &alice), (0, &alice), (0, &bob), (1, &alice)] {
        let export = export::Model::queued(ExportId::generate(), owner, now());
        export::insert(db, export.clone()).await.unwrap();
        // a second record of the same export changes nothing
        for _ in 0..2 {
            let id = saved[index].saved_export_id();
            saved_export_run::record(db, id, owner, export.export_id(), now()).await.unwrap();
        }
        exports.push(export);
    }
    let list = async |index: usize, owner: &Owner, before| {
        let runs = saved_export_run::list(db, saved[index].saved_export_id(), owner, before, 10).await.unwrap();
        runs.into_iter().map(|run| (run.run.id, run.export)).collect::<Vec<_>>()
    };
    let of_alice = list(0, &alice, None).await;
    assert_eq!(of_alice.iter().map(|(_, export)| export.id).collect::<Vec<_>>(), [exports[1].id, exports[0].id]);
    let older = list(0, &alice, Some(of_alice[0].0)).await;
    assert_eq!(older.iter().map(|(_, export)| export.id).collect::<Vec<_>>(), [exports[0].id]);
    assert_eq!(list(0, &bob, None).await.len(), 1);
    assert!(list(2, &alice, None).await.is_empty());

    let ids = saved.each_ref().map(|row| row.id);
    let newest = async |ids: &[_], owner: &Owner| {
        let found = saved_export_run::newest(db, ids, owner).await.unwrap();
        let mut found: Vec<_> = found.into_iter().map(|(id, run)| (id, run.export.id)).collect();
        found.sort();
        found
    };
    assert_eq!(newest(&ids, &alice).await, [(ids[0], exports[1].id), (ids[1], exports[3].id)]);
    assert_eq!(newest(&ids, &bob).await, [(ids[0], exports[2].id)]);
    assert_eq!(newest(&[], &bob).await, []);
}

async fn all_rules_hold(db: &DatabaseConnection) {
    only_own_ones_and_shared_ones_of_permitted_datasets_are_visible(db).await;
    a_change_needs_the_current_version_and_the_owner(db).await;
    runs_belong_to_the_user_who_started_them(db).await;
}

#[tokio::test]
async fn saved_exports_follow_their_rules_on_sqlite() {
    all_rules_hold(&testkit::db::sqlite().await.db).await;
}

#[tokio::test]
async fn saved_exports_follow_their_rules_on_postgresql() {
    let server = Postgres::start().await;
    all_rules_hold(&server.database().await.db).await;
}
