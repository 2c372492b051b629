//! A PostgreSQL database that exporters read through a proxy, whose connections a test can break.

use std::{collections::BTreeSet, time::Duration};

use sea_orm::{ConnectionTrait, FromQueryResult};
use testkit::{
    db::{Postgres, TestDatabase},
    fault::Proxy,
};

/// The environment variable from which a catalog reads the URL of the database.
pub const SOURCE_URL: &str = "SOURCE_DATABASE_URL";

/// The interval between two polls of the running statements.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// A PostgreSQL database behind a proxy.
pub struct SourceDatabase {
    /// The proxy between the exporters and the server.
    pub proxy: Proxy,
    database: TestDatabase,
    _postgres: Postgres,
}

#[derive(FromQueryResult)]
struct Text {
    text: String,
}

impl SourceDatabase {
    /// Starts a server with an empty database.
    ///
    /// # Panics
    /// When PostgreSQL does not start.
    pub async fn start() -> Self {
        let postgres = Postgres::start().await;
        let database = postgres.database().await;
        let proxy = Proxy::start(host(database.url())).await;
        Self { proxy, database, _postgres: postgres }
    }

    /// The URL for exporters, through the proxy.
    #[must_use]
    pub fn url(&self) -> String {
        self.database.url().replace(host(self.database.url()), &self.proxy.address().to_string())
    }

    /// Runs statements without the proxy.
    ///
    /// # Panics
    /// When a statement fails.
    pub async fn run(&self, statements: &str) {
        let ran = self.database.db.execute_unprepared(statements).await;
        ran.unwrap_or_else(|e| panic!("{statements}: {e}"));
    }

    /// Selects without the proxy and returns the column `text`.
    ///
    /// # Panics
    /// When the statement fails.
    pub async fn texts(&self, select: &str) -> Vec<String> {
        let statement = sea_orm::Statement::from_string(sea_orm::DbBackend::Postgres, select);
        let rows = Text::find_by_statement(statement).all(&self.database.db).await;
        rows.unwrap_or_else(|e| panic!("{select}: {e}")).into_iter().map(|row| row.text).collect()
    }

    /// Terminates all sessions of exporters, as a database administrator can. Returns the number of sessions.
    ///
    /// # Panics
    /// When the server is unavailable.
    pub async fn terminate_sessions(&self) -> usize {
        let terminated = self.texts(
            "SELECT pg_terminate_backend(pid)::text AS text FROM pg_stat_activity \
             WHERE application_name = 'sluice-exporter' AND datname = current_database()",
        );
        terminated.await.len()
    }

    /// Returns the `COPY` statement of each open connection of an exporter, running or last run, as the server shows it.
    ///
    /// # Panics
    /// When the server is unavailable.
    pub async fn copies(&self) -> Vec<String> {
        self.texts(
            "SELECT query AS text FROM pg_stat_activity WHERE application_name = 'sluice-exporter' \
             AND datname = current_database() AND query LIKE 'COPY %'",
        )
        .await
    }

    /// Polls [`Self::copies`] into `copies` and never returns.
    ///
    /// # Panics
    /// When the server is unavailable.
    pub async fn record_copies(&self, copies: &mut BTreeSet<String>) {
        let mut ticks = tokio::time::interval(POLL_INTERVAL);
        loop {
            ticks.tick().await;
            copies.extend(self.copies().await);
        }
    }
}

/// Returns `host:port` of a URL with a user and a database.
fn host(url: &str) -> &str {
    let address = url.split_once('@').map_or(url, |(_, address)| address);
    address.split('/').next().unwrap_or(address)
}
