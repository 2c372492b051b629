//! Every local midnight adds one credit, with any number of notifiers and with clock changes.

use entity::{
    account,
    credit_policy::{CreditPolicy, CreditsConfig},
    ledger::{self, Balance, GrantTotals},
};
use platform::lifecycle::Lifecycle;
use protocol::{
    envelope::OutcomeResult,
    export::Status,
    id::Owner,
    problem::{Problem, Slug},
};
use sea_orm::{ConnectionTrait, DbBackend, EntityTrait, PaginatorTrait, QuerySelect, Statement, TransactionTrait};

use crate::harness::{GRACE, Harness, alice, credit_policy, now, observation_time};

const DAY: i64 = 24 * 60 * 60;
/// The reason of a daily grant in the ledger, before the date.
const GRANT_REASON: &str = "daily grant of ";

fn bob() -> Owner {
    Owner::new("acme", "bob")
}

/// Reads the balance in the row of the account, without daily grants that are not yet written.
async fn stored_balance(h: &Harness, owner: &Owner) -> i64 {
    let key = (owner.tenant.clone(), owner.user.clone());
    account::Entity::find_by_id(key).one(&h.db).await.unwrap().unwrap().balance
}

/// Reads the reasons of the daily grants in the ledger, newest first.
async fn daily_grants(h: &Harness, owner: &Owner) -> Vec<String> {
    let entries = ledger::entries(&h.db, owner, 100).await.unwrap();
    entries.into_iter().filter(|entry| entry.reason.starts_with(GRANT_REASON)).map(|entry| entry.reason).collect()
}

async fn assert_ledger_matches(h: &Harness) {
    assert_eq!(ledger::audit(&h.db).await.unwrap(), []);
}

async fn stop(life: Lifecycle) {
    life.soft().cancel();
    life.shut_down(GRACE).await;
    assert_eq!(life.failure(), None);
}

#[tokio::test]
async fn a_midnight_adds_one_credit_and_notifies_the_owner() {
    let h = Harness::running().await;
    assert_eq!(h.balance().await, (5, 0));
    h.set_clock("2026-11-22T23:59:59Z");
    observation_time().await;
    assert_eq!((stored_balance(&h, &alice()).await, h.job("daily-credits").await.runs), (5, 0));
    h.set_clock("2026-11-23T00:00:00Z");
    let row = h.wait_for_runs("daily-credits", 1).await;
    assert_eq!(row.detail.as_deref(), Some("1 credits for 1 active accounts, through 2026-11-23"));
    assert_eq!((row.result.as_deref(), row.failures), (Some("ok"), 0));
    assert_eq!(row.due_at, "2026-11-24T00:00:00Z".parse::<chrono::DateTime<chrono::Utc>>().unwrap());
    assert_eq!((stored_balance(&h, &alice()).await, h.balance().await), (6, (6, 0)));
    h.wait_until_notified().await;
    assert_eq!(h.events().await, ["credits grant 6+0"]);
    assert_ledger_matches(&h).await;
}

#[tokio::test]
async fn three_midnights_without_a_notifier_add_three_credits() {
    let h = Harness::new().await;
    let first = Lifecycle::new();
    h.start_with(credit_policy(), &first).await;
    stop(first).await;
    h.advance_clock(3 * DAY);
    h.start().await;
    h.wait_for_runs("daily-credits", 1).await;
    observation_time().await;
    assert_eq!(h.job("daily-credits").await.runs, 1, "one run covers three missed midnights");
    assert_eq!(stored_balance(&h, &alice()).await, 8);
    let expected = ["2026-11-25", "2026-11-24", "2026-11-23"].map(|day| format!("{GRANT_REASON}{day}"));
    assert_eq!(daily_grants(&h, &alice()).await, expected);
    h.wait_until_notified().await;
    assert_eq!(h.events().await, ["credits grant 8+0"]);
    assert_ledger_matches(&h).await;
}

#[tokio::test]
async fn two_notifiers_add_one_credit_per_midnight() {
    let h = Harness::new().await;
    two_notifiers_at_midnight(h).await;
}

#[tokio::test]
async fn two_notifiers_add_one_credit_per_midnight_on_postgres() {
    let postgres = testkit::db::Postgres::start().await;
    two_notifiers_at_midnight(Harness::with_database(postgres.database().await).await).await;
}

async fn two_notifiers_at_midnight(h: Harness) {
    h.start().await;
    h.start().await;
    for (run, day) in (1..).zip(["2026-11-23", "2026-11-24", "2026-11-25"]) {
        h.set_clock(&format!("{day}T00:00:01Z"));
        h.wait_for_runs("daily-credits", run).await;
        observation_time().await;
        assert_eq!(h.job("daily-credits").await.runs, run);
        assert_eq!(stored_balance(&h, &alice()).await, 5 + run);
        assert_eq!(daily_grants(&h, &alice()).await.len(), usize::try_from(run).unwrap());
        assert_ledger_matches(&h).await;
    }
}

#[tokio::test]
async fn a_clock_that_steps_back_neither_repeats_nor_delays_a_grant() {
    let h = Harness::running().await;
    h.set_clock("2026-11-23T00:00:01Z");
    h.wait_for_runs("daily-credits", 1).await;
    h.set_clock("2026-11-22T20:00:00Z");
    let midnight: chrono::DateTime<chrono::Utc> = "2026-11-23T00:00:00Z".parse().unwrap();
    testkit::eventually("the job is due at the next midnight by this clock", || async {
        (h.job("daily-credits").await.due_at == midnight).then_some(())
    })
    .await;
    observation_time().await;
    assert_eq!((stored_balance(&h, &alice()).await, h.job("daily-credits").await.runs), (6, 1));
    // the clock passes the same midnight again
    h.set_clock("2026-11-23T00:00:01Z");
    h.wait_for_runs("daily-credits", 2).await;
    assert_eq!(stored_balance(&h, &alice()).await, 6);
    h.set_clock("2026-11-24T00:00:01Z");
    h.wait_for_runs("daily-credits", 3).await;
    assert_eq!(stored_balance(&h, &alice()).await, 7);
    assert_ledger_matches(&h).await;
}

#[tokio::test]
async fn each_day_of_a_clock_change_in_berlin_adds_one_credit() {
    // these days have 23 and 25 hours
    for [opened, before, first, long, second] in [
        [
            "2027-03-27T22:30:00Z",
            "2027-03-27T22:59:59Z",
            "2027-03-27T23:00:00Z",
            "2027-03-28T21:59:59Z",
            "2027-03-28T22:00:00Z",
        ],
        [
            "2027-10-30T21:30:00Z",
            "2027-10-30T21:59:59Z",
            "2027-10-30T22:00:00Z",
            "2027-10-31T22:59:59Z",
            "2027-10-31T23:00:00Z",
        ],
    ] {
        let berlin = CreditPolicy::new(&CreditsConfig::default(), "Europe/Berlin").unwrap();
        let h = Harness::new().await;
        h.set_clock(opened);
        ledger::open_and_accrue(&h.db, &bob(), &berlin, opened.parse().unwrap()).await.unwrap();
        h.start_with(berlin, &h.life).await;
        for (at, runs, balance) in [(before, 0, 5), (first, 1, 6), (long, 1, 6), (second, 2, 7)] {
            h.set_clock(at);
            h.wait_for_runs("daily-credits", runs).await;
            observation_time().await;
            assert_eq!((h.job("daily-credits").await.runs, stored_balance(&h, &bob()).await), (runs, balance), "{at}");
            assert_ledger_matches(&h).await;
        }
    }
}

#[tokio::test]
async fn daily_grants_stop_at_the_accrual_cap() {
    let h = Harness::new().await;
    let config = CreditsConfig { accrual_cap: Some(6), ..CreditsConfig::default() };
    h.start_with(CreditPolicy::new(&config, "UTC").unwrap(), &h.life).await;
    for (run, balance) in [(1, 6), (2, 6), (3, 6)] {
        h.advance_clock(DAY);
        h.wait_for_runs("daily-credits", run).await;
        assert_eq!(stored_balance(&h, &alice()).await, balance);
        assert_ledger_matches(&h).await;
    }
    h.wait_until_notified().await;
    assert_eq!(h.events().await, ["credits grant 6+0"], "a midnight that adds nothing sends no notification");
}

#[tokio::test]
async fn an_inactive_account_is_not_updated_and_its_balance_is_current() {
    let h = Harness::running().await;
    for run in 1..=30 {
        h.advance_clock(DAY);
        h.wait_for_runs("daily-credits", run).await;
    }
    // the account is active for seven days
    assert_eq!((stored_balance(&h, &alice()).await, daily_grants(&h, &alice()).await.len()), (12, 7));
    assert_eq!(
        h.job("daily-credits").await.detail.as_deref(),
        Some("0 credits for 0 active accounts, through 2026-12-22")
    );
    assert_eq!(h.balance().await, (35, 0));
    let accrued = ledger::open_and_accrue(&h.db, &alice(), &credit_policy(), h.clock_now()).await.unwrap();
    assert_eq!(accrued.balance, Balance { balance: 35, held: 0 });
    assert_eq!(accrued.granted, GrantTotals { entries: 23, credits: 23 });
    assert_eq!((stored_balance(&h, &alice()).await, daily_grants(&h, &alice()).await.len()), (35, 30));
    assert_ledger_matches(&h).await;
}

#[tokio::test]
async fn the_metrics_count_grants_at_midnight_and_at_the_end_of_an_export() {
    let metrics = platform::telemetry::init_metrics().unwrap();
    let counts = |entries: u64, credits: i64| {
        let text = metrics.render();
        let events = format!(r#"sluice_credit_events_total{{kind="grant"}} {entries}"#);
        let granted = format!("sluice_credits_granted_total {credits}");
        text.lines().any(|line| line == events) && text.lines().any(|line| line == granted)
    };
    let h = Harness::running().await;
    for run in 1..=7 {
        h.advance_clock(DAY);
        h.wait_for_runs("daily-credits", run).await;
    }
    let counted = testkit::eventually("the midnights are counted", async || counts(7, 7).then_some(()));
    counted.await;
    // midnight skips an account that is no longer active, and the release of its credits adds the missing grants first
    for run in 8..=10 {
        h.advance_clock(DAY);
        h.wait_for_runs("daily-credits", run).await;
    }
    assert!(counts(7, 7), "{}", metrics.render());
    let (id, attempt) = h.running_export().await;
    let problem = Problem::new(Slug::ExportFailed, "the export failed");
    h.publish_outcome(id, "failed", OutcomeResult::Failed { attempt, problem }).await;
    h.wait_for_status(id, Status::Failed).await;
    testkit::eventually("the grants are counted", async || counts(10, 10).then_some(())).await;
    assert_ledger_matches(&h).await;
}

#[tokio::test]
async fn a_stop_finishes_one_batch_and_another_notifier_continues() {
    const USERS: usize = 20;
    const BEFORE: usize = 8;
    let postgres = testkit::db::Postgres::start().await;
    let database = postgres.database().await;
    // a connection outside the pool of the notifier
    let own = platform::db::connect(&database.config).await.unwrap();
    let mut h = Harness::with_database(database).await;
    h.config.tuning.daily_grant_batch = 1;
    let user = |n: usize| Owner::new("acme", format!("user{n:03}"));
    for n in 0..USERS {
        ledger::open_and_accrue(&h.db, &user(n), &credit_policy(), now()).await.unwrap();
    }
    let first = Lifecycle::new();
    h.start_with(credit_policy(), &first).await;
    // a transaction locks one account and blocks the run there
    let tx = own.begin().await.unwrap();
    let locked = account::Entity::find_by_id(("acme".to_owned(), user(BEFORE).user)).lock_exclusive();
    locked.one(&tx).await.unwrap().unwrap();
    h.set_clock("2026-11-23T00:00:01Z");
    let granted = || async {
        let all = account::Entity::find().all(&own).await.unwrap();
        all.iter().filter(|account| account.balance == 6).count()
    };
    let blocked = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' \
                  AND query LIKE '%FROM \"credit_account\"%\"granted_through\" <%FOR UPDATE'";
    testkit::eventually("the run is blocked", || async {
        own.query_one_raw(Statement::from_string(DbBackend::Postgres, blocked)).await.unwrap()
    })
    .await;
    // the account of alice sorts before the others
    assert_eq!(granted().await, 1 + BEFORE);
    first.soft().cancel();
    tx.commit().await.unwrap();
    stop(first).await;
    let some = 1 + BEFORE + 1;
    assert_eq!(granted().await, some, "the stop finishes the batch in progress and no other");
    assert_eq!(h.job("daily-credits").await.runs, 0, "the job stays due");
    h.start().await;
    let row = h.wait_for_runs("daily-credits", 1).await;
    let rest = 1 + USERS - some;
    assert_eq!(row.detail, Some(format!("{rest} credits for {rest} active accounts, through 2026-11-23")));
    assert_eq!(granted().await, 1 + USERS);
    assert_eq!(entity::entry::Entity::find().count(&h.db).await.unwrap(), 2 * (1 + USERS as u64));
    assert_ledger_matches(&h).await;
}
