//! The dispatch order is fair: no user waits for all exports of another user.

use chrono::TimeDelta;
use entity::{export, ledger, transition};
use platform::{lifecycle::Lifecycle, units::HumanDuration};
use protocol::{
    envelope::{OutcomeResult, ProgressReport},
    export::{Progress, Status},
    id::{ExportId, Owner},
    problem::{Problem, Slug},
    subject::{self, Lane},
};
use sea_orm::{ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter};
use testkit::eventually;

use crate::harness::{GRACE, Harness, advertise, alice, credit_policy, now, observation_time};

fn owner(tenant: &str, user: &str) -> Owner {
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

async fn count_with_status(h: &Harness, status: Status) -> u64 {
    export::Entity::find().filter(export::Column::Status.eq(status.as_str())).count(&h.db).await.unwrap()
}

/// Takes the next job of a lane from the stream and claims its export, as an exporter does.
async fn claim_next(h: &Harness, lane: Lane) -> (ExportId, u32) {
    let stream = h.bus.jetstream().get_stream(subject::STREAM_JOBS).await.unwrap();
    let next = eventually("a job is published", || async {
        let jobs = h.all_jobs().await;
        jobs.into_iter().find(|(subject, _)| subject.contains(&format!(".{}.", lane.as_str())))
    })
    .await;
    let sequence = stream.get_last_raw_message_by_subject(&next.0).await.unwrap().sequence;
    stream.delete_message(sequence).await.unwrap();
    let id = next.1.export_id;
    // a job may be published before its row changes; a real exporter waits too
    h.wait_for_status(id, Status::Dispatched).await;
    (id, h.claim(id).await)
}

async fn fail(h: &Harness, (id, attempt): (ExportId, u32)) {
    let problem = Problem::new(Slug::ExportFailed, "failed by the test");
    h.publish_outcome(id, &format!("{id}:end"), OutcomeResult::Failed { attempt, problem }).await;
}

#[tokio::test]
async fn a_small_export_runs_at_once_beside_two_hundred_of_another_user() {
    let h = Harness::new().await;
    advertise(&h.bus, 5, 4).await;
    submit_many(&h, &owner("a", "ann"), Lane::Bulk, 200).await;
    h.start().await;
    // four bulk slots and one prefetched job
    eventually("the slots are taken", || async {
        (count_with_status(&h, Status::Dispatched).await == 5).then_some(())
    })
    .await;
    let running = [claim_next(&h, Lane::Bulk).await, claim_next(&h, Lane::Bulk).await];

    let small = submit(&h, &owner("b", "bea"), Lane::Interactive).await;
    assert_eq!(claim_next(&h, Lane::Interactive).await.0, small);
    // a large export of bea is next after the prefetched one
    let large = submit(&h, &owner("b", "bea"), Lane::Bulk).await;
    for job in running {
        fail(&h, job).await;
    }
    h.wait_for_status(large, Status::Dispatched).await;
    assert!(count_with_status(&h, Status::Queued).await > 190);
}

#[tokio::test]
async fn slow_two_hundred_exports_of_one_tenant_all_end() {
    let h = Harness::new().await;
    advertise(&h.bus, 5, 4).await;
    submit_many(&h, &owner("a", "ann"), Lane::Bulk, 200).await;
    h.start().await;
    for _ in 0..200 {
        let job = claim_next(&h, Lane::Bulk).await;
        fail(&h, job).await;
        assert!(count_with_status(&h, Status::Dispatched).await + count_with_status(&h, Status::Running).await <= 6);
    }
    eventually("all have ended", || async { (count_with_status(&h, Status::Failed).await == 200).then_some(()) }).await;
}

#[tokio::test]
async fn tenants_and_then_their_users_are_dispatched_in_turn() {
    let h = Harness::new().await;
    advertise(&h.bus, 1, 1).await;
    let (ann, abe, bea) = (owner("a", "ann"), owner("a", "abe"), owner("b", "bea"));
    submit_many(&h, &ann, Lane::Bulk, 6).await;
    submit_many(&h, &abe, Lane::Bulk, 2).await;
    submit_many(&h, &bea, Lane::Bulk, 3).await;
    h.start().await;
    let mut order = Vec::new();
    for _ in 0..11 {
        let job = claim_next(&h, Lane::Bulk).await;
        order.push(h.row(job.0).await.user_id);
        fail(&h, job).await;
        h.wait_for_status(job.0, Status::Failed).await;
    }
    // the tenants alternate while both wait, and within the first tenant its two users alternate
    assert_eq!(&order[..6].iter().filter(|user| *user == "bea").count(), &3, "{order:?}");
    assert_eq!(&order[..6].iter().filter(|user| *user == "abe").count(), &1, "{order:?}");
    assert_eq!(&order[6..].iter().filter(|user| *user == "abe").count(), &1, "{order:?}");
    assert!(order[8..].iter().all(|user| user == "ann"), "{order:?}");
}

#[tokio::test]
async fn no_tenant_or_user_exceeds_its_limit_in_flight() {
    let mut h = Harness::new().await;
    (h.config.max_in_flight_per_tenant_pool_and_lane, h.config.max_in_flight_per_user_pool_and_lane) = (5, 3);
    submit_many(&h, &owner("a", "ann"), Lane::Bulk, 9).await;
    submit_many(&h, &owner("a", "abe"), Lane::Bulk, 9).await;
    let theirs = submit_many(&h, &owner("b", "bea"), Lane::Bulk, 9).await;
    h.start().await;
    eventually("all exports within the limits are dispatched", || async {
        (count_with_status(&h, Status::Dispatched).await == 8).then_some(())
    })
    .await;
    observation_time().await;
    let jobs = h.all_jobs().await;
    let of_user = |user: &str| jobs.iter().filter(|(_, job)| job.owner.user == user).count();
    // the third export in flight may belong to either user of the first tenant
    let (ann, abe) = (of_user("ann"), of_user("abe"));
    assert_eq!((ann + abe, ann.max(abe), of_user("bea")), (5, 3, 3), "{ann} {abe}");
    // the end of an export admits the next one of the same user
    let attempt = h.claim(theirs[0]).await;
    fail(&h, (theirs[0], attempt)).await;
    h.wait_for_status(theirs[3], Status::Dispatched).await;
    observation_time().await;
    assert_eq!(count_with_status(&h, Status::Dispatched).await, 8);
}

#[tokio::test]
async fn owners_of_waiting_exports_receive_their_queue_positions() {
    let h = Harness::new().await;
    advertise(&h.bus, 2, 1).await;
    let mut reports = h.bus.subscribe(subject::user_progress(&owner("a", "ann"))).await.unwrap();
    let ids = submit_many(&h, &owner("a", "ann"), Lane::Bulk, 4).await;
    h.start().await;
    // reports repeat at each change, so the test waits for the expected one
    let mut wait_for = async |wanted: &dyn Fn(ExportId, &Progress) -> bool| loop {
        let message = tokio::time::timeout(testkit::DEADLINE, futures::StreamExt::next(&mut reports)).await;
        let report = platform::bus::open::<ProgressReport>(&message.unwrap().unwrap().payload).unwrap().body;
        if wanted(report.export_id, &report.progress) {
            break;
        }
    };
    // two exports are dispatched; three exports are ahead of the last waiting one
    wait_for(&|id, progress| id == ids[3] && progress.queue_position == Some(3) && progress.eta_ms.is_none()).await;
    let job = claim_next(&h, Lane::Bulk).await;
    h.publish_outcome(job.0, "done", crate::harness::completed(job.1, &[])).await;
    // once an export has completed, reports include the remaining time
    wait_for(&|id, progress| id == ids[3] && progress.queue_position < Some(3) && progress.eta_ms.is_some()).await;
}

#[tokio::test]
async fn a_second_notifier_takes_over_an_expired_lease() {
    let mut h = Harness::new().await;
    h.config.lease_duration = HumanDuration::from_millis(1500);
    h.start().await;
    let before = h.submit().await;
    h.wait_for_status(before, Status::Dispatched).await;
    // the killed leader releases nothing, and the clock is stopped, so its lease never expires by the clock
    h.life.hard().cancel();
    h.life = Lifecycle::new();
    h.start().await;
    let after = h.submit().await;
    h.wait_for_status(after, Status::Dispatched).await;
}

#[tokio::test]
async fn a_clock_that_steps_back_does_not_stop_the_dispatching() {
    let mut h = Harness::new().await;
    h.config.lease_duration = HumanDuration::from_millis(1500);
    h.start().await;
    let before = h.submit().await;
    h.wait_for_status(before, Status::Dispatched).await;
    h.clock.advance(TimeDelta::days(-3));
    let after = h.submit().await;
    h.wait_for_status(after, Status::Dispatched).await;
}

#[tokio::test]
async fn a_stopping_leader_releases_its_lease_at_once() {
    let mut h = Harness::new().await;
    h.config.lease_duration = HumanDuration::from_secs(600);
    h.start().await;
    let before = h.submit().await;
    h.wait_for_status(before, Status::Dispatched).await;
    h.life.soft().cancel();
    h.life.shut_down(GRACE).await;
    h.life = Lifecycle::new();
    h.start().await;
    let after = h.submit().await;
    h.wait_for_status(after, Status::Dispatched).await;
}

#[tokio::test]
async fn a_hold_is_notified_while_its_export_waits() {
    let mut h = Harness::new().await;
    h.config.max_in_flight_per_user_pool_and_lane = 1;
    h.start().await;
    for expected in ["credits hold 4+1", "credits hold 3+2"] {
        h.submit().await;
        h.wait_until_notified().await;
        assert_eq!(h.events().await.last().unwrap(), expected);
    }
    let tx = sea_orm::TransactionTrait::begin(&h.db).await.unwrap();
    ledger::open_and_accrue(&tx, &alice(), &credit_policy(), now()).await.unwrap();
    assert!(ledger::adjust(&tx, &alice(), -2, "correction", now()).await.unwrap());
    tx.commit().await.unwrap();
    h.wait_until_notified().await;
    assert_eq!(h.events().await.last().unwrap(), "credits adjustment 1+2");
}

#[tokio::test]
async fn the_order_is_the_same_on_postgres() {
    let postgres = testkit::db::Postgres::start().await;
    let h = Harness::with_database(postgres.database().await).await;
    advertise(&h.bus, 2, 1).await;
    submit_many(&h, &owner("a", "ann"), Lane::Bulk, 5).await;
    submit_many(&h, &owner("b", "bea"), Lane::Bulk, 2).await;
    h.start().await;
    let mut order = Vec::new();
    for _ in 0..7 {
        let job = claim_next(&h, Lane::Bulk).await;
        order.push(h.row(job.0).await.user_id);
        fail(&h, job).await;
        h.wait_for_status(job.0, Status::Failed).await;
    }
    assert_eq!(order[..4].iter().filter(|user| *user == "bea").count(), 2, "{order:?}");
    assert!(!transition::dispatched(&h.db, ExportId::generate(), now()).await.unwrap());
}
