//! Tests reads from real SQLite databases.

mod files;
mod policies;
mod sorting;
mod spellings;
mod values;

use std::{path::PathBuf, sync::Arc, time::Duration};

use futures::TryStreamExt;
use polars::prelude::DataFrame;
use protocol::{
    catalog::{Column, ColumnType},
    filter,
};
use sea_orm::{ConnectionTrait, DatabaseConnection};
use serde_json::{Map, Value, json};

use super::{super::source::Source, *};
use crate::dataset::{AccessView, Dataset, DatasetError, DatasetInfo, Precision, Query, SqlRows, sql::OrderBy};

/// A temporary SQLite file, and a connection that can write to it.
struct Fixture {
    dir: tempfile::TempDir,
    db: DatabaseConnection,
}

impl Fixture {
    async fn new(statements: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let db = create(dir.path().join("data.db"), statements).await;
        Self { dir, db }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("data.db")
    }

    fn file(&self) -> Arc<SqliteFile> {
        Arc::new(SqliteFile::new(&self.path(), Duration::from_secs(30)))
    }

    /// Returns the dataset of the table `t` with these columns.
    fn table(&self, columns: &[(&str, ColumnType)]) -> SqlRows {
        let columns = columns.iter().map(|(name, kind)| Column::new(*name, *kind)).collect();
        SqlRows::new(self.file(), Source::table("t"), DatasetInfo::new("t", columns))
    }

    /// Returns the dataset of the table `t` with the columns and types of its schema.
    async fn declared(&self) -> SqlRows {
        let columns = table_columns(&self.db, &Source::table("t")).await.unwrap();
        SqlRows::new(self.file(), Source::table("t"), DatasetInfo::new("t", columns))
    }
}

async fn create(path: PathBuf, statements: &[&str]) -> DatabaseConnection {
    let mut options = sea_orm::ConnectOptions::new(platform::db::sqlite_create(&path).expose());
    options.max_connections(1);
    let db = sea_orm::Database::connect(options).await.unwrap();
    for statement in statements {
        db.execute_unprepared(statement).await.unwrap_or_else(|e| panic!("{statement}: {e}"));
    }
    db
}

/// Exports these columns of the rows that pass a filter, and returns their values as texts.
async fn export(dataset: &dyn Dataset, filter: Value, columns: &[&str]) -> Result<Vec<Vec<String>>, DatasetError> {
    let query = Query {
        columns: columns.iter().map(ToString::to_string).collect(),
        filter: filter::parse(&filter, &dataset.info().columns).unwrap(),
        params: Map::new(),
        limit: None,
    };
    let frames: Vec<DataFrame> = dataset.open(&query).await?.frames.try_collect().await?;
    let mut rows: Vec<Vec<String>> = Vec::new();
    for frame in &frames {
        for row in 0..frame.height() {
            rows.push(frame.columns().iter().map(|c| c.get(row).unwrap().str_value().into_owned()).collect());
        }
    }
    let counted = dataset.count(&query, Precision::Exact).await?.unwrap();
    assert_eq!((counted.rows, counted.exact), (rows.len() as u64, true), "{filter}");
    Ok(rows)
}

/// Exports one column of the rows that pass a filter, and returns its values as texts.
async fn values(dataset: &dyn Dataset, filter: Value, column: &str) -> Vec<String> {
    export(dataset, filter, &[column]).await.unwrap().concat()
}
