//! Database migrations, one file a step, for PostgreSQL and SQLite alike.
//!
//! This crate depends on nothing of ours: a migration that has landed never changes, whatever the models do later.

use std::collections::HashSet;

pub use sea_orm_migration::{MigratorTrait, SchemaManager};
use sea_orm_migration::{
    prelude::*,
    sea_orm::{DatabaseConnection, EntityTrait as _},
    seaql_migrations,
};

mod m20261122_000001_exports;
mod m20261122_000002_credits;
mod m20261122_000003_menus;
mod m20261122_000004_failures;
mod m20261122_000005_nights;
mod m20261122_000006_clock;
mod m20261122_000007_turns;
mod m20261122_000008_submit_keys;

/// All steps in order.
#[derive(Debug)]
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m20261122_000001_exports::Migration),
            Box::new(m20261122_000002_credits::Migration),
            Box::new(m20261122_000003_menus::Migration),
            Box::new(m20261122_000004_failures::Migration),
            Box::new(m20261122_000005_nights::Migration),
            Box::new(m20261122_000006_clock::Migration),
            Box::new(m20261122_000007_turns::Migration),
            Box::new(m20261122_000008_submit_keys::Migration),
        ]
    }
}

/// The names of the steps that this program has and a database lacks. Changes nothing.
///
/// Steps that the database has and this program doesn't know are no fault: a newer release made them, which an older one
/// runs beside during a rollout, and after one that was rolled back.
///
/// # Errors
/// When the database can't be read.
pub async fn missing(db: &DatabaseConnection) -> Result<Vec<String>, DbErr> {
    let applied: HashSet<String> = if SchemaManager::new(db).has_table("seaql_migrations").await? {
        seaql_migrations::Entity::find().all(db).await?.into_iter().map(|step| step.version).collect()
    } else {
        HashSet::new()
    };
    let known = Migrator::migrations().into_iter().map(|step| step.name().to_owned());
    Ok(known.filter(|name| !applied.contains(name)).collect())
}
