//! The key `local` of columns: it is refused where an export would drop a time zone.

use super::*;

/// Loads the dataset `t`, and checks that it is available, or that both the load and `catalog check` refuse it with
/// this text at this line.
async fn check(fixture: &Fixture, text: &str, expected: Option<(usize, &str)>) {
    let loaded = fixture.load(text).await.unwrap();
    let Some((line, sentence)) = expected else {
        assert_eq!(loaded.unavailable, [], "{text}");
        assert_eq!(fixture.faults(text).await, [], "{text}");
        assert!(loaded.datasets[0].info().columns[0].local, "{text}");
        return;
    };
    let reason = format!("line {line} of the catalog: {sentence}");
    assert_eq!((loaded.datasets.len(), loaded.unavailable), (0, vec![("t".to_owned(), reason)]), "{text}");
    assert_eq!(fixture.faults(text).await, [(Some(line), sentence.to_owned())], "{text}");
}

fn declared(name: &str, rest: &str) -> String {
    format!("[[dataset.column]]\nname = \"{name}\"\nlocal = true\n{rest}")
}

/// Returns the sentence for a column with this name, without the end of the advice.
fn sentence(name: &str) -> String {
    format!(
        "`local = true` declares that the moments of column `{name}` have no time zone, but in the source they have one: \
         leave out `local`"
    )
}

#[tokio::test]
async fn a_zone_of_postgres_is_never_declared_away() {
    let fixture = Fixture::new().await;
    let postgres = testkit::db::Postgres::start().await;
    let database = postgres.database().await;
    let ddl = "CREATE DOMAIN instant AS timestamptz; \
               CREATE TABLE m (zoned timestamptz, deep instant, plain timestamp, day date, n int)";
    database.db.execute_unprepared(ddl).await.unwrap();
    std::fs::write(fixture.path("url"), database.url()).unwrap();
    let dataset = |rows: &str, columns: &str| {
        format!(
            "[source.pg]\nkind = \"postgres\"\nurl = {{ file = \"url\" }}\n[[dataset]]\nname = \"t\"\nfrom = \"pg\"\n\
             {rows}\n{columns}"
        )
    };
    let with_advice =
        |name: &str| sentence(name) + ", or convert the column in a `query`, such as `at AT TIME ZONE 'UTC'`";
    let table = "table = \"m\"";
    for rows in [table, "query = \"SELECT * FROM m\""] {
        for name in ["zoned", "deep"] {
            for rest in ["", "type = \"datetime\"\n"] {
                let expected = with_advice(name);
                check(&fixture, &dataset(rows, &declared(name, rest)), Some((8, &expected))).await;
            }
        }
        check(&fixture, &dataset(rows, &declared("plain", "")), None).await;
        check(&fixture, &dataset(rows, &declared("plain", "type = \"datetime\"\n")), None).await;
        let no_moments = "`local = true` is for columns of the type `datetime`, and column `day` is of the type `date`: \
                          leave out `local`";
        check(&fixture, &dataset(rows, &declared("day", "")), Some((8, no_moments))).await;
        let text = "`local = true` is for columns of the type `datetime`, and column `zoned` is of the type `string`: \
                    leave out `local`";
        check(&fixture, &dataset(rows, &declared("zoned", "type = \"string\"\n")), Some((8, text))).await;
    }
    // the advice works
    let converted = "query = \"SELECT zoned AT TIME ZONE 'UTC' AS zoned FROM m\"";
    check(&fixture, &dataset(converted, &declared("zoned", "")), None).await;
}

#[tokio::test]
async fn a_zone_that_a_column_gets_later_fails_the_exports_of_a_query_with_parameters() {
    let fixture = Fixture::new().await;
    let postgres = testkit::db::Postgres::start().await;
    let database = postgres.database().await;
    let ddl = "CREATE TABLE m (id int, at timestamp); INSERT INTO m VALUES (1, '2026-03-29 02:30:00')";
    database.db.execute_unprepared(ddl).await.unwrap();
    std::fs::write(fixture.path("url"), database.url()).unwrap();
    let text = "[source.pg]\nkind = \"postgres\"\nurl = { file = \"url\" }\n[[dataset]]\nname = \"t\"\nfrom = \"pg\"\n\
                query = \"SELECT at FROM m WHERE id >= :least\"\n[[dataset.param]]\nname = \"least\"\ntype = \"int\"\n\
                default = 0\n";
    let rows = fixture.load(text).await.unwrap().datasets.remove(0);
    let params = json!({"least": 1}).as_object().unwrap().clone();
    let query = Query { columns: vec!["at".into()], filter: Filter::all(), params, limit: None };
    let read = async |dataset: &dyn Dataset| match dataset.open(&query).await {
        Ok(opened) => opened.frames.try_collect::<Vec<_>>().await,
        Err(e) => Err(e),
    };
    assert_eq!(read(rows.as_ref()).await.unwrap().len(), 1);
    database
        .db
        .execute_unprepared("ALTER TABLE m ALTER at TYPE timestamptz USING at AT TIME ZONE 'UTC'")
        .await
        .unwrap();
    let refused = read(rows.as_ref()).await.unwrap_err();
    assert!(refused.to_string().starts_with("column `at` of its table was dropped or has another type"), "{refused}");
    assert!(rows.is_outdated() && refused.is_transient(), "the next attempt reads with the reloaded catalog");
    let reloaded = fixture.load(text).await.unwrap().datasets.remove(0);
    assert!(!reloaded.info().columns[0].local);
    assert_eq!(read(reloaded.as_ref()).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_zone_of_sqlite_is_never_declared_away() {
    let fixture = Fixture::new().await;
    let ddl = "CREATE TABLE m (plain DATETIME, zulu DATETIME, ahead DATETIME, unix DATETIME, none DATETIME); \
               INSERT INTO m VALUES ('2026-03-29 02:30:00', '2026-03-29 02:30:00', '2026-03-29 02:30:00', \
                                     '2026-03-29', NULL), \
               ('2026-03-29', '2026-03-29T02:30:00Z', '2026-03-29T02:30:00+02:00', 1774751400, NULL)";
    fixture.database.execute_unprepared(ddl).await.unwrap();
    let dataset = |rows: &str, columns: &str| {
        format!(
            "[source.d]\nkind = \"sqlite\"\npath = \"demo.db\"\n[[dataset]]\nname = \"t\"\nfrom = \"d\"\n{rows}\n{columns}"
        )
    };
    for rows in ["table = \"m\"", "query = \"SELECT * FROM m\""] {
        for (name, is_zoned) in [("plain", false), ("zulu", true), ("ahead", true), ("unix", true), ("none", false)] {
            let text = dataset(rows, &declared(name, "type = \"datetime\"\n"));
            let expected = sentence(name);
            check(&fixture, &text, is_zoned.then_some((8, expected.as_str()))).await;
        }
    }
}
