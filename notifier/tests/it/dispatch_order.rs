//! Fair turns: nobody waits behind somebody else's thousand exports.

use chrono::TimeDelta;
use entity::{export, ledger, transition};
use platform::lifecycle::Lifecycle;
use protocol::{
    envelope::{OutcomeResult, ProgressReport},
    export::{Progress, Status},
    id::{ExportId, Owner},
    problem::{Problem, Slug},
    subject::{self, Lane},
};
use sea_orm::{ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter};
use testkit::eventually;

use crate::harness::{GRACE, Harness, advertise, alice, now, quiet, credit_policy};

fn of(tenant: &str, user: &str) -> Owner {
    Owner::new(tenant, user)
}

async fn submit(h: &Harness, owner: &Owner, lane: Lane) -> ExportId {
    let id = ExportId::generate();
    let row = export::Model { lane: lane.as_str().into(), credits: 0, ..export::Model::queued(id, owner, now()) };
    export::insert(&h.db, row).await.unwrap();
    id
}

async fn submit_many(h: &Harness, owner: &Owner, lane: Lane, count: usize) -> Vec<ExportId> {
    let mut ids = Vec::new();
    for _ in 0..count {
        ids.push(submit(h, owner, lane).await);
    }
    ids
}

async fn with(h: &Harness, status: Status) -> u64 {
    export::Entity::find().filter(export::Column::Status.eq(status.as_str())).count(&h.db).await.unwrap()
}

/// As an exporter that takes the next job of a lane in the stream's order; the export of that job.
async fn take(h: &Harness, lane: Lane) -> (ExportId, u32) {
    let stream = h.bus.jetstream().get_stream(subject::STREAM_JOBS).await.unwrap();
    let next = eventually("a job is there", || async {
        let jobs = h.all_jobs().await;
        jobs.into_iter().find(|(subject, _)| subject.contains(&format!(".{}.", lane.as_str())))
    })
    .await;
    let sequence = stream.get_last_raw_message_by_subject(&next.0).await.unwrap().sequence;
    stream.delete_message(sequence).await.unwrap();
    let id = next.1.export_id;
    // the job may come before its row has moved on, as it may to a real exporter
    h.until(id, Status::Dispatched).await;
    (id, h.claim(id).await)
}

async fn end(h: &Harness, (id, attempt): (ExportId, u32)) {
    let problem = Problem::new(Slug::ExportFailed, "as the test wants it");
    h.say(id, &format!("{id}:end"), OutcomeResult::Failed { attempt, problem }).await;
}

#[tokio::test]
async fn one_small_export_runs_at_once_beside_two_hundred_of_somebody_else() {
    let h = Harness::new().await;
    advertise(&h.bus, 5, 4).await;
    submit_many(&h, &of("a", "ann"), Lane::Bulk, 200).await;
    h.start().await;
    // four slots for bulk, and one that waits ahead
    eventually("the slots are taken", || async { (with(&h, Status::Dispatched).await == 5).then_some(()) }).await;
    let running = [take(&h, Lane::Bulk).await, take(&h, Lane::Bulk).await];

    let small = submit(&h, &of("b", "bea"), Lane::Interactive).await;
    assert_eq!(take(&h, Lane::Interactive).await.0, small);
    // a large one of theirs is next but for the one that is ahead already
    let large = submit(&h, &of("b", "bea"), Lane::Bulk).await;
    for job in running {
        end(&h, job).await;
    }
    h.until(large, Status::Dispatched).await;
    assert!(with(&h, Status::Queued).await > 190);
}

#[tokio::test]
async fn two_hundred_exports_of_one_tenant_all_end() {
    let h = Harness::new().await;
    advertise(&h.bus, 5, 4).await;
    submit_many(&h, &of("a", "ann"), Lane::Bulk, 200).await;
    h.start().await;
    for _ in 0..200 {
        let job = take(&h, Lane::Bulk).await;
        end(&h, job).await;
        assert!(with(&h, Status::Dispatched).await + with(&h, Status::Running).await <= 6);
    }
    eventually("all have ended", || async { (with(&h, Status::Failed).await == 200).then_some(()) }).await;
}

#[tokio::test]
async fn tenants_and_then_their_people_are_taken_in_turn() {
    let h = Harness::new().await;
    advertise(&h.bus, 1, 1).await;
    let (ann, abe, bea) = (of("a", "ann"), of("a", "abe"), of("b", "bea"));
    submit_many(&h, &ann, Lane::Bulk, 6).await;
    submit_many(&h, &abe, Lane::Bulk, 2).await;
    submit_many(&h, &bea, Lane::Bulk, 3).await;
    h.start().await;
    let mut order = Vec::new();
    for _ in 0..11 {
        let job = take(&h, Lane::Bulk).await;
        order.push(h.row(job.0).await.user_id);
        end(&h, job).await;
        h.until(job.0, Status::Failed).await;
    }
    // the tenants in turn as long as both wait, and within the first its two people
    assert_eq!(&order[..6].iter().filter(|user| *user == "bea").count(), &3, "{order:?}");
    assert_eq!(&order[..6].iter().filter(|user| *user == "abe").count(), &1, "{order:?}");
    assert_eq!(&order[6..].iter().filter(|user| *user == "abe").count(), &1, "{order:?}");
    assert!(order[8..].iter().all(|user| user == "ann"), "{order:?}");
}

#[tokio::test]
async fn nobody_has_more_in_flight_than_their_cap() {
    let mut h = Harness::new().await;
    (h.config.tenant_in_flight, h.config.user_in_flight) = (5, 3);
    submit_many(&h, &of("a", "ann"), Lane::Bulk, 9).await;
    submit_many(&h, &of("a", "abe"), Lane::Bulk, 9).await;
    let theirs = submit_many(&h, &of("b", "bea"), Lane::Bulk, 9).await;
    h.start().await;
    eventually("all that may go went", || async { (with(&h, Status::Dispatched).await == 8).then_some(()) }).await;
    quiet().await;
    let jobs = h.all_jobs().await;
    let of_user = |user: &str| jobs.iter().filter(|(_, job)| job.owner.user == user).count();
    // which of the two of one tenant has one more is chance
    let (ann, abe) = (of_user("ann"), of_user("abe"));
    assert_eq!((ann + abe, ann.max(abe), of_user("bea")), (5, 3, 3), "{ann} {abe}");
    // one that ends makes room for one more of the same person
    let attempt = h.claim(theirs[0]).await;
    end(&h, (theirs[0], attempt)).await;
    h.until(theirs[3], Status::Dispatched).await;
    quiet().await;
    assert_eq!(with(&h, Status::Dispatched).await, 8);
}

#[tokio::test]
async fn those_who_wait_are_told_where_they_stand() {
    let h = Harness::new().await;
    advertise(&h.bus, 2, 1).await;
    let mut notes = h.bus.subscribe(subject::user_progress(&of("a", "ann"))).await.unwrap();
    let ids = submit_many(&h, &of("a", "ann"), Lane::Bulk, 4).await;
    h.start().await;
    // notes come whenever something changed: what counts is where they lead
    let mut until = async |wanted: &dyn Fn(ExportId, &Progress) -> bool| loop {
        let message = tokio::time::timeout(testkit::DEADLINE, futures::StreamExt::next(&mut notes)).await;
        let note = platform::bus::open::<ProgressReport>(&message.unwrap().unwrap().payload).unwrap().body;
        if wanted(note.export_id, &note.progress) {
            break;
        }
    };
    // two are handed over; of those that wait, the last one is told that three stand before it
    until(&|id, told| id == ids[3] && told.queue_position == Some(3) && told.eta_ms.is_none()).await;
    let job = take(&h, Lane::Bulk).await;
    h.say(job.0, "done", crate::harness::completed(job.1, &[])).await;
    // once one was completed, the time left is known too
    until(&|id, told| id == ids[3] && told.queue_position < Some(3) && told.eta_ms.is_some()).await;
}

#[tokio::test]
async fn when_the_leader_dies_another_leads() {
    let mut h = Harness::new().await;
    h.config.lease_ms = 1500;
    h.start().await;
    let before = h.submit().await;
    h.until(before, Status::Dispatched).await;
    // killed: it gives nothing back, and the clock stands still, so that its lease never runs out by the time of day
    h.life.hard().cancel();
    h.life = Lifecycle::new();
    h.start().await;
    let after = h.submit().await;
    h.until(after, Status::Dispatched).await;
}

#[tokio::test]
async fn a_clock_that_steps_back_stops_nobody() {
    let mut h = Harness::new().await;
    h.config.lease_ms = 1500;
    h.start().await;
    let before = h.submit().await;
    h.until(before, Status::Dispatched).await;
    h.clock.advance(TimeDelta::days(-3));
    let after = h.submit().await;
    h.until(after, Status::Dispatched).await;
}

#[tokio::test]
async fn whoever_stops_hands_the_lead_over_at_once() {
    let mut h = Harness::new().await;
    h.config.lease_ms = 600_000;
    h.start().await;
    let before = h.submit().await;
    h.until(before, Status::Dispatched).await;
    h.life.soft().cancel();
    h.life.shut_down(GRACE).await;
    h.life = Lifecycle::new();
    h.start().await;
    let after = h.submit().await;
    h.until(after, Status::Dispatched).await;
}

#[tokio::test]
async fn a_hold_is_told_at_once_also_to_who_waits() {
    let mut h = Harness::new().await;
    h.config.user_in_flight = 1;
    h.start().await;
    for expected in ["credits hold 4+1", "credits hold 3+2"] {
        h.submit().await;
        h.until_told().await;
        assert_eq!(h.events().await.last().unwrap(), expected);
    }
    let tx = sea_orm::TransactionTrait::begin(&h.db).await.unwrap();
    ledger::open_and_accrue(&tx, &alice(), &credit_policy(), now()).await.unwrap();
    assert!(ledger::adjust(&tx, &alice(), -2, "too many", now()).await.unwrap());
    tx.commit().await.unwrap();
    h.until_told().await;
    assert_eq!(h.events().await.last().unwrap(), "credits adjustment 1+2");
}

#[tokio::test]
async fn the_order_is_the_same_on_postgres() {
    let postgres = testkit::db::Postgres::start().await;
    let h = Harness::on(postgres.database().await).await;
    advertise(&h.bus, 2, 1).await;
    submit_many(&h, &of("a", "ann"), Lane::Bulk, 5).await;
    submit_many(&h, &of("b", "bea"), Lane::Bulk, 2).await;
    h.start().await;
    let mut order = Vec::new();
    for _ in 0..7 {
        let job = take(&h, Lane::Bulk).await;
        order.push(h.row(job.0).await.user_id);
        end(&h, job).await;
        h.until(job.0, Status::Failed).await;
    }
    assert_eq!(order[..4].iter().filter(|user| *user == "bea").count(), 2, "{order:?}");
    assert!(!transition::dispatched(&h.db, ExportId::generate(), now()).await.unwrap());
}
