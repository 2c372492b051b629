//! Database migrations for PostgreSQL and SQLite.
//!
//! This crate depends on no other crate of the workspace. A released migration never changes, even when the models
//! change.

use std::collections::HashSet;

pub use sea_orm_migration::{MigratorTrait, SchemaManager};
use sea_orm_migration::{
    prelude::*,
    sea_orm::{DatabaseConnection, EntityTrait as _},
    seaql_migrations,
};

mod m20261129_000001_exports;
mod m20261129_000002_idempotency_keys;
mod m20261129_000003_credits;
mod m20261129_000004_scheduling;
mod m20261129_000005_attempts_without_end;
mod m20261202_000006_api_keys;
mod m20261203_000007_saved_exports;
mod m20261204_000008_schedules;
mod m20261205_000009_operate;

/// The functions that the migrations create in PostgreSQL. `DROP TABLE` leaves them, so a restore drops them by name.
pub const FUNCTIONS: [&str; 1] = [m20261205_000009_operate::HISTORY_FUNCTION];

/// Applies and reverts the migrations in the order of their names.
#[derive(Debug)]
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m20261129_000001_exports::Migration),
            Box::new(m20261129_000002_idempotency_keys::Migration),
            Box::new(m20261129_000003_credits::Migration),
            Box::new(m20261129_000004_scheduling::Migration),
            Box::new(m20261129_000005_attempts_without_end::Migration),
            Box::new(m20261202_000006_api_keys::Migration),
            Box::new(m20261203_000007_saved_exports::Migration),
            Box::new(m20261204_000008_schedules::Migration),
            Box::new(m20261205_000009_operate::Migration),
        ]
    }
}

/// Returns the names of the migrations that the database lacks. Does not change the database.
///
/// Migrations that this release does not know are no error: a newer release has applied them, and this release may run
/// on the same database during a rollout or after a rollback.
///
/// # Errors
/// When the database fails.
pub async fn missing(db: &DatabaseConnection) -> Result<Vec<String>, DbErr> {
    let applied: HashSet<String> = if SchemaManager::new(db).has_table("seaql_migrations").await? {
        seaql_migrations::Entity::find().all(db).await?.into_iter().map(|row| row.version).collect()
    } else {
        HashSet::new()
    };
    let known = Migrator::migrations().into_iter().map(|migration| migration.name().to_owned());
    Ok(known.filter(|name| !applied.contains(name)).collect())
}
