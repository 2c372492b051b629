//! Every migration can be reverted and applied again, on SQLite and on PostgreSQL.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use migration::{Migrator, MigratorTrait};
use sea_orm_migration::sea_orm::{ConnectOptions, Database, DatabaseConnection};
use testkit::db::Postgres;

#[tokio::test]
async fn every_migration_reverts_and_applies_again_on_sqlite() {
    let mut options = ConnectOptions::new("sqlite::memory:");
    options.max_connections(1);
    let db = Database::connect(options).await.unwrap();
    Migrator::up(&db, None).await.unwrap();
    revert_and_apply(&db).await;
}

#[tokio::test]
async fn every_migration_reverts_and_applies_again_on_postgresql() {
    let server = Postgres::start().await;
    let database = server.database().await;
    revert_and_apply(&database.db).await;
}

/// Reverts and applies each migration of a database that has all migrations.
async fn revert_and_apply(db: &DatabaseConnection) {
    assert_eq!(migration::missing(db).await.unwrap(), [] as [String; 0]);
    let all = Migrator::migrations().len();
    for reverted in 1..=all {
        Migrator::down(db, Some(1)).await.unwrap();
        assert_eq!(migration::missing(db).await.unwrap().len(), reverted);
    }
    Migrator::up(db, None).await.unwrap();
    assert_eq!(migration::missing(db).await.unwrap(), [] as [String; 0]);
}
