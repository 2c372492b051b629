//! Opens connections to a PostgreSQL server, and limits their number.

use std::{
    fmt,
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use platform::secret::Secret;
use sea_orm::{
    DbErr, RuntimeErr,
    sqlx::{self, ConnectOptions, Connection, PgConnection, postgres::PgConnectOptions},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::log::LevelFilter;

use super::{
    super::DatasetError,
    transaction::{Purpose, Session, View},
};

/// The URL and the limits of a PostgreSQL server.
#[derive(Clone, Debug)]
pub struct PostgresSettings {
    /// The URL, `postgres://…`, which may hold a password.
    pub url: Secret,
    /// The maximum number of connections of this process; 16 by default.
    pub connections: usize,
    /// The maximum number of connections of one export; 2 by default.
    pub connections_per_export: usize,
    /// The number of connections that an export must leave free when it opens a second or later connection; 0 by
    /// default. These connections are reserved for the first connections of other exports. A number above half of
    /// `connections` is reduced to half. For a source in a catalog file, this is the number of exports that the
    /// exporter runs at once.
    pub reserved: usize,
    /// The maximum number of expected rows for which one statement reads a table; 100,000 by default. If the planner
    /// expects more rows to pass the filter, the table is split into ranges of disk pages.
    pub few_rows: u64,
    /// The maximum wait until the server accepts a connection, and until a row count gets a free connection; 10 s by
    /// default.
    pub connect_timeout: Duration,
    /// The maximum time that an export waits for its further connections before it sends the first frames; 2 s by
    /// default. A connection that opens later reads later ranges.
    pub join_timeout: Duration,
    /// The maximum wait for the server to answer a statement, or to send the next rows; 10 minutes by default.
    pub read_timeout: Duration,
}

impl PostgresSettings {
    /// Returns the settings for the server at a URL, with the default limits.
    #[must_use]
    pub fn at(url: Secret) -> Self {
        Self {
            url,
            connections: 16,
            connections_per_export: 2,
            reserved: 0,
            few_rows: 100_000,
            connect_timeout: Duration::from_secs(10),
            join_timeout: Duration::from_secs(2),
            read_timeout: Duration::from_secs(600),
        }
    }
}

/// A PostgreSQL server that datasets read from.
///
/// Each read opens new connections and closes them at its end. A connection in the middle of a `COPY` can't be reused
/// before all rows are read.
pub struct PostgresServer {
    options: PgConnectOptions,
    free: Arc<Semaphore>,
    /// The number of exports that wait for their first connection.
    waiting: AtomicUsize,
    reserved: usize,
    pub(super) per_export: usize,
    pub(super) few_rows: u64,
    pub(super) connect_timeout: Duration,
    pub(super) join_timeout: Duration,
    pub(super) read_timeout: Duration,
    /// Whether transactions ask the server to check if the client is still connected. False after the server has
    /// reported that its operating system can't check this.
    checks_client: AtomicBool,
}

/// Counts one export that waits for its first connection. Dropping this value decrements the counter.
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
    /// Returns a server with these settings, without connecting to it.
    ///
    /// # Errors
    /// When the URL is invalid. The text does not repeat the URL, which may hold a password.
    pub fn new(settings: &PostgresSettings) -> Result<Self, String> {
        let url = settings.url.expose();
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return Err("expected a URL that begins with postgres://".to_owned());
        }
        let options = PgConnectOptions::from_str(url).map_err(|_| {
            "this is no URL of a PostgreSQL server: write postgres://USER:PASSWORD@HOST:PORT/DATABASE".to_owned()
        })?;
        // PgBouncer refuses this parameter of a startup message; each transaction sets it
        let options = options.extra_float_digits(None);
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
            join_timeout: settings.join_timeout,
            read_timeout: settings.read_timeout,
            checks_client: AtomicBool::new(true),
        })
    }

    /// Opens the first connection of an export. The wait for a free connection has no timeout. The wait ends when
    /// another export of this process closes a connection, or when this export is canceled.
    pub(super) async fn connect(&self) -> Result<Session, DatasetError> {
        let permit = {
            let _waiting = Waiting::of(&self.waiting);
            Arc::clone(&self.free).acquire_owned().await
        };
        self.session(permit.map_err(|_| failed(sqlx::Error::PoolClosed))?, Purpose::Export).await
    }

    /// Opens a connection for short statements, such as counts, and begins a transaction. The wait for a free
    /// connection is limited by the connect timeout. Each statement has a timeout of 10 s.
    pub(super) async fn connect_briefly(&self) -> Result<Session, DatasetError> {
        let waiting = Arc::clone(&self.free).acquire_owned();
        let permit = tokio::time::timeout(self.connect_timeout, waiting).await;
        let permit = permit.map_err(|_| failed(sqlx::Error::PoolTimedOut))?;
        self.brief(permit.map_err(|_| failed(sqlx::Error::PoolClosed))?).await
    }

    /// Reserves a further connection for an export, and returns a permit for it. Returns None if the reservation would
    /// leave fewer than [`PostgresSettings::reserved`] connections free for other exports.
    pub(super) fn reserve_another(&self) -> Option<OwnedSemaphorePermit> {
        // one step, so that two exports can't both take the last connection that is not reserved
        let wanted = u32::try_from(self.reserved + 1).unwrap_or(u32::MAX);
        let permits = Arc::clone(&self.free).try_acquire_many_owned(wanted);
        permits.ok().and_then(|mut permits| permits.split(1))
    }

    /// Opens a second or later connection of an export. `permit` comes from [`Self::reserve_another`].
    pub(super) async fn connect_another(&self, permit: OwnedSemaphorePermit) -> Result<Session, DatasetError> {
        self.session(permit, Purpose::Export).await
    }

    /// Whether an export is waiting for its first connection. If so, other exports close their second and later
    /// connections.
    pub(super) fn is_wanted(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }

    /// Opens a connection for short statements and begins a transaction, if a connection is free now. Returns None if
    /// no connection is free.
    pub(super) async fn connect_briefly_if_free(&self) -> Result<Option<Session>, DatasetError> {
        match Arc::clone(&self.free).try_acquire_owned() {
            Ok(permit) => self.brief(permit).await.map(Some),
            Err(_) => Ok(None),
        }
    }

    /// Returns the number of connections that this process may still open.
    #[cfg(test)]
    pub(super) fn free(&self) -> usize {
        self.free.available_permits()
    }

    /// Checks that the server accepts a connection.
    ///
    /// # Errors
    /// When the server can't be reached, or refuses the login.
    pub(crate) async fn check_connection(&self) -> Result<(), DatasetError> {
        self.connect_briefly().await?.close(self).await;
        Ok(())
    }

    async fn brief(&self, permit: OwnedSemaphorePermit) -> Result<Session, DatasetError> {
        let mut session = self.session(permit, Purpose::Brief).await?;
        session.begin(self, View::EachStatement).await?;
        Ok(session)
    }

    async fn session(&self, permit: OwnedSemaphorePermit, purpose: Purpose) -> Result<Session, DatasetError> {
        let conn = self.within_connect_timeout(PgConnection::connect_with(&self.options)).await?;
        Ok(Session::new(conn, purpose, permit))
    }

    /// Whether transactions ask the server to check if the client is still connected.
    pub(super) fn can_check_client(&self) -> bool {
        self.checks_client.load(Ordering::Relaxed)
    }

    /// Records that the operating system of the server can't check if clients are still connected.
    pub(super) fn never_check_client(&self) {
        self.checks_client.store(false, Ordering::Relaxed);
    }

    /// Waits for the future `connecting`, at most for the connect timeout.
    pub(super) async fn within_connect_timeout<T>(
        &self,
        connecting: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, DatasetError> {
        let connected = tokio::time::timeout(self.connect_timeout, connecting).await;
        connected.unwrap_or(Err(sqlx::Error::PoolTimedOut)).map_err(failed)
    }

    /// Waits for the server's `answer`, at most for the read timeout.
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
    /// Writes only the host and the port, because the options of the driver would show the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgresServer({}:{})", self.options.get_host(), self.options.get_port())
    }
}

/// Converts an error of the database driver to a [`DatasetError`].
pub(super) fn failed(error: sqlx::Error) -> DatasetError {
    DatasetError::Db(DbErr::Query(RuntimeErr::SqlxError(error.into())))
}
