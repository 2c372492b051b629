//! Connections to one PostgreSQL server.

use std::{fmt, str::FromStr, sync::Arc, time::Duration};

use platform::secret::Secret;
use sea_orm::{
    DbErr, RuntimeErr,
    sqlx::{self, ConnectOptions, Connection, Executor, PgConnection, postgres::PgConnectOptions},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::log::LevelFilter;

use super::super::DatasetError;

/// What every connection is told first: one way to write each value as text, and nothing that writes.
const SESSION: &str = "SET client_encoding = 'UTF8'; SET standard_conforming_strings = on; SET TimeZone = 'UTC'; \
                       SET DateStyle = 'ISO, YMD'; SET IntervalStyle = 'postgres'; SET bytea_output = 'hex'; \
                       SET extra_float_digits = 1; SET synchronize_seqscans = off; \
                       SET default_transaction_read_only = on; SET lock_timeout = '10s'";

/// How to use a server.
#[derive(Clone, Debug)]
pub struct PostgresSettings {
    /// `postgres://…`; it may hold a password.
    pub url: Secret,
    /// Connections at once, of all exports of this process together.
    pub connections: usize,
    /// Connections of one export.
    pub connections_per_export: usize,
    /// How long to wait for a free connection and for the server to take it.
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
    pub(super) per_export: usize,
    connect_timeout: Duration,
    pub(super) read_timeout: Duration,
}

/// A connection, and the right to have it. Dropping it closes the connection, which ends what the server does for it.
pub(super) struct Session {
    pub(super) conn: PgConnection,
    _permit: OwnedSemaphorePermit,
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
            per_export: settings.connections_per_export.clamp(1, connections),
            connect_timeout: settings.connect_timeout,
            read_timeout: settings.read_timeout,
        })
    }

    /// A new connection.
    pub(super) async fn connect(&self) -> Result<Session, DatasetError> {
        let connecting = async {
            let permit = Arc::clone(&self.free).acquire_owned().await.map_err(|_| sqlx::Error::PoolClosed)?;
            Ok((PgConnection::connect_with(&self.options).await?, permit))
        };
        let connected: Result<_, sqlx::Error> =
            tokio::time::timeout(self.connect_timeout, connecting).await.unwrap_or(Err(sqlx::Error::PoolTimedOut));
        let (mut conn, permit) = connected.map_err(failed)?;
        self.within(conn.execute(SESSION)).await?;
        Ok(Session { conn, _permit: permit })
    }

    /// Another connection, if one is free now.
    pub(super) async fn connect_if_free(&self) -> Result<Option<Session>, DatasetError> {
        if self.free.available_permits() == 0 { Ok(None) } else { self.connect().await.map(Some) }
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
