//! Tests that several connections read one snapshot while a writer modifies the table.

use super::*;

/// Reads rows several times while a writer modifies `table`, and checks that each read shows one snapshot. The number
/// of each statement of the writer, from `from` on, decides which rows it modifies. Each statement keeps the sum of the
/// table. Several calls for one table need different numbers, because a repeated statement would change the sum.
async fn assert_one_snapshot(
    database: &TestDatabase,
    (table, from): (&'static str, i64),
    rows: &PostgresRows,
    params: Value,
) {
    let (stop, writes) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let writer = {
        let (db, stop, writes) = (database.db.clone(), Arc::clone(&stop), Arc::clone(&writes));
        tokio::spawn(async move {
            let mut n = from;
            while !stop.load(Ordering::Relaxed) {
                // each statement keeps the sum and the number of rows; an update moves its row to another page
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
        let mut reading = rows.open(&asked).await.unwrap().frames;
        let mut read = vec![reading.try_next().await.unwrap().unwrap()];
        // wait for a write that began after the snapshot
        let before = writes.load(Ordering::Relaxed);
        let written = async || (writes.load(Ordering::Relaxed) > before + 1).then_some(());
        testkit::eventually("the writer writes", written).await;
        read.extend(reading.try_collect::<Vec<_>>().await.unwrap());
        let (mut ids, mut sum) = (HashSet::new(), 0);
        for frame in &read {
            ids.extend(frame.column("id").unwrap().i64().unwrap().iter().flatten());
            sum += frame.column("amount").unwrap().i64().unwrap().iter().flatten().sum::<i64>();
        }
        let total: usize = read.iter().map(DataFrame::height).sum();
        assert_eq!((total as i64, ids.len() as i64, sum), (ROWS, ROWS, 100 * ROWS));
    }
    stop.store(true, Ordering::Relaxed);
    writer.await.unwrap();
}

#[tokio::test]
async fn a_parallel_read_shows_one_snapshot_under_concurrent_writes() {
    // the server stops when this is dropped
    let postgres = Postgres::start().await;
    let database = postgres.database().await;
    accounts(&database).await;
    let rows = described(&server(database.url()), Source::table("public.accounts"), vec![]).await;
    assert_one_snapshot(&database, ("accounts", 1), &rows, json!({})).await;
}

/// Opens a dataset whose rows are split into ranges of the column `key`, and checks that there are several ranges. If
/// `source` is a query, `params` are its parameters, and `given` has their values.
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
async fn slow_ranges_of_a_key_show_one_snapshot_and_hold_each_row_once() {
    // the server stops when this is dropped
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
    // keys with NULL, infinity and large gaps
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
    assert_one_snapshot(&database, ("ledger", 1), &rows, json!({})).await;
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
    // a query with a parameter
    let spec = ParamSpec {
        name: "least".into(),
        kind: ParamType::Int,
        description: String::new(),
        default: None,
        max_items: None,
    };
    let text =
        QueryText::parse("SELECT id, amount FROM ledger WHERE amount >= :least", std::slice::from_ref(&spec)).unwrap();
    let rows = split(&server, Source::Query(text.into()), "id", vec![spec], json!({"least": 0})).await;
    assert_one_snapshot(&database, ("ledger", 200_001), &rows, json!({"least": -1_000_000})).await;
    for (name, word) in [("filler", "text"), ("nope", "none of its columns")] {
        let refused = Key::find(&server, &Source::table("ledger"), name).await.unwrap().unwrap_err();
        assert!(refused.contains(word), "{refused}");
    }
}

#[tokio::test]
async fn without_a_snapshot_each_range_shows_the_rows_of_its_own_read() {
    // the server stops when this is dropped
    let postgres = Postgres::start().await;
    let database = postgres.database().await;
    accounts(&database).await;
    for (snapshot, left) in [(Snapshot::Export, ROWS), (Snapshot::None, ROWS - 10_000)] {
        // one connection reads the last range last
        let settings =
            PostgresSettings { connections_per_export: 1, ..PostgresSettings::at(Secret::new(database.url())) };
        let server = Arc::new(PostgresServer::new(&settings).unwrap());
        let rows = with_snapshot(described(&server, Source::table("accounts"), vec![]).await, snapshot);
        assert_eq!(rows.info().snapshot, snapshot);
        let mut reading = rows.open(&query(&["id"], Filter::all())).await.unwrap().frames;
        let mut seen = reading.try_next().await.unwrap().unwrap().height();
        run(&database.db, &format!("CREATE TABLE kept AS SELECT * FROM accounts WHERE id > {}", ROWS - 10_000)).await;
        run(&database.db, &format!("DELETE FROM accounts WHERE id > {}", ROWS - 10_000)).await;
        while let Some(frame) = reading.try_next().await.unwrap() {
            seen += frame.height();
        }
        assert_eq!(seen as i64, left, "{snapshot:?}");
        run(&database.db, "INSERT INTO accounts SELECT * FROM kept; DROP TABLE kept").await;
    }
}

#[tokio::test]
async fn expressions_that_differ_between_sessions_are_found_in_queries_views_and_functions() {
    // the server stops when this is dropped
    let postgres = Postgres::start().await;
    let database = postgres.database().await;
    run(
        &database.db,
        "CREATE TABLE t (id bigint PRIMARY KEY, at timestamptz, name text); \
         CREATE FUNCTION fresh(at timestamptz) RETURNS boolean LANGUAGE plpgsql STABLE \
           AS 'BEGIN RETURN at > now() - interval ''1 day''; END'; \
         CREATE FUNCTION known(at timestamptz) RETURNS boolean LANGUAGE plpgsql STABLE \
           AS 'BEGIN RETURN at IS NOT NULL; END'; \
         CREATE FUNCTION dice(text, text) RETURNS boolean LANGUAGE plpgsql VOLATILE AS 'BEGIN RETURN true; END'; \
         CREATE OPERATOR ~~~~ (LEFTARG = text, RIGHTARG = text, FUNCTION = dice); \
         CREATE VIEW newest AS SELECT * FROM t ORDER BY at DESC LIMIT 100000; \
         CREATE VIEW recent AS SELECT * FROM t WHERE at > current_timestamp - interval '1 day'",
    )
    .await;
    let server = server(database.url());
    for (text, reason) in [
        ("SELECT * FROM t LIMIT 10", Some("limit")),
        ("SELECT * FROM t OFFSET 10", Some("limit")),
        ("SELECT * FROM t ORDER BY id FETCH FIRST 10 ROWS ONLY", Some("limit")),
        ("SELECT * FROM newest", Some("limit")),
        ("SELECT id, name FROM recent", Some("current_timestamp")),
        ("SELECT * FROM t WHERE at > now()", Some("now()")),
        ("SELECT * FROM t WHERE at::date = current_date", Some("current_date")),
        ("SELECT id, age(at) AS old FROM t", Some("current_date")),
        ("SELECT * FROM t WHERE at > 'yesterday'", Some("'yesterday'")),
        ("SELECT * FROM t WHERE random() < 0.5", Some("random()")),
        ("SELECT id, gen_random_uuid() AS tag FROM t", Some("gen_random_uuid()")),
        ("SELECT * FROM t TABLESAMPLE bernoulli (10)", Some("tablesample")),
        ("SELECT DISTINCT ON (name) name, id FROM t ORDER BY name", Some("distinct on")),
        ("SELECT id, rank() OVER (ORDER BY at) AS place FROM t", Some("over")),
        ("SELECT * FROM t WHERE fresh(at)", Some("fresh()")),
        ("SELECT * FROM t WHERE public.fresh(at)", Some("fresh()")),
        ("SELECT * FROM t WHERE name ~~~~ 'x'", Some("the operator ~~~~")),
        ("SELECT id, pg_backend_pid() AS who FROM t", Some("pg_backend_pid()")),
        ("SELECT id FROM t WHERE id IN (SELECT id FROM t AS other ORDER BY at LIMIT 5)", Some("limit")),
        // these give the same rows in each session
        ("SELECT * FROM t", None),
        ("SELECT id, upper(name) AS name, at::date AS day, to_char(at, 'now()') AS text FROM t", None),
        ("SELECT DISTINCT id, name FROM t", None),
        ("SELECT DISTINCT ON (name, id) name, id FROM t ORDER BY name, id", None),
        ("SELECT name, max(id) AS id, count(*) FROM t GROUP BY name", None),
        ("SELECT * FROM t WHERE id > (SELECT max(id) - 10 FROM t)", None),
        ("SELECT * FROM t WHERE id > (SELECT id FROM t AS other ORDER BY id LIMIT 1)", Some("limit")),
        ("SELECT * FROM t WHERE name IN ('today', 'limit', 'random()')", None),
        ("SELECT * FROM t WHERE known(at)", None),
        ("SELECT a.id FROM t AS a JOIN t AS b USING (id) UNION ALL SELECT id FROM t", None),
    ] {
        let rows = described(&server, Source::Query(QueryText::parse(text, &[]).unwrap().into()), vec![]).await;
        assert_eq!(rows.split_doubt().await.unwrap().map(|doubt| doubt.reason).as_deref(), reason, "{text}");
    }
    for (name, reason) in [("newest", Some("limit")), ("recent", Some("current_timestamp")), ("t", None)] {
        let rows = described(&server, Source::table(name), vec![]).await;
        assert_eq!(rows.split_doubt().await.unwrap().map(|doubt| doubt.reason).as_deref(), reason, "{name}");
    }
}

#[tokio::test]
async fn a_parameter_that_chooses_partitions_raises_no_doubt() {
    // the server stops when this is dropped
    let postgres = Postgres::start().await;
    let database = postgres.database().await;
    run(
        &database.db,
        "CREATE TABLE days (id bigint, day date) PARTITION BY RANGE (day); \
         CREATE TABLE days_old PARTITION OF days FOR VALUES FROM (MINVALUE) TO ('2026-01-01'); \
         CREATE TABLE days_new PARTITION OF days FOR VALUES FROM ('2026-01-01') TO (MAXVALUE)",
    )
    .await;
    let server = server(database.url());
    let spec = ParamSpec {
        name: "since".into(),
        kind: ParamType::String,
        description: String::new(),
        default: None,
        max_items: None,
    };
    let text = "SELECT id, day FROM days WHERE day >= CAST(:since AS date)";
    let source = Source::Query(QueryText::parse(text, std::slice::from_ref(&spec)).unwrap().into());
    let rows = described(&server, source, vec![spec]).await;
    assert_eq!(rows.split_doubt().await.unwrap(), None);
}

#[tokio::test]
async fn slow_a_query_that_must_not_be_split_is_read_by_one_statement() {
    // the server stops when this is dropped
    let postgres = Postgres::start().await;
    let database = postgres.database().await;
    accounts(&database).await;
    run(&database.db, "ANALYZE accounts").await;
    let server = server(database.url());
    let spec = ParamSpec {
        name: "since".into(),
        kind: ParamType::String,
        description: String::new(),
        default: None,
        max_items: None,
    };
    let text = "SELECT id, clock.at FROM accounts, (SELECT CAST(:since AS timestamptz) AS at) AS clock";
    let text = QueryText::parse(text, std::slice::from_ref(&spec)).unwrap();
    let source = Source::Query(text.into());
    let key = Key::find(&server, &source, "id").await.unwrap().unwrap();
    let rows = described(&server, source, vec![spec]).await.split_by(key);
    // only the value of the parameter prevents the split, because `now` is another time in each range
    assert_eq!(rows.split_doubt().await.unwrap(), None);
    let mut session = server.connect().await.unwrap();
    for (since, is_split) in [("now", false), ("2026-11-23", true)] {
        let params = json!({"since": since}).as_object().unwrap().clone();
        let asked = Query { params, ..query(&["id", "at"], Filter::all()) };
        let mut select = TableSelect { rows: rows.clone(), query: asked.clone(), select: None };
        let ranges = Ranged::ranges(&mut select, &mut session.conn).await.unwrap();
        assert_eq!(ranges.len() > 1, is_split, "{since}");
        let read = frames(&rows, &asked).await;
        let mut times = HashSet::new();
        for frame in &read {
            times.extend(frame.column("at").unwrap().cast(&DataType::Int64).unwrap().i64().unwrap().iter());
        }
        assert_eq!((read.iter().map(DataFrame::height).sum::<usize>() as i64, times.len()), (ROWS, 1), "{since}");
    }
}

#[tokio::test]
async fn the_time_of_the_snapshot_is_that_of_the_server() {
    // the server stops when this is dropped
    let postgres = Postgres::start().await;
    let database = postgres.database().await;
    accounts(&database).await;
    let clock = async || -> chrono::DateTime<chrono::Utc> {
        let ask = sea_orm::Statement::from_string(DbBackend::Postgres, "SELECT clock_timestamp()");
        database.db.query_one_raw(ask).await.unwrap().unwrap().try_get_by_index(0).unwrap()
    };
    let ordered = {
        let rows = described(&server(database.url()), Source::table("accounts"), vec![]).await;
        rows.ordered_by(vec![OrderBy::ascending("id")])
    };
    for rows in [described(&server(database.url()), Source::table("accounts"), vec![]).await, ordered] {
        let before = clock().await;
        let opened = rows.open(&query(&["id"], Filter::all())).await.unwrap();
        let after = clock().await;
        let snapshot_at = opened.snapshot_at.unwrap();
        assert!(before <= snapshot_at && snapshot_at <= after, "{before} {snapshot_at} {after}");
    }
}
