//! Tests `catalog init` with SQLite files.

use protocol::catalog::ColumnType;
use sea_orm::{ConnectionTrait, Database};

use super::*;

async fn database(fixture: &Fixture, name: &str, script: &str) -> String {
    let path = fixture.path(name);
    let db = Database::connect(platform::db::sqlite_create(&path).expose()).await.unwrap();
    db.execute_unprepared(script).await.unwrap();
    db.close().await.unwrap();
    path.to_str().unwrap().to_owned()
}

#[tokio::test]
async fn tables_and_views_of_a_sqlite_file_become_a_catalog() {
    let fixture = Fixture::new();
    let script = "CREATE TABLE \"order items\" (id INTEGER PRIMARY KEY, orderId INTEGER, price DECIMAL(9,2), at DATETIME); \
         INSERT INTO \"order items\" VALUES (1, 5, '1.10', '2026-11-22 10:00:00'); \
         CREATE TABLE \"a.b\" (n INTEGER); \
         CREATE TABLE loose (n INTEGER, day DATE, note TEXT); \
         INSERT INTO loose VALUES (1, '2026-11-22', 'a'), ('many', 'yesterday', 'b'); \
         CREATE TABLE people (id INTEGER, email TEXT, account_id INTEGER); \
         INSERT INTO people VALUES (1, 'a@example.com', 42), (2, 'b@example.com', 7), (3, 'c@example.com', 42); \
         CREATE VIEW adults AS SELECT id FROM people; \
         CREATE VIEW broken AS SELECT nope FROM people; \
         CREATE TABLE moments (tenant DATETIME)";
    let source = database(&fixture, "shop.sqlite", script).await;
    let (written, loaded) = fixture.init(&source, &InitOptions::default()).await;
    assert_eq!(names(&loaded), ["a.b", "adults", "loose", "order_items", "people"]);
    assert!(
        written.text.contains(&format!("[source.shop]\nkind = \"sqlite\"\npath = \"{source}\"\n")),
        "{}",
        written.text
    );
    assert_eq!(written.report.variable.as_ref().map(|variable| &variable.name), None);
    let reasons: Vec<_> = written.report.not_offered.iter().map(|part| part.what.as_str()).collect();
    assert_eq!(reasons, ["view `broken`", "table `moments`"]);

    let items = dataset(&loaded, "order_items").info();
    assert_eq!(items.title, "Order items");
    assert_eq!(items.column("orderId").unwrap().label.as_deref(), Some("Order ID"));
    assert_eq!(items.column("at").unwrap().kind, ColumnType::Datetime);
    // a column with values of another type is text, and says why
    let loose: Vec<_> = dataset(&loaded, "loose").info().columns.iter().map(|column| column.kind).collect();
    assert_eq!(loose, [ColumnType::String; 3]);
    assert_eq!(comments(&written.text, "loose").matches("A sampled row has a value").count(), 2, "{}", written.text);
    let rows = crate::catalog::tests::rows(
        Arc::clone(dataset(&loaded, "loose")),
        serde_json::json!({}),
        serde_json::json!({}),
    );
    assert_eq!(rows.await.unwrap(), [["1", "2026-11-22", "a"], ["many", "yesterday", "b"]]);

    let people = dataset(&loaded, "people");
    assert_eq!(masks(people), [("email".into(), "Redacted".into())]);
    let claims = serde_json::json!({"tenant": "42"});
    let rows =
        crate::catalog::tests::rows(Arc::clone(people), claims, serde_json::json!({"id": {"gt": 1}})).await.unwrap();
    assert_eq!(rows, [["3", "***", "42"]]);

    let some = InitOptions { tables: vec!["p*".into()], ..InitOptions::default() };
    assert_eq!(names(&fixture.init(&source, &some).await.1), ["people"]);
}

#[tokio::test]
async fn a_sqlite_file_without_tables_is_refused() {
    let fixture = Fixture::new();
    let empty = database(&fixture, "empty.db", "CREATE TABLE t (n INTEGER); DROP TABLE t").await;
    let error = fixture.refused(&empty, &InitOptions::default()).await;
    assert!(matches!(error, InitError::Nothing(_)), "{error}");
}
