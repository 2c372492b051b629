//! SQLite: an online copy of the file, and a file put into place.

use std::{
    path::{Path, PathBuf},
    str::FromStr,
};

use platform::config::DatabaseConfig;
use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, Statement, sqlx::sqlite::SqliteConnectOptions};

use super::{super::seal::Pieces, BackupError, pour, text};

/// Copies the database into a new file: one read transaction, while others go on writing.
pub(super) async fn copy(db: &DatabaseConnection, to: &Path) -> Result<(), BackupError> {
    let to = to.display().to_string();
    db.execute_raw(Statement::from_sql_and_values(DbBackend::Sqlite, "VACUUM INTO ?", [to.into()])).await?;
    Ok(())
}

/// Opens a copy.
pub(super) async fn open(copy: &Path) -> Result<DatabaseConnection, BackupError> {
    let url = platform::db::reading(copy);
    let mut options = sea_orm::ConnectOptions::new(url.expose());
    options.max_connections(1).sqlx_logging(false);
    Ok(sea_orm::Database::connect(options).await?)
}

/// Where the file of this database is.
pub(super) fn path(database: &DatabaseConfig) -> Result<PathBuf, BackupError> {
    let options = SqliteConnectOptions::from_str(database.url.expose());
    let options = options.map_err(|e| sea_orm::DbErr::Custom(format!("database.url: {e}")))?;
    Ok(options.get_filename().to_owned())
}

/// Writes the file beside its place, and moves it there when it is whole.
pub(super) async fn put(database: &DatabaseConfig, pieces: Pieces) -> Result<(), BackupError> {
    let path = path(database)?;
    let what = path.display().to_string();
    let beside = |suffix: &str| PathBuf::from(format!("{what}{suffix}"));
    if let Some(folder) = path.parent() {
        tokio::fs::create_dir_all(folder).await.map_err(BackupError::local(&what))?;
    }
    let new = beside(".restoring");
    let mut file = tokio::fs::File::create(&new).await.map_err(BackupError::local(&what))?;
    pour(pieces, &mut file, &what).await?;
    file.sync_all().await.map_err(BackupError::local(&what))?;
    // those of the empty database before would be taken for the new one's
    for suffix in ["-wal", "-shm"] {
        match tokio::fs::remove_file(beside(suffix)).await {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(BackupError::local(&what)(e)),
            _ => {}
        }
    }
    tokio::fs::rename(&new, &path).await.map_err(BackupError::local(&what))
}

/// Whether SQLite finds its own structures sound.
pub(super) async fn check(db: &DatabaseConnection) -> Result<(), BackupError> {
    match text(db, "PRAGMA quick_check(1)").await?.as_str() {
        "ok" => Ok(()),
        found => Err(BackupError::Unproven(format!("SQLite says: {found}"))),
    }
}
