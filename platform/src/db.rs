//! The connection pool of the shared SQL database: PostgreSQL, or SQLite in WAL mode on a single machine.

use std::{
    fs::OpenOptions,
    io::{self, ErrorKind},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    str::FromStr,
    time::Duration,
};

use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DbErr, RuntimeErr,
    sqlx::{self, Connection, SqliteConnection, sqlite::SqliteConnectOptions},
};
use tracing::{log::LevelFilter, warn};

use crate::{config::DatabaseConfig, secret::Secret, units::HumanDuration};

/// How long a SQLite writer waits for another writer to finish.
const SQLITE_BUSY_TIMEOUT: Duration = Duration::from_secs(30);
/// The log contains a warning for each statement that takes at least this time.
const SLOW_STATEMENT: Duration = Duration::from_secs(2);

/// Opens the connection pool of the shared database. Only the owner of a new SQLite file can read the file.
///
/// Every SQLite transaction must begin with a write, so that concurrent writers wait for each other. SQLite refuses a
/// write after a read in the same transaction when another writer has committed in between.
///
/// # Errors
/// When the URL is not valid, the file can't be created, or the database can't be reached.
pub async fn connect(config: &DatabaseConfig) -> Result<DatabaseConnection, DbErr> {
    open(config, SQLITE_BUSY_TIMEOUT).await
}

/// Opens a SQLite file for reading only. A statement waits at most `lock_timeout` for a writer that holds the lock.
///
/// # Errors
/// When the file can't be opened.
pub async fn connect_read_only(
    file: &Path,
    max_connections: u32,
    lock_timeout: Duration,
) -> Result<DatabaseConnection, DbErr> {
    // the pool waits longer than SQLite, so that a connection that waits for the lock can report the lock timeout
    let acquire_timeout = HumanDuration::from_secs(lock_timeout.as_secs() + 10);
    let config = DatabaseConfig { url: sqlite_read_only(file), max_connections, acquire_timeout };
    open(&config, lock_timeout).await
}

async fn open(config: &DatabaseConfig, lock_timeout: Duration) -> Result<DatabaseConnection, DbErr> {
    let url = config.url.expose();
    let mut options = ConnectOptions::new(url);
    options
        .max_connections(config.max_connections)
        .acquire_timeout(config.acquire_timeout.get())
        .connect_timeout(config.acquire_timeout.get())
        .sqlx_logging_level(LevelFilter::Trace)
        .sqlx_slow_statements_logging_settings(LevelFilter::Warn, SLOW_STATEMENT);
    // PgBouncer refuses this parameter of a startup message
    options.map_sqlx_postgres_opts(|postgres| postgres.extra_float_digits(None));
    if url.starts_with("sqlite:") {
        let read_only = has_mode(url, "ro");
        if has_mode(url, "rwc") {
            create_private(url)?;
        }
        options.map_sqlx_sqlite_opts(move |sqlite| {
            use sea_orm::sqlx::sqlite::{SqliteJournalMode, SqliteSynchronous};
            let sqlite = sqlite.synchronous(SqliteSynchronous::Normal).foreign_keys(true).busy_timeout(lock_timeout);
            // the file stores its journal mode, and a read-only connection can't change it
            if read_only { sqlite } else { sqlite.journal_mode(SqliteJournalMode::Wal) }
        });
        options.map_sqlx_sqlite_pool_opts(|pool| {
            pool.after_release(|connection, _| Box::pin(has_left_its_transaction(connection)))
        });
    }
    Database::connect(options).await
}

/// Whether a connection that returns to the pool has left its transaction. The pool closes a connection that is still
/// in a transaction.
///
/// After some errors, such as a full disk, SQLite itself rolls the transaction back, and refuses the `ROLLBACK` of the
/// driver. The driver still counts the transaction as open, and begins the next transaction as a savepoint. A rollback
/// to a savepoint does not end a transaction, so the connection would hold the write lock of the file and read an old
/// snapshot until the pool closes the connection.
async fn has_left_its_transaction(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    // the answer arrives after the rollback that a dropped transaction has queued
    connection.ping().await?;
    let has_left = !connection.is_in_transaction();
    if !has_left {
        warn!("closing a connection to the SQLite database that could not end its transaction");
    }
    Ok(has_left)
}

/// Returns the URL that opens a SQLite file read-only. The path may contain any UTF-8 character.
#[must_use]
pub fn sqlite_read_only(file: &Path) -> Secret {
    sqlite_url(file, "ro")
}

/// Returns the URL that opens a SQLite file for writing, and creates a missing file. The path may contain any UTF-8
/// character.
#[must_use]
pub fn sqlite_create(file: &Path) -> Secret {
    sqlite_url(file, "rwc")
}

fn sqlite_url(file: &Path, mode: &str) -> Secret {
    let mut path = String::new();
    for c in file.to_string_lossy().chars() {
        match c {
            // in a URL these characters begin the query, the fragment or an escape
            '%' | '?' | '#' => path.push_str(&format!("%{:02X}", u32::from(c))),
            c => path.push(c),
        }
    }
    Secret::new(format!("sqlite://{path}?mode={mode}"))
}

/// Whether the query of a SQLite URL has this `mode`. A `mode=` in the name of the file is ignored.
fn has_mode(url: &str, mode: &str) -> bool {
    let is_mode = |parameter: &str| parameter.strip_prefix("mode=") == Some(mode);
    url.split_once('?').is_some_and(|(_, query)| query.split('&').any(is_mode))
}

/// Creates the file of a SQLite URL with the mode 0600, unless the file exists. SQLite gives its `-wal` and `-shm` files
/// the same mode.
fn create_private(url: &str) -> Result<(), DbErr> {
    let options = SqliteConnectOptions::from_str(url).map_err(connection_error)?;
    let created = OpenOptions::new().write(true).create_new(true).mode(0o600).open(options.get_filename());
    match created {
        Err(e) if e.kind() != ErrorKind::AlreadyExists => {
            Err(connection_error(sqlx::Error::Io(with_path(e, &options))))
        }
        _ => Ok(()),
    }
}

fn connection_error(e: sqlx::Error) -> DbErr {
    DbErr::Conn(RuntimeErr::SqlxError(e.into()))
}

fn with_path(e: io::Error, options: &SqliteConnectOptions) -> io::Error {
    io::Error::new(e.kind(), format!("{}: {e}", options.get_filename().display()))
}

/// Checks that the database answers.
///
/// # Errors
/// When the database does not answer.
pub async fn ping(db: &DatabaseConnection) -> Result<(), DbErr> {
    db.execute_unprepared("SELECT 1").await.map(drop)
}

#[cfg(test)]
mod tests {
    use sea_orm::TransactionTrait;

    use super::*;

    #[tokio::test]
    async fn a_new_database_is_readable_by_its_owner_only() {
        use std::os::unix::fs::PermissionsExt;

        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("new.db");
        let config = DatabaseConfig { url: sqlite_create(&path), ..DatabaseConfig::default() };
        let db = connect(&config).await.expect("the file is created");
        db.execute_unprepared("CREATE TABLE t (n INTEGER)").await.expect("the file is writable");
        for suffix in ["", "-wal", "-shm"] {
            let file = dir.path().join(format!("new.db{suffix}"));
            let mode = std::fs::metadata(&file).expect("SQLite in WAL mode has three files").permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{}", file.display());
        }
    }

    #[tokio::test]
    async fn only_the_query_of_a_url_makes_a_file_read_only() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let journal = async |db: &DatabaseConnection| -> String {
            let row =
                db.query_one_raw(sea_orm::Statement::from_string(sea_orm::DbBackend::Sqlite, "PRAGMA journal_mode"));
            row.await.expect("the database answers").expect("a row").try_get_by_index(0).expect("a text")
        };
        for name in ["mode=ro", "100% of what?", "a#b", "plain"] {
            let path = dir.path().join(name);
            let config = DatabaseConfig { url: sqlite_create(&path), ..DatabaseConfig::default() };
            let written = connect(&config).await.expect("the file is created");
            assert_eq!(journal(&written).await, "wal", "{name}");
            written.execute_unprepared("CREATE TABLE t (n INTEGER)").await.expect("the file is writable");
            written.close().await.expect("the pool closes");
            assert!(path.is_file(), "{name}");
            let config = DatabaseConfig { url: sqlite_read_only(&path), ..DatabaseConfig::default() };
            let read = connect(&config).await.expect("the file exists");
            assert!(read.execute_unprepared("INSERT INTO t VALUES (1)").await.is_err(), "{name}");
            read.execute_unprepared("SELECT n FROM t").await.expect("the file is readable");
        }
    }

    /// Opens a SQLite file with one connection and a short lock timeout.
    async fn one_connection(file: &Path) -> DatabaseConnection {
        let config = DatabaseConfig { url: sqlite_create(file), max_connections: 1, ..DatabaseConfig::default() };
        open(&config, Duration::from_millis(500)).await.expect("the file is created")
    }

    /// Returns the number of rows of the table `t`.
    async fn count(db: &DatabaseConnection) -> i64 {
        let query = sea_orm::Statement::from_string(sea_orm::DbBackend::Sqlite, "SELECT count(*) FROM t");
        let row = db.query_one_raw(query).await.expect("the database answers").expect("a row");
        row.try_get_by_index(0).expect("a number")
    }

    /// Writes a row of 1 MiB in a transaction, as services do: the first error drops the transaction.
    async fn write(db: &DatabaseConnection) -> Result<(), DbErr> {
        let transaction = db.begin().await?;
        transaction.execute_unprepared("INSERT INTO t VALUES (zeroblob(1 << 20))").await?;
        transaction.commit().await
    }

    #[tokio::test]
    async fn a_full_disk_leaves_no_connection_inside_a_transaction() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let file = dir.path().join("full.db");
        let (full, other) = (one_connection(&file).await, one_connection(&file).await);
        full.execute_unprepared("CREATE TABLE t (bytes BLOB)").await.expect("the file is writable");
        assert_eq!((count(&full).await, count(&other).await), (0, 0));
        // SQLite refuses to let the file grow, with the same error as on a full disk
        full.execute_unprepared("PRAGMA max_page_count = 16").await.expect("a limit");
        let refused = write(&full).await.expect_err("there is no space");
        assert!(refused.to_string().contains("full"), "{refused}");
        // a transaction that a service abandons, for example for a stale attempt
        let dropped = full.begin().await.expect("a transaction");
        dropped.execute_unprepared("INSERT INTO t VALUES (x'00')").await.expect("there is space for a small row");
        drop(dropped);
        write(&other).await.expect("no connection holds the write lock");
        assert_eq!((count(&full).await, count(&other).await), (1, 1), "a connection reads an old snapshot");
        // a new connection has no limit, as if the disk had space again
        write(&full).await.expect("the pool has replaced its connection");
    }
}
