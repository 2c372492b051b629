//! A table of the application's database, or the rows of a query on it.

use async_trait::async_trait;
use protocol::{catalog::Column, params::ParamSpec};
use sea_orm::{DatabaseConnection, sea_query::Order};

use super::{
    Dataset, DatasetError, Frames, Guess, Query,
    sql::{self, Source},
};

/// Estimates stop counting here: more is more than enough for the bulk lane.
const ESTIMATE_LIMIT: u64 = 200_000;

/// A table as it is, ordered by its key.
#[derive(Clone, Debug)]
pub struct Table {
    db: DatabaseConnection,
    source: Source,
    name: String,
    title: String,
    description: String,
    columns: Vec<Column>,
    params: Vec<ParamSpec>,
    key: Option<String>,
}

impl Table {
    /// The table `name`, with these of its columns; `key` is unique and one of them.
    #[must_use]
    pub fn new(
        db: DatabaseConnection,
        name: &str,
        title: &str,
        description: &str,
        columns: Vec<Column>,
        key: &str,
    ) -> Self {
        let source = Source::table(name);
        let [name, title, description] = [name, title, description].map(str::to_owned);
        Self { db, source, name, title, description, columns, params: Vec::new(), key: Some(key.to_owned()) }
    }

    /// The rows of any source, under a name; in the order of `key`, or else in that of the source.
    #[must_use]
    pub fn of(
        db: DatabaseConnection,
        source: Source,
        name: &str,
        columns: Vec<Column>,
        params: Vec<ParamSpec>,
        key: Option<String>,
    ) -> Self {
        let (name, title, description) = (name.to_owned(), String::new(), String::new());
        Self { db, source, name, title, description, columns, params, key }
    }
}

#[async_trait]
impl Dataset for Table {
    fn name(&self) -> &str {
        &self.name
    }

    fn title(&self) -> &str {
        &self.title
    }

    fn description(&self) -> &str {
        &self.description
    }

    fn columns(&self) -> &[Column] {
        &self.columns
    }

    fn params(&self) -> &[ParamSpec] {
        &self.params
    }

    async fn rows_estimate(&self) -> Option<u64> {
        super::estimated(self, async |all| self.guess(all).await).await
    }

    async fn count(&self, query: &Query) -> Result<Option<u64>, DatasetError> {
        sql::count(&self.db, &self.source, &self.columns, query).await.map(Some)
    }

    async fn guess(&self, query: &Query) -> Result<Option<Guess>, DatasetError> {
        let rows = sql::count_up_to(&self.db, &self.source, &self.columns, query, ESTIMATE_LIMIT).await?;
        Ok(Some(Guess { rows, exact: rows < ESTIMATE_LIMIT }))
    }

    async fn open(&self, query: &Query) -> Result<Frames, DatasetError> {
        let order: Vec<_> = self.key.iter().map(|key| (key.as_str(), Order::Asc)).collect();
        sql::open(&self.db, self.source.clone(), &self.columns, &order, query)
    }
}
