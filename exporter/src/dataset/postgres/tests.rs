//! Tests reads from a real PostgreSQL server: types, concurrent writers, and hostile values.

mod filters;
mod indexes;
mod natives;
mod params;
mod pooler;
mod printed;
mod ranges;
mod sessions;
mod spellings;
mod standby;
mod type_values;
mod types;
mod zones;

use std::{
    collections::HashSet,
    io::Cursor,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use futures::TryStreamExt;
use platform::secret::Secret;
use polars::prelude::{DataFrame, DataType, ParquetReader, SerReader};
use protocol::{
    filter::{self, Filter},
    params::{ParamSpec, ParamType},
};
use sea_orm::{ConnectionTrait, DatabaseConnection};
use serde_json::{Map, Value, json};
use testkit::{
    db::{Postgres, TestDatabase},
    fault::Proxy,
};

use super::*;
use crate::{
    dataset::sql::QueryText,
    error::JobError,
    format::{Compression, Csv, Encoding, Format, FormatLimits, Head, Ndjson, Output, Parquet, Tail, Xlsx},
    layout::{Layout, LayoutColumn, Pattern},
    template::{DeclaredTemplate, Template, TemplateSpec},
};

fn server(url: &str) -> Arc<PostgresServer> {
    let settings = PostgresSettings { connections_per_export: 3, ..PostgresSettings::at(Secret::new(url)) };
    Arc::new(PostgresServer::new(&settings).unwrap())
}

async fn described(server: &Arc<PostgresServer>, source: Source, params: Vec<ParamSpec>) -> PostgresRows {
    let Resolved { source, columns, .. } = PostgresRows::resolve(server, source).await.unwrap();
    PostgresRows::new(Arc::clone(server), source, DatasetInfo { params, ..DatasetInfo::new("t", columns) })
}

fn with_snapshot(mut rows: PostgresRows, snapshot: Snapshot) -> PostgresRows {
    rows.info.snapshot = snapshot;
    rows
}

fn query(columns: &[&str], filter: Filter) -> Query {
    let columns = columns.iter().map(ToString::to_string).collect();
    Query { columns, filter, params: Map::new(), limit: None }
}

async fn frames(rows: &PostgresRows, query: &Query) -> Vec<DataFrame> {
    rows.open(query).await.unwrap().frames.try_collect().await.unwrap()
}

async fn run(db: &DatabaseConnection, statement: &str) {
    db.execute_unprepared(statement).await.unwrap_or_else(|e| panic!("{statement}: {e}"));
}

#[tokio::test]
async fn every_common_type_is_read_exactly() {
    // the server stops when this is dropped
    let postgres = Postgres::start().await;
    let database = postgres.database().await;
    run(&database.db, "CREATE TYPE mood AS ENUM ('fine', 'so so')").await;
    run(&database.db, "CREATE DOMAIN small AS int CHECK (value < 100)").await;
    let cases = [
        ("smallint", "(-32768)::smallint", ColumnType::Int, "-32768"),
        ("small", "7", ColumnType::Int, "7"),
        ("bigint", "9223372036854775807", ColumnType::Int, "9223372036854775807"),
        ("real", "1.5", ColumnType::Float, "1.5"),
        ("real", "0.1", ColumnType::Float, "0.1"),
        ("real", "'-Infinity'", ColumnType::Float, "-inf"),
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
        ("char(4)", "'ab'", ColumnType::String, "ab  "),
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
    let names: Vec<_> = rows.info.columns.iter().map(|column| column.name.clone()).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let all = frames(&rows, &query(&names, Filter::all())).await;
    for (n, (kind, _, column, shown)) in cases.iter().enumerate() {
        assert_eq!(rows.info.columns[n].kind, *column, "{kind}");
        assert_eq!(rows.info.columns[n].local, *kind == "timestamp", "{kind}");
        let value = all[0].column(&format!("c{n}")).unwrap().get(0).unwrap().str_value().into_owned();
        assert_eq!(value, *shown, "{kind}");
    }
}

fn layout(columns: &[Column]) -> Layout {
    Layout::plain(columns.iter().cloned().map(LayoutColumn::plain).collect())
}

/// Encodes data frames with these columns in a text format, and returns the text.
fn written(format: &dyn Format, columns: &[Column], frames: &[DataFrame]) -> String {
    let encoding = format.encoding(&layout(columns), Compression::None, &FormatLimits::default()).unwrap();
    let Encoding::Parallel(encoder) = encoding else { panic!("text has no state") };
    let mut out = Vec::new();
    frames.iter().for_each(|frame| encoder.encode(frame, &mut out).unwrap());
    String::from_utf8(out).unwrap()
}

/// Encodes data frames with these columns in a binary format, and returns the bytes.
fn file(format: &dyn Format, columns: &[Column], frames: &[DataFrame]) -> Vec<u8> {
    let Encoding::Sequential(open) =
        format.encoding(&layout(columns), Compression::None, &FormatLimits::default()).unwrap()
    else {
        panic!("text")
    };
    let (bytes, now) = (Arc::new(Mutex::new(Vec::new())), platform::clock::SystemClock::shared().now().into());
    let head = Head { requested_at: now, completed_at: None };
    let mut writer = open(&head, Output::new(Arc::clone(&bytes))).unwrap();
    frames.iter().for_each(|frame| writer.write(frame).unwrap());
    writer.end(&Tail { rows: 2, completed_at: now }).unwrap();
    std::mem::take(&mut *bytes.lock().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn infinite_dates_and_the_end_of_a_day_are_written_as_the_server_prints_them() {
    // the server stops when this is dropped
    let postgres = Postgres::start().await;
    let database = postgres.database().await;
    run(
        &database.db,
        "CREATE TABLE endless (until date, since date, at timestamptz, ts timestamp, clock time, amount numeric, bc date); \
         INSERT INTO endless VALUES \
           ('infinity', '-infinity', 'infinity', '-infinity', '24:00', 'NaN', '0044-03-15 BC'), \
           ('9999-12-31', '5874897-12-31', '294246-12-31 00:00Z', '4713-01-01 BC', '23:59:59.999999', '-Infinity', NULL)",
    )
    .await;
    let rows = described(&server(database.url()), Source::table("endless"), vec![]).await;
    let names: Vec<_> = rows.info.columns.iter().map(|column| column.name.clone()).collect();
    let read = frames(&rows, &query(&names.iter().map(String::as_str).collect::<Vec<_>>(), Filter::all())).await;
    assert_eq!(
        written(&Csv, &rows.info.columns, &read),
        "infinity,-infinity,infinity,-infinity,24:00:00,NaN,-0043-03-15\n\
         9999-12-31,+5874897-12-31,+294246-12-31T00:00:00Z,-4712-01-01T00:00:00,23:59:59.999999,-Infinity,\n"
    );
    let lines = written(&Ndjson, &rows.info.columns, &read);
    let first: Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert_eq!(
        first,
        json!({"until": "infinity", "since": "-infinity", "at": "infinity", "ts": "-infinity", "clock": "24:00:00",
               "amount": "NaN", "bc": "-0043-03-15"})
    );
    // the pattern of a template applies to finite values only
    let mut styled = layout(&rows.info.columns);
    for column in &mut styled.columns {
        let pattern = match column.source.kind {
            ColumnType::Date => "dd.MM.yyyy",
            ColumnType::Time => "HH:mm",
            _ => continue,
        };
        column.style.pattern = Some(Pattern::parse(pattern).unwrap());
    }
    let Encoding::Parallel(encoder) = Csv.encoding(&styled, Compression::None, &FormatLimits::default()).unwrap()
    else {
        panic!("text")
    };
    let mut out = Vec::new();
    encoder.encode(&read[0], &mut out).unwrap();
    let out = String::from_utf8(out).unwrap();
    assert!(out.starts_with("infinity,-infinity,infinity,-infinity,24:00:00,NaN,15.03.-0043\n31.12.9999,"), "{out}");
    // Parquet stores the numbers that DuckDB reads as infinity
    let parquet = file(&Parquet, &rows.info.columns, &read);
    let back = ParquetReader::new(Cursor::new(parquet)).finish().unwrap();
    let number = |name: &str| {
        back.column(name).unwrap().to_physical_repr().cast(&DataType::Int64).unwrap().i64().unwrap().get(0).unwrap()
    };
    assert_eq!((number("until"), number("since")), (i64::from(i32::MAX), -i64::from(i32::MAX)));
    assert_eq!((number("at"), number("ts"), number("clock")), (i64::MAX, -i64::MAX, 86_399_999_999_998));
    assert!(file(&Xlsx, &rows.info.columns, &read).starts_with(b"PK"));
    // calculated columns are NULL for infinite values
    let spec: TemplateSpec = toml::from_str(
        "name = \"t\"\n[[column]]\nname = \"y\"\nvalue = \"year(until)\"\n[[column]]\nname = \"h\"\n\
         value = \"hour(at)\"\n[[column]]\nname = \"a\"\nvalue = \"amount + 1\"\n[[column]]\nname = \"c\"\nvalue = \"concat(since)\"",
    )
    .unwrap();
    let made = DeclaredTemplate::new(spec).layout(rows.info(), &[]).unwrap();
    let inputs = read[0].select(made.inputs().iter().map(String::as_str)).unwrap();
    let made = made.projection.apply(inputs).unwrap();
    let shown: Vec<_> = made.columns().iter().map(|c| c.get(0).unwrap().str_value().into_owned()).collect();
    assert_eq!(shown, ["null", "null", "null", ""]);
    assert_eq!(made.columns()[0].get(1).unwrap().str_value(), "9999");
}

#[tokio::test(flavor = "multi_thread")]
async fn exact_numbers_are_calculated_and_formatted_by_a_template() {
    // the server stops when this is dropped
    let postgres = Postgres::start().await;
    let database = postgres.database().await;
    run(&database.db, "CREATE TABLE bills AS SELECT 9.50::numeric AS price, 10.005::numeric AS tax").await;
    let rows = described(&server(database.url()), Source::table("bills"), vec![]).await;
    let spec: TemplateSpec = toml::from_str(
        "name = \"t\"\n[text]\ndecimal_mark = \",\"\ndelimiter = \";\"\n[[column]]\nsource = \"tax\"\ndecimals = 2\n\
         [[column]]\nname = \"sum\"\nvalue = \"price + tax\"\n[[column]]\nname = \"more\"\nvalue = \"tax > price\"",
    )
    .unwrap();
    let made = DeclaredTemplate::new(spec).layout(rows.info(), &[]).unwrap();
    let inputs: Vec<_> = made.inputs().iter().map(String::as_str).collect();
    let read = frames(&rows, &query(&inputs, Filter::all())).await;
    let shaped = made.projection.apply(read[0].clone()).unwrap();
    let Encoding::Parallel(encoder) = Csv.encoding(&made, Compression::None, &FormatLimits::default()).unwrap() else {
        panic!("text")
    };
    let mut out = Vec::new();
    encoder.encode(&shaped, &mut out).unwrap();
    assert_eq!(String::from_utf8(out).unwrap(), "10,01;19,5050000000;true\n");
}

#[tokio::test]
async fn filters_work_on_types_that_are_shown_as_text() {
    // the server stops when this is dropped
    let postgres = Postgres::start().await;
    let database = postgres.database().await;
    run(&database.db, "CREATE TYPE mood AS ENUM ('fine', 'so so')").await;
    run(
        &database.db,
        "CREATE TABLE mixed AS SELECT 1::bigint AS n, '0199aaaa-0000-7000-8000-000000000001'::uuid AS id, \
         'so so'::mood AS mood, '{\"a\": 1}'::jsonb AS doc, '{1,2}'::int[] AS list, '192.0.2.1'::inet AS address \
         UNION ALL SELECT 2, '0199aaaa-0000-7000-8000-000000000002', 'fine', '[]', '{}', '::1'",
    )
    .await;
    let server = server(database.url());
    let columns = PostgresRows::describe(&server, &Source::table("mixed")).await.unwrap();
    for order in [vec![], vec![OrderBy::ascending("id")]] {
        let info = DatasetInfo::new("t", columns.clone());
        let rows = PostgresRows::new(Arc::clone(&server), Source::table("mixed"), info).ordered_by(order);
        for filter in [
            json!({"id": {"eq": "0199aaaa-0000-7000-8000-000000000001"}}),
            json!({"id": {"lt": "0199aaaa-0000-7000-8000-000000000002"}}),
            json!({"id": {"like": "%1"}}),
            json!({"mood": {"in": ["so so", "no mood"]}}),
            json!({"doc": {"contains": "\"a\""}}),
            json!({"list": {"ne": "{}"}}),
            json!({"address": {"contains": "192.0.2.1"}}),
        ] {
            let asked = filter::parse(&filter, &rows.info().columns).unwrap();
            let read = frames(&rows, &query(&["n"], asked)).await;
            let found: Vec<_> = read
                .iter()
                .flat_map(|f| f.column("n").unwrap().i64().unwrap().iter().flatten().collect::<Vec<_>>())
                .collect();
            assert_eq!(found, [1], "{filter}");
        }
    }
}

/// The number of rows in the table `accounts`, which has several ranges of pages.
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
async fn expensive_counts_are_estimated_instead() {
    // the server stops when this is dropped
    let postgres = Postgres::start().await;
    let database = postgres.database().await;
    let server = server(database.url());
    let of =
        async |text: &str| described(&server, Source::Query(QueryText::parse(text, &[]).unwrap().into()), vec![]).await;
    let all = query(&[], Filter::all());
    let few = of("SELECT n FROM generate_series(1, 1000) AS n").await;
    assert_eq!(few.count(&all, Precision::Exact).await.unwrap(), Some(RowCount::exact(1_000)));
    let many = of("SELECT n FROM generate_series(1, 2000000000) AS n").await;
    assert_eq!(many.count(&all, Precision::Exact).await.unwrap(), None);
    let estimate = many.count(&all, Precision::Estimate).await.unwrap();
    assert!(estimate.is_some_and(|count| !count.exact && count.rows > 1_000_000));
    assert!(many.info().estimates_from_all_rows);
}

#[tokio::test]
async fn any_number_of_connections_reads_the_same_rows_in_the_same_order() {
    // the server stops when this is dropped
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

/// Texts that attempt SQL injections, and texts that break naive quoting.
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
async fn no_text_of_a_request_becomes_sql() {
    nasty_and_random_texts_find_their_rows(20).await;
}

#[tokio::test]
async fn slow_no_random_text_of_a_request_becomes_sql() {
    nasty_and_random_texts_find_their_rows(200).await;
}

/// Checks that filters and parameters find the rows with the texts of [`NASTY`] and with `random_texts` random texts.
/// Also checks that the table stays unchanged.
async fn nasty_and_random_texts_find_their_rows(random_texts: usize) {
    // the server stops when this is dropped
    let postgres = Postgres::start().await;
    let database = postgres.database().await;
    run(&database.db, "CREATE TABLE texts (n bigint, s text)").await;
    // random texts in addition
    let mut state: u64 = 42;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u32
    };
    let alphabet: Vec<char> = "'\\\"$:;-/*%_eExXuU0 \n\t\u{1}é日😀\u{202e}".chars().collect();
    let mut texts: Vec<String> = NASTY.map(str::to_owned).to_vec();
    for _ in 0..random_texts {
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
    let text = QueryText::parse("SELECT n, s FROM texts WHERE s IN (:p)", std::slice::from_ref(&spec)).unwrap();
    let asked = described(&server, Source::Query(text.into()), vec![spec]).await;
    for (n, text) in texts.iter().enumerate() {
        let equal = filter::parse(&json!({"s": {"eq": text}}), &table.info().columns).unwrap();
        let holds = filter::parse(&json!({"s": {"contains": text}, "n": {"eq": n}}), &table.info().columns).unwrap();
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
    let left = table.count(&query(&[], Filter::all()), Precision::Exact).await.unwrap();
    assert_eq!(left, Some(RowCount::exact(texts.len() as u64)));
    // names of columns come from operators, and are quoted, too
    let odd = "n\"; DROP TABLE texts; --";
    let columns = vec![Column::new(odd, ColumnType::Int)];
    let odd_rows = PostgresRows::new(Arc::clone(&server), Source::table("texts"), DatasetInfo::new("t", columns));
    let read = odd_rows.open(&query(&[odd], Filter::all())).await.unwrap().frames.try_collect::<Vec<_>>().await;
    assert!(!read.unwrap_err().is_transient());
    assert_eq!(table.count(&query(&[], Filter::all()), Precision::Exact).await.unwrap(), left);
}

#[tokio::test]
async fn a_lost_connection_or_a_changed_table_is_an_error_and_never_looks_complete() {
    // the server stops when this is dropped
    let postgres = Postgres::start().await;
    let database = postgres.database().await;
    accounts(&database).await;
    let port: u16 = database.url().rsplit(':').next().and_then(|rest| rest.split('/').next()).unwrap().parse().unwrap();
    let proxy = Proxy::start(&format!("127.0.0.1:{port}")).await;
    let through = database.url().replace(&format!("127.0.0.1:{port}"), &proxy.address().to_string());
    let rows = described(&server(&through), Source::table("accounts"), vec![]).await;
    // the connection breaks during the read
    let mut reading = rows.open(&query(&["id", "filler"], Filter::all())).await.unwrap().frames;
    assert!(reading.try_next().await.unwrap().is_some());
    proxy.cut();
    let mut ended = Ok(());
    while ended.is_ok() {
        ended = match reading.try_next().await {
            Ok(Some(_)) => Ok(()),
            Ok(None) => panic!("a lost connection looks like the end of the rows"),
            Err(e) => Err(e),
        };
    }
    let ended = ended.unwrap_err();
    assert!(ended.is_transient(), "a retry may succeed");
    let crate::error::Verdict::Fail(problem) = JobError::from(ended).last_verdict(5) else { panic!("a last attempt") };
    assert!(
        problem.detail.ends_with(
            "5 attempts in a row: the connection to its database was lost, or can't be made: try again later"
        )
    );
    // a renamed column, a changed type, and a dropped table
    let rows = described(&server(database.url()), Source::table("accounts"), vec![]).await;
    for (change, columns, message) in [
        ("ALTER TABLE accounts RENAME filler TO padding", vec!["id", "filler"], "columns is no longer there"),
        ("ALTER TABLE accounts ALTER amount TYPE text USING 'none'", vec!["amount"], "not of its type"),
        ("DROP TABLE accounts", vec!["id"], "table is no longer there"),
    ] {
        run(&database.db, change).await;
        let error = match rows.open(&query(&columns, Filter::all())).await {
            Err(e) => e,
            Ok(opened) => opened.frames.try_collect::<Vec<_>>().await.unwrap_err(),
        };
        assert!(!error.is_transient(), "{change}: {error}");
        let crate::error::Verdict::Fail(problem) = JobError::from(error).verdict() else { panic!("{change}") };
        assert!(problem.detail.contains(message) && !problem.detail.contains("accounts"), "{change}: {problem}");
    }
    // no error shows the URL
    let secret = "postgres://someone:hunter2@127.0.0.1:1/x";
    let unreachable = PostgresRows::describe(&server(secret), &Source::table("t")).await.unwrap_err();
    assert!(unreachable.is_transient() && !format!("{unreachable} {unreachable:?}").contains("hunter2"));
    assert!(!format!("{:?}", server(secret)).contains("hunter2"));
}
