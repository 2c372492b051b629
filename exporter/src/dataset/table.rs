//! A table of the application's database.

use async_trait::async_trait;
use protocol::catalog::Column;
use sea_orm::{DatabaseConnection, sea_query::Order};
use tracing::warn;

use super::{
    Dataset, DatasetError, Frames, Query,
    sql::{self, Source},
};

/// Estimates stop counting here: more is more than enough for the bulk lane.
const ESTIMATE_LIMIT: u64 = 200_000;

/// A table as it is, ordered by its key.
#[derive(Clone, Debug)]
pub struct Table {
    db: DatabaseConnection,
    name: &'static str,
    title: &'static str,
    description: &'static str,
    columns: Vec<Column>,
    key: &'static str,
}

impl Table {
    /// The table `name`, with these of its columns; `key` is unique and one of them.
    #[must_use]
    pub fn new(
        db: DatabaseConnection,
        name: &'static str,
        title: &'static str,
        description: &'static str,
        columns: Vec<Column>,
        key: &'static str,
    ) -> Self {
        Self { db, name, title, description, columns, key }
    }
}

#[async_trait]
impl Dataset for Table {
    fn name(&self) -> &str {
        self.name
    }

    fn title(&self) -> &str {
        self.title
    }

    fn description(&self) -> &str {
        self.description
    }

    fn columns(&self) -> &[Column] {
        &self.columns
    }

    async fn rows_estimate(&self) -> Option<u64> {
        match sql::count_up_to(&self.db, self.name, ESTIMATE_LIMIT).await {
            Ok(rows) => Some(rows),
            Err(e) => {
                warn!(dataset.name = self.name, error = %e, "can't estimate the rows of a table");
                None
            }
        }
    }

    async fn count(&self, query: &Query) -> Result<Option<u64>, DatasetError> {
        sql::count(&self.db, Source::Table(self.name), &self.columns, query).await.map(Some)
    }

    async fn open(&self, query: &Query) -> Result<Frames, DatasetError> {
        sql::open(&self.db, Source::Table(self.name), &self.columns, &[(self.key, Order::Asc)], query)
    }
}
