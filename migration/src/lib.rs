//! Database migrations, one file a step, for PostgreSQL and SQLite alike.
//!
//! This crate depends on nothing of ours: a migration that has landed never changes, whatever the models do later.

use sea_orm_migration::prelude::*;
pub use sea_orm_migration::{MigratorTrait, SchemaManager};

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
