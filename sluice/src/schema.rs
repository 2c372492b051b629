//! The check that the tables of the database are up to date.

use sea_orm::{DatabaseConnection, DbErr};

/// A database that this version can't use.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// The database can't be reached, or refuses a query.
    #[error("database: {0}")]
    Database(#[from] DbErr),
    /// The database lacks migrations of this release.
    #[error("the database is not up to date: run `sluice migrate` first")]
    NotMigrated,
}

/// Refuses a database whose tables are missing or old, and changes nothing. A database that a newer release has migrated
/// is accepted: migrations only add, and during a rollout the old release continues beside the new one.
///
/// # Errors
/// When migrations are missing, or the database fails.
pub async fn check(db: &DatabaseConnection) -> Result<(), SchemaError> {
    if migration::missing(db).await?.is_empty() { Ok(()) } else { Err(SchemaError::NotMigrated) }
}
