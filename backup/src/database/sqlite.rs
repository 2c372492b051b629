//! Copies a SQLite database while services use it, and replaces the file of a database.

use std::{
    path::{Path, PathBuf},
    str::FromStr,
};

use platform::config::DatabaseConfig;
use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, Statement, sqlx::sqlite::SqliteConnectOptions};

use super::{copy_to, query_text};
use crate::{digest::ByteStream, error::BackupError};

/// Copies the database into a new file in one read transaction, which blocks no writer.
pub(crate) async fn copy(db: &DatabaseConnection, to: &Path) -> Result<(), BackupError> {
    let path = to.display().to_string();
    let statement = Statement::from_sql_and_values(DbBackend::Sqlite, "VACUUM INTO ?", [path.into()]);
    match db.execute_raw(statement).await {
        // SQLite's text for SQLITE_FULL; the statement writes into the new file only
        Err(e) if e.to_string().contains("disk is full") => {
            Err(BackupError::TemporaryFolderFull { folder: std::env::temp_dir().display().to_string() })
        }
        copied => Ok(copied.map(drop)?),
    }
}

/// Opens a copy of the database read-only.
pub(crate) async fn open(copy: &Path) -> Result<DatabaseConnection, BackupError> {
    let url = platform::db::sqlite_read_only(copy);
    let mut options = sea_orm::ConnectOptions::new(url.expose());
    options.max_connections(1).sqlx_logging(false);
    Ok(sea_orm::Database::connect(options).await?)
}

/// Returns the path of the database file.
pub(crate) fn path(database: &DatabaseConfig) -> Result<PathBuf, BackupError> {
    let options = SqliteConnectOptions::from_str(database.url.expose());
    let options = options.map_err(|e| sea_orm::DbErr::Custom(format!("database.url: {e}")))?;
    Ok(options.get_filename().to_owned())
}

/// Writes the dump to a temporary file in the same folder, and renames that file to the database file once it is
/// complete.
pub(crate) async fn load(database: &DatabaseConfig, bytes: ByteStream) -> Result<(), BackupError> {
    let path = path(database)?;
    let name = path.display().to_string();
    let beside = |suffix: &str| PathBuf::from(format!("{name}{suffix}"));
    if let Some(folder) = path.parent() {
        tokio::fs::create_dir_all(folder).await.map_err(BackupError::local(&name))?;
    }
    let new = beside(".restoring");
    let mut file = tokio::fs::File::create(&new).await.map_err(BackupError::local(&name))?;
    copy_to(bytes, &mut file, &name).await?;
    file.sync_all().await.map_err(BackupError::local(&name))?;
    // SQLite would apply the log of the former empty database to the new file
    for suffix in ["-wal", "-shm"] {
        match tokio::fs::remove_file(beside(suffix)).await {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(BackupError::local(&name)(e)),
            _ => {}
        }
    }
    tokio::fs::rename(&new, &path).await.map_err(BackupError::local(&name))
}

/// Runs the integrity check of SQLite, `PRAGMA quick_check`.
pub(crate) async fn check(db: &DatabaseConnection) -> Result<(), BackupError> {
    match query_text(db, "PRAGMA quick_check(1)").await?.as_str() {
        "ok" => Ok(()),
        found => Err(BackupError::Mismatch(format!("SQLite integrity check: {found}"))),
    }
}
