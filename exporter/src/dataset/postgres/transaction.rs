//! Begins and ends the transactions of a connection to the server.
//!
//! A connection pooler such as PgBouncer in transaction mode lends a server connection for one transaction at a time. A
//! setting that outlives its transaction would stay on that server connection and affect other programs. Prepared
//! statements with names could clash with those of other programs. Therefore every statement runs in a transaction,
//! every setting is local to its transaction, and statements use the simple protocol, which has no names.

use sea_orm::{
    DbErr, RuntimeErr,
    sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, SqlSafeStr},
};
use tokio::sync::OwnedSemaphorePermit;
use tracing::debug;

use super::{
    super::DatasetError,
    server::{PostgresServer, failed},
};

/// The settings of every transaction. Most of them give values one fixed text form. `DEFAULT` restores the setting
/// that the role, the database or the URL gives, because another program behind the same pooler may have changed it.
const LOCAL: &str = "SET LOCAL client_encoding = 'UTF8'; SET LOCAL standard_conforming_strings = on; \
                     SET LOCAL TimeZone = 'UTC'; SET LOCAL DateStyle = 'ISO, YMD'; SET LOCAL IntervalStyle = 'postgres'; \
                     SET LOCAL bytea_output = 'hex'; SET LOCAL extra_float_digits = 1; \
                     SET LOCAL quote_all_identifiers = off; SET LOCAL lc_monetary TO DEFAULT; \
                     SET LOCAL search_path TO DEFAULT; SET LOCAL role TO DEFAULT; \
                     SET LOCAL synchronize_seqscans = off; \
                     SET LOCAL lock_timeout = '10s'; SET LOCAL idle_in_transaction_session_timeout = 0";
/// Makes the server check every 2 s whether the client is still connected. The server ends the statement of a client
/// that is no longer connected. Some operating systems don't support this check.
const CHECK_CLIENT: &str = "; SET LOCAL client_connection_check_interval = '2s'";
/// The first server version that has the setting `client_connection_check_interval`: PostgreSQL 14.
const CHECK_CLIENT_SINCE: u32 = 140_000;
/// Disables the limit on the duration of a transaction.
const NO_TRANSACTION_TIMEOUT: &str = "; SET LOCAL transaction_timeout = 0";
/// The first server version that has the setting `transaction_timeout`: PostgreSQL 17.
const TRANSACTION_TIMEOUT_SINCE: u32 = 170_000;
/// The SQLSTATE with which a server refuses a setting that its operating system does not support.
const INVALID_SETTING: &str = "22023";

/// The work for which a connection is opened. It decides the time limits of statements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// An export. The server does not limit the duration of its statements, but the exporter waits at most
    /// `read_timeout` for the next rows.
    Export,
    /// Short statements, such as row counts and descriptions of columns. The server ends each statement after 10 s.
    Brief,
}

impl Purpose {
    const fn statement_timeout(self) -> &'static str {
        match self {
            Self::Export => "; SET LOCAL statement_timeout = 0",
            Self::Brief => "; SET LOCAL statement_timeout = '10s'",
        }
    }
}

/// The snapshot that the statements of a transaction read. Every transaction is read-only.
#[derive(Clone, Copy, Debug)]
pub(super) enum View<'a> {
    /// Each statement has a separate snapshot. Locks last until the end of the transaction, so the native types of
    /// columns stay valid from their lookup until the rows are read.
    EachStatement,
    /// All statements use the snapshot that the first query takes. A lock that is acquired before the first query is
    /// held before the snapshot is taken.
    OneSnapshot,
    /// All statements use this exported snapshot of another transaction.
    Exported(&'a str),
}

impl View<'_> {
    fn begin(self) -> String {
        match self {
            Self::EachStatement => "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY; ".to_owned(),
            Self::OneSnapshot => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; ".to_owned(),
            // this statement can't have bound values; the server itself generated the name
            Self::Exported(name) => format!(
                "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT '{}'; ",
                name.replace('\'', "''")
            ),
        }
    }
}

/// A connection to the PostgreSQL server, and its permit, which counts against the maximum number of connections.
/// Dropping this value closes the connection, which ends its transaction and statement on the server.
pub(super) struct Session {
    pub(super) conn: PgConnection,
    purpose: Purpose,
    _permit: OwnedSemaphorePermit,
}

impl Session {
    pub(super) const fn new(conn: PgConnection, purpose: Purpose, permit: OwnedSemaphorePermit) -> Self {
        Self { conn, purpose, _permit: permit }
    }

    /// Begins a read-only transaction with the settings for the purpose of the connection. This method runs no query,
    /// so the transaction has a snapshot only if `view` names an exported snapshot.
    ///
    /// # Errors
    /// When the server refuses the transaction, or a pooler has no free server connection in time.
    pub(super) async fn begin(&mut self, server: &PostgresServer, view: View<'_>) -> Result<(), DatasetError> {
        let version = self.conn.server_version_num().unwrap_or_default();
        let mut statements = view.begin() + LOCAL + self.purpose.statement_timeout();
        if version >= TRANSACTION_TIMEOUT_SINCE {
            statements += NO_TRANSACTION_TIMEOUT;
        }
        if version >= CHECK_CLIENT_SINCE && server.can_check_client() {
            match self.run(server, statements.clone() + CHECK_CLIENT).await {
                Err(e) if is_unsupported(&e) => {
                    debug!(error = %e, "the server does not support client_connection_check_interval");
                    server.never_check_client();
                    self.run(server, "ROLLBACK".to_owned()).await?;
                }
                begun => return begun,
            }
        }
        self.run(server, statements).await
    }

    /// Ends the transaction, if there is one. A failed transaction is rolled back.
    ///
    /// # Errors
    /// When the connection is lost.
    pub(super) async fn end(&mut self, server: &PostgresServer) -> Result<(), DatasetError> {
        self.run(server, "COMMIT".to_owned()).await
    }

    /// Ends the transaction, and then closes the connection. This order lets a pooler lend the server connection to
    /// other clients. If a client leaves in the middle of a transaction, a pooler closes the server connection.
    pub(super) async fn close(mut self, server: &PostgresServer) {
        let closing = async {
            self.end(server).await?;
            self.conn.close().await.map_err(failed)
        };
        let closed = tokio::time::timeout(server.connect_timeout, closing).await;
        if !matches!(closed, Ok(Ok(()))) {
            debug!("a connection was lost before it was closed");
        }
    }

    async fn run(&mut self, server: &PostgresServer, statements: String) -> Result<(), DatasetError> {
        let running = self.conn.execute(AssertSqlSafe(statements).into_sql_str());
        match self.purpose {
            Purpose::Export => server.within(running).await.map(drop),
            // a pooler without a free server connection may keep the client waiting
            Purpose::Brief => server.within_connect_timeout(running).await.map(drop),
        }
    }
}

/// Whether the server refused a setting because its operating system does not support the setting.
fn is_unsupported(error: &DatasetError) -> bool {
    match error {
        DatasetError::Db(DbErr::Query(RuntimeErr::SqlxError(e))) => {
            e.as_database_error().and_then(|e| e.code()).is_some_and(|code| code == INVALID_SETTING)
        }
        _ => false,
    }
}
