//! The rules of the credit ledger, on SQLite and on PostgreSQL.

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

/// The afternoon of the day with this number.
fn day(number: i64) -> DateTime<Utc> {
    "2026-11-22T15:26:01.123Z".parse::<DateTime<Utc>>().unwrap() + TimeDelta::days(number)
}

fn alice() -> Owner {
    Owner::new("acme", "alice")
}

fn policy(cap: Option<i64>) -> CreditPolicy {
    CreditPolicy::new(&CreditsConfig { accrual_cap: cap, ..CreditsConfig::default() }, "UTC").unwrap()
}

async fn on_both_databases(check: impl AsyncFn(&DatabaseConnection)) {
    let sqlite = testkit::db::sqlite().await;
    check(&sqlite.db).await;
    let postgres = Postgres::start().await;
    let database = postgres.database().await;
    check(&database.db).await;
}

async fn accrue(db: &DatabaseConnection, owner: &Owner, policy: &CreditPolicy, now: DateTime<Utc>) -> Balance {
    let tx = db.begin().await.unwrap();
    let accrued = ledger::open_and_accrue(&tx, owner, policy, now).await.unwrap();
    tx.commit().await.unwrap();
    accrued.balance
}

/// Inserts an export with its hold, in the same way as a gateway.
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

/// Cancels an export with the same transition and ledger entry as a notifier.
async fn cancel(db: &DatabaseConnection, owner: &Owner, id: ExportId, cost: i64, now: DateTime<Utc>) {
    let tx = db.begin().await.unwrap();
    assert!(transition::canceled(&tx, id, &Problem::new(Slug::Canceled, "canceled by the owner"), now).await.unwrap());
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
async fn reading_and_accruing_return_the_same_balance() {
    on_both_databases(async |db| {
        let (policy, alice) = (policy(None), alice());
        let read = async |now| ledger::read(db, &alice, &policy, now).await.unwrap();
        assert_eq!(read(day(0)).await, Balance { balance: 0, held: 0 }, "never opened");
        assert_eq!(accrue(db, &alice, &policy, day(0)).await, Balance { balance: 5, held: 0 });
        let id = submit(db, &alice, &policy, 2, day(0)).await;
        // one midnight passes, and an export ends
        assert_eq!(read(day(1)).await, Balance { balance: 4, held: 2 });
        cancel(db, &alice, id, 2, day(1)).await;
        assert_eq!(read(day(1)).await, Balance { balance: 6, held: 0 });
        submit(db, &alice, &policy, 6, day(1)).await;
        for now in [day(3), day(4)] {
            let expected = read(now).await;
            assert_eq!(
                ledger::read_if_current(db, &alice, &policy, now).await.unwrap(),
                None,
                "daily grants are missing"
            );
            assert_eq!(accrue(db, &alice, &policy, now).await, expected);
            assert_eq!(ledger::read_if_current(db, &alice, &policy, now).await.unwrap(), Some(expected));
        }
        assert_eq!(read(day(4)).await, Balance { balance: 3, held: 6 });
        // a clock that steps back changes nothing
        for now in [day(0), day(2), day(4)] {
            assert_eq!(accrue(db, &alice, &policy, now).await, Balance { balance: 3, held: 6 });
        }
        assert_eq!(amounts(db, &alice).await, [5, -2, 2, 1, -6, 1, 1, 1]);
        assert_eq!(ledger::audit(db).await.unwrap(), []);
    })
    .await;
}

#[tokio::test]
async fn daily_grants_stop_at_the_cap_and_continue_below_it() {
    on_both_databases(async |db| {
        let (policy, alice) = (policy(Some(6)), alice());
        accrue(db, &alice, &policy, day(0)).await;
        assert_eq!(ledger::read(db, &alice, &policy, day(9)).await.unwrap().balance, 6);
        assert_eq!(accrue(db, &alice, &policy, day(9)).await.balance, 6);
        submit(db, &alice, &policy, 4, day(9)).await;
        assert_eq!(accrue(db, &alice, &policy, day(11)).await.balance, 4);
        let tx = db.begin().await.unwrap();
        ledger::open_and_accrue(&tx, &alice, &policy, day(11)).await.unwrap();
        ledger::grant(&tx, &alice, 10, "a grant by an operator may exceed the cap", day(11)).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(accrue(db, &alice, &policy, day(20)).await.balance, 14);
        assert_eq!(amounts(db, &alice).await, [5, 1, -4, 1, 1, 10]);
        assert_eq!(ledger::audit(db).await.unwrap(), []);
    })
    .await;
}

#[tokio::test]
async fn twenty_concurrent_calls_open_an_account_once_and_add_each_daily_grant_once() {
    on_both_databases(async |db| {
        let (policy, alice) = (policy(None), alice());
        for (now, balance) in [(day(0), 5), (day(3), 8)] {
            let all = join_all((0..20).map(|_| {
                let (db, alice) = (db.clone(), alice.clone());
                tokio::spawn(async move { accrue(&db, &alice, &policy, now).await })
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
async fn batches_add_the_same_daily_grants_as_single_accounts() {
    on_both_databases(async |db| {
        let policy = policy(Some(7));
        let owners: Vec<Owner> = (0..25).map(|i| Owner::new(format!("t{}", i % 3), format!("u{i}"))).collect();
        for (i, owner) in (0_i64..).zip(&owners) {
            // opened and last active on different days, with different balances and holds
            let opened = day(i % 3);
            accrue(db, owner, &policy, opened).await;
            if i % 6 > 0 {
                submit(db, owner, &policy, (i % 6).min(5), opened).await;
            }
        }
        let now = day(4);
        let mut expected = Vec::new();
        for owner in &owners {
            expected.push(ledger::read(db, owner, &policy, now).await.unwrap());
        }
        let mut done = ledger::AccruedBatch::default();
        for date in policy.active_dates(now) {
            loop {
                let tx = db.begin().await.unwrap();
                // the first statement of a SQLite transaction is a write
                tx.execute_unprepared("UPDATE credit_account SET version = version WHERE 1 = 0").await.unwrap();
                let batch = ledger::accrue_batch(&tx, &policy, now, date, 4).await.unwrap();
                tx.commit().await.unwrap();
                if batch.accounts == 0 {
                    break;
                }
                assert!(batch.accounts <= 4);
                done.accounts += batch.accounts;
                done.granted += batch.granted;
            }
        }
        assert_eq!(done.accounts, 25);
        let accounts = owners.len() as i64;
        for (owner, expected) in owners.iter().zip(&expected) {
            let row = row(db, owner).await;
            assert_eq!(Balance { balance: row.balance, held: row.held }, *expected, "{owner:?}");
            assert_eq!(row.granted_through, policy.local_date(now));
            assert_eq!(accrue(db, owner, &policy, now).await, *expected);
        }
        let mut granted = 0;
        for owner in &owners {
            let entries = ledger::entries(db, owner, 1000).await.unwrap();
            granted += entries.iter().filter(|e| e.reason.starts_with("daily grant")).map(|e| e.amount).sum::<i64>();
        }
        assert_eq!(granted, done.granted.credits);
        assert!(granted > accounts, "{granted}");
        assert_eq!(ledger::audit(db).await.unwrap(), []);
    })
    .await;
}

#[tokio::test]
async fn an_adjustment_to_a_negative_balance_is_refused() {
    on_both_databases(async |db| {
        let (policy, alice) = (policy(None), alice());
        accrue(db, &alice, &policy, day(0)).await;
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
async fn the_audit_finds_and_corrects_a_changed_account() {
    on_both_databases(async |db| {
        let policy = policy(None);
        let (alice, bob, carol) = (alice(), Owner::new("acme", "bob"), Owner::new("acme", "carol"));
        for owner in [&alice, &bob, &carol] {
            submit(db, owner, &policy, 1, day(0)).await;
        }
        assert_eq!(ledger::audit(db).await.unwrap(), []);
        db.execute_unprepared("UPDATE credit_account SET balance = balance + 3 WHERE user_id = 'alice'").await.unwrap();
        db.execute_unprepared("UPDATE credit_account SET held = 2 WHERE user_id = 'bob'").await.unwrap();
        let versions = [row(db, &alice).await.version, row(db, &carol).await.version];
        let differences = ledger::audit(db).await.unwrap();
        let account = |i: usize| (differences[i].owner(), differences[i].balance, differences[i].held);
        let from_ledger =
            |i: usize| (differences[i].ledger_balance, differences[i].ledger_held, differences[i].unfinished_price);
        assert_eq!(differences.len(), 2);
        assert_eq!((account(0), from_ledger(0)), ((alice.clone(), 7, 1), (4, 1, 1)));
        assert_eq!((account(1), from_ledger(1)), ((bob.clone(), 4, 2), (4, 1, 1)));
        assert_eq!(ledger::rebuild(db).await.unwrap(), differences);
        assert_eq!(ledger::audit(db).await.unwrap(), []);
        assert_eq!(ledger::rebuild(db).await.unwrap(), []);
        for owner in [&alice, &bob, &carol] {
            assert_eq!((row(db, owner).await.balance, row(db, owner).await.held), (4, 1));
        }
        // only the owner of the corrected account receives a notification
        assert_eq!([row(db, &alice).await.version, row(db, &carol).await.version], [versions[0] + 1, versions[1]]);
    })
    .await;
}

#[tokio::test]
async fn a_release_does_not_replace_a_daily_grant() {
    on_both_databases(async |db| {
        let (capped, owner) = (policy(Some(5)), alice());
        let id = submit(db, &owner, &capped, 1, day(0)).await;
        // the daily grant fills the account up to the cap before the hold is released
        let seen = ledger::read(db, &owner, &capped, day(1)).await.unwrap();
        assert_eq!(seen, Balance { balance: 5, held: 1 });
        let tx = db.begin().await.unwrap();
        ledger::accrue(&tx, &owner, &capped, day(1)).await.unwrap();
        tx.commit().await.unwrap();
        cancel(db, &owner, id, 1, day(1)).await;
        assert_eq!(accrue(db, &owner, &capped, day(1)).await, Balance { balance: 6, held: 0 });
        assert!(ledger::audit(db).await.unwrap().is_empty());
    })
    .await;
}
