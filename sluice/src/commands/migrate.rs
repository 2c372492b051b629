//! `sluice migrate`: the tables of the database.

use migration::{Migrator, MigratorTrait};
use sea_orm::DatabaseConnection;

use super::CommandError;
use crate::{cli::MigrateOptions, output, settings::Settings};

/// Applies every step that is missing, or undoes some.
///
/// # Errors
/// When the database can't be reached or refuses a step.
pub async fn run(options: &MigrateOptions, settings: &Settings) -> Result<(), CommandError> {
    let db = platform::db::connect(&settings.database).await?;
    let before = applied(&db).await?;
    match options.down {
        Some(steps) => Migrator::down(&db, Some(steps)).await?,
        None => Migrator::up(&db, None).await?,
    }
    let after = applied(&db).await?;
    output::print(&match (before, after) {
        (before, after) if before < after => format!("applied {} of {after} steps", after - before),
        (before, after) if before > after => format!("undid {} steps; {after} are left", before - after),
        (_, after) => format!("nothing to do: {after} steps are applied"),
    })?;
    Ok(())
}

/// Refuses a database whose tables are missing or old. Changes nothing.
///
/// # Errors
/// When steps are missing, or the database fails.
pub async fn check(db: &DatabaseConnection) -> Result<(), CommandError> {
    match Migrator::get_pending_migrations_read_only(db).await?.as_slice() {
        [] => Ok(()),
        _ => Err(CommandError::NotMigrated),
    }
}

async fn applied(db: &DatabaseConnection) -> Result<usize, CommandError> {
    Ok(Migrator::get_applied_migrations_read_only(db).await?.len())
}

#[cfg(test)]
mod tests {
    use platform::{config::DatabaseConfig, secret::Secret};

    use super::*;

    #[tokio::test]
    async fn a_database_without_tables_is_told_from_one_that_is_up_to_date() {
        let dir = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}?mode=rwc", dir.path().join("x.db").display());
        let database = DatabaseConfig { url: Secret::new(url), ..DatabaseConfig::default() };
        let settings = Settings { database, ..Settings::default() };
        let db = platform::db::connect(&settings.database).await.unwrap();
        assert!(matches!(check(&db).await, Err(CommandError::NotMigrated)));
        run(&MigrateOptions { down: None }, &settings).await.unwrap();
        check(&db).await.unwrap();
        run(&MigrateOptions { down: Some(1) }, &settings).await.unwrap();
        assert!(matches!(check(&db).await, Err(CommandError::NotMigrated)));
    }
}
