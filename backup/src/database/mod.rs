//! Dumps and loads the database of an installation, and counts its rows.
//!
//! For SQLite, the statement `VACUUM INTO` copies the database in one read transaction that blocks no writer. For
//! PostgreSQL, `pg_dump` reads the snapshot of a transaction of this process. The same transaction counts the rows, so
//! the counts match the dump.

mod inventory;
mod postgres;
mod sqlite;

use std::path::PathBuf;

use futures::StreamExt;
use platform::{config::DatabaseConfig, store::FileStore};
use sea_orm::{
    AccessMode, ConnectionTrait, DatabaseConnection, DbBackend, IsolationLevel, Statement, TransactionTrait,
};
use tempfile::TempDir;

pub(crate) use self::inventory::{ExportFile, FileObject, Inventory, completed_exports, read_export_files};
use crate::{
    codec::{Encoded, Encoder},
    config::BackupConfig,
    digest::ByteStream,
    error::BackupError,
    pool,
};

/// A dump of the database at the destination, and the local list of the export files in the same snapshot.
pub(crate) struct Dump {
    /// The name of the database part within the backup.
    pub(crate) name: String,
    /// The digests of the database part before and after its encoding.
    pub(crate) encoded: Encoded,
    /// The row counts and the migrations of the snapshot.
    pub(crate) inventory: Inventory,
    /// The database engine: `sqlite` or `postgres`.
    pub(crate) engine: &'static str,
    /// The version of the PostgreSQL server or the SQLite library.
    pub(crate) version: String,
    /// The path of a temporary file with one [`ExportFile`] in each line. Dropping this value deletes the file.
    pub(crate) export_files: PathBuf,
    _scratch: TempDir,
}

/// The start of the name of the database part; the suffix depends on the engine and the encryption.
pub(crate) const PART_STEM: &str = "database.";

/// Dumps the database to the destination. The function `folder` converts the name of a part to its path at the
/// destination.
pub(crate) async fn dump(
    db: &DatabaseConnection,
    database: &DatabaseConfig,
    config: &BackupConfig,
    destination: &FileStore,
    encoder: &Encoder,
    folder: impl Fn(&str) -> String,
    now: chrono::DateTime<chrono::Utc>,
) -> Result<Dump, BackupError> {
    let scratch = scratch_dir()?;
    let export_files = scratch.path().join("files.ndjson");
    let (name, encoded, inventory, engine, version) = match db.get_database_backend() {
        DbBackend::Postgres => {
            let begun = db.begin_with_config(Some(IsolationLevel::RepeatableRead), Some(AccessMode::ReadOnly)).await;
            let tx = begun?;
            // the transaction is idle for the duration of the dump
            tx.execute_unprepared("SET LOCAL idle_in_transaction_session_timeout = 0").await?;
            let snapshot = query_text(&tx, "SELECT pg_export_snapshot() AS value").await?;
            let version = query_text(&tx, "SHOW server_version").await?;
            let inventory = Inventory::read(&tx, &export_files, now).await?;
            let name = format!("{PART_STEM}pgdump{}", encoder.suffix());
            let mut dump = postgres::PgDump::start(database, config, &snapshot)?;
            let encoded = encoder.write(destination, &folder(&name), dump.output()?).await;
            // if the program failed, its error is the cause of an error in its output
            dump.finish(encoded.is_ok()).await?;
            tx.commit().await?;
            (name, encoded?, inventory, "postgres", version)
        }
        DbBackend::Sqlite => {
            let version = query_text(db, "SELECT sqlite_version() AS value").await?;
            let copy = scratch.path().join("sluice.db");
            sqlite::copy(db, &copy).await?;
            let snapshot = sqlite::open(&copy).await?;
            let inventory = Inventory::read(&snapshot, &export_files, now).await;
            snapshot.close().await?;
            let inventory = inventory?;
            let name = format!("{PART_STEM}sqlite{}", encoder.suffix());
            let file = tokio::fs::File::open(&copy).await.map_err(BackupError::local(copy.display()))?;
            let encoded = encoder.write(destination, &folder(&name), pool::stream_file(file)).await?;
            (name, encoded, inventory, "sqlite", version)
        }
        other => return Err(BackupError::setting("destination", &format!("can't hold a {other:?} database"))),
    };
    Ok(Dump { name, encoded, inventory, engine, version, export_files, _scratch: scratch })
}

/// Replaces the contents of the database by a dump, and returns a connection to the database.
pub(crate) async fn load(
    database: &DatabaseConfig,
    config: &BackupConfig,
    engine: &str,
    bytes: ByteStream,
) -> Result<DatabaseConnection, BackupError> {
    if engine == "sqlite" {
        sqlite::load(database, bytes).await?;
    } else {
        let db = platform::db::connect(database).await?;
        let cleared = postgres::drop_objects(&db).await;
        db.close().await?;
        cleared?;
        postgres::load(database, config, bytes).await?;
    }
    let db = platform::db::connect(database).await?;
    if engine == "sqlite" {
        sqlite::check(&db).await?;
    }
    Ok(db)
}

/// Returns the engine of a database URL: `sqlite` or `postgres`, as in [`Dump::engine`].
pub(crate) fn engine(database: &DatabaseConfig) -> &'static str {
    if database.url.expose().starts_with("sqlite:") { "sqlite" } else { "postgres" }
}

/// Returns the host or path of a database, without credentials.
pub(crate) fn location(database: &DatabaseConfig) -> Result<String, BackupError> {
    if engine(database) == "sqlite" {
        let path = sqlite::path(database)?;
        let path = std::path::absolute(&path).map_err(BackupError::local(path.display()))?;
        return Ok(format!("sqlite {}", path.display()));
    }
    postgres::location(database)
}

/// Returns a message for each table that has rows but would be empty in a new installation. The list is empty if the
/// database holds no data.
pub(crate) async fn non_empty_tables(database: &DatabaseConfig) -> Result<Vec<String>, BackupError> {
    if engine(database) == "sqlite" && !sqlite::path(database)?.exists() {
        return Ok(vec![]);
    }
    let db = platform::db::connect(database).await?;
    let found = inventory::non_empty_tables(&db).await;
    db.close().await?;
    found
}

/// Creates a temporary folder in the folder for temporary files of the system (`TMPDIR`).
fn scratch_dir() -> Result<TempDir, BackupError> {
    let created = tempfile::Builder::new().prefix("sluice-backup-").tempdir();
    created.map_err(BackupError::local(std::env::temp_dir().display()))
}

/// Runs a query and returns the first column of the first row.
async fn query_text(db: &impl ConnectionTrait, query: &str) -> Result<String, BackupError> {
    let row = db.query_one_raw(Statement::from_string(db.get_database_backend(), query)).await?;
    let row = row.ok_or_else(|| sea_orm::DbErr::RecordNotFound(query.to_owned()))?;
    Ok(row.try_get_by_index::<String>(0)?)
}

/// Copies a stream to a writer. Returns [`BackupError::Damaged`] if the stream ends with an error.
async fn copy_to(
    mut bytes: ByteStream,
    to: &mut (impl tokio::io::AsyncWrite + Unpin),
    name: &str,
) -> Result<(), BackupError> {
    use tokio::io::AsyncWriteExt;
    while let Some(chunk) = bytes.next().await {
        let chunk = chunk.map_err(|e| BackupError::damaged(name, e))?;
        to.write_all(&chunk).await.map_err(BackupError::local(name))?;
    }
    to.flush().await.map_err(BackupError::local(name))
}
