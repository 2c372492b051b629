//! The shared SQL database: PostgreSQL, or SQLite in WAL mode on one machine.

use std::{path::Path, time::Duration};

use sea_orm::{ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DbErr};
use tracing::log::LevelFilter;

use crate::{config::DatabaseConfig, secret::Secret};

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
        let reads_alone = reads_alone(url);
        options.map_sqlx_sqlite_opts(move |sqlite| {
            use sea_orm::sqlx::sqlite::{SqliteJournalMode, SqliteSynchronous};
            let sqlite = sqlite.synchronous(SqliteSynchronous::Normal).foreign_keys(true).busy_timeout(SQLITE_BUSY);
            // the mode stands in the file, and who only reads takes it as it is
            if reads_alone { sqlite } else { sqlite.journal_mode(SqliteJournalMode::Wal) }
        });
    }
    Database::connect(options).await
}

/// The URL of a SQLite file that is only read, whatever its name is in UTF-8.
#[must_use]
pub fn reading(file: &Path) -> Secret {
    of_file(file, "ro")
}

/// The URL of a SQLite file that is made when it doesn't exist, whatever its name is in UTF-8.
#[must_use]
pub fn making(file: &Path) -> Secret {
    of_file(file, "rwc")
}

fn of_file(file: &Path, mode: &str) -> Secret {
    let mut path = String::new();
    for c in file.to_string_lossy().chars() {
        match c {
            // what would end the name, or be taken for a code
            '%' | '?' | '#' => path.push_str(&format!("%{:02X}", u32::from(c))),
            c => path.push(c),
        }
    }
    Secret::new(format!("sqlite://{path}?mode={mode}"))
}

/// Whether the parameters of a SQLite URL say so, and not only the name of its file.
fn reads_alone(url: &str) -> bool {
    url.split_once('?').is_some_and(|(_, parameters)| parameters.split('&').any(|parameter| parameter == "mode=ro"))
}

/// Whether the database answers.
///
/// # Errors
/// When it does not.
pub async fn ping(db: &DatabaseConnection) -> Result<(), DbErr> {
    db.execute_unprepared("SELECT 1").await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_is_only_read_when_its_url_says_so_whatever_its_name_is() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let journal = async |db: &DatabaseConnection| -> String {
            let row =
                db.query_one_raw(sea_orm::Statement::from_string(sea_orm::DbBackend::Sqlite, "PRAGMA journal_mode"));
            row.await.expect("it answers").expect("a row").try_get_by_index(0).expect("a text")
        };
        for name in ["mode=ro", "100% of what?", "a#b", "plain"] {
            let path = dir.path().join(name);
            let config = DatabaseConfig { url: making(&path), ..DatabaseConfig::default() };
            let written = connect(&config).await.expect("a file is made");
            assert_eq!(journal(&written).await, "wal", "{name}");
            written.execute_unprepared("CREATE TABLE t (n INTEGER)").await.expect("it is writable");
            written.close().await.expect("it closes");
            assert!(path.is_file(), "{name}");
            let config = DatabaseConfig { url: reading(&path), ..DatabaseConfig::default() };
            let read = connect(&config).await.expect("it is there");
            assert!(read.execute_unprepared("INSERT INTO t VALUES (1)").await.is_err(), "{name}");
            read.execute_unprepared("SELECT n FROM t").await.expect("it is readable");
        }
    }
}
