//! Tests schemas of SQLite files, and files that other programs replace or lock.

use super::*;

#[tokio::test]
async fn generated_columns_and_tables_with_a_dot_are_offered() {
    let fixture = Fixture::new(&[
        "CREATE TABLE \"a.b\" (n INTEGER NOT NULL, twice INTEGER AS (n * 2) VIRTUAL, label TEXT AS ('n' || n) STORED)",
        "INSERT INTO \"a.b\" (n) VALUES (21)",
        "CREATE TABLE plain (n INTEGER)",
        "CREATE VIRTUAL TABLE words USING fts5(word)",
    ])
    .await;
    let source = named_table(&fixture.db, Source::table("a.b")).await.unwrap();
    let columns = table_columns(&fixture.db, &source).await.unwrap();
    let described: Vec<_> = columns.iter().map(|c| (c.name.as_str(), c.kind, c.nullable)).collect();
    assert_eq!(
        described,
        [("n", ColumnType::Int, false), ("twice", ColumnType::Int, true), ("label", ColumnType::String, true)]
    );
    let rows = SqlRows::new(fixture.file(), source, DatasetInfo::new("t", columns));
    assert_eq!(export(&rows, json!({}), &["n", "twice", "label"]).await.unwrap(), [["21", "42", "n21"]]);
    assert_eq!(values(&rows, json!({"twice": {"eq": 42}, "label": {"eq": "n21"}}), "n").await, ["21"]);
    // a table may still be named with its schema, and hidden columns of virtual tables are not offered
    for (name, expected) in [("main.plain", 1), ("plain", 1), ("words", 1)] {
        let source = named_table(&fixture.db, Source::table(name)).await.unwrap();
        assert_eq!(table_columns(&fixture.db, &source).await.unwrap().len(), expected, "{name}");
    }
    for missing in ["other.plain", "main.nowhere", "nowhere", "a.b.c"] {
        let source = named_table(&fixture.db, Source::table(missing)).await.unwrap();
        let refused = table_columns(&fixture.db, &source).await.unwrap_err();
        assert!(matches!(&refused, DatasetError::NoTable(name) if name == missing), "{missing}: {refused}");
    }
}

#[tokio::test]
async fn a_file_that_is_replaced_by_rename_is_read_at_once() {
    let fixture = Fixture::new(&["CREATE TABLE t (n INTEGER)", "INSERT INTO t VALUES (1)"]).await;
    let t = fixture.table(&[("n", ColumnType::Int)]);
    for version in 2..5 {
        assert_eq!(values(&t, json!({}), "n").await, [(version - 1).to_string()]);
        let next = fixture.dir.path().join("next.db");
        let insert = format!("INSERT INTO t VALUES ({version})");
        create(next.clone(), &["CREATE TABLE t (n INTEGER)", &insert]).await.close().await.unwrap();
        std::fs::rename(&next, fixture.path()).unwrap();
        assert_eq!(values(&t, json!({}), "n").await, [version.to_string()]);
        assert_eq!(values(&t, json!({"n": {"gte": 0}}), "n").await, [version.to_string()]);
    }
    std::fs::remove_file(fixture.path()).unwrap();
    let gone = export(&t, json!({}), &["n"]).await.unwrap_err();
    assert!(gone.user_message().starts_with("its file is no longer there: ask the operator"), "{gone}");
}

#[tokio::test]
async fn a_writer_that_holds_its_lock_is_named() {
    let statements = ["PRAGMA journal_mode = DELETE", "CREATE TABLE t (n INTEGER)", "INSERT INTO t VALUES (1)"];
    let fixture = Fixture::new(&statements).await;
    let file = SqliteFile::new(&fixture.path(), Duration::from_millis(20));
    let columns = vec![Column::new("n", ColumnType::Int)];
    let t = SqlRows::new(Arc::new(file), Source::table("t"), DatasetInfo::new("t", columns));
    fixture.db.execute_unprepared("BEGIN EXCLUSIVE").await.unwrap();
    let refused = export(&t, json!({}), &["n"]).await.unwrap_err();
    assert!(refused.user_message().contains("held the lock") && refused.is_transient(), "{refused}");
    fixture.db.execute_unprepared("COMMIT").await.unwrap();
    assert_eq!(values(&t, json!({}), "n").await, ["1"]);
}

#[tokio::test]
async fn an_export_waits_for_a_writer_that_holds_its_lock() {
    let statements = ["PRAGMA journal_mode = DELETE", "CREATE TABLE t (n INTEGER)", "INSERT INTO t VALUES (1)"];
    let fixture = Fixture::new(&statements).await;
    let within = |time| {
        let file = SqliteFile::new(&fixture.path(), time);
        let columns = vec![Column::new("n", ColumnType::Int)];
        SqlRows::new(Arc::new(file), Source::table("t"), DatasetInfo::new("t", columns))
    };
    let (patient, hasty) = (within(Duration::from_secs(60)), within(Duration::from_millis(100)));
    fixture.db.execute_unprepared("BEGIN EXCLUSIVE; INSERT INTO t VALUES (2)").await.unwrap();
    let waiting = tokio::spawn(async move { values(&patient, json!({}), "n").await });
    // an export that began later and waits for a shorter time tells that the first one has been waiting
    let refused = export(&hasty, json!({}), &["n"]).await.unwrap_err();
    assert_eq!(
        refused.user_message(),
        "another program writes to its SQLite file, and held the lock for longer than an export waits: try again later"
    );
    assert!(!waiting.is_finished(), "the export ended while the writer held its lock");
    fixture.db.execute_unprepared("COMMIT").await.unwrap();
    assert_eq!(waiting.await.unwrap(), ["1", "2"]);
}
