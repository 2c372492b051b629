//! Migrated databases of this test's own: SQLite in a file, or a real PostgreSQL.

use migration::{Migrator, MigratorTrait};
use platform::{config::DatabaseConfig, secret::Secret};
use sea_orm::DatabaseConnection;
use tempfile::TempDir;

pub use crate::postgres::Postgres;

/// A fresh, migrated database. The file of a SQLite one is deleted with this value.
pub struct TestDatabase {
    /// How services connect to it.
    pub config: DatabaseConfig,
    /// A pool for the test itself.
    pub db: DatabaseConnection,
    _dir: Option<TempDir>,
}

impl TestDatabase {
    pub(crate) async fn migrated(config: DatabaseConfig, dir: Option<TempDir>) -> Self {
        let db = platform::db::connect(&config).await.expect("the database of this test is up");
        Migrator::up(&db, None).await.expect("the migrations fit together");
        Self { config, db, _dir: dir }
    }

    /// The URL.
    #[must_use]
    pub fn url(&self) -> &str {
        self.config.url.expose()
    }
}

/// SQLite in a temporary file, in WAL mode as `sluice up` has it.
///
/// # Panics
/// When it can't be made.
pub async fn sqlite() -> TestDatabase {
    let dir = tempfile::tempdir().expect("the folder for temporary files is writable");
    let url = format!("sqlite://{}?mode=rwc", dir.path().join("sluice.db").display());
    TestDatabase::migrated(DatabaseConfig { url: Secret::new(url), ..DatabaseConfig::default() }, Some(dir)).await
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use entity::credit_policy::{CreditsConfig, CreditPolicy};
    use protocol::id::Owner;

    use super::*;

    async fn opens_an_account(database: &TestDatabase) {
        let owner = Owner::new("acme", "alice");
        let credit_policy = CreditPolicy::new(&CreditsConfig::default(), "UTC").unwrap();
        let balance = entity::ledger::open_and_accrue(&database.db, &owner, &credit_policy, DateTime::UNIX_EPOCH).await.unwrap();
        assert_eq!(balance.balance, 5);
    }

    #[tokio::test]
    async fn a_sqlite_database_is_migrated() {
        opens_an_account(&sqlite().await).await;
    }

    #[tokio::test]
    async fn postgres_databases_are_migrated_and_apart() {
        let postgres = Postgres::start().await;
        let (one, two) = (postgres.database().await, postgres.database().await);
        assert_ne!(one.url(), two.url());
        opens_an_account(&one).await;
        let credit_policy = CreditPolicy::new(&CreditsConfig::default(), "UTC").unwrap();
        let owner = Owner::new("acme", "alice");
        let elsewhere = entity::ledger::read(&two.db, &owner, &credit_policy, DateTime::UNIX_EPOCH);
        assert_eq!(elsewhere.await.unwrap().balance, 0);
    }
}
