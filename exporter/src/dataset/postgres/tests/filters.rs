//! Tests that filters compare the value that the exported file shows: for NULL, composite values whose members are all
//! NULL, times with fractions of a microsecond, and years far from the present.

use super::{printed::printed, *};

#[tokio::test]
async fn null_is_found_and_a_row_of_nulls_is_a_value() {
    // the server stops when this is dropped
    let postgres = Postgres::start().await;
    let database = postgres.database().await;
    run(
        &database.db,
        "CREATE TYPE pair AS (a int, b text); CREATE DOMAIN twin AS pair; CREATE TABLE rows (n bigint, p pair, t twin); \
         INSERT INTO rows VALUES (1, '(,)', '(,)'), (2, NULL, NULL), (3, '(1,)', '(,x)'); CREATE INDEX ON rows (n)",
    )
    .await;
    let rows = described(&server(database.url()), Source::table("rows"), vec![]).await;
    for (test, expected) in [
        (json!({"p": {"is_null": true}}), vec![2]),
        (json!({"t": {"is_null": true}}), vec![2]),
        (json!({"p": {"is_null": false}}), vec![1, 3]),
        (json!({"not": {"t": {"is_null": false}}}), vec![2]),
        (json!({"n": {"is_null": true}}), vec![]),
        (json!({"n": {"is_null": false}, "p": {"eq": "(,)"}}), vec![1]),
    ] {
        assert_eq!(numbers(&rows, &test).await, expected, "{test}");
    }
    // the planner turns the condition into a test for NULL, for which it can use an index
    run(&database.db, "INSERT INTO rows SELECT g FROM generate_series(1, 20000) AS g; ANALYZE rows").await;
    let plan = printed(&database, "EXPLAIN SELECT FROM rows WHERE n IS NOT DISTINCT FROM NULL").await;
    assert!(plan[0].as_ref().is_some_and(|plan| plan.contains("Index")), "{plan:?}");
}

#[tokio::test]
async fn a_filter_compares_times_finer_than_a_microsecond_without_rounding() {
    // the server stops when this is dropped
    let postgres = Postgres::start().await;
    let database = postgres.database().await;
    run(
        &database.db,
        "CREATE TABLE moments (n bigint, at timestamptz, wall timestamp, clock time); INSERT INTO moments VALUES \
         (1, '2026-11-22 15:26:01.123456Z', '2026-11-22 15:26:01.123456', '15:26:01.123456'), \
         (2, '2026-11-22 15:26:01.123457Z', '2026-11-22 15:26:01.123457', '15:26:01.123457'), (3, NULL, NULL, NULL)",
    )
    .await;
    let rows = described(&server(database.url()), Source::table("moments"), vec![]).await;
    for (column, text) in [
        ("at", "2026-11-22T15:26:01.1234567Z"),
        ("at", "2026-11-22T16:26:01.123456001+01:00"),
        ("wall", "2026-11-22T15:26:01.123456999"),
        ("clock", "15:26:01.1234565"),
    ] {
        for (test, expected) in [
            (json!({"eq": text}), vec![]),
            (json!({"ne": text}), vec![1, 2]),
            (json!({"lt": text}), vec![1]),
            (json!({"lte": text}), vec![1]),
            (json!({"gt": text}), vec![2]),
            (json!({"gte": text}), vec![2]),
            (json!({"in": [text]}), vec![]),
        ] {
            assert_eq!(numbers(&rows, &json!({column: test})).await, expected, "{column} {test}");
        }
        let known =
            text.replace(text.split('.').nth(1).unwrap().trim_end_matches("+01:00").trim_end_matches('Z'), "123457");
        assert_eq!(numbers(&rows, &json!({column: {"in": [text, known]}})).await, [2], "{column} {text}");
        assert_eq!(numbers(&rows, &json!({"not": {column: {"eq": text}}})).await, [1, 2], "{column} {text}");
    }
}

#[tokio::test]
async fn filters_find_years_beyond_9999_and_before_1_in_the_spelling_of_the_file() {
    // the server stops when this is dropped
    let postgres = Postgres::start().await;
    let database = postgres.database().await;
    run(
        &database.db,
        "CREATE TABLE eras AS SELECT 1::bigint AS n, '0044-03-15 BC'::date AS day, '0044-03-15 12:00Z BC'::timestamptz \
         AS at, '0001-03-15 12:00:00.5 BC'::timestamp AS wall \
         UNION ALL SELECT 2, '12026-01-31', '12026-01-31 12:00Z', '12026-01-31 12:00:00.5'",
    )
    .await;
    let rows = described(&server(database.url()), Source::table("eras"), vec![]).await;
    let names = ["n", "day", "at", "wall"];
    let lines = written(&Csv, &rows.info.columns, &frames(&rows, &query(&names, Filter::all())).await);
    for line in lines.lines() {
        let cells: Vec<_> = line.split(',').collect();
        let n: i64 = cells[0].parse().unwrap();
        for (name, cell) in names.iter().zip(&cells).skip(1) {
            for test in [json!({"eq": cell}), json!({"in": [cell]}), json!({"between": [cell, cell]})] {
                assert_eq!(numbers(&rows, &json!({*name: test})).await, [n], "{name} {test}");
            }
        }
    }
    assert_eq!(numbers(&rows, &json!({"day": {"lt": "0000-01-01"}})).await, [1]);
    assert_eq!(numbers(&rows, &json!({"at": {"gt": "9999-12-31T23:59:59Z"}})).await, [2]);
}

#[tokio::test]
async fn filters_find_nan_infinity_and_24_00_in_the_spelling_of_the_file() {
    // the server stops when this is dropped
    let postgres = Postgres::start().await;
    let database = postgres.database().await;
    run(
        &database.db,
        "CREATE TABLE special (n bigint, f float8, r real, d numeric, day date, at timestamptz, wall timestamp, clock time); \
         INSERT INTO special VALUES (1, 'NaN', 'NaN', 'NaN', 'infinity', 'infinity', 'infinity', '24:00'), \
         (2, 'Infinity', 'Infinity', 'Infinity', '-infinity', '-infinity', '-infinity', '23:59:59.999999'), \
         (3, '-Infinity', '-Infinity', '-Infinity', '2026-11-22', '2026-11-22 12:00Z', '2026-11-22 12:00', '12:00'), \
         (4, 1.5, 0.1, 12345678901234567.89, '2026-11-23', '2026-11-23 12:00Z', '2026-11-23 12:00', '12:01')",
    )
    .await;
    let rows = described(&server(database.url()), Source::table("special"), vec![]).await;
    let names = ["n", "f", "r", "d", "day", "at", "wall", "clock"];
    let lines = written(&Csv, &rows.info.columns, &frames(&rows, &query(&names, Filter::all())).await);
    for line in lines.lines() {
        let cells: Vec<_> = line.split(',').collect();
        let n: i64 = cells[0].parse().unwrap();
        for (name, cell) in names.iter().zip(&cells).skip(1) {
            for test in [json!({"eq": cell}), json!({"in": [cell]}), json!({"between": [cell, cell]})] {
                assert_eq!(numbers(&rows, &json!({*name: test})).await, [n], "{name} {test}");
            }
        }
    }
    for name in ["f", "r", "d"] {
        for (test, expected) in [
            (json!({"lt": "NaN"}), vec![2, 3, 4]),
            (json!({"gt": "INF"}), vec![1]),
            (json!({"lte": "-INF"}), vec![3]),
            (json!({"gt": 1e-30}), vec![1, 2, 4]),
        ] {
            assert_eq!(numbers(&rows, &json!({name: test})).await, expected, "{name} {test}");
        }
    }
    for (filter, expected) in [
        (json!({"day": {"lt": "infinity"}}), vec![2, 3, 4]),
        (json!({"at": {"gt": "-infinity"}}), vec![1, 3, 4]),
        (json!({"wall": {"in": ["infinity", "-infinity"]}}), vec![1, 2]),
        (json!({"clock": {"gte": "24:00:00"}}), vec![1]),
        (json!({"clock": {"lt": "24:00:00"}}), vec![2, 3, 4]),
        (json!({"d": {"gt": "12345678901234567.88"}}), vec![1, 2, 4]),
        (json!({"d": {"lt": "1e-3"}}), vec![3]),
    ] {
        assert_eq!(numbers(&rows, &filter).await, expected, "{filter}");
    }
}

/// Returns the values of the column `n` in the rows that pass a filter.
async fn numbers(rows: &PostgresRows, test: &Value) -> Vec<i64> {
    let filter = filter::parse(test, &rows.info().columns).unwrap_or_else(|e| panic!("{test}: {e:?}"));
    let read = frames(rows, &query(&["n"], filter)).await;
    read.iter()
        .flat_map(|frame| frame.column("n").unwrap().i64().unwrap().iter().flatten().collect::<Vec<_>>())
        .collect()
}
