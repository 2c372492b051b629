//! Tests reads through a real PgBouncer in transaction mode, which shares its server connections between several
//! programs.

use sea_orm::sqlx::{ConnectOptions, postgres::PgConnectOptions};
use testkit::pgbouncer::PgBouncer;

use super::*;

/// Another program that uses the same pooler. It sends statements by the simple query protocol.
struct OtherProgram(PgConnection);

impl OtherProgram {
    async fn connect(url: &str) -> Self {
        let options: PgConnectOptions = url.parse().unwrap();
        Self(options.extra_float_digits(None).application_name("another program").connect().await.unwrap())
    }

    /// Runs a statement, and returns its only value as text.
    async fn ask(&mut self, statement: &'static str) -> String {
        self.0.fetch_one(statement).await.unwrap_or_else(|e| panic!("{statement}: {e}")).try_get_unchecked(0).unwrap()
    }

    async fn run(&mut self, statement: &'static str) {
        self.0.execute(statement).await.unwrap_or_else(|e| panic!("{statement}: {e}"));
    }

    /// Returns the settings and prepared statements of the server connection that an export could have left there.
    async fn left_behind(&mut self) -> [String; 4] {
        [
            self.ask("SELECT string_agg(name || '=' || setting, ' ' ORDER BY name) FROM pg_settings WHERE source = 'session'")
                .await,
            self.ask("SELECT count(*)::text FROM pg_prepared_statements").await,
            self.ask("SHOW default_transaction_read_only").await,
            self.ask("SHOW statement_timeout").await,
        ]
    }
}

/// Returns the server at a URL, with up to three connections for each export. Row counts wait for a long time if the
/// pooler is busy.
fn pooled(url: &str) -> Arc<PostgresServer> {
    let settings = PostgresSettings {
        connections_per_export: 3,
        connect_timeout: testkit::DEADLINE,
        ..PostgresSettings::at(Secret::new(url))
    };
    Arc::new(PostgresServer::new(&settings).unwrap())
}

fn rows_of(read: &[DataFrame]) -> usize {
    read.iter().map(DataFrame::height).sum()
}

/// Returns a dataset that reads the accounts by a query with a parameter, and that is split by a key. Also returns a
/// request for its rows.
async fn asked(server: &Arc<PostgresServer>) -> (PostgresRows, Query) {
    let spec = ParamSpec {
        name: "least".into(),
        kind: ParamType::Int,
        description: String::new(),
        default: None,
        max_items: None,
    };
    let text = "SELECT id, amount, filler FROM accounts WHERE id >= :least";
    let source = Source::Query(QueryText::parse(text, std::slice::from_ref(&spec)).unwrap().into());
    let key = Key::find(server, &source, "id").await.unwrap().unwrap();
    let rows = described(server, source, vec![spec]).await.split_by(key);
    let params = json!({"least": 1}).as_object().unwrap().clone();
    (rows, Query { params, ..query(&["id", "filler"], Filter::all()) })
}

/// Reads all rows of the accounts as a table and by a query, and also counts and estimates the rows.
async fn read_everything(server: &Arc<PostgresServer>, snapshot: Snapshot) {
    let table = described(server, Source::table("accounts"), vec![]).await;
    let few =
        filter::parse(&json!({"filler": {"eq": "x".repeat(100)}, "id": {"lt": 11}}), &table.info().columns).unwrap();
    assert_eq!(table.count(&query(&[], few.clone()), Precision::Exact).await.unwrap(), Some(RowCount::exact(10)));
    assert!(table.count(&query(&[], Filter::all()), Precision::Estimate).await.unwrap().is_some());
    assert_eq!(rows_of(&frames(&table, &query(&["id", "filler"], few)).await), 10);
    let (select, all) = asked(server).await;
    assert_eq!(select.split_doubt().await.unwrap(), None);
    let table = with_snapshot(table, snapshot);
    assert_eq!(rows_of(&frames(&table, &query(&["id", "amount"], Filter::all())).await) as i64, ROWS);
    let select = with_snapshot(select, snapshot);
    assert_eq!(rows_of(&frames(&select, &all).await) as i64, ROWS);
}

#[tokio::test]
async fn slow_ranges_without_a_snapshot_are_read_with_fewer_server_connections_than_ranges() {
    // the server stops when this is dropped
    let postgres = Postgres::start().await;
    let database = postgres.database().await;
    accounts(&database).await;
    run(&database.db, "ANALYZE accounts").await;
    for pool_size in [1, 2, 4] {
        let pooler = PgBouncer::start(&database, pool_size).await;
        read_everything(&pooled(&pooler.url(&database)), Snapshot::None).await;
        let unclean: Vec<_> = pooler.log().into_iter().filter(|line| line.contains("client disconnect")).collect();
        assert_eq!(unclean, [""; 0], "each read ends its transaction before it closes its connection");
    }
}

#[tokio::test]
async fn reads_through_a_pooler_leave_nothing_behind_for_other_programs() {
    // the server stops when this is dropped
    let postgres = Postgres::start().await;
    let database = postgres.database().await;
    accounts(&database).await;
    run(&database.db, "ANALYZE accounts").await;
    for pool_size in [1, 2] {
        let pooler = PgBouncer::start(&database, pool_size).await;
        let mut other = OtherProgram::connect(&pooler.url(&database)).await;
        let before = other.left_behind().await;
        assert_eq!(before[1..], ["0", "off", "0"], "{before:?}");
        let process = other.ask("SELECT pg_backend_pid()::text").await;
        read_everything(&pooled(&pooler.url(&database)), Snapshot::Export).await;
        // the pooler may lend either of its connections, so a transaction holds the first connection while the second
        // is asked
        let mut second = OtherProgram::connect(&pooler.url(&database)).await;
        if pool_size == 1 {
            assert_eq!(other.left_behind().await, before);
            assert_eq!(other.ask("SELECT pg_backend_pid()::text").await, process, "the pooler closed its connection");
        } else {
            second.run("BEGIN").await;
            assert_eq!(other.left_behind().await, before);
            second.run("COMMIT; BEGIN").await;
            assert_eq!(second.left_behind().await[1..], before[1..]);
            second.run("COMMIT").await;
        }
        for program in [&mut other, &mut second] {
            program.run("CREATE TABLE IF NOT EXISTS written (n bigint); INSERT INTO written VALUES (1)").await;
        }
        let unclean: Vec<_> = pooler.log().into_iter().filter(|line| line.contains("client disconnect")).collect();
        assert_eq!(unclean, [""; 0], "each read ends its transaction before it closes its connection");
    }
}

#[tokio::test]
async fn slow_exports_beside_each_other_and_statements_of_other_programs_do_not_clash() {
    // the server stops when this is dropped
    let postgres = Postgres::start().await;
    let database = postgres.database().await;
    accounts(&database).await;
    run(&database.db, "ANALYZE accounts; CREATE SCHEMA elsewhere; CREATE TABLE elsewhere.accounts (id bigint)").await;
    let pooler = PgBouncer::start(&database, 2).await;
    let url = pooler.url(&database);
    let mut programs = [OtherProgram::connect(&url).await, OtherProgram::connect(&url).await];
    // both server connections are used, and get the names of sqlx's first statements and the settings of another program
    for program in &mut programs {
        program.run("BEGIN").await;
        program
            .run(
                "PREPARE sqlx_s_1 AS SELECT 1; PREPARE generic AS SELECT 1; SET search_path = elsewhere; \
                 SET quote_all_identifiers = on; SET bytea_output = 'escape'; SET statement_timeout = '50ms'",
            )
            .await;
    }
    for program in &mut programs {
        program.run("COMMIT").await;
    }
    let (one, two) = (pooled(&url), pooled(&url));
    tokio::join!(read_everything(&one, Snapshot::Export), read_everything(&two, Snapshot::Export));
    // the pooler may have replaced a server connection, but no connection has statements of an export
    for program in &mut programs {
        let statements = program.ask("SELECT count(*)::text FROM pg_prepared_statements").await;
        assert!(["2", "0"].contains(&statements.as_str()), "{statements}");
    }
}

#[tokio::test]
async fn a_failed_or_dropped_read_gives_the_server_connection_back() {
    // the server stops when this is dropped
    let postgres = Postgres::start().await;
    let database = postgres.database().await;
    accounts(&database).await;
    let pooler = PgBouncer::start(&database, 1).await;
    let server = pooled(&pooler.url(&database));
    let rows = described(&server, Source::table("accounts"), vec![]).await;
    let mut other = OtherProgram::connect(&pooler.url(&database)).await;
    // an error in the middle of the rows
    let text = QueryText::parse("SELECT 1 / (id - 300000) AS share FROM accounts", &[]).unwrap();
    let broken = described(&server, Source::Query(text.into()), vec![]).await;
    let opened = broken.open(&query(&["share"], Filter::all())).await.unwrap();
    let error = opened.frames.try_collect::<Vec<_>>().await.unwrap_err();
    assert!(error.user_message().starts_with("its query divides by zero: "), "{}", error.user_message());
    assert_eq!(other.ask("SHOW statement_timeout").await, "0");
    // a table that does not exist
    assert!(PostgresRows::describe(&server, &Source::table("nowhere")).await.is_err());
    assert_eq!(other.ask("SHOW default_transaction_read_only").await, "off");
    // a reader that goes away
    for snapshot in [Snapshot::Export, Snapshot::None] {
        let rows = with_snapshot(rows.clone(), snapshot);
        let mut reading = rows.open(&query(&["id", "filler"], Filter::all())).await.unwrap().frames;
        assert!(reading.try_next().await.unwrap().is_some());
        drop(reading);
        other.run("CREATE TABLE IF NOT EXISTS written (n bigint); INSERT INTO written VALUES (1)").await;
    }
    assert_eq!(rows_of(&frames(&rows, &query(&["id"], Filter::all())).await) as i64, ROWS);
}
