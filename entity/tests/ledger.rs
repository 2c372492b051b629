//! The ledger's rules, on a real SQLite and a real PostgreSQL database alike.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use chrono::{DateTime, TimeDelta, Utc};
use entity::{
    account,
    credit_policy::{CreditPolicy, CreditsConfig},
    export,
    ledger::{self, Balance},
    transition,
};
use futures::future::join_all;
use protocol::{
    credits::EntryKind,
    id::{ExportId, Owner},
    problem::{Problem, Slug},
};
use sea_orm::{ConnectionTrait, DatabaseConnection, EntityTrait, TransactionTrait};
use testkit::db::Postgres;

/// The evening before a night.
fn day(number: i64) -> DateTime<Utc> {
    "2026-11-22T15:26:01.123Z".parse::<DateTime<Utc>>().unwrap() + TimeDelta::days(number)
}

fn alice() -> Owner {
    Owner::new("acme", "alice")
}

fn policy(cap: Option<i64>) -> CreditPolicy {
    CreditPolicy::new(&CreditsConfig { accrual_cap: cap, ..CreditsConfig::default() }, "UTC").unwrap()
}

async fn on_both(check: impl AsyncFn(&DatabaseConnection)) {
    let sqlite = testkit::db::sqlite().await;
    check(&sqlite.db).await;
    let postgres = Postgres::start().await;
    let database = postgres.database().await;
    check(&database.db).await;
}

async fn reckon(db: &DatabaseConnection, owner: &Owner, policy: &CreditPolicy, now: DateTime<Utc>) -> Balance {
    let tx = db.begin().await.unwrap();
    let balance = ledger::open_and_accrue(&tx, owner, policy, now).await.unwrap();
    tx.commit().await.unwrap();
    balance
}

/// An export with its hold, as a gateway takes it.
async fn submit(
    db: &DatabaseConnection,
    owner: &Owner,
    policy: &CreditPolicy,
    cost: i64,
    now: DateTime<Utc>,
) -> ExportId {
    let id = ExportId::generate();
    let tx = db.begin().await.unwrap();
    ledger::open_and_accrue(&tx, owner, policy, now).await.unwrap();
    assert!(ledger::hold(&tx, owner, id, cost, now).await.unwrap());
    export::insert(&tx, export::Model { credits: cost, ..export::Model::queued(id, owner, now) }).await.unwrap();
    tx.commit().await.unwrap();
    id
}

/// Ends an export as a notifier settles a cancel.
async fn cancel(db: &DatabaseConnection, owner: &Owner, id: ExportId, cost: i64, now: DateTime<Utc>) {
    let tx = db.begin().await.unwrap();
    assert!(transition::canceled(&tx, id, &Problem::new(Slug::Canceled, "as asked"), now).await.unwrap());
    assert!(ledger::release(&tx, owner, id, cost, "canceled", now).await.unwrap());
    tx.commit().await.unwrap();
}

async fn amounts(db: &DatabaseConnection, owner: &Owner) -> Vec<i64> {
    let entries = ledger::entries(db, owner, 1000).await.unwrap();
    entries.iter().rev().map(|entry| entry.amount).collect()
}

async fn row(db: &DatabaseConnection, owner: &Owner) -> account::Model {
    let key = (owner.tenant.clone(), owner.user.clone());
    account::Entity::find_by_id(key).one(db).await.unwrap().unwrap()
}

#[tokio::test]
async fn who_reads_who_looks_and_who_reckons_see_the_same() {
    on_both(async |db| {
        let (policy, alice) = (policy(None), alice());
        let read = async |now| ledger::read(db, &alice, &policy, now).await.unwrap();
        assert_eq!(read(day(0)).await, Balance { balance: 0, held: 0 }, "never opened");
        assert_eq!(reckon(db, &alice, &policy, day(0)).await, Balance { balance: 5, held: 0 });
        let id = submit(db, &alice, &policy, 2, day(0)).await;
        // one night over, and an export ends in between
        assert_eq!(read(day(1)).await, Balance { balance: 4, held: 2 });
        cancel(db, &alice, id, 2, day(1)).await;
        assert_eq!(read(day(1)).await, Balance { balance: 6, held: 0 });
        submit(db, &alice, &policy, 6, day(1)).await;
        for now in [day(3), day(4)] {
            let expected = read(now).await;
            assert_eq!(
                ledger::read_if_current(db, &alice, &policy, now).await.unwrap(),
                None,
                "there are nights to write down"
            );
            assert_eq!(reckon(db, &alice, &policy, now).await, expected);
            assert_eq!(ledger::read_if_current(db, &alice, &policy, now).await.unwrap(), Some(expected));
        }
        assert_eq!(read(day(4)).await, Balance { balance: 3, held: 6 });
        // a clock that steps back takes and gives nothing
        for now in [day(0), day(2), day(4)] {
            assert_eq!(reckon(db, &alice, &policy, now).await, Balance { balance: 3, held: 6 });
        }
        assert_eq!(amounts(db, &alice).await, [5, -2, 2, 1, -6, 1, 1, 1]);
        assert_eq!(ledger::audit(db).await.unwrap(), []);
    })
    .await;
}

#[tokio::test]
async fn nights_stop_at_the_cap_and_go_on_below_it() {
    on_both(async |db| {
        let (policy, alice) = (policy(Some(6)), alice());
        reckon(db, &alice, &policy, day(0)).await;
        assert_eq!(ledger::read(db, &alice, &policy, day(9)).await.unwrap().balance, 6);
        assert_eq!(reckon(db, &alice, &policy, day(9)).await.balance, 6);
        submit(db, &alice, &policy, 4, day(9)).await;
        assert_eq!(reckon(db, &alice, &policy, day(11)).await.balance, 4);
        let tx = db.begin().await.unwrap();
        ledger::open_and_accrue(&tx, &alice, &policy, day(11)).await.unwrap();
        ledger::grant(&tx, &alice, 10, "a gift may exceed it", day(11)).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(reckon(db, &alice, &policy, day(20)).await.balance, 14);
        assert_eq!(amounts(db, &alice).await, [5, 1, -4, 1, 1, 10]);
        assert_eq!(ledger::audit(db).await.unwrap(), []);
    })
    .await;
}

#[tokio::test]
async fn twenty_at_once_open_an_account_once_and_add_each_night_once() {
    on_both(async |db| {
        let (policy, alice) = (policy(None), alice());
        for (now, balance) in [(day(0), 5), (day(3), 8)] {
            let all = join_all((0..20).map(|_| {
                let (db, alice) = (db.clone(), alice.clone());
                tokio::spawn(async move { reckon(&db, &alice, &policy, now).await })
            }));
            for found in all.await {
                assert_eq!(found.unwrap(), Balance { balance, held: 0 });
            }
        }
        assert_eq!(amounts(db, &alice).await, [5, 1, 1, 1]);
        assert_eq!(ledger::audit(db).await.unwrap(), []);
    })
    .await;
}

#[tokio::test]
async fn a_night_in_batches_gives_what_each_would_reckon_alone() {
    on_both(async |db| {
        let policy = policy(Some(7));
        let people: Vec<Owner> = (0..25).map(|i| Owner::new(format!("t{}", i % 3), format!("u{i}"))).collect();
        for (i, owner) in (0_i64..).zip(&people) {
            // opened and last seen on different days, with different balances and things held
            let opened = day(i % 3);
            reckon(db, owner, &policy, opened).await;
            if i % 6 > 0 {
                submit(db, owner, &policy, (i % 6).min(5), opened).await;
            }
        }
        let now = day(4);
        let mut expected = Vec::new();
        for owner in &people {
            expected.push(ledger::read(db, owner, &policy, now).await.unwrap());
        }
        let mut done = ledger::AccruedBatch::default();
        for seen in policy.active_dates(now) {
            loop {
                let tx = db.begin().await.unwrap();
                // SQLite's transactions begin with a write
                tx.execute_unprepared("UPDATE credit_account SET version = version WHERE 1 = 0").await.unwrap();
                let night = ledger::accrue_batch(&tx, &policy, now, seen, 4).await.unwrap();
                tx.commit().await.unwrap();
                if night.accounts == 0 {
                    break;
                }
                assert!(night.accounts <= 4);
                done.accounts += night.accounts;
                done.credits += night.credits;
            }
        }
        assert_eq!(done.accounts, 25);
        let before = people.len() as i64;
        for (owner, expected) in people.iter().zip(&expected) {
            let row = row(db, owner).await;
            assert_eq!(Balance { balance: row.balance, held: row.held }, *expected, "{owner:?}");
            assert_eq!(row.granted_through, policy.local_date(now));
            assert_eq!(reckon(db, owner, &policy, now).await, *expected);
        }
        let mut given = 0;
        for owner in &people {
            let entries = ledger::entries(db, owner, 1000).await.unwrap();
            given += entries.iter().filter(|e| e.reason.starts_with("nightly")).map(|e| e.amount).sum::<i64>();
        }
        assert_eq!(given, done.credits);
        assert!(given > before, "{given}");
        assert_eq!(ledger::audit(db).await.unwrap(), []);
    })
    .await;
}

#[tokio::test]
async fn an_adjustment_below_nothing_is_refused() {
    on_both(async |db| {
        let (policy, alice) = (policy(None), alice());
        reckon(db, &alice, &policy, day(0)).await;
        assert!(!ledger::adjust(db, &alice, -6, "too much", day(0)).await.unwrap());
        assert!(!ledger::adjust(db, &alice, i64::MIN, "far too much", day(0)).await.unwrap());
        assert!(ledger::adjust(db, &alice, -5, "a mistake", day(0)).await.unwrap());
        assert!(ledger::adjust(db, &alice, 2, "another", day(0)).await.unwrap());
        assert_eq!(row(db, &alice).await.balance, 2);
        let entries = ledger::entries(db, &alice, 9).await.unwrap();
        assert_eq!(
            entries.iter().map(|e| (e.kind, e.amount)).collect::<Vec<_>>(),
            [(EntryKind::Adjustment, 2), (EntryKind::Adjustment, -5), (EntryKind::Grant, 5),]
        );
        assert_eq!(ledger::audit(db).await.unwrap(), []);
    })
    .await;
}

#[tokio::test]
async fn an_account_that_was_tampered_with_is_found_and_mended() {
    on_both(async |db| {
        let policy = policy(None);
        let (alice, bob, carol) = (alice(), Owner::new("acme", "bob"), Owner::new("acme", "carol"));
        for owner in [&alice, &bob, &carol] {
            submit(db, owner, &policy, 1, day(0)).await;
        }
        assert_eq!(ledger::audit(db).await.unwrap(), []);
        db.execute_unprepared("UPDATE credit_account SET balance = balance + 3 WHERE user_id = 'alice'").await.unwrap();
        db.execute_unprepared("UPDATE credit_account SET held = 2 WHERE user_id = 'bob'").await.unwrap();
        let news = [row(db, &alice).await.version, row(db, &carol).await.version];
        let findings = ledger::audit(db).await.unwrap();
        let said = |i: usize| (findings[i].owner(), findings[i].balance, findings[i].held);
        let true_ones = |i: usize| (findings[i].ledger_balance, findings[i].ledger_held, findings[i].unfinished);
        assert_eq!(findings.len(), 2);
        assert_eq!((said(0), true_ones(0)), ((alice.clone(), 7, 1), (4, 1, 1)));
        assert_eq!((said(1), true_ones(1)), ((bob.clone(), 4, 2), (4, 1, 1)));
        assert_eq!(ledger::rebuild(db).await.unwrap(), findings);
        assert_eq!(ledger::audit(db).await.unwrap(), []);
        assert_eq!(ledger::rebuild(db).await.unwrap(), []);
        for owner in [&alice, &bob, &carol] {
            assert_eq!((row(db, owner).await.balance, row(db, owner).await.held), (4, 1));
        }
        // its owner is told, and nobody else
        assert_eq!([row(db, &alice).await.version, row(db, &carol).await.version], [news[0] + 1, news[1]]);
    })
    .await;
}

#[tokio::test]
async fn a_release_does_not_swallow_a_night() {
    on_both(async |db| {
        let (capped, owner) = (policy(Some(5)), alice());
        let id = submit(db, &owner, &capped, 1, day(0)).await;
        // the night fills the account up, and then the hold comes back, whoever looks first
        let seen = ledger::read(db, &owner, &capped, day(1)).await.unwrap();
        assert_eq!(seen, Balance { balance: 5, held: 1 });
        let tx = db.begin().await.unwrap();
        ledger::accrue(&tx, &owner, &capped, day(1)).await.unwrap();
        tx.commit().await.unwrap();
        cancel(db, &owner, id, 1, day(1)).await;
        assert_eq!(reckon(db, &owner, &capped, day(1)).await, Balance { balance: 6, held: 0 });
        assert!(ledger::audit(db).await.unwrap().is_empty());
    })
    .await;
}
