//! Measures the job `daily-credits`:
//! `cargo run -p notifier --example daily_credits -- sqlite|postgres ACCOUNTS ACTIVE`.
//!
//! Runs a notifier with a new database of `ACCOUNTS` accounts, of which `ACTIVE` were active today and the others a
//! year ago. Moves the clock to midnight, and prints the duration of the job and the bytes that it wrote. The notifier
//! publishes no credit notifications, so that the measurement covers the job alone.

#![expect(clippy::print_stdout, clippy::expect_used, reason = "a command-line program that prints its result")]

use std::{env, fs, time::Instant};

use chrono::{DateTime, TimeDelta, Utc};
use entity::{
    credit_policy::{CreditPolicy, CreditsConfig},
    lease, scheduled_job,
};
use notifier::{Deps, NotifierConfig, NotifierTuning};
use platform::{clock::ManualClock, lifecycle::Lifecycle, units::HumanDuration};
use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, Statement};
use testkit::{
    db::{Postgres, TestDatabase},
    nats::NatsServer,
};
use tokio::net::TcpListener;

const USAGE: &str = "daily_credits sqlite|postgres ACCOUNTS ACTIVE";

#[tokio::main]
async fn main() {
    let mut args = env::args().skip(1);
    let mut next = || args.next().expect(USAGE);
    let (kind, accounts, active) = (next(), number(&next()), number(&next()));
    let (_server, database) = match kind.as_str() {
        "sqlite" => (None, testkit::db::sqlite().await),
        "postgres" => {
            let server = Postgres::start().await;
            let database = server.database().await;
            (Some(server), database)
        }
        _ => panic!("{USAGE}"),
    };
    let evening: DateTime<Utc> = "2026-11-22T23:00:00Z".parse().expect("a time");
    fill(&database.db, accounts, active).await;
    // another holder keeps the dispatcher's lease, so that this notifier publishes no credit notification
    lease::acquire(&database.db, "dispatch", "example", evening, evening + TimeDelta::days(9), None)
        .await
        .expect("a lease");

    let (nats, folder, clock, life) =
        (NatsServer::start().await, testkit::store::folder(), ManualClock::at(evening), Lifecycle::new());
    let deps = Deps {
        bus: nats.bus().await,
        db: database.db.clone(),
        store: folder.store(),
        clock: clock.clone(),
        credit_policy: CreditPolicy::new(&CreditsConfig::default(), "UTC").expect("the defaults work"),
        backup: None,
        metrics: None,
    };
    let config = NotifierConfig {
        lease_duration: HumanDuration::from_secs(3600),
        command_reconcile_interval: HumanDuration::from_secs(1_000_000),
        tuning: NotifierTuning {
            dispatch_poll_interval: HumanDuration::from_secs(60),
            schedule_poll_interval: HumanDuration::from_millis(20),
            ..NotifierTuning::default()
        },
        ..NotifierConfig::default()
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    notifier::start(config, deps, listener, &life).await.expect("a notifier");
    let before = (size(&database).await, written(&database).await);
    let began = Instant::now();
    clock.advance(TimeDelta::hours(1));
    let row = loop {
        let row = scheduled_job::find(&database.db, "daily-credits").await.expect("a database").expect("a row");
        if row.runs > 0 {
            break row;
        }
        assert!(began.elapsed().as_secs() < 3600, "the job takes too long");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    };
    let entries = count(&database.db, "SELECT CAST(COUNT(*) AS BIGINT) AS n FROM credit_entry").await;
    let after = (size(&database).await, written(&database).await);
    let mib = |bytes: i64| bytes as f64 / 1_048_576.0;
    println!(
        "{kind:<8}  {accounts:>9} accounts  {active:>9} active  {:>7} ms  {entries:>9} entries  +{:.1} MiB of tables  \
         {:.1} MiB written  {}: {}",
        row.duration_ms.unwrap_or_default(),
        mib(after.0 - before.0),
        mib(after.1 - before.1),
        row.result.unwrap_or_default(),
        row.detail.unwrap_or_default(),
    );
    life.soft().cancel();
    life.shut_down(std::time::Duration::from_secs(10)).await;
}

fn number(text: &str) -> i64 {
    text.parse().expect(USAGE)
}

async fn fill(db: &DatabaseConnection, accounts: i64, active: i64) {
    let (date, timestamp, numbers) = match db.get_database_backend() {
        DbBackend::Postgres => ("DATE ", "TIMESTAMPTZ ", format!("generate_series(1, {accounts}) AS n")),
        _ => {
            let all = format!("SELECT 1 AS n UNION ALL SELECT n + 1 FROM c WHERE n < {accounts}");
            ("", "", format!("(WITH RECURSIVE c AS ({all}) SELECT n FROM c)"))
        }
    };
    let last_active_on = format!("CASE WHEN n <= {active} THEN {date}'2026-11-22' ELSE {date}'2025-11-22' END");
    let opened = format!("{timestamp}'2025-11-22 00:00:00+00:00'");
    let columns =
        "tenant, user_id, balance, held, opened_at, granted_through, last_active_on, version, notified_version";
    let values = format!("'acme', 'user' || n, 5, 0, {opened}, {last_active_on}, {last_active_on}, 0, 0");
    let insert = format!("INSERT INTO credit_account ({columns}) SELECT {values} FROM {numbers}");
    db.execute_unprepared(&insert).await.expect("the accounts");
    db.execute_unprepared("ANALYZE").await.expect("statistics");
}

async fn count(db: &DatabaseConnection, query: &str) -> i64 {
    let row = db.query_one_raw(Statement::from_string(db.get_database_backend(), query)).await;
    row.expect("a database").expect("a row").try_get("", "n").expect("a number")
}

/// The size of the database, bytes.
async fn size(database: &TestDatabase) -> i64 {
    match database.db.get_database_backend() {
        DbBackend::Postgres => count(&database.db, "SELECT pg_database_size(current_database()) AS n").await,
        _ => {
            let pages = "SELECT page_count * page_size AS n FROM pragma_page_count(), pragma_page_size()";
            count(&database.db, pages).await
        }
    }
}

/// Bytes written so far: those of the write-ahead log with PostgreSQL, those of this process with SQLite.
async fn written(database: &TestDatabase) -> i64 {
    match database.db.get_database_backend() {
        DbBackend::Postgres => {
            count(&database.db, "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint AS n").await
        }
        _ => {
            let io = fs::read_to_string("/proc/self/io").expect("Linux counts what a process writes");
            let line = io.lines().find_map(|line| line.strip_prefix("wchar: ")).expect("a count");
            number(line)
        }
    }
}
