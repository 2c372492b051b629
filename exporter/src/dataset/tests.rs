//! Tests that SQLite, PostgreSQL and Parquet return the same rows for the same queries.

use std::path::Path;

use futures::TryStreamExt;
use polars::prelude::{Column as PolarsColumn, DataType, ParquetWriter, TimeUnit, TimeZone};
use protocol::{
    catalog::{Column, ColumnType},
    filter,
};
use sea_orm::{
    ConnectionTrait, DatabaseConnection,
    sea_query::{Alias, ColumnDef, Expr, ExprTrait, Query as Sql, Table as SqlTable},
};
use serde_json::json;

use super::*;

/// Returns the dataset of the table with this name and these columns, ordered by `id`.
fn sorted_table(db: &DatabaseConnection, name: &str, columns: Vec<Column>) -> SqlRows {
    let rows = SqlRows::new(db.clone(), sql::Source::table(name), DatasetInfo::new(name, columns));
    rows.ordered_by(vec![sql::OrderBy::ascending("id")])
}

/// Returns these columns of the rows that pass a filter, as texts. If the dataset can count the rows exactly, also
/// checks that the count equals their number.
async fn rows(dataset: &dyn Dataset, filter: Value, columns: &[&str], params: Value) -> Vec<Vec<String>> {
    let query = Query {
        columns: columns.iter().map(ToString::to_string).collect(),
        filter: filter::parse(&filter, &dataset.info().columns).unwrap(),
        params: params.as_object().unwrap().clone(),
        limit: None,
    };
    let frames: Vec<DataFrame> = dataset.open(&query).await.unwrap().frames.try_collect().await.unwrap();
    let mut out = Vec::new();
    for frame in &frames {
        let names: Vec<_> = frame.columns().iter().map(|c| c.name().to_string()).collect();
        assert_eq!(names, columns);
        for row in 0..frame.height() {
            out.push(frame.columns().iter().map(|c| c.get(row).unwrap().str_value().into_owned()).collect());
        }
    }
    let counted = dataset.count(&query, Precision::Exact).await.unwrap();
    assert_eq!(counted, Some(RowCount::exact(out.len() as u64)), "{filter}");
    out
}

async fn tables_are_read_in_their_order(db: &DatabaseConnection) {
    let columns = ["name", "category"].map(|name| Column::new(name, ColumnType::String));
    let columns = [vec![Column::new("id", ColumnType::Int)], columns.to_vec()].concat();
    for statement in [
        "CREATE TABLE dishes (id integer PRIMARY KEY, name text, category text)",
        "INSERT INTO dishes VALUES (5, 'e', 'warm'), (4, 'd', 'warm'), (1, 'a', 'cold'), (6, 'f', 'sweet')",
    ] {
        db.execute_unprepared(statement).await.unwrap();
    }
    let dishes = sorted_table(db, "dishes", columns);
    let found = rows(&dishes, json!({"category": {"ne": "cold"}}), &["name", "id"], json!({})).await;
    assert_eq!(found, [["d", "4"], ["e", "5"], ["f", "6"]]);
    assert_eq!(estimate_rows(&dishes).await, Some(4));
}

/// The number of test rows. They have values of every type, NULLs, and values that are close together.
const ROWS: usize = 60;
const TEXTS: [Option<&str>; 8] =
    [None, Some(""), Some("a"), Some("A"), Some("a%b"), Some("é_*?[x]"), Some("ab\nc"), Some("zz")];

fn pick<T: Copy>(values: &[T], row: usize, stride: usize) -> T {
    values[row * stride % values.len()]
}

fn micros(row: usize) -> Option<i64> {
    (!row.is_multiple_of(7)).then(|| 979_397_760_000_000 + (row as i64 % 5) * 500_000)
}

async fn parquet(dir: &Path) -> Files {
    let each = 0..ROWS;
    let cast =
        |name: &str, values: Vec<Option<i64>>, dtype| PolarsColumn::new(name.into(), values).cast(&dtype).unwrap();
    let moment = DataType::Datetime(TimeUnit::Microseconds, Some(TimeZone::UTC));
    let decimal: Vec<_> = each.clone().map(|r| (r % 6 != 0).then(|| format!("{}.{:02}", r % 3, r % 100))).collect();
    let columns = vec![
        PolarsColumn::new("id".into(), each.clone().map(|r| r as i64).collect::<Vec<_>>()),
        PolarsColumn::new(
            "n".into(),
            each.clone().map(|r| (r % 5 != 0).then_some(r as i32 % 7 - 3)).collect::<Vec<_>>(),
        ),
        PolarsColumn::new("x".into(), each.clone().map(|r| (r % 9 != 0).then_some(r as f64 / 4.0)).collect::<Vec<_>>()),
        PolarsColumn::new("d".into(), decimal).cast(&DataType::Decimal(10, 2)).unwrap(),
        PolarsColumn::new("s".into(), each.clone().map(|r| pick(&TEXTS, r, 3)).collect::<Vec<_>>()),
        PolarsColumn::new(
            "b".into(),
            each.clone().map(|r| pick(&[None, Some(true), Some(false)], r, 1)).collect::<Vec<_>>(),
        ),
        cast("day", each.clone().map(|r| (r % 4 != 0).then_some(11_000 + r as i64 % 3)).collect(), DataType::Date),
        cast("at", each.map(micros).collect(), moment),
    ];
    let mut frame = DataFrame::new_infer_height(columns).unwrap();
    let path = dir.join("data.parquet");
    let file = std::fs::File::create(&path).unwrap();
    ParquetWriter::new(file).with_row_group_size(Some(17)).finish(&mut frame).unwrap();
    Files::open(Location::Local(path), FileKind::Parquet, DatasetInfo::new("data", vec![])).await.unwrap()
}

async fn table(db: &DatabaseConnection, columns: Vec<Column>) -> SqlRows {
    let column = |name: &str| ColumnDef::new(Alias::new(name));
    let create = SqlTable::create()
        .table(Alias::new("data"))
        .col(column("id").integer().primary_key())
        .col(column("n").integer())
        .col(column("x").double())
        .col(column("d").decimal_len(10, 2))
        .col(column("s").text())
        .col(column("b").boolean())
        .col(column("day").date())
        .col(column("at").timestamp_with_time_zone())
        .take();
    db.execute(&create).await.unwrap();
    for r in 0..ROWS {
        let day = chrono::NaiveDate::default() + chrono::TimeDelta::days(11_000 + r as i64 % 3);
        let at = micros(r).map(|t| chrono::DateTime::from_timestamp_micros(t).unwrap());
        let decimal = (r % 6 != 0).then(|| format!("{}.{:02}", r % 3, r % 100));
        let insert = Sql::insert()
            .into_table(Alias::new("data"))
            .columns(["id", "n", "x", "d", "s", "b", "day", "at"].map(Alias::new))
            .values_panic([
                Expr::val(r as i64),
                Expr::val((r % 5 != 0).then_some(r as i64 % 7 - 3)),
                Expr::val((r % 9 != 0).then_some(r as f64 / 4.0)),
                Expr::val(decimal).cast_as("numeric"),
                Expr::val(pick(&TEXTS, r, 3).map(str::to_owned)),
                Expr::val(pick(&[None, Some(true), Some(false)], r, 1)),
                Expr::val((r % 4 != 0).then_some(day)),
                Expr::val(at),
            ])
            .take();
        db.execute(&insert).await.unwrap();
    }
    sorted_table(db, "data", columns)
}

/// Returns test filters with every operator on every type, single, negated and combined.
fn filters() -> Vec<Value> {
    let mut simple = Vec::new();
    for (column, values) in [
        ("n", vec![json!(-3), json!(0), json!(2), json!(4_000_000_000_i64)]),
        ("x", vec![json!(0), json!(7.25), json!(-0.0), json!(1e300)]),
        ("d", vec![json!("1.10"), json!("1.1"), json!("1.105"), json!("-0.001"), json!(2), json!("9".repeat(39))]),
        ("s", vec![json!(""), json!("a"), json!("b"), json!("é_*?[x]"), json!("'; DROP TABLE data")]),
        ("day", vec![json!("2000-02-13"), json!("2000-02-14"), json!("1999-01-01")]),
        ("at", vec![json!("2001-01-13T14:56:00Z"), json!("2001-01-13T15:56:00.500+01:00"), json!("2001-01-13")]),
    ] {
        for operator in ["eq", "ne", "lt", "lte", "gt", "gte"] {
            simple.extend(values.iter().map(|value| json!({column: {operator: value}})));
        }
        simple.push(json!({column: {"in": values}}));
        simple.push(json!({column: {"between": [values[0], values[1]]}}));
        simple.push(json!({column: {"is_null": true}}));
        simple.push(json!({column: {"is_null": false}}));
    }
    simple.extend([json!({"b": {"eq": true}}), json!({"b": {"ne": true}}), json!({"b": {"in": [false]}})]);
    for pattern in ["", "%", "a%", "A%", "%b%", "_", "__", r"a\%b", "é_*?[x]", "%[x]", "%\n%", r"%\_%", "a\\"] {
        simple.push(json!({"s": {"like": pattern}}));
        simple.push(json!({"s": {"contains": pattern}}));
    }
    let negated: Vec<_> = simple.iter().map(|filter| json!({"not": filter})).collect();
    let joined = |join: &str| -> Vec<Value> {
        simple.iter().zip(negated.iter().rev()).map(|(a, b)| json!({"not": {join: [a, b]}})).collect()
    };
    [joined("or"), joined("and"), simple, negated, vec![json!({})]].concat()
}

async fn the_database_and_polars_agree_on_every_filter(db: &DatabaseConnection) {
    let dir = tempfile::tempdir().unwrap();
    let file = parquet(dir.path()).await;
    let table = table(db, file.info().columns.clone()).await;
    let mut some = 0;
    for filter in filters() {
        let from_file = rows(&file, filter.clone(), &["s", "id"], json!({})).await;
        let from_table = rows(&table, filter.clone(), &["s", "id"], json!({})).await;
        assert_eq!(from_file, from_table, "{filter}");
        some += usize::from(!from_file.is_empty() && from_file.len() < ROWS);
    }
    assert!(some > 200, "only {some} filters pass some of the rows");
    long_filters_are_not_deep(db, &file).await;
    let typed = rows(&table, json!({"id": {"in": [1, 2]}}), &["d", "at", "day", "x", "b"], json!({})).await;
    assert_eq!(typed[0][..3], ["1.01", "2001-01-13 14:56:00.500", "2000-02-14"].map(str::to_owned));
    assert_eq!(typed[1][3..], ["0.5", "false"].map(str::to_owned));
}

/// Checks that a filter with very many parts works, although databases limit the depth of an expression, and deep
/// recursion exhausts the stack.
async fn long_filters_are_not_deep(db: &DatabaseConnection, file: &Files) {
    let table = sorted_table(db, "data", file.info().columns.clone());
    let equal = |n| filter::Filter::Compare("id".into(), filter::Compare::Eq, filter::Literal::Int(n));
    let any = filter::Filter::Or((0..3000).map(|n| equal(n * 20)).collect());
    let all = filter::Filter::And(vec![filter::Filter::And(vec![]); 3000]);
    for (filter, rows) in [(any, 3), (all, ROWS)] {
        let query = Query { columns: vec!["id".into()], filter, params: Map::new(), limit: None };
        for dataset in [&table as &dyn Dataset, file] {
            let counted = dataset.count(&query, Precision::Exact).await.unwrap();
            assert_eq!(counted, Some(RowCount::exact(rows as u64)));
        }
    }
}

async fn long_texts_make_short_frames(db: &DatabaseConnection) {
    let text = "x".repeat(1 << 20);
    db.execute_unprepared("CREATE TABLE long_texts (id integer PRIMARY KEY, s text)").await.unwrap();
    for id in 0..10 {
        let insert = Sql::insert()
            .into_table(Alias::new("long_texts"))
            .columns(["id", "s"].map(Alias::new))
            .values_panic([Expr::val(id), Expr::val(text.as_str())])
            .take();
        db.execute(&insert).await.unwrap();
    }
    let columns = vec![Column::new("id", ColumnType::Int), Column::new("s", ColumnType::String)];
    let table = sorted_table(db, "long_texts", columns);
    let query =
        Query { columns: vec!["s".into()], filter: filter::Filter::And(vec![]), params: Map::new(), limit: None };
    let frames: Vec<_> = table.open(&query).await.unwrap().frames.try_collect().await.unwrap();
    assert_eq!(frames.iter().map(DataFrame::height).collect::<Vec<_>>(), [4, 4, 2]);
}

async fn a_refused_statement_is_not_transient(db: &DatabaseConnection) {
    let wrong = sorted_table(db, "nowhere", vec![Column::new("id", ColumnType::Int)]);
    let query =
        Query { columns: vec!["id".into()], filter: filter::Filter::And(vec![]), params: Map::new(), limit: None };
    let read = wrong.open(&query).await.unwrap().frames.try_collect::<Vec<_>>().await.unwrap_err();
    let counted = wrong.count(&query, Precision::Exact).await.unwrap_err();
    assert!(!read.is_transient() && !counted.is_transient(), "{read}, {counted}");
}

async fn all(db: &DatabaseConnection) {
    a_refused_statement_is_not_transient(db).await;
    long_texts_make_short_frames(db).await;
    tables_are_read_in_their_order(db).await;
    the_database_and_polars_agree_on_every_filter(db).await;
}

#[tokio::test]
async fn slow_sqlite_answers_every_filter_like_parquet() {
    all(&testkit::db::sqlite().await.db).await;
}

#[tokio::test]
async fn slow_postgres_answers_every_filter_like_parquet() {
    all(&testkit::db::Postgres::start().await.database().await.db).await;
}

#[tokio::test]
async fn parquet_rows_come_in_the_order_of_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = parquet(dir.path()).await;
    let ids = rows(&file, json!({}), &["id"], json!({})).await;
    assert!(ids.iter().enumerate().all(|(at, row)| row[0] == at.to_string()));
    assert_eq!(estimate_rows(&file).await, Some(ROWS as u64));
}

#[test]
fn lists_are_joined_in_order_as_a_flat_tree() {
    let join = |a: (String, u32), b: (String, u32)| (a.0 + &b.0, Ord::max(a.1, b.1) + 1);
    for (parts, joined, depth) in [("a", "a", 0), ("abc", "abc", 2), ("abcdefghi", "abcdefghi", 4)] {
        let parts = parts.chars().map(|c| (c.to_string(), 0)).collect();
        assert_eq!(balanced(parts, join), Some((joined.to_owned(), depth)));
    }
    assert_eq!(balanced(Vec::new(), join), None);
}

#[tokio::test]
async fn dropping_the_stream_stops_the_source() {
    let dir = tempfile::tempdir().unwrap();
    let file = parquet(dir.path()).await;
    let query =
        Query { columns: vec!["id".into()], filter: filter::Filter::And(vec![]), params: Map::new(), limit: None };
    drop(file.open(&query).await.unwrap());
    let gone = Query { columns: vec!["nope".into()], ..query };
    let error = file.open(&gone).await.unwrap().frames.try_collect::<Vec<_>>().await.unwrap_err();
    assert!(matches!(error, DatasetError::NoColumn(name) if name == "nope"));
}

#[tokio::test]
async fn a_column_of_sqlite_has_a_time_zone_if_one_of_its_values_has() {
    let database = testkit::db::sqlite().await;
    for statement in [
        "CREATE TABLE moments (id INTEGER, plain TIMESTAMP, zulu TIMESTAMP, ahead DATETIME, unix DATETIME, none DATETIME)",
        "INSERT INTO moments VALUES (1, '2026-03-29 02:30:00.500', '2026-03-29 02:30:00', '2026-03-29 02:30:00', \
         '2026-03-29', NULL)",
        "INSERT INTO moments VALUES (2, '2026-03-29T02:30:00', '2026-03-29T02:30:00Z', '2026-03-29T02:30:00+02:00', \
         1774751400, NULL)",
    ] {
        database.db.execute_unprepared(statement).await.unwrap();
    }
    let source = sql::Source::table("moments");
    let columns = sql::table_columns(&database.db, &source).await.unwrap();
    let columns = sql::with_zones(&database.db, &source, columns).await.unwrap();
    let local: Vec<_> = columns.iter().map(|column| column.local).collect();
    assert_eq!(local, [false, true, false, false, false, false]);
    let moments = sorted_table(&database.db, "moments", columns);
    let shown = [["2026-03-29 02:30:00.500"], ["2026-03-29 02:30:00"]];
    assert_eq!(rows(&moments, json!({}), &["plain"], json!({})).await, shown);
    // `+02`, an offset without minutes, is a time zone; a trailing space is no time zone
    for (name, text, is_local) in [("hours", "2026-03-29 02:30:00+02", false), ("spaced", "2026-03-29 02:30:00 ", true)]
    {
        database.db.execute_unprepared(&format!("CREATE TABLE {name} (id INTEGER, at DATETIME)")).await.unwrap();
        database.db.execute_unprepared(&format!("INSERT INTO {name} VALUES (1, '{text}')")).await.unwrap();
        let source = sql::Source::table(name);
        let columns = sql::table_columns(&database.db, &source).await.unwrap();
        let columns = sql::with_zones(&database.db, &source, columns).await.unwrap();
        assert_eq!(columns[1].local, is_local, "{name}");
        assert_eq!(rows(&sorted_table(&database.db, name, columns), json!({}), &["at"], json!({})).await.len(), 1);
    }
    // the column has no time zone, so that an export would drop the time zone of this value
    let later = "INSERT INTO moments (id, plain) VALUES (3, '2026-03-29T02:30:00+02:00')";
    database.db.execute_unprepared(later).await.unwrap();
    let all = Query { columns: vec!["plain".into()], filter: Filter::all(), params: Map::new(), limit: None };
    let error = moments.open(&all).await.unwrap().frames.try_collect::<Vec<_>>().await.unwrap_err();
    assert!(matches!(&error, DatasetError::Stored { column, row: 3, .. } if column == "plain"), "{error}");
    assert!(!error.is_transient());
}

#[tokio::test]
async fn a_text_in_a_column_of_numbers_is_refused_and_not_written() {
    let database = testkit::db::sqlite().await;
    database.db.execute_unprepared("CREATE TABLE odd (id INTEGER, amount DECIMAL)").await.unwrap();
    database.db.execute_unprepared("INSERT INTO odd VALUES (1, 12.5), (2, 1e30), (3, NULL)").await.unwrap();
    let columns = vec![Column::new("id", ColumnType::Int), Column::new("amount", ColumnType::Decimal)];
    let odd = sorted_table(&database.db, "odd", columns);
    let big = format!("1{}", "0".repeat(30));
    assert_eq!(rows(&odd, json!({}), &["amount"], json!({})).await, [["12.5"], [big.as_str()], ["null"]]);
    // SQLite stores the text, and a spreadsheet would evaluate it
    database.db.execute_unprepared("INSERT INTO odd VALUES (4, '=1+1')").await.unwrap();
    let all = Query { columns: vec!["amount".into()], filter: Filter::all(), params: Map::new(), limit: None };
    let error = odd.open(&all).await.unwrap().frames.try_collect::<Vec<_>>().await.unwrap_err();
    assert!(matches!(&error, DatasetError::Stored { column, row: 4, .. } if column == "amount"), "{error}");
}
