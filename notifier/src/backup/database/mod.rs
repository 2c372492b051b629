//! One consistent moment of the database, and what it held.
//!
//! SQLite is copied by `VACUUM INTO`, which is one read transaction and holds up no writer. PostgreSQL is dumped by
//! `pg_dump` at a snapshot that a transaction of ours exports, so that what is counted is what is dumped.

mod postgres;
mod sqlite;
mod survey;

use std::path::PathBuf;

use futures::StreamExt;
use platform::{config::DatabaseConfig, store::FileStore};
use sea_orm::{
    AccessMode, ConnectionTrait, DatabaseConnection, DbBackend, IsolationLevel, Statement, TransactionTrait,
};
use tempfile::TempDir;

pub(super) use self::survey::{Object, Survey, WorkItem, completed, work_items};
use super::{
    config::BackupConfig,
    error::BackupError,
    pool,
    seal::{Pieces, Sealed, Sealer},
};

/// A database that was taken.
pub(super) struct Taken {
    /// The part's name within the backup.
    pub(super) name: String,
    /// The part.
    pub(super) sealed: Sealed,
    /// What it held.
    pub(super) survey: Survey,
    /// `sqlite` or `postgres`.
    pub(super) engine: &'static str,
    /// The version of the server or library.
    pub(super) version: String,
    /// What the survey left here: which files there were.
    pub(super) work: PathBuf,
    _scratch: TempDir,
}

/// The stem of the part's name.
pub(super) const STEM: &str = "database.";

/// Takes the database: the part is at `folder` of the destination then.
pub(super) async fn take(
    db: &DatabaseConnection,
    database: &DatabaseConfig,
    config: &BackupConfig,
    destination: &FileStore,
    sealer: &Sealer,
    folder: impl Fn(&str) -> String,
    now: chrono::DateTime<chrono::Utc>,
) -> Result<Taken, BackupError> {
    let scratch = scratch(config)?;
    let work = scratch.path().join("files.ndjson");
    let (name, sealed, survey, engine, version) = match db.get_database_backend() {
        DbBackend::Postgres => {
            let begun = db.begin_with_config(Some(IsolationLevel::RepeatableRead), Some(AccessMode::ReadOnly)).await;
            let tx = begun?;
            // it stands still for as long as the dump takes
            tx.execute_unprepared("SET LOCAL idle_in_transaction_session_timeout = 0").await?;
            let snapshot = text(&tx, "SELECT pg_export_snapshot() AS value").await?;
            let version = text(&tx, "SHOW server_version").await?;
            let survey = Survey::take(&tx, &work, now).await?;
            let name = format!("{STEM}pgdump{}", sealer.suffix());
            let mut dump = postgres::Dump::start(database, config, &snapshot)?;
            let sealed = sealer.seal(destination, &folder(&name), dump.pieces()?).await;
            // what the program says is the cause of what became of its output
            dump.end(sealed.is_ok()).await?;
            tx.commit().await?;
            (name, sealed?, survey, "postgres", version)
        }
        DbBackend::Sqlite => {
            let version = text(db, "SELECT sqlite_version() AS value").await?;
            let copy = scratch.path().join("sluice.db");
            sqlite::copy(db, &copy).await?;
            let own = sqlite::open(&copy).await?;
            let survey = Survey::take(&own, &work, now).await;
            own.close().await?;
            let survey = survey?;
            let name = format!("{STEM}sqlite{}", sealer.suffix());
            let file = tokio::fs::File::open(&copy).await.map_err(BackupError::local(copy.display()))?;
            let sealed = sealer.seal(destination, &folder(&name), pool::file(file)).await?;
            (name, sealed, survey, "sqlite", version)
        }
        other => return Err(BackupError::setting("to", &format!("can't take a {other:?} database"))),
    };
    Ok(Taken { name, sealed, survey, engine, version, work, _scratch: scratch })
}

/// Puts a database where there is none with rows.
pub(super) async fn put(
    database: &DatabaseConfig,
    config: &BackupConfig,
    engine: &str,
    pieces: Pieces,
) -> Result<DatabaseConnection, BackupError> {
    if engine == "sqlite" {
        sqlite::put(database, pieces).await?;
    } else {
        let db = platform::db::connect(database).await?;
        let cleared = postgres::clear(&db).await;
        db.close().await?;
        cleared?;
        postgres::put(database, config, pieces).await?;
    }
    let db = platform::db::connect(database).await?;
    if engine == "sqlite" {
        sqlite::check(&db).await?;
    }
    Ok(db)
}

/// The engine of a database URL, as [`Taken::engine`] has it.
pub(super) fn engine(database: &DatabaseConfig) -> &'static str {
    if database.url.expose().starts_with("sqlite:") { "sqlite" } else { "postgres" }
}

/// Where a database is, without credentials.
pub(super) fn place(database: &DatabaseConfig) -> Result<String, BackupError> {
    if engine(database) == "sqlite" {
        let path = sqlite::path(database)?;
        let path = std::path::absolute(&path).map_err(BackupError::local(path.display()))?;
        return Ok(format!("sqlite {}", path.display()));
    }
    postgres::place(database)
}

/// Rows of tables that an installation in use has, and a fresh one has not: which tables, with how many.
pub(super) async fn occupied(database: &DatabaseConfig) -> Result<Vec<String>, BackupError> {
    if engine(database) == "sqlite" && !sqlite::path(database)?.exists() {
        return Ok(vec![]);
    }
    let db = platform::db::connect(database).await?;
    let found = survey::occupied(&db).await;
    db.close().await?;
    found
}

fn scratch(config: &BackupConfig) -> Result<TempDir, BackupError> {
    let mut builder = tempfile::Builder::new();
    let builder = builder.prefix("sluice-backup-");
    let made = match config.scratch_dir.as_str() {
        "" => builder.tempdir(),
        dir => builder.tempdir_in(dir),
    };
    made.map_err(BackupError::local("backup.scratch_dir"))
}

async fn text(db: &impl ConnectionTrait, query: &str) -> Result<String, BackupError> {
    let row = db.query_one_raw(Statement::from_string(db.get_database_backend(), query)).await?;
    let row = row.ok_or_else(|| sea_orm::DbErr::RecordNotFound(query.to_owned()))?;
    Ok(row.try_get_by_index::<String>(0)?)
}

/// All bytes of a stream into a writer.
async fn pour(
    mut pieces: Pieces,
    to: &mut (impl tokio::io::AsyncWrite + Unpin),
    what: &str,
) -> Result<(), BackupError> {
    use tokio::io::AsyncWriteExt;
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|e| BackupError::damaged(what, e))?;
        to.write_all(&piece).await.map_err(BackupError::local(what))?;
    }
    to.flush().await.map_err(BackupError::local(what))
}
