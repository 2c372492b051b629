//! The state transitions of exports and the ledger entries of exports, on SQLite.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use entity::{
    account,
    credit_policy::{CreditPolicy, CreditsConfig},
    export, idempotency_key, ledger, maintenance, segment, transition,
    transition::Claim,
};
use migration::{Migrator, MigratorTrait};
use protocol::{
    delivery::Segment,
    export::{FileInfo, Progress, WaitingFor},
    id::{ExportId, Owner},
    problem::{Problem, Slug},
};
use sea_orm::{ConnectOptions, Database, DatabaseConnection, EntityTrait};
use uuid::Uuid;

fn now() -> DateTime<Utc> {
    "2026-11-22T15:26:01.123Z".parse().unwrap()
}

fn alice() -> Owner {
    Owner::new("acme", "alice")
}

async fn database() -> DatabaseConnection {
    let mut options = ConnectOptions::new("sqlite::memory:");
    options.max_connections(1);
    let db = Database::connect(options).await.unwrap();
    Migrator::up(&db, None).await.unwrap();
    db
}

async fn queued(db: &DatabaseConnection) -> ExportId {
    let id = ExportId::generate();
    let row = export::Model { retention_seconds: 60, ..export::Model::queued(id, &alice(), now()) };
    export::insert(db, row).await.unwrap();
    id
}

fn lease(seconds: i64) -> DateTime<Utc> {
    now() + TimeDelta::seconds(seconds)
}

#[tokio::test]
async fn a_stale_attempt_cannot_change_an_export() {
    let db = database().await;
    let id = queued(&db).await;
    assert!(transition::dispatched(&db, id, now()).await.unwrap());
    assert!(!transition::dispatched(&db, id, now()).await.unwrap());

    let Claim::Won(first) = transition::claim(&db, id, "one", now(), lease(10)).await.unwrap() else { panic!() };
    assert_eq!((first.attempt, first.worker.as_deref()), (1, Some("one")));
    assert_eq!(transition::claim(&db, id, "two", lease(9), lease(19)).await.unwrap(), Claim::Busy(lease(10)));
    let Claim::Won(second) = transition::claim(&db, id, "two", lease(10), lease(20)).await.unwrap() else { panic!() };
    assert_eq!(second.attempt, 2);

    let progress = Progress { rows: 5, bytes: 50, ..Progress::default() };
    assert!(!transition::heartbeat(&db, id, 1, &progress, now(), lease(30)).await.unwrap());
    assert!(transition::heartbeat(&db, id, 2, &progress, now(), lease(30)).await.unwrap());
    let file = FileInfo { name: "f.csv".into(), size: 50, rows: 5, sha256: "00".into(), media_type: "text/csv".into() };
    assert!(!transition::completed(&db, id, 1, &file, now(), lease(60), now()).await.unwrap());
    assert!(transition::completed(&db, id, 2, &file, now(), lease(60), now()).await.unwrap());
    assert!(!transition::canceled(&db, id, &Problem::new(Slug::Canceled, "x"), now()).await.unwrap());
    assert_eq!(transition::claim(&db, id, "three", lease(99), lease(120)).await.unwrap(), Claim::Ended);

    let row = export::find_owned(&db, &alice(), id).await.unwrap().unwrap();
    assert_eq!(entity::view::export(&row, None).unwrap().file, Some(file));
    assert_eq!(export::find_owned(&db, &Owner::new("globex", "alice"), id).await.unwrap(), None);
    assert_eq!(maintenance::past_retention(&db, Uuid::nil(), lease(59), 9).await.unwrap().len(), 0);
    assert_eq!(maintenance::past_retention(&db, Uuid::nil(), lease(60), 9).await.unwrap().len(), 1);
}

#[tokio::test]
async fn failed_and_expired_attempts_are_counted_and_released_ones_are_not() {
    let db = database().await;
    let id = queued(&db).await;
    let claimed = |worker: &'static str, at| {
        let db = db.clone();
        async move {
            let Claim::Won(row) = transition::claim(&db, id, worker, lease(at), lease(at + 10)).await.unwrap() else {
                panic!("{worker}")
            };
            (row.attempt, row.failures, row.worker)
        }
    };
    assert_eq!(claimed("one", 0).await, (1, 0, Some("one".into())));
    for (attempt, worker) in [(1, "two"), (2, "three"), (3, "four")] {
        assert!(transition::release_lease(&db, id, attempt, lease(1)).await.unwrap());
        assert!(!transition::release_lease(&db, id, attempt, lease(1)).await.unwrap());
        assert_eq!(claimed(worker, 1).await, (attempt.cast_signed() + 1, 0, Some(worker.into())));
    }
    assert!(transition::attempt_failed(&db, id, 4, lease(2)).await.unwrap());
    assert!(!transition::attempt_failed(&db, id, 3, lease(2)).await.unwrap());
    assert_eq!(claimed("five", 2).await, (5, 1, Some("five".into())));
    // the lease of the fifth attempt expired without a heartbeat
    assert_eq!(claimed("six", 12).await, (6, 2, Some("six".into())));
}

#[tokio::test]
async fn an_outage_is_no_failure_of_the_export_that_it_interrupts() {
    let db = database().await;
    let id = queued(&db).await;
    let shared = async |worker, at| {
        let claim = transition::claim_shared(&db, id, worker, lease(at), lease(at + 10)).await.unwrap();
        let Claim::Won(row) = claim else { panic!("{worker}: {claim:?}") };
        row
    };
    shared("one", 0).await;
    let waiting = Progress { waiting_for: Some(WaitingFor::Storage), ..Progress::default() };
    assert!(transition::heartbeat(&db, id, 1, &waiting, lease(1), lease(11)).await.unwrap());
    let seen = async || {
        let row = export::find(&db, id).await.unwrap().unwrap();
        entity::view::export(&row, None).unwrap().progress.waiting_for
    };
    assert_eq!(seen().await, Some(WaitingFor::Storage));
    assert!(transition::heartbeat(&db, id, 1, &Progress::default(), lease(2), lease(12)).await.unwrap());
    assert_eq!(seen().await, None);

    for attempt in 1..=2 {
        let pause = Duration::from_millis(700);
        let (part, now) = (WaitingFor::Source, lease(3));
        assert!(transition::attempt_interrupted(&db, id, attempt, part, pause, now).await.unwrap());
        assert!(!transition::attempt_interrupted(&db, id, attempt, part, pause, now).await.unwrap());
        assert_eq!(seen().await, Some(WaitingFor::Source));
        shared("two", 3).await;
    }
    // the process lives, and its lease expired while the database was unavailable
    let row = shared("two", 30).await;
    assert_eq!((row.attempt, row.failures, row.abandoned_attempts, row.waited_ms), (4, 0, 0, 1_400));
    assert!(transition::canceled(&db, id, &Problem::new(Slug::Canceled, "x"), now()).await.unwrap());
    assert_eq!(seen().await, None);
}

#[tokio::test]
async fn an_export_is_set_apart_after_the_death_of_the_process_that_ran_it() {
    let db = database().await;
    let id = queued(&db).await;
    let shared_by =
        async |worker, at| transition::claim_shared(&db, id, worker, lease(at), lease(at + 10)).await.unwrap();
    let shared = async |at| shared_by("two", at).await;
    let apart = async |worker: &str, at| {
        let claim = transition::claim(&db, id, worker, lease(at), lease(at + 10)).await.unwrap();
        let Claim::Won(row) = claim else { panic!("{worker}: {claim:?}") };
        (row.attempt, row.failures, row.abandoned_attempts, row.crashed_attempts)
    };
    // a failure, and a hand-over by a stopping exporter, leave the export among the others
    assert!(matches!(shared_by("one", 0).await, Claim::Won(_)));
    assert!(transition::attempt_failed(&db, id, 1, lease(1)).await.unwrap());
    assert!(matches!(shared_by("one", 1).await, Claim::Won(_)));
    assert!(transition::release_lease(&db, id, 2, lease(2)).await.unwrap());
    assert!(matches!(shared_by("one", 2).await, Claim::Won(_)));
    assert_eq!(shared(11).await, Claim::Busy(lease(12)), "the lease of the third attempt has not expired");

    let Claim::SetApart(row) = shared(12).await else { panic!("the exporter died") };
    assert_eq!((row.attempt, row.abandoned(lease(11)), row.abandoned(lease(12)), row.crashed()), (3, 0, 1, 0));
    assert_eq!(apart("child", 12).await, (4, 2, 1, 0));
    assert_eq!(shared(13).await, Claim::Busy(lease(22)));
    // the export stays apart after its own process released the lease
    assert!(transition::release_lease(&db, id, 4, lease(14)).await.unwrap());
    assert!(matches!(shared(14).await, Claim::SetApart(_)));

    assert_eq!(apart("child", 14).await, (5, 2, 1, 0));
    assert!(!transition::attempt_crashed(&db, id, "another", lease(15)).await.unwrap());
    assert!(transition::attempt_crashed(&db, id, "child", lease(15)).await.unwrap());
    assert!(!transition::attempt_crashed(&db, id, "child", lease(15)).await.unwrap(), "a death counts once");
    let Claim::SetApart(row) = shared(15).await else { panic!("the process died") };
    assert_eq!((row.abandoned(lease(15)), row.crashed()), (1, 1));
    assert_eq!(apart("child", 15).await, (6, 3, 1, 1));
    assert!(transition::request_cancel(&db, &alice(), id, lease(16)).await.unwrap());
    assert_eq!(shared(40).await, Claim::Ended);
}

#[tokio::test]
async fn a_cancel_request_stops_claims_and_heartbeats() {
    let db = database().await;
    let id = queued(&db).await;
    let Claim::Won(_) = transition::claim(&db, id, "one", now(), lease(10)).await.unwrap() else { panic!() };
    assert!(!transition::request_cancel(&db, &Owner::new("acme", "bob"), id, now()).await.unwrap());
    assert!(transition::request_cancel(&db, &alice(), id, now()).await.unwrap());
    assert!(!transition::heartbeat(&db, id, 1, &Progress::default(), now(), lease(30)).await.unwrap());
    assert_eq!(transition::claim(&db, id, "two", lease(11), lease(30)).await.unwrap(), Claim::Ended);
    assert_eq!(export::cancel_requested(&db, 9).await.unwrap().len(), 1);
    assert!(
        transition::canceled(&db, id, &Problem::new(Slug::Canceled, "canceled by the owner"), now()).await.unwrap()
    );
    assert_eq!(export::count_unfinished(&db, &alice()).await.unwrap(), 0);
}

#[tokio::test]
async fn credits_are_held_captured_and_released_once() {
    let db = database().await;
    let policy = CreditPolicy::new(&CreditsConfig { initial_balance: 2, ..CreditsConfig::default() }, "UTC").unwrap();
    let (one, two, three) = (ExportId::generate(), ExportId::generate(), ExportId::generate());
    for _ in 0..2 {
        assert_eq!(ledger::open_and_accrue(&db, &alice(), &policy, now()).await.unwrap().balance.balance, 2);
    }
    assert!(ledger::hold(&db, &alice(), one, 1, now()).await.unwrap());
    assert!(ledger::hold(&db, &alice(), two, 1, now()).await.unwrap());
    assert!(!ledger::hold(&db, &alice(), three, 1, now()).await.unwrap());
    for first in [true, false] {
        assert_eq!(ledger::capture(&db, &alice(), one, 1, now()).await.unwrap(), first);
        assert_eq!(ledger::release(&db, &alice(), two, 1, "canceled", now()).await.unwrap(), first);
    }
    ledger::grant(&db, &alice(), 3, "grant by an operator", now()).await.unwrap();
    assert_eq!(ledger::read(&db, &alice(), &policy, now()).await.unwrap().balance, 4);

    let entries = ledger::entries(&db, &alice(), 99).await.unwrap();
    let account = account::Entity::find_by_id(("acme".to_owned(), "alice".to_owned())).one(&db).await.unwrap().unwrap();
    assert_eq!(entries.iter().map(|e| e.amount).sum::<i64>(), account.balance);
    assert_eq!((account.balance, account.held, entries.len()), (4, 0, 6));
}

#[tokio::test]
async fn segments_are_found_by_the_byte_they_contain() {
    let db = database().await;
    let id = queued(&db).await;
    for index in 0..4_u32 {
        let segment = Segment { index, offset: u64::from(index) * 10, size: 10, rows: 1, sha256: format!("{index}") };
        // a commit whose answer was lost is repeated
        for _ in 0..2 {
            segment::insert(&db, id, 1, &segment).await.unwrap();
        }
    }
    let from = |offset| {
        let db = db.clone();
        async move { segment::from_offset(&db, id, 1, offset, 2).await.unwrap().iter().map(|s| s.index).collect::<Vec<_>>() }
    };
    assert_eq!(from(0).await, [0, 1]);
    assert_eq!(from(9).await, [0, 1]);
    assert_eq!(from(10).await, [1, 2]);
    assert_eq!(from(40).await, [] as [u32; 0]);
    assert_eq!(segment::before(&db, id, 1, 11).await.unwrap().len(), 2);
}

#[tokio::test]
async fn several_idempotency_keys_name_one_export_and_a_key_is_unique() {
    let db = database().await;
    let id = queued(&db).await;
    idempotency_key::insert(&db, &alice(), "a", "hash a", id, now()).await.unwrap();
    idempotency_key::insert(&db, &alice(), "b", "hash b", id, now()).await.unwrap();
    assert!(idempotency_key::insert(&db, &alice(), "a", "hash c", id, now()).await.is_err());
    let found = idempotency_key::find(&db, &alice(), "a").await.unwrap().unwrap();
    assert_eq!((found.export_id, found.request_hash.as_str(), found.created_at), (id.0, "hash a", now()));
    assert_eq!(idempotency_key::find(&db, &Owner::new("globex", "alice"), "a").await.unwrap(), None);
}
