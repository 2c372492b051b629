//! Tests the connections of exports: their settings and limits, the wait for a free connection, and how they end.

use super::*;
use crate::dataset::postgres::transaction::{Session, View};

/// The statement that selects the server process of the oldest connection whose last statement is a `COPY`. For a short
/// time, the server also lists connections that the exporter has closed.
const LONGEST: &str = "SELECT pid::bigint FROM pg_stat_activity WHERE application_name = 'sluice-exporter' \
                       AND query LIKE 'COPY%' AND datname = current_database() ORDER BY backend_start LIMIT 1";
/// The statement that counts the connections whose `COPY` has begun.
const READING: &str = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'sluice-exporter' \
                       AND query LIKE 'COPY%' AND datname = current_database()";
/// The statement that counts the connections whose `TRUNCATE` waits for a lock.
const EMPTYING: &str = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'TRUNCATE%' AND wait_event_type = 'Lock' \
                        AND datname = current_database()";

/// Runs a statement, and returns the only number in its only row.
async fn one(database: &TestDatabase, ask: &str) -> i64 {
    let row = database.db.query_one_raw(sea_orm::Statement::from_string(DbBackend::Postgres, ask)).await.unwrap();
    row.unwrap().try_get_by_index(0).unwrap()
}

/// Counts the running statements of exporters whose wait event type matches the LIKE pattern `wait`. The pattern `%`
/// matches every statement.
async fn at_work(database: &TestDatabase, wait: &str) -> i64 {
    let ask = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'sluice-exporter' AND state = 'active' \
         AND coalesce(wait_event_type, '') LIKE '{wait}'"
    );
    one(database, &ask).await
}

#[tokio::test]
async fn a_dropped_export_ends_its_statement_on_the_server() {
    // the server stops when this is dropped
    let postgres = Postgres::start().await;
    let database = postgres.database().await;
    // the statement needs minutes for its only row
    let text = QueryText::parse(
        "SELECT count(*) AS n FROM generate_series(1, 100000) AS a, generate_series(1, 100000) AS b WHERE a <> b",
        &[],
    );
    let rows = described(&server(database.url()), Source::Query(text.unwrap().into()), vec![]).await;
    let mut reading = rows.open(&query(&["n"], Filter::all())).await.unwrap().frames;
    let first = tokio::spawn(async move { reading.try_next().await });
    testkit::eventually("the server is at it", async || (at_work(&database, "%").await == 1).then_some(())).await;
    first.abort();
    testkit::eventually("the server stops", async || (at_work(&database, "%").await == 0).then_some(())).await;
}

#[tokio::test]
async fn exports_have_no_statement_timeout_and_counts_have_one_whatever_the_role_has() {
    // the server stops when this is dropped
    let postgres = Postgres::start().await;
    let database = postgres.database().await;
    // the timeout of 40 s is long enough for connecting
    run(
        &database.db,
        "DO $$ DECLARE s text; BEGIN FOR s IN SELECT name FROM pg_settings WHERE name IN ('statement_timeout', \
           'idle_in_transaction_session_timeout', 'transaction_timeout') \
         LOOP EXECUTE format('ALTER DATABASE %I SET %I = 40000', current_database(), s); END LOOP; END $$",
    )
    .await;
    let server = server(database.url());
    let setting = async |session: &mut Session, name: &str| -> String {
        let ask = AssertSqlSafe(format!("SELECT coalesce(current_setting('{name}', true), '0')")).into_sql_str();
        session.conn.fetch_one(ask).await.unwrap().try_get_unchecked(0).unwrap()
    };
    let mut long = server.connect().await.unwrap();
    let mut more = server.connect_another(server.reserve_another().unwrap()).await.unwrap();
    for session in [&mut long, &mut more] {
        session.begin(&server, View::EachStatement).await.unwrap();
    }
    let mut short = server.connect_briefly().await.unwrap();
    for (session, expected) in [(&mut long, "0"), (&mut more, "0"), (&mut short, "10s")] {
        assert_eq!(setting(session, "statement_timeout").await, expected);
        assert_eq!(setting(session, "idle_in_transaction_session_timeout").await, "0");
        assert_eq!(setting(session, "client_connection_check_interval").await, "2s");
        // only PostgreSQL 17 and later have this setting
        assert_eq!(setting(session, "transaction_timeout").await, "0");
    }
}

#[tokio::test]
async fn an_export_waits_for_a_connection_and_does_not_fail() {
    // the server stops when this is dropped
    let postgres = Postgres::start().await;
    let database = postgres.database().await;
    run(&database.db, "CREATE TABLE few AS SELECT n::bigint AS n FROM generate_series(1, 10) AS n").await;
    let settings = PostgresSettings {
        connections: 1,
        connect_timeout: std::time::Duration::from_secs(6),
        ..PostgresSettings::at(Secret::new(database.url()))
    };
    let server = Arc::new(PostgresServer::new(&settings).unwrap());
    let rows = described(&server, Source::table("few"), vec![]).await;
    let all = query(&["n"], Filter::all());
    let held = server.connect().await.unwrap();
    // no connection is left for a count
    assert_eq!(rows.count(&all, Precision::Exact).await.unwrap(), None);
    let waiting = tokio::spawn({
        let (rows, all) = (rows.clone(), all.clone());
        async move { frames(&rows, &all).await }
    });
    // an estimate fails after the connect timeout, but the export does not
    assert!(rows.count(&all, Precision::Estimate).await.unwrap_err().is_transient() && !waiting.is_finished());
    drop(held);
    let read = waiting.await.unwrap();
    assert_eq!(read.iter().map(DataFrame::height).sum::<usize>(), 10);
}

#[tokio::test]
async fn a_truncated_table_never_looks_complete_without_its_rows() {
    // the server stops when this is dropped
    let postgres = Postgres::start().await;
    let database = postgres.database().await;
    accounts(&database).await;
    let rows = described(&server(database.url()), Source::table("accounts"), vec![]).await;
    let emptying = sea_orm::TransactionTrait::begin(&database.db).await.unwrap();
    emptying.execute_unprepared("TRUNCATE accounts").await.unwrap();
    let refill = format!("INSERT INTO accounts SELECT n, 7, repeat('y', 100) FROM generate_series(1, {ROWS}) AS n");
    emptying.execute_unprepared(&refill).await.unwrap();
    // the new rows are not committed yet
    let reading = tokio::spawn(async move { frames(&rows, &query(&["id"], Filter::all())).await });
    // the export takes its snapshot after the TRUNCATE
    testkit::eventually("the export waits", async || (at_work(&database, "Lock").await == 1).then_some(())).await;
    emptying.commit().await.unwrap();
    let read = reading.await.unwrap();
    assert_eq!(read.iter().map(DataFrame::height).sum::<usize>() as i64, ROWS);
}

#[tokio::test]
async fn an_export_takes_a_second_connection_only_while_enough_are_free_for_others() {
    // the server stops when this is dropped
    let postgres = Postgres::start().await;
    let database = postgres.database().await;
    accounts(&database).await;
    let settings = PostgresSettings {
        connections: 4,
        connections_per_export: 4,
        reserved: 2,
        ..PostgresSettings::at(Secret::new(database.url()))
    };
    let server = Arc::new(PostgresServer::new(&settings).unwrap());
    let rows = described(&server, Source::table("accounts"), vec![]).await;
    let all = query(&["id"], Filter::all());
    // the frames are not consumed, so that each export keeps its connections
    let mut first = rows.open(&all).await.unwrap().frames;
    assert_eq!(server.free(), 2, "the export holds two connections, and not a third");
    let mut second = rows.open(&all).await.unwrap().frames;
    let mut third = rows.open(&all).await.unwrap().frames;
    assert_eq!(server.free(), 0);
    for reading in [&mut first, &mut second, &mut third] {
        assert!(reading.try_next().await.unwrap().is_some());
    }
}

#[tokio::test]
async fn an_export_gives_back_a_connection_when_another_waits_for_its_first() {
    // the server stops when this is dropped
    let postgres = Postgres::start().await;
    let database = postgres.database().await;
    accounts(&database).await;
    run(&database.db, "CREATE TABLE few AS SELECT n::bigint AS n FROM generate_series(1, 10) AS n").await;
    let settings = PostgresSettings {
        connections: 2,
        // the second connection reads from the start on, on a busy machine too
        join_timeout: std::time::Duration::from_secs(60),
        ..PostgresSettings::at(Secret::new(database.url()))
    };
    let server = Arc::new(PostgresServer::new(&settings).unwrap());
    let rows = described(&server, Source::table("accounts"), vec![]).await;
    let few = described(&server, Source::table("few"), vec![]).await;
    let mut reading = rows.open(&query(&["id"], Filter::all())).await.unwrap().frames;
    assert_eq!(server.free(), 0);
    testkit::eventually("both read", async || (one(&database, READING).await == 2).then_some(())).await;
    // the leader holds the locks that protect the rows of the other connection
    let leader = one(&database, LONGEST).await;
    let other = database.url().to_owned();
    let emptying = tokio::spawn(async move {
        let db = sea_orm::Database::connect(other).await.unwrap();
        run(&db, "TRUNCATE accounts").await;
    });
    testkit::eventually("the TRUNCATE waits for its lock", async || {
        (one(&database, EMPTYING).await == 1).then_some(())
    })
    .await;
    let waiting = tokio::spawn(async move { frames(&few, &query(&["n"], Filter::all())).await });
    testkit::eventually("it waits", async || server.is_wanted().then_some(())).await;
    let mut read = 0;
    while server.is_wanted() {
        read += reading.try_next().await.unwrap().expect("a connection is given back before the last row").height();
        tokio::task::yield_now().await;
    }
    assert_eq!(one(&database, LONGEST).await, leader);
    // the first export is paused before its last row
    assert_eq!(waiting.await.unwrap().iter().map(DataFrame::height).sum::<usize>(), 10);
    assert!((read as i64) < ROWS, "{read} rows");
    while let Some(frame) = reading.try_next().await.unwrap() {
        read += frame.height();
    }
    assert_eq!(read as i64, ROWS);
    drop(reading);
    emptying.await.unwrap();
}
