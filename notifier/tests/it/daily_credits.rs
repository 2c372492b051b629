//! Every local midnight adds one credit, whatever notifiers and clocks do.

use entity::{
    account,
    ledger::{self, Balance},
    credit_policy::{CreditsConfig, CreditPolicy},
};
use platform::lifecycle::Lifecycle;
use protocol::id::Owner;
use sea_orm::{ConnectionTrait, DbBackend, EntityTrait, PaginatorTrait, QuerySelect, Statement, TransactionTrait};

use crate::harness::{GRACE, Harness, alice, now, quiet, credit_policy};

const DAY: i64 = 24 * 60 * 60;

fn of(config: CreditsConfig) -> CreditPolicy {
    CreditPolicy::new(&config, "UTC").unwrap()
}

fn bob() -> Owner {
    Owner::new("acme", "bob")
}

/// What stands in the row, without the nights that nobody wrote down.
async fn written(h: &Harness, owner: &Owner) -> i64 {
    let key = (owner.tenant.clone(), owner.user.clone());
    account::Entity::find_by_id(key).one(&h.db).await.unwrap().unwrap().balance
}

async fn nights(h: &Harness, owner: &Owner) -> Vec<String> {
    let entries = ledger::entries(&h.db, owner, 100).await.unwrap();
    entries.into_iter().filter(|entry| entry.reason.starts_with("nightly")).map(|entry| entry.reason).collect()
}

async fn adds_up(h: &Harness) {
    assert_eq!(ledger::audit(&h.db).await.unwrap(), []);
}

async fn stop(life: Lifecycle) {
    life.soft().cancel();
    life.shut_down(GRACE).await;
    assert_eq!(life.failure(), None);
}

#[tokio::test]
async fn an_account_starts_with_five_and_has_six_after_a_midnight_and_its_owner_hears_of_it() {
    let h = Harness::running().await;
    assert_eq!(h.balance().await, (5, 0));
    h.at("2026-11-22T23:59:59Z");
    quiet().await;
    assert_eq!((written(&h, &alice()).await, h.job("midnight").await.runs), (5, 0));
    h.at("2026-11-23T00:00:00Z");
    let row = h.until_ran("midnight", 1).await;
    assert_eq!(row.detail.as_deref(), Some("1 credits for 1 active accounts, through 2026-11-23"));
    assert_eq!((row.result.as_deref(), row.failures), (Some("ok"), 0));
    assert_eq!(row.due_at, "2026-11-24T00:00:00Z".parse::<chrono::DateTime<chrono::Utc>>().unwrap());
    assert_eq!((written(&h, &alice()).await, h.balance().await), (6, (6, 0)));
    h.until_told().await;
    assert_eq!(h.events().await, ["credits grant 6+0"]);
    adds_up(&h).await;
}

#[tokio::test]
async fn three_nights_without_any_notifier_add_three() {
    let h = Harness::new().await;
    let first = Lifecycle::new();
    h.start_as(credit_policy(), &first).await;
    stop(first).await;
    h.advance(3 * DAY);
    h.start().await;
    h.until_ran("midnight", 1).await;
    quiet().await;
    assert_eq!(h.job("midnight").await.runs, 1, "three missed midnights are made up in one run");
    assert_eq!(written(&h, &alice()).await, 8);
    let expected = ["2026-11-25", "2026-11-24", "2026-11-23"].map(|day| format!("nightly credit of {day}"));
    assert_eq!(nights(&h, &alice()).await, expected);
    h.until_told().await;
    assert_eq!(h.events().await, ["credits grant 8+0"]);
    adds_up(&h).await;
}

#[tokio::test]
async fn two_notifiers_at_midnight_add_one() {
    let h = Harness::new().await;
    two_at_midnight(h).await;
}

#[tokio::test]
async fn two_notifiers_at_midnight_add_one_on_postgres_too() {
    let postgres = testkit::db::Postgres::start().await;
    two_at_midnight(Harness::on(postgres.database().await).await).await;
}

async fn two_at_midnight(h: Harness) {
    h.start().await;
    h.start().await;
    for (night, day) in (1..).zip(["2026-11-23", "2026-11-24", "2026-11-25"]) {
        h.at(&format!("{day}T00:00:01Z"));
        h.until_ran("midnight", night).await;
        quiet().await;
        assert_eq!(h.job("midnight").await.runs, night);
        assert_eq!(written(&h, &alice()).await, 5 + night);
        assert_eq!(nights(&h, &alice()).await.len(), usize::try_from(night).unwrap());
        adds_up(&h).await;
    }
}

#[tokio::test]
async fn a_clock_that_steps_back_adds_nothing_and_delays_nothing() {
    let h = Harness::running().await;
    h.at("2026-11-23T00:00:01Z");
    h.until_ran("midnight", 1).await;
    h.at("2026-11-22T20:00:00Z");
    let midnight: chrono::DateTime<chrono::Utc> = "2026-11-23T00:00:00Z".parse().unwrap();
    testkit::eventually("the job is due at the next midnight by this clock", || async {
        (h.job("midnight").await.due_at == midnight).then_some(())
    })
    .await;
    quiet().await;
    assert_eq!((written(&h, &alice()).await, h.job("midnight").await.runs), (6, 1));
    // the same midnight once more
    h.at("2026-11-23T00:00:01Z");
    h.until_ran("midnight", 2).await;
    assert_eq!(written(&h, &alice()).await, 6);
    h.at("2026-11-24T00:00:01Z");
    h.until_ran("midnight", 3).await;
    assert_eq!(written(&h, &alice()).await, 7);
    adds_up(&h).await;
}

#[tokio::test]
async fn both_days_of_a_clock_change_in_berlin_add_one_each() {
    // 23 and 25 hours long
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
        let berlin = of(CreditsConfig { zone: "Europe/Berlin".into(), ..CreditsConfig::default() });
        let h = Harness::new().await;
        h.at(opened);
        ledger::open_and_accrue(&h.db, &bob(), &berlin, opened.parse().unwrap()).await.unwrap();
        h.start_as(berlin, &h.life).await;
        for (at, runs, balance) in [(before, 0, 5), (first, 1, 6), (long, 1, 6), (second, 2, 7)] {
            h.at(at);
            h.until_ran("midnight", runs).await;
            quiet().await;
            assert_eq!((h.job("midnight").await.runs, written(&h, &bob()).await), (runs, balance), "{at}");
            adds_up(&h).await;
        }
    }
}

#[tokio::test]
async fn with_a_cap_nights_stop_there() {
    let h = Harness::new().await;
    h.start_as(of(CreditsConfig { accrual_cap: Some(6), ..CreditsConfig::default() }), &h.life).await;
    for (night, balance) in [(1, 6), (2, 6), (3, 6)] {
        h.advance(DAY);
        h.until_ran("midnight", night).await;
        assert_eq!(written(&h, &alice()).await, balance);
        adds_up(&h).await;
    }
    h.until_told().await;
    assert_eq!(h.events().await, ["credits grant 6+0"], "a night that adds nothing is no news");
}

#[tokio::test]
async fn an_account_that_nobody_touches_is_not_written_and_shows_the_same() {
    let h = Harness::running().await;
    for night in 1..=30 {
        h.advance(DAY);
        h.until_ran("midnight", night).await;
    }
    // for seven days it counted as active
    assert_eq!((written(&h, &alice()).await, nights(&h, &alice()).await.len()), (12, 7));
    assert_eq!(h.job("midnight").await.detail.as_deref(), Some("0 credits for 0 active accounts, through 2026-12-22"));
    assert_eq!(h.balance().await, (35, 0));
    let reckoned = ledger::open_and_accrue(&h.db, &alice(), &credit_policy(), h.clock_now()).await.unwrap();
    assert_eq!(reckoned, Balance { balance: 35, held: 0 });
    assert_eq!((written(&h, &alice()).await, nights(&h, &alice()).await.len()), (35, 30));
    adds_up(&h).await;
}

#[tokio::test]
async fn a_stop_waits_for_one_batch_and_another_notifier_does_the_rest() {
    const PEOPLE: usize = 20;
    const BEFORE: usize = 8;
    let postgres = testkit::db::Postgres::start().await;
    let database = postgres.database().await;
    // not out of the notifier's pool
    let own = platform::db::connect(&database.config).await.unwrap();
    let mut h = Harness::on(database).await;
    h.config.credits_batch = 1;
    let person = |n: usize| Owner::new("acme", format!("user{n:03}"));
    for n in 0..PEOPLE {
        ledger::open_and_accrue(&h.db, &person(n), &credit_policy(), now()).await.unwrap();
    }
    let first = Lifecycle::new();
    h.start_as(credit_policy(), &first).await;
    // somebody is at the account of one of them, so that the run stands still there
    let tx = own.begin().await.unwrap();
    let theirs = account::Entity::find_by_id(("acme".to_owned(), person(BEFORE).user)).lock_exclusive();
    theirs.one(&tx).await.unwrap().unwrap();
    h.at("2026-11-23T00:00:01Z");
    let granted = || async {
        let all = account::Entity::find().all(&own).await.unwrap();
        all.iter().filter(|account| account.balance == 6).count()
    };
    let stands = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' \
                  AND query LIKE '%FROM \"credit_account\"%\"granted_through\" <%FOR UPDATE'";
    testkit::eventually("the run stands still", || async {
        own.query_one_raw(Statement::from_string(DbBackend::Postgres, stands)).await.unwrap()
    })
    .await;
    // alice comes before all of them
    assert_eq!(granted().await, 1 + BEFORE);
    first.soft().cancel();
    tx.commit().await.unwrap();
    stop(first).await;
    let some = 1 + BEFORE + 1;
    assert_eq!(granted().await, some, "the batch that was begun is done, and no other");
    assert_eq!(h.job("midnight").await.runs, 0, "it is due still");
    h.start().await;
    let row = h.until_ran("midnight", 1).await;
    let rest = 1 + PEOPLE - some;
    assert_eq!(row.detail, Some(format!("{rest} credits for {rest} active accounts, through 2026-11-23")));
    assert_eq!(granted().await, 1 + PEOPLE);
    assert_eq!(entity::entry::Entity::find().count(&h.db).await.unwrap(), 2 * (1 + PEOPLE as u64));
    adds_up(&h).await;
}
