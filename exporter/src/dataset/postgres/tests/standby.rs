//! Exports from a hot standby: a server that replays the changes of another server, the primary, and accepts only reads.

use super::*;

/// Counts the connections whose COPY has begun.
const READING: &str = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'sluice-exporter' \
                       AND query LIKE 'COPY%' AND datname = current_database()";
/// Counts the statements that sleep.
const SLEEPING: &str = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";

async fn count(db: &DatabaseConnection, ask: &str) -> i64 {
    let row = db.query_one_raw(sea_orm::Statement::from_string(DbBackend::Postgres, ask)).await.unwrap();
    row.unwrap().try_get_by_index(0).unwrap()
}

/// Starts a standby, and returns it with the URL of its copy of the database.
async fn standby_of(postgres: &Postgres, database: &TestDatabase) -> (Postgres, String) {
    let standby = postgres.standby().await;
    let url = database.url().replace(&postgres.address(), &standby.address());
    assert_ne!(url, database.url());
    (standby, url)
}

#[tokio::test]
async fn several_connections_export_one_snapshot_of_a_standby() {
    // the servers stop when they are dropped
    let postgres = Postgres::start().await;
    let database = postgres.database().await;
    accounts(&database).await;
    let (_standby, url) = standby_of(&postgres, &database).await;
    let standby = sea_orm::Database::connect(&url).await.unwrap();
    assert_eq!(count(&standby, "SELECT pg_is_in_recovery()::int::bigint").await, 1);
    let rows = described(&server(&url), Source::table("accounts"), vec![]).await;
    let all = query(&["id"], Filter::all());
    // the frames are not consumed, so that the export keeps its connections
    let reading = rows.open(&all).await.unwrap().frames;
    testkit::eventually("three connections read", async || (count(&standby, READING).await == 3).then_some(())).await;
    run(&database.db, "INSERT INTO accounts VALUES (0, 100, 'later')").await;
    let later = "SELECT count(*) FROM accounts WHERE id = 0";
    testkit::eventually("the standby has the row", async || (count(&standby, later).await == 1).then_some(())).await;
    let mut ids: Vec<i64> = Vec::new();
    for frame in reading.try_collect::<Vec<_>>().await.unwrap() {
        ids.extend(frame.column("id").unwrap().i64().unwrap().iter().flatten());
    }
    ids.sort_unstable();
    assert!(ids.iter().copied().eq(1..=ROWS), "{} rows", ids.len());
    let counted = rows.count(&all, Precision::Exact).await.unwrap().unwrap();
    assert_eq!((counted.rows as i64, counted.exact), (ROWS + 1, true));
    assert!(rows.count(&all, Precision::Estimate).await.unwrap().is_some());
}

#[tokio::test]
async fn a_standby_that_refuses_or_cancels_a_query_is_named() {
    // the servers stop when they are dropped
    let postgres = Postgres::start().await;
    let database = postgres.database().await;
    run(
        &database.db,
        "CREATE TABLE few AS SELECT n::bigint AS n FROM generate_series(1, 10) AS n; CREATE SEQUENCE numbers; \
         CREATE UNLOGGED TABLE passing AS SELECT 1::bigint AS n",
    )
    .await;
    let (_standby, url) = standby_of(&postgres, &database).await;
    let standby = sea_orm::Database::connect(&url).await.unwrap();
    let server = server(&url);
    let refused = async |text: &str| {
        let source = Source::Query(QueryText::parse(text, &[]).unwrap().into());
        let columns = vec![Column::new("v", ColumnType::String)];
        let rows = PostgresRows::new(Arc::clone(&server), source, DatasetInfo::new("t", columns));
        match rows.open(&query(&["v"], Filter::all())).await {
            Err(e) => e,
            Ok(opened) => opened.frames.try_collect::<Vec<_>>().await.unwrap_err(),
        }
    };
    for (text, sentence) in [
        (
            "SELECT nextval('numbers') AS v FROM few",
            "its query takes a number of a sequence (nextval), and an export only reads: ask the operator to change the \
             dataset's query or its source",
        ),
        (
            "SELECT n AS v FROM few FOR UPDATE",
            "its query locks rows (FOR UPDATE), and an export only reads: ask the operator to change the dataset's query or \
             its source",
        ),
        (
            "SELECT n AS v FROM passing",
            "its database is a standby, which has no rows of temporary and unlogged tables: read them from the primary: ask \
             the operator to change the dataset's query",
        ),
    ] {
        let error = refused(text).await;
        assert_eq!(error.user_message(), sentence, "{text}");
        assert!(!error.is_transient() && !error.is_outage(), "{text}");
    }
    let at_load = PostgresRows::describe(&server, &Source::table("passing")).await.unwrap_err();
    assert_eq!(
        at_load.operator_message(),
        "database: its database is a standby, which has no rows of temporary and unlogged tables: read them from the \
         primary (0A000): name the primary in the `url` of the source, or make the table a logged one"
    );

    // the primary drops rows that a query of the standby still reads
    let (canceled, ()) = tokio::join!(refused("SELECT n AS v FROM few WHERE pg_sleep(3600) IS NOT NULL"), async {
        testkit::eventually("the query runs", async || (count(&standby, SLEEPING).await == 1).then_some(())).await;
        run(&database.db, "TRUNCATE few").await;
    });
    assert_eq!(
        canceled.user_message(),
        "its database is a standby, which canceled the query in favor of a change of the primary: try again later"
    );
    assert!(canceled.is_transient() && !canceled.is_outage());
    // the advice is right
    let few = described(&server, Source::table("few"), vec![]).await;
    assert_eq!(frames(&few, &query(&["n"], Filter::all())).await.iter().map(DataFrame::height).sum::<usize>(), 0);
}
