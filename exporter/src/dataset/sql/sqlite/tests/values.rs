//! Tests values of every storage class in columns of every type.

use super::*;

#[tokio::test]
async fn a_number_that_nobody_stored_is_never_exported() {
    let fixture = Fixture::new(&["CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER, x REAL)"]).await;
    let big = numbers::shortest(18_446_744_073_709_551_616.0);
    for (column, stored, exact) in [
        ("n", "'abc'", "abc"),
        ("n", "'12 apples'", "12 apples"),
        ("n", "1.5", "1.5"),
        ("n", "18446744073709551615", big.as_str()),
        ("n", "x'35'", "\\x35"),
        ("n", "''", ""),
        ("x", "'abc'", "abc"),
        ("x", "'12 apples'", "12 apples"),
        ("x", "x'00'", "\\x00"),
    ] {
        for statement in [
            "DELETE FROM t".to_owned(),
            "INSERT INTO t VALUES (1, 7, 7), (2, NULL, NULL)".to_owned(),
            format!("INSERT INTO t (id, {column}) VALUES (3, {stored})"),
        ] {
            fixture.db.execute_unprepared(&statement).await.unwrap();
        }
        let typed = fixture.declared().await;
        let refused = export(&typed, json!({}), &[column]).await.unwrap_err();
        let text = refused.user_message();
        assert!(
            matches!(&refused, DatasetError::Stored { column: named, row: 3, .. } if named == column),
            "{stored}: {refused}"
        );
        assert!(text.contains("row 3") && text.contains("type = \"string\"") && !text.contains("apples"), "{text}");
        assert!(!refused.is_transient());
        // a filter refuses the value as well, and other columns are exported
        assert!(export(&typed, json!({column: {"ne": 5}}), &["id"]).await.is_err(), "{stored}");
        assert_eq!(values(&typed, json!({}), "id").await, ["1", "2", "3"]);
        let strings = fixture.table(&[("id", ColumnType::Int), (column, ColumnType::String)]);
        assert_eq!(values(&strings, json!({"id": {"eq": 3}}), column).await, [exact], "{stored}");
        assert_eq!(values(&strings, json!({column: {"eq": exact}}), "id").await, ["3"], "{stored}");
    }
}

#[tokio::test]
async fn decimals_and_untyped_numbers_keep_every_digit() {
    let fixture = Fixture::new(&[
        "CREATE TABLE t (id INTEGER PRIMARY KEY, d DECIMAL(40, 20), u)",
        "INSERT INTO t VALUES (1, 0.1 + 0.2, 0.1 + 0.2), (2, 123456789.12345679, 123456789.12345679), \
         (3, 9007199254740993, 9007199254740993), (4, 1e22, '0.1234567890123456789'), (5, 12.50, 12.50)",
    ])
    .await;
    let t = fixture.declared().await.ordered_by(vec![OrderBy::ascending("id")]);
    let kinds: Vec<_> = t.info().columns.iter().map(|column| column.kind).collect();
    assert_eq!(kinds, [ColumnType::Int, ColumnType::Decimal, ColumnType::String]);
    assert_eq!(
        export(&t, json!({}), &["d", "u"]).await.unwrap(),
        [
            ["0.30000000000000004", "0.30000000000000004"],
            ["123456789.12345679", "123456789.12345679"],
            ["9007199254740993", "9007199254740993"],
            ["10000000000000000000000", "0.1234567890123456789"],
            ["12.5", "12.5"],
        ]
    );
    for (filter, ids) in [
        (json!({"d": {"eq": "0.30000000000000004"}}), vec!["1"]),
        (json!({"d": {"eq": "0.3"}}), vec![]),
        (json!({"d": {"eq": "9007199254740992"}}), vec![]),
        (json!({"d": {"lt": "9007199254740993.5", "gt": "9007199254740992.5"}}), vec!["3"]),
        (json!({"d": {"lt": "0.300000000000000040000000001"}}), vec!["1"]),
        (json!({"u": {"eq": "0.30000000000000004"}}), vec!["1"]),
        (json!({"u": {"eq": "9007199254740993"}}), vec!["3"]),
        (json!({"u": {"in": ["12.5", "12.50"]}}), vec!["5"]),
    ] {
        assert_eq!(values(&t, filter.clone(), "id").await, ids, "{filter}");
    }
}

#[tokio::test]
async fn dates_and_booleans_are_read_in_the_usual_spellings() {
    let fixture = Fixture::new(&[
        "CREATE TABLE t (id INTEGER PRIMARY KEY, at DATETIME, day DATE, b BOOLEAN)",
        "INSERT INTO t VALUES (1, '2023-11-14', '2023-11-15', 'true'), (2, 1700000000, '2023-11-15 00:00:00', 1), \
         (3, 1700000000.25, 1700006400, 'NO'), (4, '2023-11-14T22:13:20.250+00:00', NULL, 0), \
         (5, '2023-11-14 23:13+01:00', NULL, NULL)",
    ])
    .await;
    let t = fixture.declared().await.ordered_by(vec![OrderBy::ascending("id")]);
    assert_eq!(
        values(&t, json!({}), "at").await,
        [
            "2023-11-14 00:00:00",
            "2023-11-14 22:13:20",
            "2023-11-14 22:13:20.250",
            "2023-11-14 22:13:20.250",
            "2023-11-14 22:13:00"
        ]
    );
    assert_eq!(values(&t, json!({}), "day").await, ["2023-11-15", "2023-11-15", "2023-11-15", "null", "null"]);
    assert_eq!(values(&t, json!({}), "b").await, ["true", "true", "false", "false", "null"]);
    for (filter, ids) in [
        (json!({"at": {"eq": "2023-11-14T22:13:20.25Z"}}), vec!["3", "4"]),
        (json!({"at": {"between": ["2023-11-14T22:13:00Z", "2023-11-14T22:13:20Z"]}}), vec!["2", "5"]),
        (json!({"day": {"in": ["2023-11-15"]}}), vec!["1", "2", "3"]),
        (json!({"b": {"eq": true}}), vec!["1", "2"]),
        (json!({"b": {"ne": true}}), vec!["3", "4"]),
    ] {
        assert_eq!(values(&t, filter.clone(), "id").await, ids, "{filter}");
    }
    for milliseconds in ["1700000000000", "1700000000000.5", "20231114", "'soon'", "x''"] {
        fixture.db.execute_unprepared(&format!("UPDATE t SET at = {milliseconds} WHERE id = 4")).await.unwrap();
        let refused = export(&t, json!({}), &["at"]).await.unwrap_err();
        assert!(matches!(refused, DatasetError::Stored { row: 4, .. }), "{milliseconds}: {refused}");
    }
}

#[tokio::test]
async fn texts_are_exported_byte_by_byte_or_refused() {
    let fixture = Fixture::new(&[
        "CREATE TABLE t (id INTEGER PRIMARY KEY, s TEXT)",
        "INSERT INTO t VALUES (1, 'a' || char(0) || 'b'), (2, ' a '), (3, 'e' || char(769)), (4, x'ff00')",
    ])
    .await;
    let t = fixture.declared().await.ordered_by(vec![OrderBy::ascending("id")]);
    assert_eq!(values(&t, json!({}), "s").await, ["a\0b", " a ", "e\u{301}", "\\xff00"]);
    for (filter, ids) in [
        (json!({"s": {"eq": "a"}}), vec![]),
        (json!({"s": {"eq": "é"}}), vec![]),
        (json!({"s": {"contains": "b"}}), vec!["1"]),
        (json!({"s": {"like": "a%"}}), vec!["1"]),
        (json!({"s": {"eq": "\\xff00"}}), vec!["4"]),
        (json!({"s": {"like": "\\\\xff%"}}), vec!["4"]),
        (json!({"s": {"gt": "\\"}}), vec!["1", "3", "4"]),
    ] {
        assert_eq!(values(&t, filter.clone(), "id").await, ids, "{filter}");
    }
    fixture.db.execute_unprepared("INSERT INTO t VALUES (5, CAST(x'ff' AS TEXT))").await.unwrap();
    let refused = export(&t, json!({}), &["s"]).await.unwrap_err();
    assert!(matches!(refused, DatasetError::Stored { row: 5, .. }), "{refused}");
}

#[tokio::test]
async fn values_of_a_view_are_found_in_every_spelling() {
    let fixture = Fixture::new(&[
        "CREATE TABLE stored (id INTEGER PRIMARY KEY)",
        "INSERT INTO stored VALUES (1), (2), (3), (4)",
        "CREATE VIEW t AS SELECT id, CASE id WHEN 1 THEN '5' WHEN 2 THEN 5 WHEN 3 THEN 5.0 ELSE 6 END AS n FROM stored",
    ])
    .await;
    let t =
        fixture.table(&[("id", ColumnType::Int), ("n", ColumnType::Int)]).ordered_by(vec![OrderBy::ascending("id")]);
    for filter in [json!({"n": {"eq": 5}}), json!({"n": {"in": [5, 7]}}), json!({"n": {"lt": 6}})] {
        assert_eq!(values(&t, filter.clone(), "id").await, ["1", "2", "3"], "{filter}");
    }
}

#[tokio::test]
async fn a_moment_with_a_time_zone_in_a_column_without_says_what_to_do() {
    for zoned in ["'2026-01-01T00:00:00Z'", "'2026-01-01 00:00:00+01:00'", "1700000000", "2460000.5"] {
        let insert = format!("INSERT INTO t VALUES ('2026-01-01 00:00:00'), ({zoned})");
        let fixture = Fixture::new(&["CREATE TABLE t (at DATETIME)", &insert]).await;
        let columns = vec![Column::new("at", ColumnType::Datetime).typed(ColumnType::Datetime, true)];
        let rows = SqlRows::new(fixture.file(), Source::table("t"), DatasetInfo::new("t", columns));
        let refused = export(&rows, json!({}), &["at"]).await.unwrap_err().to_string();
        let place = "dataset `t`, column `at`, row 2 of the export: the source stores a moment with a time zone";
        assert!(refused.starts_with(place) && refused.contains("leave out `local = true`"), "{zoned}: {refused}");
        assert!(!refused.contains("1700000000") && !refused.contains("+01:00"), "{refused}");
    }
}
