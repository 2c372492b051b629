//! A real PostgreSQL: its types, its writers, and what clients could send it.

use std::{
    collections::HashSet,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

use futures::TryStreamExt;
use platform::secret::Secret;
use polars::prelude::DataFrame;
use protocol::{
    filter,
    params::{ParamSpec, ParamType},
};
use sea_orm::{ConnectionTrait, DatabaseConnection};
use serde_json::json;
use testkit::{
    db::{Postgres, TestDatabase},
    fault::Proxy,
};

use super::*;
use crate::dataset::sql::Raw;

fn server(url: &str) -> Arc<PostgresServer> {
    let settings = PostgresSettings { connections_per_export: 3, ..PostgresSettings::at(Secret::new(url)) };
    Arc::new(PostgresServer::new(&settings).unwrap())
}

async fn described(server: &Arc<PostgresServer>, source: Source, params: Vec<ParamSpec>) -> PostgresRows {
    let columns = PostgresRows::describe(server, &source).await.unwrap();
    PostgresRows::new(Arc::clone(server), source, "t", columns, params, None)
}

fn query(columns: &[&str], filter: Filter) -> Query {
    let columns = columns.iter().map(ToString::to_string).collect();
    Query { columns, filter, params: Map::new(), limit: None }
}

async fn frames(rows: &PostgresRows, query: &Query) -> Vec<DataFrame> {
    rows.open(query).await.unwrap().try_collect().await.unwrap()
}

async fn run(db: &DatabaseConnection, statement: &str) {
    db.execute_unprepared(statement).await.unwrap_or_else(|e| panic!("{statement}: {e}"));
}

#[tokio::test]
async fn every_usual_type_is_read_exactly() {
    // the server lives as long as this
    let postgres = Postgres::start().await;
    let database = postgres.database().await;
    run(&database.db, "CREATE TYPE mood AS ENUM ('fine', 'so so')").await;
    run(&database.db, "CREATE DOMAIN small AS int CHECK (value < 100)").await;
    let cases = [
        ("smallint", "(-32768)::smallint", ColumnType::Int, "-32768"),
        ("small", "7", ColumnType::Int, "7"),
        ("bigint", "9223372036854775807", ColumnType::Int, "9223372036854775807"),
        ("real", "1.5", ColumnType::Float, "1.5"),
        ("double precision", "'NaN'", ColumnType::Float, "NaN"),
        (
            "numeric",
            "123456789012345678901234567890.123456789",
            ColumnType::Decimal,
            "123456789012345678901234567890.123456789",
        ),
        ("numeric(20, 4)", "-0.5", ColumnType::Decimal, "-0.5000"),
        ("numeric", "'NaN'", ColumnType::Decimal, "NaN"),
        ("numeric", "10000", ColumnType::Decimal, "10000"),
        ("boolean", "true", ColumnType::Bool, "true"),
        ("text", "E'a\\n\u{1F600}'", ColumnType::String, "a\n\u{1F600}"),
        ("char(4)", "'ab'", ColumnType::String, "ab"),
        ("uuid", "'0199AAAA-0000-7000-8000-000000000001'", ColumnType::String, "0199aaaa-0000-7000-8000-000000000001"),
        ("json", "'{\"a\": 1}'", ColumnType::String, "{\"a\": 1}"),
        ("jsonb", "'{\"a\":1}'", ColumnType::String, "{\"a\": 1}"),
        ("int[]", "'{1,NULL,3}'", ColumnType::String, "{1,NULL,3}"),
        ("bytea", "'\\x00ff'", ColumnType::String, "\\x00ff"),
        ("mood", "'so so'", ColumnType::String, "so so"),
        ("interval", "'1 day 2 hours'", ColumnType::String, "1 day 02:00:00"),
        ("inet", "'192.0.2.1/24'", ColumnType::String, "192.0.2.1/24"),
        ("int4range", "'[1,5)'", ColumnType::String, "[1,5)"),
        ("date", "'1969-12-31'", ColumnType::Date, "1969-12-31"),
        ("date", "'4000-01-01'", ColumnType::Date, "4000-01-01"),
        ("timestamp", "'1969-12-31 23:59:59.999999'", ColumnType::Datetime, "1969-12-31 23:59:59.999999"),
        ("timestamptz", "'2026-11-22 16:00:00+01'", ColumnType::Datetime, "2026-11-22 15:00:00"),
        ("time", "'23:59:59.5'", ColumnType::Time, "23:59:59.500"),
        ("text", "NULL", ColumnType::String, "null"),
        ("numeric", "NULL", ColumnType::Decimal, "null"),
    ];
    let columns: Vec<_> = cases.iter().enumerate().map(|(n, case)| format!("c{n} {}", case.0)).collect();
    let values: Vec<_> = cases.iter().map(|case| case.1).collect();
    run(&database.db, &format!("CREATE TABLE everything ({})", columns.join(", "))).await;
    run(&database.db, &format!("INSERT INTO everything VALUES ({})", values.join(", "))).await;
    let rows = described(&server(database.url()), Source::table("everything"), vec![]).await;
    let names: Vec<_> = rows.columns.iter().map(|column| column.name.clone()).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let all = frames(&rows, &query(&names, Filter::all())).await;
    for (n, (kind, _, column, shown)) in cases.iter().enumerate() {
        assert_eq!(rows.columns[n].kind, *column, "{kind}");
        let value = all[0].column(&format!("c{n}")).unwrap().get(0).unwrap().str_value().into_owned();
        assert_eq!(value, *shown, "{kind}");
    }
    // what no file can hold is told, with the column's name
    run(&database.db, "CREATE TABLE endless AS SELECT 'infinity'::date AS until").await;
    let endless = described(&server(database.url()), Source::table("endless"), vec![]).await;
    let read = endless.open(&query(&["until"], Filter::all())).await.unwrap().try_collect::<Vec<_>>().await;
    let error = read.unwrap_err();
    assert!(error.to_string().contains("until") && !error.is_transient(), "{error}");
}

/// Rows that a writer moves about, so many that they lie in several ranges of pages.
const ROWS: i64 = 400_000;

async fn accounts(database: &TestDatabase) {
    run(
        &database.db,
        &format!(
            "CREATE TABLE accounts AS SELECT n AS id, 100::bigint AS amount, repeat('x', 100) AS filler \
             FROM generate_series(1, {ROWS}) AS n"
        ),
    )
    .await;
    run(&database.db, "CREATE INDEX ON accounts (id)").await;
}

#[tokio::test]
async fn a_parallel_read_is_one_moment_however_much_is_written() {
    // the server lives as long as this
    let postgres = Postgres::start().await;
    let database = postgres.database().await;
    accounts(&database).await;
    let rows = described(&server(database.url()), Source::table("public.accounts"), vec![]).await;
    let (stop, writes) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let writer = {
        let (db, stop, writes) = (database.db.clone(), Arc::clone(&stop), Arc::clone(&writes));
        tokio::spawn(async move {
            let mut n: i64 = 1;
            while !stop.load(Ordering::Relaxed) {
                // each statement keeps the sum and the number of rows; what is updated moves to other pages
                let (a, b) = (n * 7919 % ROWS + 1, n * 104_729 % ROWS + 1);
                run(
                    &db,
                    &format!(
                        "WITH gone AS (DELETE FROM accounts WHERE id = {a} RETURNING amount), \
                         moved AS (UPDATE accounts SET amount = amount + 1 WHERE id = {b} AND id <> {a} RETURNING 1) \
                         INSERT INTO accounts SELECT {ROWS} + {n}, gone.amount - (SELECT count(*) FROM moved), 'new' FROM gone"
                    ),
                )
                .await;
                writes.fetch_add(1, Ordering::Relaxed);
                n += 1;
            }
        })
    };
    for _ in 0..3 {
        let before = writes.load(Ordering::Relaxed);
        let read = frames(&rows, &query(&["id", "amount"], Filter::all())).await;
        let (mut ids, mut sum) = (HashSet::new(), 0);
        for frame in &read {
            ids.extend(frame.column("id").unwrap().i64().unwrap().iter().flatten());
            sum += frame.column("amount").unwrap().i64().unwrap().iter().flatten().sum::<i64>();
        }
        let total: usize = read.iter().map(DataFrame::height).sum();
        assert_eq!((total as i64, ids.len() as i64, sum), (ROWS, ROWS, 100 * ROWS));
        assert!(writes.load(Ordering::Relaxed) > before, "nothing was written meanwhile");
    }
    stop.store(true, Ordering::Relaxed);
    writer.await.unwrap();
}

#[tokio::test]
async fn the_same_table_is_the_same_rows_in_the_same_order_on_any_number_of_connections() {
    // the server lives as long as this
    let postgres = Postgres::start().await;
    let database = postgres.database().await;
    accounts(&database).await;
    let ids = async |per_export: usize| -> Vec<i64> {
        let settings = PostgresSettings {
            connections_per_export: per_export,
            ..PostgresSettings::at(Secret::new(database.url()))
        };
        let server = Arc::new(PostgresServer::new(&settings).unwrap());
        let rows = described(&server, Source::table("accounts"), vec![]).await;
        let read = frames(&rows, &query(&["id"], Filter::all())).await;
        read.iter()
            .flat_map(|frame| frame.column("id").unwrap().i64().unwrap().iter().flatten().collect::<Vec<_>>())
            .collect()
    };
    let one = ids(1).await;
    assert_eq!(one.len() as i64, ROWS);
    assert_eq!(one, ids(4).await);
}

/// What people try, and what breaks naive quoting.
const NASTY: [&str; 16] = [
    "'",
    "''",
    "\\",
    "\\'",
    "'; DROP TABLE texts; --",
    "$$",
    "$1",
    ":p",
    "E'\\x'",
    "\u{202e}",
    "a\nb\r\t\u{8}\u{c}\u{b}\u{7f}",
    "😀",
    "\"",
    "/*",
    "%_%",
    "\\\\' OR 1=1 --",
];

#[tokio::test]
async fn no_text_is_anything_but_data() {
    // the server lives as long as this
    let postgres = Postgres::start().await;
    let database = postgres.database().await;
    run(&database.db, "CREATE TABLE texts (n bigint, s text)").await;
    // besides these, whatever a generator comes upon
    let mut state: u64 = 42;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u32
    };
    let alphabet: Vec<char> = "'\\\"$:;-/*%_eExXuU0 \n\t\u{1}é日😀\u{202e}".chars().collect();
    let mut texts: Vec<String> = NASTY.map(str::to_owned).to_vec();
    for _ in 0..200 {
        let length = 1 + random() % 12;
        texts.push((0..length).map(|_| alphabet[random() as usize % alphabet.len()]).collect());
    }
    texts.sort();
    texts.dedup();
    for (n, text) in texts.iter().enumerate() {
        let insert = sea_orm::Statement::from_sql_and_values(
            DbBackend::Postgres,
            "INSERT INTO texts VALUES ($1, $2)",
            [(n as i64).into(), text.as_str().into()],
        );
        database.db.execute_raw(insert).await.unwrap();
    }
    let server = server(database.url());
    let table = described(&server, Source::table("texts"), vec![]).await;
    let spec = ParamSpec {
        name: "p".into(),
        kind: ParamType::Strings,
        description: String::new(),
        default: None,
        max_items: None,
    };
    let raw = Raw::parse("SELECT n, s FROM texts WHERE s IN (:p)", std::slice::from_ref(&spec)).unwrap();
    let asked = described(&server, Source::Query(raw.into()), vec![spec]).await;
    for (n, text) in texts.iter().enumerate() {
        let equal = filter::parse(&json!({"s": {"eq": text}}), table.columns()).unwrap();
        let holds = filter::parse(&json!({"s": {"contains": text}, "n": {"eq": n}}), table.columns()).unwrap();
        let param = Query {
            params: json!({"p": [text, "no such text"]}).as_object().unwrap().clone(),
            ..query(&["n", "s"], Filter::all())
        };
        for (rows, query) in [(&table, query(&["n", "s"], equal)), (&table, query(&["n", "s"], holds)), (&asked, param)]
        {
            let read = frames(rows, &query).await;
            assert_eq!(read.len(), 1, "{text:?}");
            let found = read[0].column("s").unwrap().str().unwrap().iter().flatten().collect::<Vec<_>>();
            assert_eq!(found, [text.as_str()]);
        }
    }
    let left = table.count(&query(&[], Filter::all())).await.unwrap();
    assert_eq!(left, Some(texts.len() as u64));
    // even the names of columns are data: they come from operators, and are quoted all the same
    let odd = "n\"; DROP TABLE texts; --";
    let columns = vec![Column::new(odd, ColumnType::Int)];
    let odd_rows = PostgresRows::new(Arc::clone(&server), Source::table("texts"), "t", columns, vec![], None);
    let read = odd_rows.open(&query(&[odd], Filter::all())).await.unwrap().try_collect::<Vec<_>>().await;
    assert!(!read.unwrap_err().is_transient());
    assert_eq!(table.count(&query(&[], Filter::all())).await.unwrap(), left);
}

#[tokio::test]
async fn what_vanishes_or_changes_is_an_error_and_never_an_end() {
    // the server lives as long as this
    let postgres = Postgres::start().await;
    let database = postgres.database().await;
    accounts(&database).await;
    let port: u16 = database.url().rsplit(':').next().and_then(|rest| rest.split('/').next()).unwrap().parse().unwrap();
    let proxy = Proxy::start(&format!("127.0.0.1:{port}")).await;
    let through = database.url().replace(&format!("127.0.0.1:{port}"), &proxy.address().to_string());
    let rows = described(&server(&through), Source::table("accounts"), vec![]).await;
    // a connection that is lost in the middle
    let mut reading = rows.open(&query(&["id", "filler"], Filter::all())).await.unwrap();
    assert!(reading.try_next().await.unwrap().is_some());
    proxy.cut();
    let mut ended = Ok(());
    while ended.is_ok() {
        ended = match reading.try_next().await {
            Ok(Some(_)) => Ok(()),
            Ok(None) => panic!("a lost connection looks like an end"),
            Err(e) => Err(e),
        };
    }
    assert!(ended.unwrap_err().is_transient(), "another try may work");
    // a table that lost a column, and one that is gone
    let rows = described(&server(database.url()), Source::table("accounts"), vec![]).await;
    for (change, columns) in [
        ("ALTER TABLE accounts RENAME filler TO padding", vec!["id", "filler"]),
        ("ALTER TABLE accounts ALTER amount TYPE text USING 'none'", vec!["amount"]),
        ("DROP TABLE accounts", vec!["id"]),
    ] {
        run(&database.db, change).await;
        let error = match rows.open(&query(&columns, Filter::all())).await {
            Err(e) => e,
            Ok(reading) => reading.try_collect::<Vec<_>>().await.unwrap_err(),
        };
        assert!(!error.is_transient(), "{change}: {error}");
    }
    // nor does a URL ever show in an error
    let secret = "postgres://someone:hunter2@127.0.0.1:1/x";
    let away = PostgresRows::describe(&server(secret), &Source::table("t")).await.unwrap_err();
    assert!(away.is_transient() && !format!("{away} {away:?}").contains("hunter2"));
    assert!(!format!("{:?}", server(secret)).contains("hunter2"));
}
