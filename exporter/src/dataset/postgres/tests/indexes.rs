//! Tests that filters and row policies on columns of type text and uuid use an index, and let only matching rows pass.

use super::*;
use crate::dataset::postgres::ranges::Ranged;

/// The number of rows in the table `owned`.
const OWNED: usize = 100_000;
/// The number of tenants in the table `owned`.
const TENANTS: usize = 1_000;

/// Creates the table `owned`. Three columns name the tenant of each row: one of type `text`, one of type `varchar`, and
/// one of type `uuid`. Each has an index.
async fn owned(database: &TestDatabase) {
    run(
        &database.db,
        &format!(
            "CREATE TABLE owned AS SELECT n::bigint AS id, 't' || n % {TENANTS} AS tenant, \
               ('t' || n % {TENANTS})::varchar(20) AS short, \
               lpad(to_hex(n % {TENANTS}), 32, '0')::uuid AS tag, repeat('x', 150) AS filler \
             FROM generate_series(1, {OWNED}) AS n"
        ),
    )
    .await;
    run(&database.db, "CREATE INDEX by_tenant ON owned (tenant); CREATE INDEX by_short ON owned (short)").await;
    run(&database.db, "CREATE INDEX by_tag ON owned (tag); ANALYZE owned").await;
}

/// Returns the number of ranges into which a query is split, and the server's plan of its statement.
async fn read_by(server: &Arc<PostgresServer>, rows: &PostgresRows, query: &Query) -> (usize, String) {
    let mut session = server.connect().await.unwrap();
    let mut select = TableSelect { rows: rows.clone(), query: query.clone(), select: None };
    let ranges = select.ranges(&mut session.conn).await.unwrap().len();
    let explain = format!("EXPLAIN (FORMAT JSON) {}", select.text(None).unwrap());
    (ranges, rows.number(&mut session.conn, explain).await.unwrap().unwrap())
}

async fn ids(rows: &PostgresRows, query: &Query) -> Vec<i64> {
    let read = frames(rows, query).await;
    let ids = read.iter().flat_map(|f| f.column("id").unwrap().i64().unwrap().iter().flatten().collect::<Vec<_>>());
    let mut ids: Vec<_> = ids.collect();
    ids.sort_unstable();
    ids
}

#[tokio::test]
async fn a_row_policy_uses_an_index_and_gives_only_the_rows_of_its_tenant() {
    // the server stops when this is dropped
    let postgres = Postgres::start().await;
    let database = postgres.database().await;
    owned(&database).await;
    let server = server(database.url());
    let table = described(&server, Source::table("owned"), vec![]).await;
    let text = QueryText::parse("SELECT id, tenant, short, tag, filler FROM owned", &[]).unwrap();
    let select = described(&server, Source::Query(text.into()), vec![]).await;
    let of = |tenants: [usize; 2]| -> Vec<i64> {
        (1..=OWNED).filter(|n| tenants.contains(&(n % TENANTS))).map(|n| n as i64).collect()
    };
    let tag = "00000000-0000-0000-0000-000000000007";
    for (filter, index, tenants) in [
        (json!({"tenant": {"eq": "t7"}}), "by_tenant", [7, 7]),
        (json!({"tenant": {"in": ["t7", "t8", "T7"]}}), "by_tenant", [7, 8]),
        (json!({"short": {"eq": "t7"}}), "by_short", [7, 7]),
        (json!({"tag": {"eq": tag}}), "by_tag", [7, 7]),
        (json!({"tag": {"in": [tag, "no uuid"]}}), "by_tag", [7, 7]),
        (json!({"and": [{"tenant": {"eq": "t7"}}, {"filler": {"like": "x%"}}]}), "by_tenant", [7, 7]),
    ] {
        for rows in [&table, &select] {
            let asked = query(&["id"], filter::parse(&filter, &rows.info().columns).unwrap());
            let (ranges, plan) = read_by(&server, rows, &asked).await;
            assert!(ranges == 0 && plan.contains(index), "{filter}: {ranges} ranges, {plan}");
            assert_eq!(ids(rows, &asked).await, of(tenants), "{filter}");
        }
    }
    // a filter that leaves many rows is read in ranges of pages
    let many = query(&["id"], filter::parse(&json!({"tenant": {"ne": "t7"}}), &table.info().columns).unwrap());
    let settings = PostgresSettings { few_rows: 1_000, ..PostgresSettings::at(Secret::new(database.url())) };
    let strict = Arc::new(PostgresServer::new(&settings).unwrap());
    let table = described(&strict, Source::table("owned"), vec![]).await;
    for asked in [many, query(&["id"], Filter::all())] {
        assert!(read_by(&strict, &table, &asked).await.0 > 1);
    }
    // neither another notation of the uuid nor an invalid uuid passes
    for text in ["00000000000000000000000000000007", "{00000000-0000-0000-0000-000000000007}", "7", ""] {
        let asked = filter::parse(&json!({"tag": {"eq": text}}), &table.info().columns).unwrap();
        assert!(ids(&table, &query(&["id"], asked)).await.is_empty(), "{text}");
    }
}

#[tokio::test]
async fn only_the_same_bytes_are_the_same_tenant_after_any_change_of_the_column() {
    // the server stops when this is dropped
    let postgres = Postgres::start().await;
    let database = postgres.database().await;
    run(
        &database.db,
        "CREATE COLLATION blind (provider = icu, locale = 'und-u-ks-level2', deterministic = false); \
         CREATE TABLE folk (id bigint, tenant text, padded char(6)); \
         INSERT INTO folk VALUES (1, 'acme', 'acme'), (2, 'ACME', 'ACME'), (3, 'acme ', 'other'), (4, NULL, NULL)",
    )
    .await;
    run(&database.db, "CREATE VIEW seen AS SELECT id, tenant, padded FROM folk").await;
    let server = server(database.url());
    let text = QueryText::parse("SELECT id, tenant, padded FROM folk", &[]).unwrap();
    let mut all = vec![described(&server, Source::Query(text.into()), vec![]).await];
    for name in ["folk", "seen"] {
        all.push(described(&server, Source::table(name), vec![]).await);
    }
    // the datasets are described before each change, and queried after it
    for (change, tenant) in [
        ("SELECT 1", "acme"),
        (
            "DROP VIEW seen; ALTER TABLE folk ALTER tenant TYPE text COLLATE blind; \
             CREATE VIEW seen AS SELECT id, tenant, padded FROM folk",
            "acme",
        ),
        (
            "DROP VIEW seen; ALTER TABLE folk ALTER tenant TYPE varchar(9) COLLATE blind; \
             CREATE VIEW seen AS SELECT id, tenant, padded FROM folk",
            "acme",
        ),
        // the padding is a part of the value, in files as well
        (
            "DROP VIEW seen; ALTER TABLE folk ALTER tenant TYPE char(9) COLLATE blind; \
             CREATE VIEW seen AS SELECT id, tenant, padded FROM folk; UPDATE folk SET tenant = 'other' WHERE id = 3",
            "acme     ",
        ),
    ] {
        run(&database.db, change).await;
        for rows in &all {
            for test in [json!({"eq": tenant}), json!({"in": [tenant, "x"]}), json!({"like": tenant})] {
                let asked = filter::parse(&json!({"tenant": test}), &rows.info().columns).unwrap();
                assert_eq!(ids(rows, &query(&["id"], asked)).await, [1], "{change}: {rows:?}");
            }
            let contains = filter::parse(&json!({"tenant": {"contains": "CM"}}), &rows.info().columns).unwrap();
            assert_eq!(ids(rows, &query(&["id"], contains)).await, [2], "{change}: {rows:?}");
            let not = filter::parse(&json!({"not": {"tenant": {"eq": tenant}}}), &rows.info().columns).unwrap();
            assert_eq!(ids(rows, &query(&["id"], not)).await, [2, 3], "{change}: {rows:?}");
        }
    }
}

#[tokio::test]
async fn a_real_is_read_and_found_by_its_shortest_text() {
    // the server stops when this is dropped
    let postgres = Postgres::start().await;
    let database = postgres.database().await;
    run(
        &database.db,
        "CREATE TABLE reals AS SELECT n::bigint AS id, (n / 10.0)::real AS r FROM generate_series(1, 9) AS n",
    )
    .await;
    let server = server(database.url());
    let text = QueryText::parse("SELECT id, r FROM reals", &[]).unwrap();
    for source in [Source::table("reals"), Source::Query(text.into())] {
        let rows = described(&server, source, vec![]).await;
        let read = frames(&rows, &query(&["r"], Filter::all())).await;
        let numbers: Vec<_> = read[0].column("r").unwrap().f64().unwrap().iter().flatten().collect();
        assert_eq!(numbers, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]);
        for (filter, found) in [
            (json!({"r": {"eq": 0.1}}), vec![1]),
            (json!({"r": {"lte": 0.2}}), vec![1, 2]),
            (json!({"r": {"in": [0.3, 0.7]}}), vec![3, 7]),
        ] {
            let asked = filter::parse(&filter, &rows.info().columns).unwrap();
            assert_eq!(ids(&rows, &query(&["id"], asked)).await, found, "{filter}");
        }
    }
}
