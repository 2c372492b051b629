//! Tests that the demo catalog (`ops/demo/catalog.toml`) gives the same answers on SQLite and on PostgreSQL.

#![expect(clippy::unwrap_used, reason = "a test that can't be set up fails")]

use std::{fs, path::Path, sync::Arc};

use exporter::{
    ExporterConfig, Registry,
    catalog::{LoadContext, load},
    dataset::{Dataset, Precision, Query, RowCount, estimate_rows},
};
use futures::TryStreamExt;
use polars::prelude::DataFrame;
use protocol::filter;
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};

const CATALOG: &str = include_str!("../../../ops/demo/catalog.toml");
const MENUS: &str = include_str!("../../../ops/demo/menus.sql");
const SQLITE_SOURCE: &str = "kind = \"sqlite\"\npath = \"demo.sqlite\"";

/// Loads the catalog `catalog`, and returns its datasets. The dataset `flights` must be unavailable, because its files
/// are not in the folder.
async fn loaded(folder: &Path, catalog: &str) -> Vec<Arc<dyn Dataset>> {
    let path = folder.join("catalog.toml");
    fs::write(&path, catalog).unwrap();
    let config = ExporterConfig { datasets_dir: folder.to_owned(), ..ExporterConfig::default() };
    let loaded = load(&path, &LoadContext::new(&config), &Registry::built_in()).await.unwrap();
    let loaded = loaded.as_written(&path).unwrap();
    let unavailable: Vec<_> = loaded.unavailable.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(unavailable, ["flights"]);
    loaded.datasets
}

/// Returns the rows of the dataset `menu_category_counts`, each as `category,count`.
async fn counts(counts: &dyn Dataset, params: Value, filter: Value, limit: Option<u64>) -> Vec<String> {
    let query = Query {
        columns: counts.info().columns.iter().map(|column| column.name.clone()).collect(),
        filter: filter::parse(&filter, &counts.info().columns).unwrap(),
        params: params.as_object().unwrap().clone(),
        limit,
    };
    let frames: Vec<DataFrame> = counts.open(&query).await.unwrap().frames.try_collect().await.unwrap();
    let mut rows = Vec::new();
    for frame in &frames {
        for row in 0..frame.height() {
            let values: Vec<_> = frame.columns().iter().map(|c| c.get(row).unwrap().str_value().into_owned()).collect();
            rows.push(values.join(","));
        }
    }
    if limit.is_none() {
        let counted = counts.count(&query, Precision::Exact).await.unwrap();
        assert!(counted.is_none_or(|counted| counted == RowCount::exact(rows.len() as u64)), "{counted:?}");
    }
    rows
}

async fn answers_of_the_brief(datasets: &[Arc<dyn Dataset>]) {
    let names: Vec<_> = datasets.iter().map(|dataset| dataset.info().name.as_str()).collect();
    assert_eq!(names, ["menus", "muscles", "muscle_menus", "menu_category_counts"]);
    assert!(estimate_rows(datasets[0].as_ref()).await.is_some());
    let dataset = datasets[3].as_ref();
    let columns: Vec<_> = dataset.info().columns.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(columns, ["category", "count"]);

    let both = || json!({"muscles": ["muscle1", "muscle2"]});
    let all = counts(dataset, both(), json!({}), None).await;
    assert_eq!(all, ["training,3", "balance,1", "stretch,1"]);
    assert_eq!(counts(dataset, both(), json!({}), Some(2)).await, ["training,3", "balance,1"]);
    let some = counts(dataset, both(), json!({"count": {"lt": 3}, "category": {"like": "s%"}}), None).await;
    assert_eq!(some, ["stretch,1"]);
    assert!(counts(dataset, json!({"muscles": ["' OR 1=1 --"]}), json!({}), None).await.is_empty());
}

#[tokio::test]
async fn the_demo_answers_the_brief_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let url = platform::db::sqlite_create(&folder.path().join("demo.sqlite"));
    let database = sea_orm::Database::connect(url.expose()).await.unwrap();
    database.execute_unprepared(MENUS).await.unwrap();
    answers_of_the_brief(&loaded(folder.path(), CATALOG).await).await;
}

#[tokio::test]
async fn the_demo_answers_the_brief_on_postgres() {
    let folder = tempfile::tempdir().unwrap();
    // the server stops when this is dropped
    let postgres = testkit::db::Postgres::start().await;
    let database = postgres.database().await;
    database.db.execute_unprepared(MENUS).await.unwrap();
    let url = folder.path().join("url");
    fs::write(&url, database.url()).unwrap();
    assert!(CATALOG.contains(SQLITE_SOURCE));
    let source = format!("kind = \"postgres\"\nurl = {{ file = \"{}\" }}", url.display());
    answers_of_the_brief(&loaded(folder.path(), &CATALOG.replace(SQLITE_SOURCE, &source)).await).await;
}
