//! Tests tables whose columns change after the catalog was loaded.

use super::*;

/// Returns a query that selects all offered columns.
fn of_all(dataset: &dyn Dataset) -> Query {
    let columns = dataset.info().columns.iter().map(|column| column.name.clone()).collect();
    Query { columns, filter: Filter::all(), params: Map::new(), limit: None }
}

/// The statement that changes the table; the error that the earlier loaded dataset then has, if any; and the columns
/// that a newly loaded dataset then has.
type Step<'a> = (&'a str, Option<&'a str>, &'a [(&'a str, ColumnType)]);

/// Runs the statement of each step, and then loads the catalog `text` again. Checks the columns of the new dataset, and
/// that the new dataset can be read. Also checks the error of the dataset that was loaded before the statement.
async fn check(fixture: &Fixture, database: &DatabaseConnection, text: &str, steps: &[Step<'_>]) {
    let mut before = fixture.load(text).await.unwrap().datasets.remove(0);
    for (statement, error, columns) in steps {
        database.execute_unprepared(statement).await.unwrap();
        let read = async |dataset: &dyn Dataset| match dataset.open(&of_all(dataset)).await {
            Ok(opened) => opened.frames.try_collect::<Vec<_>>().await.map(drop),
            Err(e) => Err(e),
        };
        let found = read(before.as_ref()).await.err();
        let text_of_error = found.as_ref().map(ToString::to_string).unwrap_or_default();
        assert_eq!(found.is_some(), error.is_some(), "{statement}: {text_of_error}");
        assert!(text_of_error.contains(error.unwrap_or_default()), "{statement}: {text_of_error}");
        assert!(found.is_none_or(|e| e.is_transient()), "{statement}: the next attempt may succeed");
        assert_eq!(before.is_outdated(), error.is_some(), "{statement}");
        before = fixture.load(text).await.unwrap().datasets.remove(0);
        let offered: Vec<_> = before.info().columns.iter().map(|column| (column.name.as_str(), column.kind)).collect();
        assert_eq!(offered, *columns, "{statement}");
        assert!(read(before.as_ref()).await.is_ok() && !before.is_outdated(), "{statement}");
    }
}

const DATASET: &str = "[[dataset]]\nname = \"t\"\nfrom = \"s\"\ntable = \"t\"\n";
const ONE_COLUMN: &str = "[[dataset.column]]\nname = \"a\"\n";

#[tokio::test]
async fn an_altered_table_of_sqlite_fails_once_and_is_loaded_again() {
    use ColumnType::{Int, String};
    let fixture = Fixture::new().await;
    fixture.database.execute_unprepared("CREATE TABLE t (a int, b text); INSERT INTO t VALUES (1, 'x')").await.unwrap();
    let source = "[source.s]\nkind = \"sqlite\"\npath = \"demo.db\"\n";
    check(
        &fixture,
        &fixture.database,
        &format!("{source}{DATASET}"),
        &[
            ("INSERT INTO t VALUES (2, 'y')", None, &[("a", Int), ("b", String)]),
            ("ALTER TABLE t ADD COLUMN c int", Some("new column `c`"), &[("a", Int), ("b", String), ("c", Int)]),
            ("ALTER TABLE t DROP COLUMN b", Some("column `b`"), &[("a", Int), ("c", Int)]),
            (
                "DROP TABLE t; CREATE TABLE t (a text, c int); INSERT INTO t VALUES ('z', 1)",
                Some("column `a`"),
                &[("a", String), ("c", Int)],
            ),
        ],
    )
    .await;
    check(
        &fixture,
        &fixture.database,
        &format!("{source}{DATASET}{ONE_COLUMN}"),
        &[
            ("ALTER TABLE t ADD COLUMN d int", None, &[("a", String)]),
            ("DROP TABLE t; CREATE TABLE t (a int)", Some("column `a`"), &[("a", Int)]),
        ],
    )
    .await;
}

#[tokio::test]
async fn an_altered_table_of_postgres_fails_once_and_is_loaded_again() {
    use ColumnType::{Float, Int, String};
    let fixture = Fixture::new().await;
    let postgres = testkit::db::Postgres::start().await;
    let database = postgres.database().await;
    database.db.execute_unprepared("CREATE TABLE t (a int, b int)").await.unwrap();
    std::fs::write(fixture.path("url"), database.url()).unwrap();
    let source = "[source.s]\nkind = \"postgres\"\nurl = { file = \"url\" }\n";
    check(
        &fixture,
        &database.db,
        &format!("{source}{DATASET}"),
        &[
            ("INSERT INTO t VALUES (2, 3)", None, &[("a", Int), ("b", Int)]),
            ("ALTER TABLE t ADD COLUMN c int", Some("new column `c`"), &[("a", Int), ("b", Int), ("c", Int)]),
            ("ALTER TABLE t ALTER COLUMN a TYPE float8", Some("column `a`"), &[("a", Float), ("b", Int), ("c", Int)]),
            (
                "ALTER TABLE t ALTER COLUMN b TYPE text USING b::text || 'x'",
                Some("column `b`"),
                &[("a", Float), ("b", String), ("c", Int)],
            ),
            ("ALTER TABLE t DROP COLUMN b", Some("column `b`"), &[("a", Float), ("c", Int)]),
        ],
    )
    .await;
    check(
        &fixture,
        &database.db,
        &format!("{source}{DATASET}{ONE_COLUMN}"),
        &[
            ("ALTER TABLE t ADD COLUMN d int", None, &[("a", Float)]),
            ("ALTER TABLE t ALTER COLUMN a TYPE text", Some("column `a`"), &[("a", String)]),
        ],
    )
    .await;
    let query = "[[dataset]]\nname = \"t\"\nfrom = \"s\"\nquery = \"SELECT * FROM t\"\n";
    check(
        &fixture,
        &database.db,
        &format!("{source}{query}"),
        &[
            (
                "ALTER TABLE t ADD COLUMN e int",
                Some("new column `e`"),
                &[("a", String), ("c", Int), ("d", Int), ("e", Int)],
            ),
            ("ALTER TABLE t DROP COLUMN c", Some("column `c`"), &[("a", String), ("d", Int), ("e", Int)]),
        ],
    )
    .await;
}
