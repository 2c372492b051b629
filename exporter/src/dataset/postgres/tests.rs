//! A real PostgreSQL: its types, its writers, and what clients could send it.

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
use crate::{
    dataset::sql::Raw,
    error::JobError,
    format::{Bounds, Csv, Encoding, Format, Head, Layout, LayoutColumn, Ndjson, Out, Parquet, Pattern, Tail, Xlsx},
    template::{Declared, Template, TemplateSpec},
};

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
}

fn layout(columns: &[Column]) -> Layout {
    Layout::plain(columns.iter().cloned().map(LayoutColumn::plain).collect())
}

/// The rows as a text format writes them.
fn written(format: &dyn Format, columns: &[Column], frames: &[DataFrame]) -> String {
    let encoding = format.encoding(&layout(columns), &Bounds::default()).unwrap();
    let Encoding::Frames(encoder) = encoding else { panic!("text has no state") };
    let mut out = Vec::new();
    frames.iter().for_each(|frame| encoder.encode(frame, &mut out).unwrap());
    String::from_utf8(out).unwrap()
}

/// The rows as a file of any other format.
fn file(format: &dyn Format, columns: &[Column], frames: &[DataFrame]) -> Vec<u8> {
    let Encoding::Whole(open) = format.encoding(&layout(columns), &Bounds::default()).unwrap() else { panic!("text") };
    let (bytes, now) = (Arc::new(Mutex::new(Vec::new())), platform::clock::SystemClock::shared().now().into());
    let head = Head { requested_at: now, completed_at: None };
    let mut writer = open(&head, Out::new(Arc::clone(&bytes))).unwrap();
    frames.iter().for_each(|frame| writer.write(frame).unwrap());
    writer.end(&Tail { rows: 2, completed_at: now }).unwrap();
    std::mem::take(&mut *bytes.lock().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_infinite_or_at_the_end_of_a_day_is_written_as_the_server_prints_it() {
    // the server lives as long as this
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
    let names: Vec<_> = rows.columns.iter().map(|column| column.name.clone()).collect();
    let read = frames(&rows, &query(&names.iter().map(String::as_str).collect::<Vec<_>>(), Filter::all())).await;
    assert_eq!(
        written(&Csv, &rows.columns, &read),
        "infinity,-infinity,infinity,-infinity,24:00:00,NaN,-0043-03-15\n\
         9999-12-31,+5874897-12-31,+294246-12-31T00:00:00Z,-4712-01-01T00:00:00Z,23:59:59.999999,-Infinity,\n"
    );
    let lines = written(&Ndjson, &rows.columns, &read);
    let first: Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert_eq!(
        first,
        json!({"until": "infinity", "since": "-infinity", "at": "infinity", "ts": "-infinity", "clock": "24:00:00",
               "amount": "NaN", "bc": "-0043-03-15"})
    );
    // a template's pattern is for what is on the calendar
    let mut styled = layout(&rows.columns);
    for column in &mut styled.columns {
        let pattern = match column.source.kind {
            ColumnType::Date => "dd.MM.yyyy",
            ColumnType::Time => "HH:mm",
            _ => continue,
        };
        column.look.pattern = Some(Pattern::parse(pattern).unwrap());
    }
    let Encoding::Frames(encoder) = Csv.encoding(&styled, &Bounds::default()).unwrap() else { panic!("text") };
    let mut out = Vec::new();
    encoder.encode(&read[0], &mut out).unwrap();
    let out = String::from_utf8(out).unwrap();
    assert!(out.starts_with("infinity,-infinity,infinity,-infinity,24:00:00,NaN,15.03.-0043\n31.12.9999,"), "{out}");
    // in Parquet stand the numbers that DuckDB takes for infinity
    let parquet = file(&Parquet, &rows.columns, &read);
    let back = ParquetReader::new(Cursor::new(parquet)).finish().unwrap();
    let number = |name: &str| {
        back.column(name).unwrap().to_physical_repr().cast(&DataType::Int64).unwrap().i64().unwrap().get(0).unwrap()
    };
    assert_eq!((number("until"), number("since")), (i64::from(i32::MAX), -i64::from(i32::MAX)));
    assert_eq!((number("at"), number("ts"), number("clock")), (i64::MAX, -i64::MAX, 86_399_999_999_998));
    assert!(file(&Xlsx, &rows.columns, &read).starts_with(b"PK"));
    // and calculated columns are NULL there
    let spec: TemplateSpec = toml::from_str(
        "name = \"t\"\n[[column]]\nname = \"y\"\nvalue = \"year(until)\"\n[[column]]\nname = \"h\"\n\
         value = \"hour(at)\"\n[[column]]\nname = \"a\"\nvalue = \"amount + 1\"\n[[column]]\nname = \"c\"\nvalue = \"concat(since)\"",
    )
    .unwrap();
    let made = Declared::new(spec).layout(&rows, &[]).unwrap();
    let inputs = read[0].select(made.inputs().iter().map(String::as_str)).unwrap();
    let made = made.shape.apply(inputs).unwrap();
    let shown: Vec<_> = made.columns().iter().map(|c| c.get(0).unwrap().str_value().into_owned()).collect();
    assert_eq!(shown, ["null", "null", "null", ""]);
    assert_eq!(made.columns()[0].get(1).unwrap().str_value(), "9999");
}

#[tokio::test(flavor = "multi_thread")]
async fn exact_numbers_are_calculated_with_and_written_in_a_templates_way() {
    // the server lives as long as this
    let postgres = Postgres::start().await;
    let database = postgres.database().await;
    run(&database.db, "CREATE TABLE bills AS SELECT 9.50::numeric AS price, 10.005::numeric AS tax").await;
    let rows = described(&server(database.url()), Source::table("bills"), vec![]).await;
    let spec: TemplateSpec = toml::from_str(
        "name = \"t\"\n[text]\ndecimal_mark = \",\"\ndelimiter = \";\"\n[[column]]\nsource = \"tax\"\ndecimals = 2\n\
         [[column]]\nname = \"sum\"\nvalue = \"price + tax\"\n[[column]]\nname = \"more\"\nvalue = \"tax > price\"",
    )
    .unwrap();
    let made = Declared::new(spec).layout(&rows, &[]).unwrap();
    let inputs: Vec<_> = made.inputs().iter().map(String::as_str).collect();
    let read = frames(&rows, &query(&inputs, Filter::all())).await;
    let shaped = made.shape.apply(read[0].clone()).unwrap();
    let Encoding::Frames(encoder) = Csv.encoding(&made, &Bounds::default()).unwrap() else { panic!("text") };
    let mut out = Vec::new();
    encoder.encode(&shaped, &mut out).unwrap();
    assert_eq!(String::from_utf8(out).unwrap(), "10,01;19,5050000000;true\n");
}

#[tokio::test]
async fn filters_find_what_is_shown_as_text_whatever_it_is() {
    // the server lives as long as this
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
    for order in [None, Some("id".to_owned())] {
        let rows = PostgresRows::new(Arc::clone(&server), Source::table("mixed"), "t", columns.clone(), vec![], order);
        for filter in [
            json!({"id": {"eq": "0199aaaa-0000-7000-8000-000000000001"}}),
            json!({"id": {"lt": "0199aaaa-0000-7000-8000-000000000002"}}),
            json!({"id": {"like": "%1"}}),
            json!({"mood": {"in": ["so so", "no mood"]}}),
            json!({"doc": {"contains": "\"a\""}}),
            json!({"list": {"ne": "{}"}}),
            json!({"address": {"contains": "192.0.2.1"}}),
        ] {
            let asked = filter::parse(&filter, rows.columns()).unwrap();
            let read = frames(&rows, &query(&["n"], asked)).await;
            let found: Vec<_> = read
                .iter()
                .flat_map(|f| f.column("n").unwrap().i64().unwrap().iter().flatten().collect::<Vec<_>>())
                .collect();
            assert_eq!(found, [1], "{filter}");
        }
    }
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

/// Reads these rows some times while somebody moves the rows of `table` about: each time they are those of one moment.
/// The writer begins with its step `from`: a step that was made before would not keep the sum.
async fn one_moment(database: &TestDatabase, (table, from): (&'static str, i64), rows: &PostgresRows, params: Value) {
    let (stop, writes) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let writer = {
        let (db, stop, writes) = (database.db.clone(), Arc::clone(&stop), Arc::clone(&writes));
        tokio::spawn(async move {
            let mut n = from;
            while !stop.load(Ordering::Relaxed) {
                // each statement keeps the sum and the number of rows; what is updated moves to other pages
                let (a, b) = (n * 7919 % ROWS + 1, n * 104_729 % ROWS + 1);
                run(
                    &db,
                    &format!(
                        "WITH gone AS (DELETE FROM {table} WHERE id = {a} RETURNING amount), \
                         moved AS (UPDATE {table} SET amount = amount + 1 WHERE id = {b} AND id <> {a} RETURNING 1) \
                         INSERT INTO {table} (id, amount, filler) \
                         SELECT {ROWS} + {n}, gone.amount - (SELECT count(*) FROM moved), 'new' FROM gone"
                    ),
                )
                .await;
                writes.fetch_add(1, Ordering::Relaxed);
                n += 1;
            }
        })
    };
    let asked =
        Query { params: params.as_object().cloned().unwrap_or_default(), ..query(&["id", "amount"], Filter::all()) };
    for _ in 0..3 {
        let before = writes.load(Ordering::Relaxed);
        let read = frames(rows, &asked).await;
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
async fn a_parallel_read_is_one_moment_however_much_is_written() {
    // the server lives as long as this
    let postgres = Postgres::start().await;
    let database = postgres.database().await;
    accounts(&database).await;
    let rows = described(&server(database.url()), Source::table("public.accounts"), vec![]).await;
    one_moment(&database, ("accounts", 1), &rows, json!({})).await;
}

/// The rows read in ranges of a key, of which there must be some.
async fn split(
    server: &Arc<PostgresServer>,
    source: Source,
    key: &str,
    params: Vec<ParamSpec>,
    given: Value,
) -> PostgresRows {
    let key = Key::find(server, &source, key).await.unwrap().unwrap();
    let rows = described(server, source, params).await.split_by(key.clone());
    let mut session = server.connect().await.unwrap();
    let asked = Query { params: given.as_object().cloned().unwrap_or_default(), ..query(&["id"], Filter::all()) };
    let ranges = key.ranges(server, &mut session.conn, &rows, &asked, ROWS as u64).await.unwrap();
    assert!(ranges.len() > 2, "{} ranges", ranges.len());
    rows
}

#[tokio::test]
async fn what_has_no_pages_is_read_in_ranges_of_a_key_and_is_one_moment_too() {
    // the server lives as long as this
    let postgres = Postgres::start().await;
    let database = postgres.database().await;
    run(
        &database.db,
        "CREATE TABLE ledger (id bigint, amount bigint, filler text, at timestamptz, day date, tag uuid) \
         PARTITION BY RANGE (id); \
         CREATE TABLE ledger_a PARTITION OF ledger FOR VALUES FROM (MINVALUE) TO (150000); \
         CREATE TABLE ledger_b PARTITION OF ledger FOR VALUES FROM (150000) TO (MAXVALUE)",
    )
    .await;
    // NULL, infinite and far apart as keys come
    run(
        &database.db,
        &format!(
            "INSERT INTO ledger SELECT n, 100, repeat('x', 50), \
               CASE n % 1000 WHEN 0 THEN NULL WHEN 1 THEN 'infinity' WHEN 2 THEN '-infinity' \
                 ELSE '2020-01-01Z'::timestamptz + n * interval '7 minutes' END, \
               CASE WHEN n % 500 > 0 THEN '1950-01-01'::date + (n / 10)::int END, md5(n::text)::uuid \
             FROM generate_series(1, {ROWS}) AS n"
        ),
    )
    .await;
    run(&database.db, "CREATE INDEX ON ledger (id); CREATE VIEW ledger_view AS SELECT * FROM ledger; ANALYZE ledger")
        .await;
    let server = server(database.url());
    let rows = split(&server, Source::table("ledger"), "id", vec![], json!({})).await;
    one_moment(&database, ("ledger", 1), &rows, json!({})).await;
    let all = |read: &[DataFrame]| {
        let ids = read.iter().flat_map(|f| f.column("id").unwrap().i64().unwrap().iter().flatten().collect::<Vec<_>>());
        let (mut ids, total): (Vec<i64>, usize) = (ids.collect(), read.iter().map(DataFrame::height).sum());
        ids.sort_unstable();
        ids.dedup();
        (ids.len(), total)
    };
    for key in ["id", "at", "day", "tag"] {
        let rows = split(&server, Source::table("ledger_view"), key, vec![], json!({})).await;
        let read = frames(&rows, &query(&["id"], Filter::all())).await;
        assert_eq!(all(&read), (ROWS as usize, ROWS as usize), "{key}");
    }
    // a query with a parameter, and a filter besides
    let spec = ParamSpec {
        name: "least".into(),
        kind: ParamType::Int,
        description: String::new(),
        default: None,
        max_items: None,
    };
    let raw = Raw::parse("SELECT id, amount FROM ledger WHERE amount >= :least", std::slice::from_ref(&spec)).unwrap();
    let rows = split(&server, Source::Query(raw.into()), "id", vec![spec], json!({"least": 0})).await;
    one_moment(&database, ("ledger", 200_001), &rows, json!({"least": -1_000_000})).await;
    for (name, word) in [("filler", "text"), ("nope", "no column")] {
        let refused = Key::find(&server, &Source::table("ledger"), name).await.unwrap().unwrap_err();
        assert!(refused.contains(word), "{refused}");
    }
}

#[tokio::test]
async fn without_a_snapshot_each_range_is_as_it_is_when_it_is_read() {
    // the server lives as long as this
    let postgres = Postgres::start().await;
    let database = postgres.database().await;
    accounts(&database).await;
    for (moment, left) in [(Snapshot::Export, ROWS), (Snapshot::None, ROWS - 10_000)] {
        // one connection, so that the last range is not read before its turn
        let settings =
            PostgresSettings { connections_per_export: 1, ..PostgresSettings::at(Secret::new(database.url())) };
        let server = Arc::new(PostgresServer::new(&settings).unwrap());
        let rows = described(&server, Source::table("accounts"), vec![]).await.of_moment(moment);
        assert_eq!(rows.snapshot(), moment);
        let mut reading = rows.open(&query(&["id"], Filter::all())).await.unwrap();
        let mut seen = reading.try_next().await.unwrap().unwrap().height();
        run(&database.db, &format!("CREATE TABLE kept AS SELECT * FROM accounts WHERE id > {}", ROWS - 10_000)).await;
        run(&database.db, &format!("DELETE FROM accounts WHERE id > {}", ROWS - 10_000)).await;
        while let Some(frame) = reading.try_next().await.unwrap() {
            seen += frame.height();
        }
        assert_eq!(seen as i64, left, "{moment:?}");
        run(&database.db, "INSERT INTO accounts SELECT * FROM kept; DROP TABLE kept").await;
    }
}

#[tokio::test]
async fn much_is_guessed_and_not_counted() {
    // the server lives as long as this
    let postgres = Postgres::start().await;
    let database = postgres.database().await;
    let server = server(database.url());
    let of = async |text: &str| described(&server, Source::Query(Raw::parse(text, &[]).unwrap().into()), vec![]).await;
    let all = query(&[], Filter::all());
    let few = of("SELECT n FROM generate_series(1, 1000) AS n").await;
    assert_eq!(few.count(&all).await.unwrap(), Some(1_000));
    let many = of("SELECT n FROM generate_series(1, 2000000000) AS n").await;
    assert_eq!(many.count(&all).await.unwrap(), None);
    assert!(many.guess(&all).await.unwrap().is_some_and(|guess| !guess.exact && guess.rows > 1_000_000));
    assert!(many.guesses_from_all_rows());
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
    let ended = ended.unwrap_err();
    assert!(ended.is_transient(), "another try may work");
    let crate::error::Verdict::Fail(problem) = JobError::from(ended).last_verdict(5) else { panic!("a last attempt") };
    assert!(problem.detail.ends_with("5 times in a row: the connection to its database was lost, or can't be made"));
    // a table that lost a column, and one that is gone
    let rows = described(&server(database.url()), Source::table("accounts"), vec![]).await;
    for (change, columns, told) in [
        ("ALTER TABLE accounts RENAME filler TO padding", vec!["id", "filler"], "columns is no longer there"),
        ("ALTER TABLE accounts ALTER amount TYPE text USING 'none'", vec!["amount"], "not of its type"),
        ("DROP TABLE accounts", vec!["id"], "table is no longer there"),
    ] {
        run(&database.db, change).await;
        let error = match rows.open(&query(&columns, Filter::all())).await {
            Err(e) => e,
            Ok(reading) => reading.try_collect::<Vec<_>>().await.unwrap_err(),
        };
        assert!(!error.is_transient(), "{change}: {error}");
        let crate::error::Verdict::Fail(problem) = JobError::from(error).verdict() else { panic!("{change}") };
        assert!(problem.detail.contains(told) && !problem.detail.contains("accounts"), "{change}: {problem}");
    }
    // nor does a URL ever show in an error
    let secret = "postgres://someone:hunter2@127.0.0.1:1/x";
    let away = PostgresRows::describe(&server(secret), &Source::table("t")).await.unwrap_err();
    assert!(away.is_transient() && !format!("{away} {away:?}").contains("hunter2"));
    assert!(!format!("{:?}", server(secret)).contains("hunter2"));
}

/// Statements of exporters that the server is at, or that wait for such a thing.
async fn at_work(database: &TestDatabase, wait: &str) -> i64 {
    let ask = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'sluice-exporter' AND state = 'active' \
         AND coalesce(wait_event_type, '') LIKE '{wait}'"
    );
    let row = database.db.query_one_raw(sea_orm::Statement::from_string(DbBackend::Postgres, ask)).await.unwrap();
    row.unwrap().try_get_by_index(0).unwrap()
}

#[tokio::test]
async fn what_is_dropped_does_not_go_on_in_the_server() {
    // the server lives as long as this
    let postgres = Postgres::start().await;
    let database = postgres.database().await;
    // minutes of work before its one row
    let raw = Raw::parse(
        "SELECT count(*) AS n FROM generate_series(1, 100000) AS a, generate_series(1, 100000) AS b WHERE a <> b",
        &[],
    );
    let rows = described(&server(database.url()), Source::Query(raw.unwrap().into()), vec![]).await;
    let mut reading = rows.open(&query(&["n"], Filter::all())).await.unwrap();
    let first = tokio::spawn(async move { reading.try_next().await });
    testkit::eventually("the server is at it", async || (at_work(&database, "%").await == 1).then_some(())).await;
    first.abort();
    testkit::eventually("the server stops", async || (at_work(&database, "%").await == 0).then_some(())).await;
}

#[tokio::test]
async fn exports_may_take_long_and_questions_may_not_whatever_the_server_is_set_to() {
    // the server lives as long as this
    let postgres = Postgres::start().await;
    let database = postgres.database().await;
    for name in ["statement_timeout", "idle_in_transaction_session_timeout"] {
        let set = format!("format('ALTER DATABASE %I SET {name} = 50', current_database())");
        run(&database.db, &format!("DO $$ BEGIN EXECUTE {set}; END $$")).await;
    }
    let server = server(database.url());
    let setting = async |session: &mut server::Session, name: &str| -> String {
        let ask = AssertSqlSafe(format!("SELECT current_setting('{name}')")).into_sql_str();
        session.conn.fetch_one(ask).await.unwrap().try_get_unchecked(0).unwrap()
    };
    let mut long = server.connect().await.unwrap();
    let mut more = server.connect_if_free().await.unwrap().unwrap();
    let mut short = server.connect_briefly().await.unwrap();
    for (session, expected) in [(&mut long, "0"), (&mut more, "0"), (&mut short, "10s")] {
        assert_eq!(setting(session, "statement_timeout").await, expected);
        assert_eq!(setting(session, "idle_in_transaction_session_timeout").await, "0");
        assert_eq!(setting(session, "client_connection_check_interval").await, "2s");
    }
}

#[tokio::test]
async fn an_export_waits_for_a_connection_and_does_not_fail() {
    // the server lives as long as this
    let postgres = Postgres::start().await;
    let database = postgres.database().await;
    run(&database.db, "CREATE TABLE few AS SELECT n::bigint AS n FROM generate_series(1, 10) AS n").await;
    let settings = PostgresSettings {
        connections: 1,
        connect_timeout: std::time::Duration::from_secs(2),
        ..PostgresSettings::at(Secret::new(database.url()))
    };
    let server = Arc::new(PostgresServer::new(&settings).unwrap());
    let rows = described(&server, Source::table("few"), vec![]).await;
    let all = query(&["n"], Filter::all());
    let held = server.connect().await.unwrap();
    // nobody is counted beside it
    assert_eq!(rows.count(&all).await.unwrap(), None);
    let waiting = tokio::spawn({
        let (rows, all) = (rows.clone(), all.clone());
        async move { frames(&rows, &all).await }
    });
    // longer than a connection may take, after which a question gives up
    for _ in 0..2 {
        assert!(rows.guess(&all).await.unwrap_err().is_transient() && !waiting.is_finished());
    }
    drop(held);
    let read = waiting.await.unwrap();
    assert_eq!(read.iter().map(DataFrame::height).sum::<usize>(), 10);
}

#[tokio::test]
async fn a_table_that_is_emptied_meanwhile_never_looks_whole_without_its_rows() {
    // the server lives as long as this
    let postgres = Postgres::start().await;
    let database = postgres.database().await;
    accounts(&database).await;
    let rows = described(&server(database.url()), Source::table("accounts"), vec![]).await;
    let emptying = sea_orm::TransactionTrait::begin(&database.db).await.unwrap();
    emptying.execute_unprepared("TRUNCATE accounts").await.unwrap();
    let reading = tokio::spawn(async move { frames(&rows, &query(&["id"], Filter::all())).await });
    // the export has no moment before whoever empties it is done
    testkit::eventually("the export waits", async || (at_work(&database, "Lock").await == 1).then_some(())).await;
    let refill = format!("INSERT INTO accounts SELECT n, 7, repeat('y', 100) FROM generate_series(1, {ROWS}) AS n");
    emptying.execute_unprepared(&refill).await.unwrap();
    emptying.commit().await.unwrap();
    let read = reading.await.unwrap();
    assert_eq!(read.iter().map(DataFrame::height).sum::<usize>() as i64, ROWS);
}
