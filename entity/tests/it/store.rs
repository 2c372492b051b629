//! The state transitions of exports and the ledger entries of exports, on SQLite.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use entity::{
    account,
    credit_policy::{CreditPolicy, CreditsConfig},
    export, idempotency_key,
    in_flight::{self, InFlight},
    ledger, maintenance, segment,
    transition::{self, Claim, Claimant},
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

const LEASE: Duration = Duration::from_secs(10);

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

fn after(seconds: i64) -> DateTime<Utc> {
    now() + TimeDelta::seconds(seconds)
}

/// An exporter with the newest job of an export.
fn claimant(worker: &str) -> Claimant<'_> {
    Claimant { worker, job_number: u32::MAX, lease: LEASE }
}

/// Ends the lease of an export, as the leading notifier does.
async fn end_lease(db: &DatabaseConnection, id: ExportId) -> Option<export::Model> {
    let row = export::find(db, id).await.unwrap().unwrap();
    in_flight::end_lease(db, id, row.renewals, now()).await.unwrap()
}

#[tokio::test]
async fn a_stale_attempt_cannot_change_an_export() {
    let db = database().await;
    let id = queued(&db).await;
    assert!(transition::dispatched(&db, id, now()).await.unwrap());
    assert!(!transition::dispatched(&db, id, now()).await.unwrap());
    let claim = async |worker| transition::claim(&db, id, claimant(worker), now()).await.unwrap();

    let Claim::Won(first) = claim("one").await else { panic!() };
    assert_eq!((first.attempt, first.worker.as_deref()), (1, Some("one")));
    assert_eq!(claim("two").await, Claim::Busy(LEASE));
    end_lease(&db, id).await.unwrap();
    let progress = Progress { rows: 5, bytes: 50, ..Progress::default() };
    assert!(!transition::heartbeat(&db, id, 1, &progress, now(), LEASE).await.unwrap(), "the lease has ended");
    let Claim::Won(second) = claim("two").await else { panic!() };
    assert_eq!(second.attempt, 2);

    assert!(!transition::heartbeat(&db, id, 1, &progress, now(), LEASE).await.unwrap());
    assert!(transition::heartbeat(&db, id, 2, &progress, now(), LEASE).await.unwrap());
    let file = FileInfo { name: "f.csv".into(), size: 50, rows: 5, sha256: "00".into(), media_type: "text/csv".into() };
    assert!(!transition::completed(&db, id, 1, &file, now(), after(60), now()).await.unwrap());
    assert!(transition::completed(&db, id, 2, &file, now(), after(60), now()).await.unwrap());
    assert!(!transition::canceled(&db, id, &Problem::new(Slug::Canceled, "x"), now()).await.unwrap());
    assert_eq!(claim("three").await, Claim::Ended);
    assert_eq!(end_lease(&db, id).await, None);

    let row = export::find_owned(&db, &alice(), id).await.unwrap().unwrap();
    assert_eq!(entity::view::export(&row, None).unwrap().file, Some(file));
    assert_eq!(export::find_owned(&db, &Owner::new("globex", "alice"), id).await.unwrap(), None);
    assert_eq!(maintenance::past_retention(&db, Uuid::nil(), after(59), 9).await.unwrap().len(), 0);
    assert_eq!(maintenance::past_retention(&db, Uuid::nil(), after(60), 9).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_lease_ends_only_if_nothing_has_renewed_it() {
    let db = database().await;
    let id = queued(&db).await;
    assert_eq!(in_flight::list(&db, 9).await.unwrap(), []);
    assert!(transition::dispatched(&db, id, now()).await.unwrap());
    let found = async || in_flight::list(&db, 9).await.unwrap()[0];
    assert_eq!(found().await, InFlight { id: id.0, renewals: 0, lease: None });
    let Claim::Won(_) = transition::claim(&db, id, claimant("one"), now()).await.unwrap() else { panic!() };
    let seen = found().await;
    assert_eq!(seen.lease, Some(LEASE));
    assert!(transition::heartbeat(&db, id, 1, &Progress::default(), now(), 2 * LEASE).await.unwrap());
    assert_eq!(in_flight::end_lease(&db, id, seen.renewals, now()).await.unwrap(), None);
    let seen = found().await;
    assert_eq!(seen.lease, Some(2 * LEASE));
    let row = in_flight::end_lease(&db, id, seen.renewals, now()).await.unwrap().unwrap();
    assert_eq!((row.worker, row.failures, row.abandoned_attempts, row.job_number), (None, 1, 1, 1));
    assert_eq!(in_flight::end_lease(&db, id, seen.renewals, now()).await.unwrap(), None, "a lease ends once");
    // a lost job is no failure
    let row = end_lease(&db, id).await.unwrap();
    assert_eq!((row.failures, row.abandoned_attempts, row.job_number), (1, 1, 2));

    // an old job starts no attempt, even if it arrives first
    let old = Claimant { job_number: 1, ..claimant("old") };
    assert_eq!(transition::claim(&db, id, old, now()).await.unwrap(), Claim::Superseded);
    let new = Claimant { job_number: 2, ..claimant("new") };
    assert!(matches!(transition::claim(&db, id, new, now()).await.unwrap(), Claim::Won(_)));
    assert_eq!(transition::claim(&db, id, old, now()).await.unwrap(), Claim::Superseded);
    assert_eq!(transition::claim(&db, id, new, now()).await.unwrap(), Claim::Busy(LEASE));
}

#[tokio::test]
async fn failed_and_abandoned_attempts_are_counted_and_released_ones_are_not() {
    let db = database().await;
    let id = queued(&db).await;
    let claimed = async |worker: &str| {
        let claim = transition::claim(&db, id, claimant(worker), now()).await.unwrap();
        let Claim::Won(row) = claim else { panic!("{worker}: {claim:?}") };
        (row.attempt, row.failures)
    };
    assert_eq!(claimed("one").await, (1, 0));
    for (attempt, worker) in [(1, "two"), (2, "three"), (3, "four")] {
        assert!(transition::release_lease(&db, id, attempt, now()).await.unwrap());
        assert!(!transition::release_lease(&db, id, attempt, now()).await.unwrap());
        assert_eq!(claimed(worker).await, (attempt.cast_signed() + 1, 0));
    }
    assert!(transition::attempt_failed(&db, id, 4, now()).await.unwrap());
    assert!(!transition::attempt_failed(&db, id, 3, now()).await.unwrap());
    assert_eq!(claimed("five").await, (5, 1));
    end_lease(&db, id).await.unwrap();
    assert!(!transition::attempt_failed(&db, id, 5, now()).await.unwrap(), "the attempt counts once");
    assert_eq!(claimed("six").await, (6, 2));
}

#[tokio::test]
async fn an_outage_is_no_failure_of_the_export_that_it_interrupts() {
    let db = database().await;
    let id = queued(&db).await;
    let shared = async |worker| {
        let claim = transition::claim_shared(&db, id, claimant(worker), now()).await.unwrap();
        let Claim::Won(row) = claim else { panic!("{worker}: {claim:?}") };
        row
    };
    shared("one").await;
    let waiting = Progress { waiting_for: Some(WaitingFor::Storage), ..Progress::default() };
    assert!(transition::heartbeat(&db, id, 1, &waiting, now(), LEASE).await.unwrap());
    let seen = async || {
        let row = export::find(&db, id).await.unwrap().unwrap();
        entity::view::export(&row, None).unwrap().progress.waiting_for
    };
    assert_eq!(seen().await, Some(WaitingFor::Storage));
    assert!(transition::heartbeat(&db, id, 1, &Progress::default(), now(), LEASE).await.unwrap());
    assert_eq!(seen().await, None);

    for attempt in 1..=2 {
        let pause = Duration::from_millis(700);
        let part = WaitingFor::Source;
        assert!(transition::attempt_interrupted(&db, id, attempt, part, pause, now()).await.unwrap());
        assert!(!transition::attempt_interrupted(&db, id, attempt, part, pause, now()).await.unwrap());
        assert_eq!(seen().await, Some(WaitingFor::Source));
        let row = shared("two").await;
        assert_eq!((row.failures, row.abandoned_attempts, row.waited_ms), (0, 0, 700 * i64::from(attempt)));
    }
    assert!(transition::canceled(&db, id, &Problem::new(Slug::Canceled, "x"), now()).await.unwrap());
    assert_eq!(seen().await, None);
}

#[tokio::test]
async fn an_export_is_set_apart_after_the_death_of_the_process_that_ran_it() {
    let db = database().await;
    let id = queued(&db).await;
    let shared = async || transition::claim_shared(&db, id, claimant("shared"), now()).await.unwrap();
    let apart = async |worker: &str| {
        let claim = transition::claim(&db, id, claimant(worker), now()).await.unwrap();
        let Claim::Won(row) = claim else { panic!("{worker}: {claim:?}") };
        (row.attempt, row.failures, row.abandoned_attempts, row.crashed_attempts)
    };
    // a failure, and a hand-over by a stopping exporter, leave the export among the others
    assert!(matches!(shared().await, Claim::Won(_)));
    assert!(transition::attempt_failed(&db, id, 1, now()).await.unwrap());
    assert!(matches!(shared().await, Claim::Won(_)));
    assert!(transition::release_lease(&db, id, 2, now()).await.unwrap());
    assert!(matches!(shared().await, Claim::Won(_)));
    assert_eq!(shared().await, Claim::Busy(LEASE), "the lease of the third attempt has not ended");

    end_lease(&db, id).await.unwrap();
    let Claim::SetApart(row) = shared().await else { panic!("the exporter died") };
    assert_eq!((row.attempt, row.abandoned(), row.crashed()), (3, 1, 0));
    assert_eq!(apart("child").await, (4, 2, 1, 0));
    assert_eq!(shared().await, Claim::Busy(LEASE));
    // the export stays apart after its own process released the lease
    assert!(transition::release_lease(&db, id, 4, now()).await.unwrap());
    assert!(matches!(shared().await, Claim::SetApart(_)));

    assert_eq!(apart("child").await, (5, 2, 1, 0));
    assert!(!transition::attempt_crashed(&db, id, "another", now()).await.unwrap());
    assert!(transition::attempt_crashed(&db, id, "child", now()).await.unwrap());
    assert!(!transition::attempt_crashed(&db, id, "child", now()).await.unwrap(), "a death counts once");
    let Claim::SetApart(row) = shared().await else { panic!("the process died") };
    assert_eq!((row.abandoned(), row.crashed()), (1, 1));
    assert_eq!(apart("child").await, (6, 3, 1, 1));
    assert!(transition::request_cancel(&db, &alice(), id, now()).await.unwrap());
    assert_eq!(shared().await, Claim::Ended);
}

#[tokio::test]
async fn a_cancel_request_stops_claims_and_heartbeats() {
    let db = database().await;
    let id = queued(&db).await;
    let Claim::Won(_) = transition::claim(&db, id, claimant("one"), now()).await.unwrap() else { panic!() };
    assert!(!transition::request_cancel(&db, &Owner::new("acme", "bob"), id, now()).await.unwrap());
    assert!(transition::request_cancel(&db, &alice(), id, now()).await.unwrap());
    assert!(!transition::heartbeat(&db, id, 1, &Progress::default(), now(), LEASE).await.unwrap());
    assert_eq!(end_lease(&db, id).await, None);
    assert_eq!(transition::claim(&db, id, claimant("two"), now()).await.unwrap(), Claim::Ended);
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
