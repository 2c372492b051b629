//! The shared SQL database: PostgreSQL, or SQLite in WAL mode on one machine.

use std::time::Duration;

use sea_orm::{ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DbErr};
use tracing::log::LevelFilter;

use crate::config::DatabaseConfig;

/// How long a SQLite writer waits for another one to finish.
const SQLITE_BUSY: Duration = Duration::from_secs(30);

/// Opens the pool. Every SQLite transaction must begin with a write: then writers wait for each other in turn
/// instead of failing when a reader wants to become a writer.
///
/// # Errors
/// When the URL is wrong or the database can't be reached.
pub async fn connect(config: &DatabaseConfig) -> Result<DatabaseConnection, DbErr> {
    let url = config.url.expose();
    let mut options = ConnectOptions::new(url);
    options
        .max_connections(config.max_connections)
        .acquire_timeout(Duration::from_millis(config.acquire_timeout_ms))
        .connect_timeout(Duration::from_millis(config.acquire_timeout_ms))
        .sqlx_logging_level(LevelFilter::Trace)
        .sqlx_slow_statements_logging_settings(LevelFilter::Warn, Duration::from_secs(2));
    if url.starts_with("sqlite:") {
        let reads_alone = url.contains("mode=ro");
        options.map_sqlx_sqlite_opts(move |sqlite| {
            use sea_orm::sqlx::sqlite::{SqliteJournalMode, SqliteSynchronous};
            let sqlite = sqlite.synchronous(SqliteSynchronous::Normal).foreign_keys(true).busy_timeout(SQLITE_BUSY);
            // the mode stands in the file, and who only reads takes it as it is
            if reads_alone { sqlite } else { sqlite.journal_mode(SqliteJournalMode::Wal) }
        });
    }
    Database::connect(options).await
}

/// Whether the database answers.
///
/// # Errors
/// When it does not.
pub async fn ping(db: &DatabaseConnection) -> Result<(), DbErr> {
    db.execute_unprepared("SELECT 1").await.map(drop)
}
