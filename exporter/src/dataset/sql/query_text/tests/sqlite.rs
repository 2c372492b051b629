//! Tests queries with parameters on SQLite.

use futures::TryStreamExt;
use polars::prelude::DataFrame;
use protocol::{
    catalog::{Column, ColumnType},
    filter::Filter,
};
use sea_orm::{
    ConnectionTrait,
    sqlx::{Either, Executor, SqlSafeStr, Statement as _},
};

use super::*;
use crate::dataset::{
    Dataset, DatasetInfo, Query,
    sql::{Source, SqlRows},
};

const ROWS: &str = "CREATE TABLE source (id INTEGER PRIMARY KEY, note TEXT); \
    INSERT INTO source VALUES (1, 'it''s'), (2, ''' OR 1=1 --'), (3, '$$'), (4, '*/ '' /*'), (5, 'a\\'), (6, ']'); \
    CREATE TABLE hidden (id INTEGER PRIMARY KEY, note TEXT); INSERT INTO hidden VALUES (100, 'hidden')";
const NOTES: [&str; 6] = ["it's", "' OR 1=1 --", "$$", "*/ ' /*", "a\\", "]"];

/// Returns the values of the column `id` in the result of a query. Its parameter `a` has the type `kind` and this
/// value.
async fn ids(
    db: &sea_orm::DatabaseConnection,
    text: &str,
    kind: ParamType,
    a: Value,
) -> Result<Vec<i64>, DatasetError> {
    let query = QueryText::parse_for(SqlDialect::Sqlite, text, &[ParamSpec::new("a", kind)]).unwrap();
    let info = DatasetInfo::new("t", vec![Column::new("id", ColumnType::Int)]);
    let rows = SqlRows::new(db.clone(), Source::Query(query.into()), info);
    let params = json!({"a": a}).as_object().unwrap().clone();
    let all = Query { columns: vec!["id".into()], filter: Filter::all(), params, limit: None };
    let frames: Vec<DataFrame> = rows.open(&all).await?.frames.try_collect().await?;
    let ids = frames.iter().flat_map(|frame| frame.column("id").unwrap().i64().unwrap().iter().flatten());
    Ok(ids.collect())
}

#[tokio::test]
async fn apostrophes_of_parameters_stay_in_their_values() {
    let database = testkit::db::sqlite().await;
    database.db.execute_unprepared(ROWS).await.unwrap();
    for text in [
        "SELECT id, note FROM source WHERE note = :a",
        "-- it's for :a\nSELECT id FROM source WHERE note = :a",
        "/* :a ' /* */ SELECT id FROM source WHERE note = :a -- :a '",
        "SELECT id FROM source WHERE ':a' <> 'it''s :a' AND note = :a",
        "SELECT id, id AS [it's :a], id AS `it's :a`, id AS \"it's :a\" FROM source WHERE note = :a",
        "SELECT id FROM source WHERE note IN (:a) AND 'x\\' <> ''",
        "WITH one AS (SELECT * FROM source) SELECT id FROM one WHERE note = :a",
    ] {
        for (at, note) in NOTES.iter().enumerate() {
            let found = ids(&database.db, text, ParamType::String, json!(note)).await.unwrap();
            assert_eq!(found, [at as i64 + 1], "{text}: {note}");
        }
        let other = ids(&database.db, text, ParamType::String, json!("' UNION SELECT id, note FROM hidden --")).await;
        assert_eq!(other.unwrap(), [0; 0], "{text}");
    }
    let list = "SELECT id FROM source WHERE note IN (:a) ORDER BY id";
    assert_eq!(ids(&database.db, list, ParamType::Strings, json!(["]", "it's"])).await.unwrap(), [1, 6]);
    let none = ids(&database.db, list, ParamType::Strings, json!([])).await.unwrap_err();
    assert!(matches!(none, DatasetError::Param(name) if name == "a"));
}

#[tokio::test]
async fn sqlite_finds_each_parameter_of_a_random_query_where_the_exporter_finds_it() {
    let database = testkit::db::sqlite().await;
    database.db.execute_unprepared(ROWS).await.unwrap();
    let pool = database.db.get_sqlite_connection_pool();
    let pieces = [
        "'", "''", "\"", "`", "[", "]", ":a", " ", "\n", "-", "--", "/*", "*/", "(", ")", "x", "E", "||", "$$", ",",
        "\\", "1", "n", ":",
    ];
    let mut state: u64 = 7;
    let (mut accepted, mut prepared) = (0, 0);
    for _ in 0..30_000 {
        let mut soup = String::from("SELECT :a ");
        for _ in 0..8 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            soup.push_str(pieces[(state >> 33) as usize % pieces.len()]);
        }
        let Ok(query) = parse(SqlDialect::Sqlite, &soup, &["a"]) else { continue };
        accepted += 1;
        let params = json!({"a": "it's"}).as_object().unwrap().clone();
        let text = query.text(&params, |_| Some("?".to_owned())).unwrap() + "SELECT 1";
        let text = sea_orm::sqlx::AssertSqlSafe(text).into_sql_str();
        if let Ok(statement) = pool.prepare(text).await {
            prepared += 1;
            let places = match statement.parameters() {
                Some(Either::Right(places)) => places,
                other => panic!("{other:?}"),
            };
            assert_eq!(places, query.places(), "{soup}");
        }
    }
    assert!(accepted > 300 && prepared > 100, "{accepted} {prepared}");
}
