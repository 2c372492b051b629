//! API keys: the limit, deletion with all keys that a key created, and the time of the last use.

use chrono::{DateTime, TimeDelta, Utc};
use entity::api_key::{self, Insertion, Model};
use protocol::api_key::ApiKeyId;
use sea_orm::{DatabaseConnection, EntityTrait, TransactionTrait};
use testkit::db::Postgres;

fn now() -> DateTime<Utc> {
    "2026-11-22T15:26:01.123Z".parse().unwrap()
}

fn key(tenant: &str, created_by: &str) -> Model {
    let id = ApiKeyId::generate();
    Model {
        id: id.0,
        tenant: tenant.into(),
        name: "nightly".into(),
        secret_hash: format!("hash of {id}"),
        scopes: serde_json::json!(["export:*"]),
        claims: serde_json::json!({"tenant": tenant}),
        created_by: created_by.into(),
        created_at: now(),
        expires_at: None,
        last_used_at: None,
        deleted_at: None,
    }
}

async fn insert(db: &DatabaseConnection, row: Model, max: u64, at: DateTime<Utc>) -> Insertion {
    let tx = db.begin().await.unwrap();
    let inserted = api_key::insert(&tx, row, max, at - TimeDelta::days(1)).await.unwrap();
    if inserted == Insertion::Inserted {
        tx.commit().await.unwrap();
    }
    inserted
}

async fn delete(db: &DatabaseConnection, tenant: &str, id: ApiKeyId, at: DateTime<Utc>) -> Vec<ApiKeyId> {
    let tx = db.begin().await.unwrap();
    let deleted = api_key::delete(&tx, tenant, id, at).await.unwrap();
    tx.commit().await.unwrap();
    deleted
}

async fn a_deleted_key_takes_the_keys_with_it_that_it_created(db: &DatabaseConnection) {
    let parent = key("acme", "alice");
    let child = key("acme", &parent.key_id().subject());
    let grandchild = key("acme", &child.key_id().subject());
    let other = key("acme", "alice");
    // a subject of another tenant may look the same
    let foreign = key("umbrella", "bob");
    for row in [&parent, &child, &grandchild, &other, &foreign] {
        assert_eq!(insert(db, row.clone(), 10, now()).await, Insertion::Inserted);
    }
    assert_eq!(delete(db, "umbrella", parent.key_id(), now()).await, []);
    // the creation of another key counts as a use
    let used = Model { last_used_at: Some(now()), ..child.clone() };
    assert_eq!(api_key::find_by_hash(db, &child.secret_hash).await.unwrap(), Some(used));

    let deleted = delete(db, "acme", parent.key_id(), now()).await;
    assert_eq!(deleted, [parent.key_id(), child.key_id(), grandchild.key_id()]);
    assert_eq!(delete(db, "acme", parent.key_id(), now()).await, []);
    for row in [&parent, &child, &grandchild] {
        assert_eq!(api_key::find_by_hash(db, &row.secret_hash).await.unwrap(), None);
    }
    let listed = api_key::list(db, "acme", None, 10).await.unwrap();
    assert_eq!(listed.iter().map(Model::key_id).collect::<Vec<_>>(), [other.key_id()]);

    // the creating key was deleted while its request ran
    let late = key("acme", &parent.key_id().subject());
    assert_eq!(insert(db, late, 10, now()).await, Insertion::CreatorDeleted);
}

async fn deleted_keys_count_for_a_while(db: &DatabaseConnection) {
    let tenant = "initech";
    let (first, second) = (key(tenant, "alice"), key(tenant, "alice"));
    for row in [&first, &second] {
        assert_eq!(insert(db, row.clone(), 2, now()).await, Insertion::Inserted);
    }
    assert_eq!(insert(db, key(tenant, "alice"), 2, now()).await, Insertion::TooMany);
    delete(db, tenant, first.key_id(), now()).await;
    assert_eq!(insert(db, key(tenant, "alice"), 2, now()).await, Insertion::TooMany);
    let next_day = now() + TimeDelta::days(1);
    assert_eq!(insert(db, key(tenant, "alice"), 2, next_day).await, Insertion::Inserted);
    assert_eq!(api_key::list(db, tenant, Some(second.key_id()), 10).await.unwrap(), []);
}

async fn only_working_keys_are_live_and_a_use_is_recorded_once_a_minute(db: &DatabaseConnection) {
    let tenant = "hooli";
    let (plain, deleted) = (key(tenant, "alice"), key(tenant, "alice"));
    let expiring = Model { expires_at: Some(now() + TimeDelta::seconds(5)), ..key(tenant, "alice") };
    for row in [&plain, &deleted, &expiring] {
        insert(db, row.clone(), 10, now()).await;
    }
    delete(db, tenant, deleted.key_id(), now()).await;
    let ids = [plain.key_id(), deleted.key_id(), expiring.key_id(), ApiKeyId::generate()];
    let live = async |at| {
        let mut live = api_key::find_live(db, &ids, at).await.unwrap();
        live.sort();
        live
    };
    assert_eq!(live(now()).await, [(plain.key_id(), None), (expiring.key_id(), None)]);
    assert_eq!(live(now() + TimeDelta::seconds(5)).await, [(plain.key_id(), None)]);

    let minute = TimeDelta::minutes(1);
    for (seconds, recorded) in [(0, 0), (59, 0), (60, 60), (61, 60), (500, 500)] {
        let at = now() + TimeDelta::seconds(seconds);
        api_key::record_use(db, plain.key_id(), at, minute).await.unwrap();
        let used = now() + TimeDelta::seconds(recorded);
        assert_eq!(live(now() + TimeDelta::days(1)).await, [(plain.key_id(), Some(used))]);
    }
    api_key::record_use(db, deleted.key_id(), now(), minute).await.unwrap();
    let row = api_key::Entity::find_by_id(deleted.id).one(db).await.unwrap().unwrap();
    assert_eq!((row.last_used_at, row.deleted_at), (None, Some(now())));
}

async fn all_rules_hold(db: &DatabaseConnection) {
    a_deleted_key_takes_the_keys_with_it_that_it_created(db).await;
    deleted_keys_count_for_a_while(db).await;
    only_working_keys_are_live_and_a_use_is_recorded_once_a_minute(db).await;
}

#[tokio::test]
async fn api_keys_follow_their_rules_on_sqlite() {
    all_rules_hold(&testkit::db::sqlite().await.db).await;
}

#[tokio::test]
async fn api_keys_follow_their_rules_on_postgresql() {
    let server = Postgres::start().await;
    all_rules_hold(&server.database().await.db).await;
}
