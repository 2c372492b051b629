//! Tests that exported texts equal the texts of PostgreSQL's output functions, that columns of every type are offered,
//! and that errors state the reason.

use sea_orm::sqlx::{ConnectOptions, postgres::PgConnectOptions};

use super::*;

/// Types whose values are text in exported files. Each item has the type and an SQL literal of this type.
const VALUES: [(&str, &str); 35] = [
    ("inet", "'192.0.2.1'"),
    ("inet", "'192.0.2.1/24'"),
    ("inet", "'2001:db8::1'"),
    ("cidr", "'192.0.2.0/24'"),
    ("char(4)", "'ab'"),
    ("bpchar", "'ab '"),
    ("\"char\"", "'x'"),
    ("name", "'Some Name'"),
    ("varchar(9)", "'ab '"),
    ("xml", "'<?xml version=\"1.0\" encoding=\"UTF-8\"?><a/>'"),
    ("xml", "'<a>b</a>'"),
    ("label", "'of a domain'"),
    ("code", "'ab'"),
    ("address", "'192.0.2.7'"),
    ("money", "1234.5"),
    ("pair", "ROW(NULL, NULL)"),
    ("pair", "ROW(1, 'a \"b\"')"),
    ("pair", "NULL"),
    ("int4range", "'[1,5)'"),
    ("int4multirange", "'{[1,3),[5,9)}'"),
    ("datemultirange", "'{}'"),
    ("inet[]", "'{192.0.2.1,192.0.2.1/24,NULL}'"),
    ("char(3)[]", "'{a,\"b c\"}'"),
    ("regclass", "'odd'"),
    ("regtype", "'\"char\"'"),
    ("oid", "4294967295"),
    ("bit(3)", "'101'"),
    ("timetz", "'24:00+01'"),
    ("interval", "'1 year -2 days 03:04:05.6'"),
    ("tsvector", "'a fat cat'"),
    ("jsonpath", "'$.a'"),
    ("pg_lsn", "'16/B374D848'"),
    ("macaddr", "'08:00:2b:01:02:03'"),
    ("polygon", "'((0,0),(1,1),(1,0))'"),
    ("uuid", "'0199AAAA-0000-7000-8000-000000000001'"),
];

/// Returns the first row of a statement, with each value as the text that PostgreSQL's output functions print.
pub(super) async fn printed(database: &TestDatabase, statement: &str) -> Vec<Option<String>> {
    let options: PgConnectOptions = database.url().parse().unwrap();
    let mut conn = options.connect().await.unwrap();
    conn.execute("SET extra_float_digits = 1; SET quote_all_identifiers = off").await.unwrap();
    let row = conn.fetch_one(AssertSqlSafe(statement.to_owned()).into_sql_str()).await.unwrap();
    (0..row.len()).map(|index| row.try_get_unchecked(index).unwrap()).collect()
}

/// Whether the PostgreSQL server was built with the library for the type `xml`.
async fn has_xml(database: &TestDatabase) -> bool {
    let ask = "SELECT count(*) FROM pg_config WHERE name = 'CONFIGURE' AND setting LIKE '%--with-libxml%'";
    printed(database, ask).await[0].as_deref() != Some("0")
}

fn texts(frame: &DataFrame, names: &[&str]) -> Vec<Option<String>> {
    let text = |name: &&str| frame.column(name).unwrap().str().unwrap().get(0).map(str::to_owned);
    names.iter().map(text).collect()
}

#[tokio::test]
async fn texts_are_those_of_the_output_functions_and_filters_find_them() {
    // the server stops when this is dropped
    let postgres = Postgres::start().await;
    let database = postgres.database().await;
    run(
        &database.db,
        "CREATE DOMAIN label AS text; CREATE DOMAIN code AS char(4); CREATE DOMAIN base AS inet; \
         CREATE DOMAIN address AS base; CREATE TYPE pair AS (a int, b text)",
    )
    .await;
    let has_xml = has_xml(&database).await;
    let known: Vec<_> = VALUES.iter().filter(|(kind, _)| has_xml || *kind != "xml").collect();
    let columns: Vec<_> = known.iter().enumerate().map(|(n, (kind, _))| format!("c{n} {kind}")).collect();
    let values: Vec<_> = known.iter().map(|(_, value)| *value).collect();
    run(&database.db, &format!("CREATE TABLE odd ({})", columns.join(", "))).await;
    run(&database.db, &format!("INSERT INTO odd VALUES ({})", values.join(", "))).await;
    let set = "format('ALTER DATABASE %I SET quote_all_identifiers = on', current_database())";
    run(&database.db, &format!("DO $$ BEGIN EXECUTE {set}; END $$")).await;
    let expected = printed(&database, "SELECT * FROM odd").await;
    let server = server(database.url());
    let text = QueryText::parse("SELECT * FROM odd", &[]).unwrap();
    for source in [Source::table("odd"), Source::Query(text.into())] {
        let rows = described(&server, source, vec![]).await;
        let names: Vec<_> = rows.info.columns.iter().map(|column| column.name.clone()).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        assert!(rows.info.columns.iter().all(|column| column.kind == ColumnType::String));
        let read = frames(&rows, &query(&names, Filter::all())).await;
        assert_eq!(texts(&read[0], &names), expected);
        for (name, text) in names.iter().zip(&expected) {
            let test = text.as_ref().map_or_else(|| json!({"is_null": true}), |text| json!({"eq": text}));
            let filter = filter::parse(&json!({*name: test}), &rows.info().columns).unwrap();
            let found = frames(&rows, &query(&[name], filter)).await;
            assert_eq!(found.iter().map(DataFrame::height).sum::<usize>(), 1, "{name}: {text:?}");
        }
    }
}

#[tokio::test]
async fn catalog_tables_and_domains_over_numbers_are_offered() {
    // the server stops when this is dropped
    let postgres = Postgres::start().await;
    let database = postgres.database().await;
    run(
        &database.db,
        "CREATE DOMAIN share AS real; CREATE DOMAIN part AS share; CREATE DOMAIN big AS bigint; \
         CREATE TABLE parts AS SELECT 0.1::part AS p, 7::big AS n",
    )
    .await;
    let server = server(database.url());
    let text = QueryText::parse("SELECT * FROM parts", &[]).unwrap();
    for source in [Source::table("parts"), Source::Query(text.into())] {
        let rows = described(&server, source, vec![]).await;
        let kinds: Vec<_> = rows.info.columns.iter().map(|column| column.kind).collect();
        assert_eq!(kinds, [ColumnType::Float, ColumnType::Int]);
        let filter = filter::parse(&json!({"p": {"eq": 0.1}}), &rows.info().columns).unwrap();
        let read = frames(&rows, &query(&["p"], filter)).await;
        assert_eq!(read[0].column("p").unwrap().f64().unwrap().get(0), Some(0.1));
    }
    for name in ["pg_class", "pg_type", "pg_index", "pg_rewrite", "pg_proc"] {
        let rows = described(&server, Source::Table(vec!["pg_catalog".into(), name.into()]), vec![]).await;
        let texts_only = rows.info.columns.iter().filter(|column| column.kind == ColumnType::String);
        let names: Vec<_> = texts_only.map(|column| column.name.clone()).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        assert!(names.len() > 3, "{name}");
        let shown: Vec<_> = names.iter().map(|name| format!("\"{name}\"")).collect();
        let statement = format!("SELECT {} FROM pg_catalog.{name}", shown.join(", "));
        let expected = printed(&database, &statement).await;
        let read = frames(&rows, &query(&names, Filter::all())).await;
        assert_eq!(texts(&read[0], &names), expected, "{name}");
    }
}

#[tokio::test]
async fn a_filter_finds_decimals_of_many_digits() {
    // the server stops when this is dropped
    let postgres = Postgres::start().await;
    let database = postgres.database().await;
    let long = format!("{}.{}", "7".repeat(60), "3".repeat(30));
    run(&database.db, &format!("CREATE TABLE sums AS SELECT {long} AS n UNION ALL SELECT {long}1")).await;
    let rows = described(&server(database.url()), Source::table("sums"), vec![]).await;
    for (test, found) in [("eq", 1), ("gte", 2), ("gt", 1)] {
        let filter = filter::parse(&json!({"n": {test: long}}), &rows.info().columns).unwrap();
        let read = frames(&rows, &query(&["n"], filter)).await;
        assert_eq!(read.iter().map(DataFrame::height).sum::<usize>(), found, "{test}");
    }
}

#[tokio::test]
async fn rights_on_some_columns_suffice_for_a_table_of_many_pages() {
    // the server stops when this is dropped
    let postgres = Postgres::start().await;
    let database = postgres.database().await;
    accounts(&database).await;
    run(
        &database.db,
        "DROP ROLE IF EXISTS reader; CREATE ROLE reader LOGIN; GRANT USAGE ON SCHEMA public TO reader; \
         CREATE TABLE closed (n bigint); GRANT SELECT (id, amount) ON accounts TO reader",
    )
    .await;
    let url = database.url().replace("//postgres@", "//reader@");
    let server = server(&url);
    let source = Source::table("accounts");
    let found = PostgresRows::resolve(&server, source.clone()).await.unwrap();
    assert_eq!((found.columns.len(), found.unreadable), (3, vec!["filler".to_owned()]));
    let rows = described(&server, source, vec![]).await;
    for snapshot in [Snapshot::Export, Snapshot::None] {
        let read = frames(&with_snapshot(rows.clone(), snapshot), &query(&["id", "amount"], Filter::all())).await;
        assert_eq!(read.iter().map(DataFrame::height).sum::<usize>() as i64, ROWS);
    }
    let refused = PostgresRows::describe(&server, &Source::table("closed")).await.unwrap_err();
    assert_eq!(refused.user_message(), "the exporter has no right to read it: ask the operator to grant it SELECT");
    run(&database.db, "DROP OWNED BY reader; DROP ROLE reader").await;
}

#[tokio::test]
async fn each_cause_of_a_refusal_has_its_own_words() {
    // the server stops when this is dropped
    let postgres = Postgres::start().await;
    let database = postgres.database().await;
    run(
        &database.db,
        "CREATE TABLE t AS SELECT n::bigint AS n, 'x' || n AS s FROM generate_series(0, 9) AS n; CREATE SEQUENCE q; \
         CREATE MATERIALIZED VIEW empty AS SELECT 1 AS n WITH NO DATA",
    )
    .await;
    let server = server(database.url());
    let no_xml = if has_xml(&database).await { "no valid XML" } else { "does not support" };
    for (text, words) in [
        ("SELECT 10 / n AS v FROM t", "divides by zero"),
        ("SELECT (n + 9223372036854775800)::bigint AS v FROM t", "outside the range of its type"),
        ("SELECT s::bigint AS v FROM t", "not of its type"),
        ("SELECT s::date AS v FROM t", "no date or time"),
        ("SELECT (s || '<')::xml AS v FROM t", no_xml),
        ("SELECT nextval('q') AS v FROM t", "nextval"),
        ("SELECT n AS v FROM t FOR UPDATE", "FOR UPDATE"),
        ("SELECT n AS v FROM empty", "REFRESH MATERIALIZED VIEW"),
    ] {
        let source = Source::Query(QueryText::parse(text, &[]).unwrap().into());
        let columns = vec![Column::new("v", ColumnType::String)];
        let rows = PostgresRows::new(Arc::clone(&server), source, DatasetInfo::new("t", columns));
        let error = match rows.open(&query(&["v"], Filter::all())).await {
            Err(e) => e,
            Ok(opened) => opened.frames.try_collect::<Vec<_>>().await.unwrap_err(),
        };
        let message = error.user_message();
        assert!(message.contains(words), "{text}: {message}");
        assert!(!error.is_transient() && !error.is_outage(), "{text}");
    }
}
