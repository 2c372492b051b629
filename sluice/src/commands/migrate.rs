//! `sluice migrate`: migrates the tables of the database.

use migration::{Migrator, MigratorTrait};
use sea_orm::DatabaseConnection;

use super::CommandError;
use crate::{cli::MigrateOptions, output, settings::Settings};

/// Applies all missing migrations, or reverts the requested number of migrations.
///
/// # Errors
/// When the database can't be reached, or refuses a migration.
pub async fn run(options: &MigrateOptions, settings: &Settings) -> Result<(), CommandError> {
    let db = platform::db::connect(&settings.database).await?;
    if options.down.is_none() && migration::missing(&db).await?.is_empty() {
        // return before `Migrator::up`, which fails if a newer release has applied migrations that this release does
        // not know
        output::print("nothing to do: every migration is applied")?;
        return Ok(());
    }
    let before = applied(&db).await?;
    match options.down {
        Some(steps) => Migrator::down(&db, Some(steps)).await?,
        None => Migrator::up(&db, None).await?,
    }
    let after = applied(&db).await?;
    output::print(&match (before, after) {
        (before, after) if before < after => format!("applied {} of {after} migrations", after - before),
        (before, after) => format!("reverted {} migrations; {after} are left", before - after),
    })?;
    Ok(())
}

async fn applied(db: &DatabaseConnection) -> Result<usize, CommandError> {
    Ok(Migrator::get_applied_migrations_read_only(db).await?.len())
}

#[cfg(test)]
mod tests {
    use platform::{config::DatabaseConfig, secret::Secret};
    use sea_orm::ConnectionTrait as _;

    use super::*;
    use crate::schema::{SchemaError, check};

    #[tokio::test]
    async fn a_database_with_missing_migrations_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}?mode=rwc", dir.path().join("x.db").display());
        let database = DatabaseConfig { url: Secret::new(url), ..DatabaseConfig::default() };
        let settings = Settings { database, ..Settings::default() };
        let db = platform::db::connect(&settings.database).await.unwrap();
        assert!(matches!(check(&db).await, Err(SchemaError::NotMigrated)));
        run(&MigrateOptions { down: None }, &settings).await.unwrap();
        check(&db).await.unwrap();
        run(&MigrateOptions { down: Some(1) }, &settings).await.unwrap();
        assert!(matches!(check(&db).await, Err(SchemaError::NotMigrated)));
    }

    #[tokio::test]
    async fn an_older_release_accepts_the_tables_of_a_newer_one() {
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
