//! Tests that the native types of columns, their types in PostgreSQL, stay valid until the rows are read.

use polars::prelude::{Column as PolarsColumn, ParquetWriter};

use super::*;
use crate::dataset::{Dataset, FileKind, Files, Location};

async fn count(database: &TestDatabase, ask: &str) -> i64 {
    let row = database.db.query_one_raw(sea_orm::Statement::from_string(DbBackend::Postgres, ask)).await.unwrap();
    row.unwrap().try_get_by_index(0).unwrap()
}

#[tokio::test]
async fn a_collation_can_not_change_between_the_check_and_the_read() {
    // the server stops when this is dropped
    let postgres = Postgres::start().await;
    let database = postgres.database().await;
    // a view depends on its table, and keeps the type
    run(
        &database.db,
        "CREATE TABLE folk (id bigint, tenant text); CREATE TABLE kept (id bigint, tenant text); \
         CREATE VIEW seen AS SELECT id, tenant FROM kept",
    )
    .await;
    let change = "ALTER TABLE folk ALTER tenant TYPE text COLLATE \"C\"";
    let server = server(database.url());
    let text = QueryText::parse("SELECT id, tenant FROM folk", &[]).unwrap();
    for (source, change) in [
        (Source::table("folk"), change),
        (Source::Query(text.into()), change),
        (Source::table("seen"), "DROP VIEW seen"),
    ] {
        let rows = described(&server, source, vec![]).await;
        let filter = filter::parse(&json!({"tenant": {"eq": "acme"}}), &rows.info().columns).unwrap();
        let mut select = TableSelect { rows: rows.clone(), query: query(&["id"], filter), select: None };
        let mut session = server.connect().await.unwrap();
        session.begin(&server, transaction::View::EachStatement).await.unwrap();
        assert!(select.ranges(&mut session.conn).await.unwrap().len() < 2);
        assert!(!select.text(None).unwrap().contains("COLLATE"), "{}", select.text(None).unwrap());
        // a change waits for the lock until the export has read the rows
        let changing = format!("DO $$ BEGIN PERFORM set_config('lock_timeout', '300ms', true); {change}; END $$");
        let refused = database.db.execute_unprepared(&changing).await.unwrap_err();
        assert!(refused.to_string().contains("lock timeout"), "{refused}");
    }
    // after the export the change succeeds
    run(&database.db, change).await;
}

#[tokio::test]
async fn one_statement_reads_in_the_transaction_that_checked_its_columns() {
    // the server stops when this is dropped
    let postgres = Postgres::start().await;
    let database = postgres.database().await;
    accounts(&database).await;
    let server = server(database.url());
    let rows = described(&server, Source::table("accounts"), vec![]).await;
    let rows = rows.ordered_by(vec![OrderBy::ascending("id")]);
    let filter = filter::parse(&json!({"filler": {"ne": "y"}}), &rows.info().columns).unwrap();
    for snapshot in [Snapshot::Export, Snapshot::None] {
        // the frames are not consumed, so that the COPY is still running
        let mut reading =
            with_snapshot(rows.clone(), snapshot).open(&query(&["id", "filler"], filter.clone())).await.unwrap().frames;
        assert!(reading.try_next().await.unwrap().is_some());
        // the transaction must begin before the statement
        let ask = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'sluice-exporter' \
                   AND datname = current_database() AND query LIKE 'COPY%' AND xact_start < query_start";
        testkit::eventually("one such read", async || (count(&database, ask).await == 1).then_some(())).await;
    }
}

#[tokio::test]
async fn ranges_without_a_snapshot_do_not_rely_on_native_types() {
    // the server stops when this is dropped
    let postgres = Postgres::start().await;
    let database = postgres.database().await;
    accounts(&database).await;
    run(&database.db, "ANALYZE accounts").await;
    let server = server(database.url());
    let rows = described(&server, Source::table("accounts"), vec![]).await;
    let filter = filter::parse(&json!({"filler": {"eq": "x".repeat(100)}}), &rows.info().columns).unwrap();
    for (snapshot, has_collation) in [(Snapshot::Export, false), (Snapshot::None, true)] {
        let rows = with_snapshot(rows.clone(), snapshot);
        let asked = query(&["id"], filter.clone());
        let mut select = TableSelect { rows: rows.clone(), query: asked.clone(), select: None };
        let mut session = server.connect().await.unwrap();
        assert!(select.ranges(&mut session.conn).await.unwrap().len() > 1);
        assert_eq!(select.text(None).unwrap().contains("COLLATE \"C\""), has_collation, "{snapshot:?}");
        drop(session);
        let read = frames(&rows, &asked).await;
        assert_eq!(read.iter().map(DataFrame::height).sum::<usize>() as i64, ROWS, "{snapshot:?}");
    }
    // without a shared snapshot, each range has its own transaction, and no transaction stays open after its range
    let none = with_snapshot(rows, Snapshot::None);
    let mut reading = none.open(&query(&["id", "filler"], Filter::all())).await.unwrap().frames;
    let mut read = reading.try_next().await.unwrap().unwrap().height();
    let oldest = "SELECT coalesce((extract(epoch FROM min(xact_start)) * 1000000)::bigint, 9223372036854775807) \
                  FROM pg_stat_activity WHERE application_name = 'sluice-exporter' AND datname = current_database()";
    let first = count(&database, oldest).await;
    while (read as i64) < ROWS / 2 {
        read += reading.try_next().await.unwrap().unwrap().height();
    }
    testkit::eventually("the first transaction ends", async || (count(&database, oldest).await > first).then_some(()))
        .await;
    drop(reading);
}

#[tokio::test]
async fn slow_reals_at_the_limits_pass_the_same_filters_as_in_a_file() {
    // the server stops when this is dropped
    let postgres = Postgres::start().await;
    let database = postgres.database().await;
    let edges = [
        0.1_f32,
        -0.1,
        0.3,
        0.0,
        -0.0,
        1e-45,
        -1e-45,
        f32::MIN_POSITIVE,
        f32::MAX,
        f32::MIN,
        // these floats have other shortest texts, or the server prints another last digit
        33_554_448.0,
        9.765_625e-4,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::NAN,
    ];
    let values: Vec<_> = edges.iter().enumerate().map(|(id, real)| format!("({id}, '{real:e}'::real)")).collect();
    run(&database.db, "CREATE TABLE reals (id bigint, r real)").await;
    run(&database.db, &format!("INSERT INTO reals VALUES {}, (99, NULL)", values.join(", "))).await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("reals.parquet");
    let ids: Vec<_> = (0..edges.len() as i64).chain([99]).collect();
    let reals: Vec<_> = edges.iter().copied().map(Some).chain([None]).collect();
    let columns = vec![PolarsColumn::new("id".into(), ids), PolarsColumn::new("r".into(), reals)];
    let mut frame = DataFrame::new_infer_height(columns).unwrap();
    ParquetWriter::new(std::fs::File::create(&path).unwrap()).finish(&mut frame).unwrap();
    let file = Files::open(Location::Local(path), FileKind::Parquet, DatasetInfo::new("reals", vec![])).await.unwrap();
    let server = server(database.url());
    let text = QueryText::parse("SELECT id, r FROM reals", &[]).unwrap();
    let table = described(&server, Source::table("reals"), vec![]).await;
    let select = described(&server, Source::Query(text.into()), vec![]).await;
    let passing = async |dataset: &dyn Dataset, filter: &Value| -> Vec<i64> {
        let filter = filter::parse(filter, &dataset.info().columns).unwrap();
        let read: Vec<_> = dataset.open(&query(&["id"], filter)).await.unwrap().frames.try_collect().await.unwrap();
        let mut ids: Vec<i64> = read
            .iter()
            .flat_map(|frame| frame.column("id").unwrap().i64().unwrap().iter().flatten().collect::<Vec<_>>())
            .collect();
        ids.sort_unstable();
        ids
    };
    let mut literals = vec![1e300, -1e300, 1e-300, 2.5];
    for (id, real) in edges.iter().enumerate().filter(|(_, real)| real.is_finite()) {
        let text = crate::value::float32::shortest(*real);
        literals.extend([text, text.next_up(), text.next_down()]);
        // a number copied from a file finds its row
        let own = json!({"r": {"eq": text}});
        let found = passing(&file, &own).await;
        assert!(found.contains(&(id as i64)), "{text}: {found:?}");
        assert_eq!(passing(&select, &own).await, found, "{text}");
    }
    for number in literals {
        for filter in [
            json!({"r": {"eq": number}}),
            json!({"r": {"lt": number}}),
            json!({"r": {"gte": number}}),
            json!({"not": {"r": {"gt": number}}}),
            json!({"not": {"r": {"in": [number, 0.3]}}}),
            json!({"or": [{"r": {"ne": number}}, {"r": {"between": [number, 1.0]}}]}),
        ] {
            assert_eq!(passing(&table, &filter).await, passing(&file, &filter).await, "{filter}");
        }
    }
}
