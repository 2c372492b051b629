//! Scheduled jobs: one notifier at a time runs a job, missed runs are repeated, and operators list and start jobs.

use std::time::{Duration, Instant};

use entity::{account, lease, ledger, scheduled_job};
use platform::{lifecycle::Lifecycle, units::HumanDuration};
use protocol::{
    envelope::Envelope,
    id::Owner,
    ops::{RunReply, RunRequest, ScheduleReply, ScheduleRequest},
    problem::Slug,
    subject,
};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbBackend, EntityTrait, QueryFilter, QuerySelect, Statement, TransactionTrait,
    sea_query::{Expr, ExprTrait},
};

use crate::harness::{GRACE, Harness, alice, credit_policy, now, observation_time};

async fn request_run(h: &Harness, name: &str) -> RunReply {
    let request = RunRequest { name: name.into() };
    h.bus.request::<_, Envelope<RunReply>>(subject::OPS_RUN, &request).await.unwrap().body
}

#[tokio::test]
async fn one_of_three_notifiers_runs_a_due_job() {
    let postgres = testkit::db::Postgres::start().await;
    let h = Harness::with_database(postgres.database().await).await;
    for _ in 0..3 {
        h.start().await;
    }
    for (run, hour) in (1..).zip([16, 17, 18]) {
        h.set_clock(&format!("2026-11-22T{hour}:00:00Z"));
        let row = h.wait_for_runs("sweep", run).await;
        observation_time().await;
        assert_eq!(h.job("sweep").await.runs, run);
        assert!(row.runner.unwrap().starts_with("notifier-"));
    }
}

#[tokio::test]
async fn several_missed_runs_are_repeated_once() {
    let h = Harness::new().await;
    let first = Lifecycle::new();
    h.start_with(credit_policy(), &first).await;
    first.soft().cancel();
    first.shut_down(GRACE).await;
    h.set_clock("2026-11-22T21:30:00Z");
    h.start().await;
    h.wait_for_runs("sweep", 1).await;
    observation_time().await;
    let row = h.job("sweep").await;
    assert_eq!((row.runs, row.due_at.to_rfc3339()), (1, "2026-11-22T22:00:00+00:00".into()));
    assert_eq!(row.ended_at, Some(h.clock_now()));
}

#[tokio::test]
async fn a_clock_that_steps_back_delays_no_job() {
    let h = Harness::running().await;
    h.set_clock("2026-11-29T12:00:00Z");
    h.wait_for_runs("sweep", 1).await;
    h.set_clock("2026-11-22T16:30:00Z");
    testkit::eventually("the job is due in the next hour", || async {
        (h.job("sweep").await.due_at.to_rfc3339() == "2026-11-22T17:00:00+00:00").then_some(())
    })
    .await;
    h.set_clock("2026-11-22T17:00:00Z");
    h.wait_for_runs("sweep", 2).await;
}

#[tokio::test]
async fn operators_list_the_schedule_and_start_a_job_over_nats() {
    let h = Harness::running().await;
    let reply: Envelope<ScheduleReply> =
        h.bus.request(subject::OPS_SCHEDULE, &ScheduleRequest::default()).await.unwrap();
    let ScheduleReply::Schedule { jobs } = reply.body else { panic!("{reply:?}") };
    let find = |name: &str| jobs.iter().find(|job| job.name == name).unwrap().clone();
    assert_eq!(find("daily-credits").schedule, "midnight UTC");
    assert_eq!(find("daily-credits").due_at.to_string(), "2026-11-23T00:00:00.000Z");
    let sweep = find("sweep");
    assert_eq!((sweep.schedule.as_str(), sweep.runs, sweep.result), ("0 * * * * UTC", 0, None));

    let RunReply::Requested { job } = request_run(&h, "sweep").await else { panic!() };
    assert!(job.requested_at.is_some());
    let row = h.wait_for_runs("sweep", 1).await;
    assert_eq!((row.requested_at, row.result.as_deref()), (None, Some("ok")));
    assert_eq!(row.due_at.to_rfc3339(), "2026-11-22T16:00:00+00:00", "the requested run does not change the due time");

    let RunReply::Refused { problem } = request_run(&h, "hourly").await else { panic!() };
    assert_eq!((problem.slug(), problem.errors[0].pointer.as_str()), (Slug::NotFound, "/name"));
    assert!(problem.detail.contains("credit-audit, daily-credits, reconcile, sweep"), "{}", problem.detail);
    let RunReply::Refused { problem } = request_run(&h, "").await else { panic!() };
    assert_eq!((problem.slug(), problem.errors[0].pointer.as_str()), (Slug::InvalidRequest, "/name"));
    // an operator may omit the payload or send an invalid one
    let client = h.bus.client();
    let bare = client.request(subject::OPS_SCHEDULE, "".into()).await.unwrap();
    let bare: serde_json::Value = serde_json::from_slice(&bare.payload).unwrap();
    assert_eq!((&bare["v"], &bare["answer"]), (&1.into(), &"schedule".into()));
    let wrong = client.request(subject::OPS_RUN, r#"{"name": 3}"#.into()).await.unwrap();
    let wrong: serde_json::Value = serde_json::from_slice(&wrong.payload).unwrap();
    assert_eq!(wrong["problem"]["type"], "/problems/invalid-request");
    let info = client.request("$SRV.INFO.sluice-notifier", "".into()).await.unwrap();
    let info: serde_json::Value = serde_json::from_slice(&info.payload).unwrap();
    let subjects: Vec<_> = info["endpoints"].as_array().unwrap().iter().map(|e| e["subject"].clone()).collect();
    for subject in [subject::OPS_SCHEDULE, subject::OPS_RUN] {
        assert!(subjects.contains(&subject.into()), "{subjects:?}");
    }
}

#[tokio::test]
async fn a_requested_run_starts_with_or_without_a_hint() {
    let mut h = Harness::new().await;
    h.config.tuning.schedule_poll_interval = HumanDuration::from_secs(600);
    h.start().await;
    h.wait_for_runs("reconcile", 1).await;
    // `sluice schedule run` writes the request, here on a machine whose clock is ahead
    let ahead = now() + chrono::TimeDelta::hours(2);
    assert!(entity::scheduled_job::request(&h.db, "sweep", ahead).await.unwrap());
    h.bus.publish_lossy(subject::OPS_DUE.into(), "", &RunRequest { name: "sweep".into() }).await.unwrap();
    h.wait_for_runs("sweep", 1).await;
    observation_time().await;
    let row = h.job("sweep").await;
    assert_eq!((row.runs, row.requested_at), (1, None));

    let mut other = Harness::new().await;
    other.config.tuning.schedule_poll_interval = HumanDuration::from_millis(50);
    other.start().await;
    assert!(entity::scheduled_job::request(&other.db, "sweep", now()).await.unwrap());
    other.wait_for_runs("sweep", 1).await;
}

#[tokio::test]
async fn a_failing_job_is_recorded_and_retried_after_growing_pauses() {
    let h = Harness::running().await;
    // a link to itself makes every listing fail
    let exports = h.folder.path().join("exports");
    std::os::unix::fs::symlink(&exports, &exports).unwrap();
    let begun = Instant::now();
    h.set_clock("2026-11-22T16:00:00Z");
    let mut row = h.wait_for_runs("sweep", 4).await;
    // the pauses are one, two and four seconds
    assert!(begun.elapsed() >= Duration::from_secs(1 + 2 + 4), "{:?}", begun.elapsed());
    assert_eq!((row.result.as_deref(), row.failures), (Some("failed"), row.runs));
    assert_eq!(row.detail.as_deref(), Some("orphaned objects: 1 failed"));
    assert_eq!(row.due_at.to_rfc3339(), "2026-11-22T16:00:00+00:00", "the job stays due");
    // a request of an operator overrides the pause, which becomes longer than the timeout of this test
    for _ in 0..5 {
        row = run_now(&h).await;
        assert_eq!((row.result.as_deref(), row.failures), (Some("failed"), row.runs));
    }

    std::fs::remove_file(&exports).unwrap();
    let failures = row.failures;
    let row = run_now(&h).await;
    assert_eq!((row.result.as_deref(), row.failures), (Some("ok"), failures));
    assert_eq!(row.due_at.to_rfc3339(), "2026-11-22T17:00:00+00:00");
}

/// Requests a sweep as an operator does, and waits for its end.
async fn run_now(h: &Harness) -> scheduled_job::Model {
    let RunReply::Requested { .. } = request_run(h, "sweep").await else { panic!() };
    testkit::eventually("the requested run has ended", || async {
        Some(h.job("sweep").await).filter(|row| row.requested_at.is_none())
    })
    .await
}

/// A PostgreSQL trigger that blocks writes to the lease table while the test holds an advisory lock. Only the
/// transaction with `gate.pass` may write. So the test decides the order of two concurrent writes.
const LEASE_WRITE_GATE: &str = "
    CREATE FUNCTION gate() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF current_setting('gate.pass', true) IS DISTINCT FROM 'another' THEN
            PERFORM pg_advisory_lock_shared(42);
            PERFORM pg_advisory_unlock_shared(42);
        END IF;
        RETURN NULL;
    END $$;
    CREATE TRIGGER gate BEFORE UPDATE ON lease FOR EACH STATEMENT EXECUTE FUNCTION gate()";

#[tokio::test]
async fn a_run_that_loses_its_lease_writes_nothing_more() {
    let postgres = testkit::db::Postgres::start().await;
    let database = postgres.database().await;
    // a connection outside the pool of the notifier, whose connections may all be blocked
    let own = platform::db::connect(&database.config).await.unwrap();
    let mut h = Harness::with_database(database).await;
    // a lease that does not expire during the test
    (h.config.tuning.daily_grant_batch, h.config.lease_duration) = (1, HumanDuration::from_secs(60));
    own.execute_unprepared(LEASE_WRITE_GATE).await.unwrap();
    let bob = Owner::new("acme", "bob");
    ledger::open_and_accrue(&h.db, &bob, &credit_policy(), now()).await.unwrap();
    h.start().await;
    // a transaction locks the account of alice and blocks the run in the middle of its first batch
    h.wait_until_notified().await;
    let tx = own.begin().await.unwrap();
    let locked = account::Entity::find_by_id((alice().tenant, alice().user)).lock_exclusive();
    locked.one(&tx).await.unwrap().unwrap();
    h.set_clock("2026-11-23T00:00:01Z");
    let one = async |sql: &str| own.query_one_raw(Statement::from_string(DbBackend::Postgres, sql)).await.unwrap();
    let blocked = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' \
                  AND query LIKE '%FROM \"credit_account\"%\"granted_through\" <%FOR UPDATE'";
    testkit::eventually("the run is blocked", || one(blocked)).await;

    // another notifier takes the lease over, and has to wait for the batch
    let gate = own.begin().await.unwrap();
    gate.execute_unprepared("SELECT pg_advisory_xact_lock(42)").await.unwrap();
    let (db, until) = (own.clone(), h.clock_now() + chrono::TimeDelta::hours(1));
    let taking = tokio::spawn(async move {
        let tx = db.begin().await.unwrap();
        tx.execute_unprepared("SET LOCAL gate.pass = 'another'").await.unwrap();
        let take = lease::Entity::update_many()
            .col_expr(lease::Column::Holder, Expr::value("another"))
            .col_expr(lease::Column::FencingToken, Expr::col(lease::Column::FencingToken).add(1))
            .col_expr(lease::Column::Renewals, Expr::value(0_i64))
            .col_expr(lease::Column::ExpiresAt, Expr::value(until));
        let taken = take.filter(lease::Column::Name.eq("job:daily-credits")).exec(&tx).await.unwrap().rows_affected;
        tx.commit().await.unwrap();
        taken
    });
    let waits = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() \
                 AND wait_event_type = 'Lock' AND wait_event <> 'advisory' AND query LIKE 'UPDATE \"lease\" SET \"holder\"%'";
    testkit::eventually("the takeover waits for the transaction", || one(waits)).await;
    tx.commit().await.unwrap();
    assert_eq!(taking.await.unwrap(), 1);
    // the run continues and finds the lease lost
    gate.commit().await.unwrap();
    observation_time().await;
    let bobs = || async { account::Entity::find().filter(account::Column::UserId.eq("bob")).one(&h.db).await };
    assert_eq!(h.balance().await, (6, 0));
    assert_eq!(bobs().await.unwrap().unwrap().balance, 5, "the run wrote the next batch without its lease");
    assert_eq!((h.job("daily-credits").await.runs, h.job("daily-credits").await.result), (0, None));

    // the other holder dies, and the notifier runs the job after the lease has expired
    h.set_clock("2026-11-23T01:00:02Z");
    h.wait_for_runs("daily-credits", 1).await;
    assert_eq!(bobs().await.unwrap().unwrap().balance, 6);
    assert_eq!(ledger::audit(&h.db).await.unwrap(), []);
}

#[tokio::test]
async fn the_metrics_show_the_schedule() {
    let metrics = platform::telemetry::init_metrics().unwrap();
    let h = Harness::running().await;
    h.set_clock("2026-11-22T16:00:00Z");
    h.wait_for_runs("sweep", 1).await;
    let due = 1_795_366_800; // 2026-11-22T17:00:00Z
    testkit::eventually("the gauges are updated", || async {
        let text = metrics.render();
        let has = |line: &str| text.lines().any(|found| found == line);
        (has(&format!(r#"sluice_scheduled_job_next_due_timestamp_seconds{{scheduled_job="sweep"}} {due}"#))
            && has(&format!(
                r#"sluice_scheduled_job_last_completion_timestamp_seconds{{scheduled_job="sweep"}} {}"#,
                due - 3600
            ))
            && has(&format!(
                r#"sluice_scheduled_job_last_success_timestamp_seconds{{scheduled_job="sweep"}} {}"#,
                due - 3600
            ))
            && has(r#"sluice_scheduled_job_runs_total{scheduled_job="sweep",result="ok"} 1"#)
            && text.contains(r#"sluice_notifier_schedule_last_duration_seconds{scheduled_job="sweep"} "#))
        .then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_notifier_without_backups_publishes_the_due_time_of_the_backup() {
    let metrics = platform::telemetry::init_metrics().unwrap();
    let h = Harness::new().await;
    // the row that `sluice backup` writes, and the row of a job that this version does not have
    let due = "2026-11-23T03:15:00Z".parse().unwrap();
    for name in ["backup", "retired"] {
        entity::scheduled_job::ensure(&h.db, name, "15 3 * * * UTC", due).await.unwrap();
    }
    h.start().await;
    testkit::eventually("the gauge is published", || async {
        let line =
            format!(r#"sluice_scheduled_job_next_due_timestamp_seconds{{scheduled_job="backup"}} {}"#, due.timestamp());
        metrics.render().lines().any(|found| found == line).then_some(())
    })
    .await;
    assert!(!metrics.render().contains("retired"));
    assert_eq!(h.job("backup").await.runs, 0);
}

#[tokio::test]
async fn the_credit_audit_reports_an_account_that_differs_from_the_ledger() {
    let h = Harness::running().await;
    let row = h.job("credit-audit").await;
    assert_eq!(row.due_at.to_rfc3339(), "2026-11-23T03:30:00+00:00");
    h.submit_unpaid().await;
    h.set_clock("2026-11-23T03:30:00Z");
    let row = h.wait_for_runs("credit-audit", 1).await;
    assert_eq!(row.result.as_deref(), Some("ok"));
    assert_eq!(row.state.as_deref(), Some(r#"{"mismatches":1}"#));
    assert!(row.detail.unwrap().contains("sluice credits audit"));
}
