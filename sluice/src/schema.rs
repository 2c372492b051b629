//! Checks that the tables of the database are up to date.

use sea_orm::{DatabaseConnection, DbErr};

/// The reason why this release cannot use a database.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// The database can't be reached, or refuses a query.
    #[error("database: {0}")]
    Database(#[from] DbErr),
    /// The database lacks migrations of this release.
    #[error("the database is not up to date: run `sluice migrate` first")]
    NotMigrated,
}

/// Checks that the database has all migrations of this release. Changes nothing. Accepts migrations of a newer release,
/// because migrations only add to the tables, and both releases run on one database during a rollout.
///
/// # Errors
/// When migrations are missing, or the database fails.
pub async fn check(db: &DatabaseConnection) -> Result<(), SchemaError> {
    if migration::missing(db).await?.is_empty() { Ok(()) } else { Err(SchemaError::NotMigrated) }
}
