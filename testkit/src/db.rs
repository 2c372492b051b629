//! Databases with all migrations applied: a SQLite file, or a database of a real PostgreSQL server.

use std::path::Path;

use migration::{Migrator, MigratorTrait};
use platform::{config::DatabaseConfig, secret::Secret};
use sea_orm::DatabaseConnection;
use tempfile::TempDir;

pub use crate::postgres::Postgres;

/// A new database with all migrations applied. Dropping the value deletes a SQLite file.
pub struct TestDatabase {
    /// The settings with which services connect.
    pub config: DatabaseConfig,
    /// A connection pool for the test.
    pub db: DatabaseConnection,
    _dir: Option<TempDir>,
}

impl TestDatabase {
    pub(crate) async fn migrated(config: DatabaseConfig, dir: Option<TempDir>) -> Self {
        let db = platform::db::connect(&config).await.expect("the database of this test is up");
        Migrator::up(&db, None).await.expect("the migrations fit together");
        Self { config, db, _dir: dir }
    }

    /// The connection URL of the database.
    #[must_use]
    pub fn url(&self) -> &str {
        self.config.url.expose()
    }
}

/// Creates a SQLite database in a temporary file, in WAL mode as in `sluice up`.
///
/// # Panics
/// When the database can't be created.
pub async fn sqlite() -> TestDatabase {
    sqlite_in(&std::env::temp_dir()).await
}

/// Creates a SQLite database as [`sqlite`] does, in a new folder below this one.
///
/// # Panics
/// When the database can't be created.
pub async fn sqlite_in(folder: &Path) -> TestDatabase {
    let dir = tempfile::tempdir_in(folder).expect("the folder of the database is writable");
    let url = format!("sqlite://{}?mode=rwc", dir.path().join("sluice.db").display());
    TestDatabase::migrated(DatabaseConfig { url: Secret::new(url), ..DatabaseConfig::default() }, Some(dir)).await
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use entity::credit_policy::{CreditPolicy, CreditsConfig};
    use protocol::id::Owner;

    use super::*;

    async fn assert_opens_an_account(database: &TestDatabase) {
        let owner = Owner::new("acme", "alice");
        let credit_policy = CreditPolicy::new(&CreditsConfig::default(), "UTC").unwrap();
        let accrued =
            entity::ledger::open_and_accrue(&database.db, &owner, &credit_policy, DateTime::UNIX_EPOCH).await.unwrap();
        assert_eq!(accrued.balance.balance, 5);
    }

    #[tokio::test]
    async fn a_sqlite_database_is_migrated() {
        assert_opens_an_account(&sqlite().await).await;
    }

    #[tokio::test]
    async fn postgres_databases_are_migrated_and_separate() {
        let postgres = Postgres::start().await;
        let (one, two) = (postgres.database().await, postgres.database().await);
        assert_ne!(one.url(), two.url());
        assert_opens_an_account(&one).await;
        let credit_policy = CreditPolicy::new(&CreditsConfig::default(), "UTC").unwrap();
        let owner = Owner::new("acme", "alice");
        let elsewhere = entity::ledger::read(&two.db, &owner, &credit_policy, DateTime::UNIX_EPOCH);
        assert_eq!(elsewhere.await.unwrap().balance, 0);
    }
}
