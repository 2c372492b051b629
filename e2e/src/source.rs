//! Datasets of a test's own: a catalog file in a folder, and a PostgreSQL server that it reads from, through a proxy that
//! can be broken.

use std::{collections::BTreeSet, time::Duration};

use sea_orm::{ConnectionTrait, FromQueryResult};
use tempfile::TempDir;
use testkit::{
    db::{Postgres, TestDatabase},
    eventually,
    fault::Proxy,
    rest::Rest,
};

use crate::{Fleet, Plan};

/// The environment variable that names the source's URL to the catalog file.
pub const SOURCE_URL: &str = "SHOP_URL";

/// How often the server is asked what runs on it.
const LOOK: Duration = Duration::from_millis(10);

/// A PostgreSQL database that exporters read from, behind a proxy.
pub struct Source {
    /// What stands between the exporters and the server.
    pub proxy: Proxy,
    database: TestDatabase,
    _postgres: Postgres,
}

#[derive(FromQueryResult)]
struct Text {
    text: String,
}

impl Source {
    /// An empty database.
    ///
    /// # Panics
    /// When PostgreSQL does not start.
    pub async fn start() -> Self {
        let postgres = Postgres::start().await;
        let database = postgres.database().await;
        let proxy = Proxy::start(host(database.url())).await;
        Self { proxy, database, _postgres: postgres }
    }

    /// How exporters connect: through the proxy.
    #[must_use]
    pub fn url(&self) -> String {
        self.database.url().replace(host(self.database.url()), &self.proxy.address().to_string())
    }

    /// Runs statements, past the proxy.
    ///
    /// # Panics
    /// When one of them fails.
    pub async fn run(&self, statements: &str) {
        let ran = self.database.db.execute_unprepared(statements).await;
        ran.unwrap_or_else(|e| panic!("{statements}: {e}"));
    }

    /// The column `text` of a select, past the proxy.
    ///
    /// # Panics
    /// When it fails.
    pub async fn texts(&self, select: &str) -> Vec<String> {
        let statement = sea_orm::Statement::from_string(sea_orm::DbBackend::Postgres, select);
        let rows = Text::find_by_statement(statement).all(&self.database.db).await;
        rows.unwrap_or_else(|e| panic!("{select}: {e}")).into_iter().map(|row| row.text).collect()
    }

    /// Ends all sessions of exporters, as an operator of the server would. The answer is how many there were.
    ///
    /// # Panics
    /// When the server is away.
    pub async fn terminate(&self) -> usize {
        let ended = self.texts(
            "SELECT pg_terminate_backend(pid)::text AS text FROM pg_stat_activity \
             WHERE application_name = 'sluice-exporter' AND datname = current_database()",
        );
        ended.await.len()
    }

    /// Each `COPY` that an exporter runs now, or ran last on a connection that is still there, as the server shows it.
    ///
    /// # Panics
    /// When the server is away.
    pub async fn copies(&self) -> Vec<String> {
        self.texts(
            "SELECT query AS text FROM pg_stat_activity WHERE application_name = 'sluice-exporter' \
             AND datname = current_database() AND query LIKE 'COPY %'",
        )
        .await
    }

    /// Notes each of them that is ever seen, for ever.
    ///
    /// # Panics
    /// When the server is away.
    pub async fn note_copies(&self, seen: &mut BTreeSet<String>) {
        let mut looks = tokio::time::interval(LOOK);
        loop {
            looks.tick().await;
            seen.extend(self.copies().await);
        }
    }
}

/// `host:port` of a URL with a user and a database.
fn host(url: &str) -> &str {
    let behind = url.split_once('@').map_or(url, |(_, behind)| behind);
    behind.split('/').next().unwrap_or(behind)
}

/// A folder with a catalog file, and what lies beside it.
pub struct Catalog {
    /// Where files of datasets go.
    pub dir: TempDir,
}

impl Catalog {
    /// The name of the file in its folder.
    pub const FILE: &str = "catalog.toml";

    /// A folder with this file.
    ///
    /// # Panics
    /// When it can't be written.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let dir = tempfile::tempdir().expect("the folder for temporary files is writable");
        std::fs::write(dir.path().join(Self::FILE), text).expect("a new folder is writable");
        Self { dir }
    }

    /// A fleet whose exporters offer what the file says, once they do; `source` is the one that it names.
    ///
    /// # Panics
    /// When something does not start, or one of these datasets is not offered.
    pub async fn fleet(&self, source: Option<&Source>, datasets: &[&str], mut settings: Vec<Setting>) -> Fleet {
        settings.extend([
            ("SLUICE_EXPORTER__CATALOG", self.dir.path().join(Self::FILE).display().to_string()),
            ("SLUICE_EXPORTER__CATALOG_POLL_MS", "50".to_owned()),
            ("SLUICE_EXPORTER__CATALOG_MS", "200".to_owned()),
        ]);
        settings.extend(source.map(|source| (SOURCE_URL, source.url())));
        let fleet =
            Fleet::start(Plan { settings, datasets: Some(self.dir.path().to_owned()), ..Plan::default() }).await;
        let rest = fleet.rest();
        for name in datasets {
            eventually(name, async || offered(&rest, name).await.then_some(())).await;
        }
        fleet
    }
}

/// A setting of every process.
pub type Setting = (&'static str, String);

async fn offered(rest: &Rest, name: &str) -> bool {
    rest.get(&format!("/v1/datasets/{name}")).await.status.is_success()
}
