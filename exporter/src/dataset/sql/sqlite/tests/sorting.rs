//! Tests that exported rows are in the order of the values that files show.

use super::*;

async fn sorted(fixture: &Fixture, kind: ColumnType, descending: bool) -> Result<Vec<String>, DatasetError> {
    let t = fixture.table(&[("id", ColumnType::Int), ("v", kind)]);
    let t = t.ordered_by(vec![OrderBy { column: "v".into(), descending }]);
    Ok(export(&t, json!({}), &["id"]).await?.concat())
}

#[tokio::test]
async fn rows_are_sorted_by_their_values_in_every_spelling() {
    for (declared, kind, in_order) in [
        ("TEXT COLLATE NOCASE", ColumnType::String, "'A', 'B', 'a', 'a ', 'b'"),
        ("", ColumnType::String, "10, '9', 9.5, x'00', 'a'"),
        ("INTEGER", ColumnType::Int, "-5, 9, 10"),
        ("TEXT", ColumnType::Int, "'-5', '9', '10'"),
        ("", ColumnType::Int, "-5, '9', 10, '11'"),
        ("", ColumnType::Decimal, "'-1.5', 9, '9.25', 10.5, '10.75'"),
        ("DECIMAL", ColumnType::Decimal, "-1.5, 9, 9.25, 10.5"),
        ("", ColumnType::Float, "-2, '1.5', 2.5, '3'"),
        ("BOOLEAN", ColumnType::Bool, "'false', 1"),
        (
            "DATETIME",
            ColumnType::Datetime,
            "'2023-11-14', '2023-11-14T23:00+01:00', 1700000000, 1700000000.5, '2023-11-15 00:00:00Z'",
        ),
        ("DATE", ColumnType::Date, "'2023-11-14', 1700006400, '2023-11-16 00:00'"),
        ("TIME", ColumnType::Time, "'09:00', '09:00:00.5', '10:00:00'"),
    ] {
        let rows: Vec<_> = in_order.split(", ").enumerate().map(|(at, value)| format!("({at}, {value})")).collect();
        let insert =
            format!("INSERT INTO t VALUES (99, NULL), {}", rows.iter().rev().cloned().collect::<Vec<_>>().join(", "));
        let table = format!("CREATE TABLE t (id INTEGER PRIMARY KEY, v {declared})");
        let fixture = Fixture::new(&[&table, &insert]).await;
        let mut ids: Vec<String> = (0..rows.len()).map(|at| at.to_string()).collect();
        let up = sorted(&fixture, kind, false).await.unwrap_or_else(|e| panic!("{declared} {kind:?}: {e}"));
        assert_eq!(up, [ids.clone(), vec!["99".into()]].concat(), "{declared} {kind:?}");
        ids.reverse();
        let down = sorted(&fixture, kind, true).await.unwrap_or_else(|e| panic!("{declared} {kind:?}: {e}"));
        assert_eq!(down, [ids, vec!["99".into()]].concat(), "{declared} {kind:?}");
    }
}

#[tokio::test]
async fn rows_that_sqlite_sorts_in_another_order_are_refused() {
    let fixture = Fixture::new(&[
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v DATETIME)",
        // the values differ by less than a millisecond, the resolution of SQLite
        "INSERT INTO t VALUES (1, '2023-11-14 22:00:00.000200'), (2, '2023-11-14T22:00:00.000100')",
    ])
    .await;
    let refused = sorted(&fixture, ColumnType::Datetime, false).await.unwrap_err();
    assert!(refused.to_string().starts_with("row 2 of the export: column `v` has values in spellings"), "{refused}");
    assert!(refused.user_message().contains("`order`") && !refused.is_transient());
}
