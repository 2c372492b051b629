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
    if options.down.is_none() && migration::missing(&db).await?.is_empty() {
        // also when a newer release has been here, whose steps this one doesn't know
        output::print("nothing to do: every step is applied")?;
        return Ok(());
    }
    let before = applied(&db).await?;
    match options.down {
        Some(steps) => Migrator::down(&db, Some(steps)).await?,
        None => Migrator::up(&db, None).await?,
    }
    let after = applied(&db).await?;
    output::print(&match (before, after) {
        (before, after) if before < after => format!("applied {} of {after} steps", after - before),
        (before, after) => format!("undid {} steps; {after} are left", before - after),
    })?;
    Ok(())
}

/// Refuses a database whose tables are missing or old, and takes one that a newer release has brought up to date: steps
/// only add, and during a rollout the old release goes on beside the new one. Changes nothing.
///
/// # Errors
/// When steps are missing, or the database fails.
pub async fn check(db: &DatabaseConnection) -> Result<(), CommandError> {
    if migration::missing(db).await?.is_empty() { Ok(()) } else { Err(CommandError::NotMigrated) }
}

async fn applied(db: &DatabaseConnection) -> Result<usize, CommandError> {
    Ok(Migrator::get_applied_migrations_read_only(db).await?.len())
}

#[cfg(test)]
mod tests {
    use platform::{config::DatabaseConfig, secret::Secret};
    use sea_orm::ConnectionTrait as _;

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

    #[tokio::test]
    async fn an_older_release_starts_on_the_tables_of_a_newer_one() {
        let dir = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}?mode=rwc", dir.path().join("x.db").display());
        let database = DatabaseConfig { url: Secret::new(url), ..DatabaseConfig::default() };
        let settings = Settings { database, ..Settings::default() };
        run(&MigrateOptions { down: None }, &settings).await.unwrap();
        let db = platform::db::connect(&settings.database).await.unwrap();
        let newer = "insert into seaql_migrations (version, applied_at) values ('m29991231_000001_later', 0)";
        db.execute_unprepared(newer).await.unwrap();
        check(&db).await.unwrap();
        run(&MigrateOptions { down: None }, &settings).await.unwrap();
    }
}
