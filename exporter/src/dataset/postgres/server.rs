//! Connections to one PostgreSQL server.

use std::{
    fmt,
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use platform::secret::Secret;
use sea_orm::{
    DbErr, RuntimeErr,
    sqlx::{self, ConnectOptions, Connection, Executor, PgConnection, postgres::PgConnectOptions},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::{debug, log::LevelFilter};

use super::super::DatasetError;

/// What every connection is told first: one way to write each value as text, and nothing that writes.
const SESSION: &str = "SET client_encoding = 'UTF8'; SET standard_conforming_strings = on; SET TimeZone = 'UTC'; \
                       SET DateStyle = 'ISO, YMD'; SET IntervalStyle = 'postgres'; SET bytea_output = 'hex'; \
                       SET extra_float_digits = 1; SET synchronize_seqscans = off; \
                       SET default_transaction_read_only = on; SET lock_timeout = '10s'; \
                       SET idle_in_transaction_session_timeout = 0";
/// The server looks from time to time whether somebody still waits for its answer, and else stops: what is dropped here
/// would go on there to its end. Servers before PostgreSQL 14 don't know the setting, and some systems can't look.
const LOOK_FOR_US: &str = "SELECT set_config(name, '2s', false) FROM pg_settings \
                           WHERE name = 'client_connection_check_interval'";
/// However long an export takes is well, as each wait for the next rows has its own end.
const LONG: &str = "SET statement_timeout = 0";
/// What is only nice to know, such as a count.
const SHORT: &str = "SET statement_timeout = '10s'";

/// How to use a server.
#[derive(Clone, Debug)]
pub struct PostgresSettings {
    /// `postgres://…`; it may hold a password.
    pub url: Secret,
    /// Connections at once, of all exports of this process together.
    pub connections: usize,
    /// Connections of one export.
    pub connections_per_export: usize,
    /// Connections that stay free for the first of other exports when one takes its second: as many as may run at once. At
    /// most half of all.
    pub reserved: usize,
    /// A table is read by one statement, and not in ranges of its pages, when a filter is expected to leave so few rows.
    pub few_rows: u64,
    /// How long to wait for the server to take a connection. What is no export waits as long for one that is free.
    pub connect_timeout: Duration,
    /// How long to wait for the next rows.
    pub read_timeout: Duration,
}

impl PostgresSettings {
    /// The usual bounds for the server at a URL.
    #[must_use]
    pub fn at(url: Secret) -> Self {
        Self {
            url,
            connections: 16,
            connections_per_export: 2,
            reserved: 0,
            few_rows: 100_000,
            connect_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_secs(600),
        }
    }
}

/// A PostgreSQL server that datasets read from.
///
/// Connections are made for each read and closed after it: one that was left in the middle of a `COPY` can't be used again
/// before all of it was read.
pub struct PostgresServer {
    options: PgConnectOptions,
    free: Arc<Semaphore>,
    /// Exports that wait for their first connection.
    waiting: AtomicUsize,
    reserved: usize,
    pub(super) per_export: usize,
    pub(super) few_rows: u64,
    connect_timeout: Duration,
    pub(super) read_timeout: Duration,
}

/// A connection, and the right to have it. Dropping it closes the connection, which ends what the server does for it.
pub(super) struct Session {
    pub(super) conn: PgConnection,
    _permit: OwnedSemaphorePermit,
}

/// Counts somebody as waiting, for as long as it lives.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn of(waiting: &'a AtomicUsize) -> Self {
        waiting.fetch_add(1, Ordering::Relaxed);
        Self(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl PostgresServer {
    /// A server; nothing is connected yet.
    ///
    /// # Errors
    /// When the URL is none; the text does not repeat it.
    pub fn new(settings: &PostgresSettings) -> Result<Self, String> {
        let url = settings.url.expose();
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return Err("expected a URL that begins with postgres://".to_owned());
        }
        let options =
            PgConnectOptions::from_str(url).map_err(|_| "this is no URL of a PostgreSQL server".to_owned())?;
        let options = options.application_name("sluice-exporter").log_statements(LevelFilter::Trace);
        let connections = settings.connections.max(1);
        Ok(Self {
            options,
            free: Arc::new(Semaphore::new(connections)),
            waiting: AtomicUsize::new(0),
            reserved: settings.reserved.min(connections / 2),
            few_rows: settings.few_rows,
            per_export: settings.connections_per_export.clamp(1, connections),
            connect_timeout: settings.connect_timeout,
            read_timeout: settings.read_timeout,
        })
    }

    /// A new connection for an export. It waits until one is free, however long that is: other exports of this process
    /// have them all, and to wait for them is no failure. It ends with the export, which can be canceled.
    pub(super) async fn connect(&self) -> Result<Session, DatasetError> {
        let permit = {
            let _waiting = Waiting::of(&self.waiting);
            Arc::clone(&self.free).acquire_owned().await
        };
        self.session(permit.map_err(|_| failed(sqlx::Error::PoolClosed))?, LONG).await
    }

    /// A new connection for what is asked beside exports. Neither the wait for it nor its statements take long.
    pub(super) async fn connect_briefly(&self) -> Result<Session, DatasetError> {
        let waiting = Arc::clone(&self.free).acquire_owned();
        let permit = tokio::time::timeout(self.connect_timeout, waiting).await;
        let permit = permit.map_err(|_| failed(sqlx::Error::PoolTimedOut))?;
        self.session(permit.map_err(|_| failed(sqlx::Error::PoolClosed))?, SHORT).await
    }

    /// Another connection for an export, if more are free now than stay for the first ones of others.
    pub(super) async fn connect_another(&self) -> Result<Option<Session>, DatasetError> {
        // in one step, so that two exports don't both take the last that may be had
        let wanted = u32::try_from(self.reserved + 1).unwrap_or(u32::MAX);
        let permits = Arc::clone(&self.free).try_acquire_many_owned(wanted);
        match permits.ok().and_then(|mut permits| permits.split(1)) {
            Some(permit) => self.session(permit, LONG).await.map(Some),
            None => Ok(None),
        }
    }

    /// Whether an export waits for its first connection: then others give back what they can do without.
    pub(super) fn is_wanted(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }

    /// A new connection for what is asked beside exports, if one is free now.
    pub(super) async fn connect_briefly_if_free(&self) -> Result<Option<Session>, DatasetError> {
        match Arc::clone(&self.free).try_acquire_owned() {
            Ok(permit) => self.session(permit, SHORT).await.map(Some),
            Err(_) => Ok(None),
        }
    }

    /// Connections that are free.
    #[cfg(test)]
    pub(super) fn free(&self) -> usize {
        self.free.available_permits()
    }

    /// Connects, to see whether that can be done.
    ///
    /// # Errors
    /// When the server can't be reached, or does not let us in.
    pub async fn reach(&self) -> Result<(), DatasetError> {
        self.connect_briefly().await.map(drop)
    }

    async fn session(&self, permit: OwnedSemaphorePermit, patience: &'static str) -> Result<Session, DatasetError> {
        let connecting = tokio::time::timeout(self.connect_timeout, PgConnection::connect_with(&self.options));
        let mut conn = connecting.await.unwrap_or(Err(sqlx::Error::PoolTimedOut)).map_err(failed)?;
        self.within(conn.execute(SESSION)).await?;
        self.within(conn.execute(patience)).await?;
        match self.within(conn.execute(LOOK_FOR_US)).await {
            Ok(_) => {}
            // it works without
            Err(DatasetError::Db(DbErr::Query(RuntimeErr::SqlxError(e)))) if e.as_database_error().is_some() => {
                debug!(error = %e, "the server can't look whether its clients are there");
            }
            Err(e) => return Err(e),
        }
        Ok(Session { conn, _permit: permit })
    }

    /// Waits for the server, but not for ever.
    pub(super) async fn within<T>(
        &self,
        answer: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, DatasetError> {
        match tokio::time::timeout(self.read_timeout, answer).await {
            Ok(answer) => answer.map_err(failed),
            Err(_) => Err(DatasetError::Slow(self.read_timeout)),
        }
    }
}

impl fmt::Debug for PostgresServer {
    /// The driver's own options show the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgresServer({}:{})", self.options.get_host(), self.options.get_port())
    }
}

/// A failure of the driver, in the words of the rest.
pub(super) fn failed(error: sqlx::Error) -> DatasetError {
    DatasetError::Db(DbErr::Query(RuntimeErr::SqlxError(error.into())))
}
