//! The sweep deletes expired files, orphans and stale rows, and the next run finishes an interrupted one.

use std::{collections::BTreeSet, fs::File};

use chrono::{DateTime, TimeDelta, Utc};
use entity::{export, scheduled_job, segment};
use futures::StreamExt;
use platform::{lifecycle::Lifecycle, units::HumanDuration};
use protocol::{
    delivery::{self, GrantReply},
    export::Status,
    id::ExportId,
    problem::Slug,
    subject,
};
use sea_orm::{ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter, sea_query::Expr};

use crate::harness::{GRACE, Harness, alice, completed, credit_policy, grant_request, now};

const DAY: i64 = 24 * 60 * 60;
const NEVER: &str = "0 0 1 1 *";

/// Returns a harness whose notifiers sweep on request only, and reconcile only when they start.
async fn harness_with_manual_sweep() -> Harness {
    let mut h = Harness::new().await;
    h.config.command_reconcile_interval = HumanDuration::from_secs(1_000_000_000);
    h.config.sweep_schedule = NEVER.into();
    h
}

/// Starts a notifier, and waits for the end of its only reconciler run. A later reconciler run could do the work of the
/// sweep.
async fn start(h: &Harness) {
    h.start().await;
    h.wait_until_idle().await;
}

async fn sweep(h: &Harness, runs: i64) -> scheduled_job::Model {
    assert!(scheduled_job::request(&h.db, "sweep", h.clock_now()).await.unwrap());
    let row = h.wait_for_runs("sweep", runs).await;
    assert_eq!(row.result.as_deref(), Some("ok"), "{:?}", row.detail);
    row
}

/// Inserts an export that has had this status for one day.
async fn insert(h: &Harness, status: Status, attempt: i32) -> ExportId {
    let id = ExportId::generate();
    let then = now() - TimeDelta::days(1);
    let completed = (status == Status::Completed).then_some(then);
    let row = export::Model {
        status: status.as_str().into(),
        attempt,
        credits: 0,
        completed_at: completed,
        expires_at: completed.map(|at| at + TimeDelta::days(6)),
        file_name: completed.map(|_| "flights.csv".into()),
        file_size: completed.map(|_| 5),
        file_rows: completed.map(|_| 1),
        file_sha256: completed.map(|_| "00".repeat(32)),
        file_media_type: completed.map(|_| "text/csv".into()),
        updated_at: then,
        ..export::Model::queued(id, &alice(), then)
    };
    export::insert(&h.db, row).await.unwrap();
    id
}

/// Stores an object and sets its modification time.
async fn put_object(h: &Harness, path: &str, modified: DateTime<Utc>) -> String {
    h.store.put(path, &b"hello"[..]).await.unwrap();
    File::options().write(true).open(h.folder.path().join(path)).unwrap().set_modified(modified.into()).unwrap();
    path.to_owned()
}

async fn object_paths(h: &Harness) -> BTreeSet<String> {
    h.store.list("exports").await.unwrap().into_iter().collect()
}

#[tokio::test]
async fn orphaned_objects_are_deleted_and_all_others_are_kept() {
    let h = harness_with_manual_sweep().await;
    start(&h).await;
    let (old, young) = (now() - TimeDelta::days(2), now() - TimeDelta::hours(1));
    let mut kept = BTreeSet::new();
    let unknown = ExportId::generate();
    put_object(&h, &delivery::segment_path(unknown, 1, 0), old).await;
    // an operator may still restore the row of a young object
    let late = put_object(&h, &delivery::segment_path(unknown, 1, 1), young).await;
    for status in [Status::Failed, Status::Canceled, Status::Expired] {
        let ended = insert(&h, status, 1).await;
        put_object(&h, &delivery::segment_path(ended, 1, 0), young).await;
    }
    let done = insert(&h, Status::Completed, 2).await;
    put_object(&h, &delivery::segment_path(done, 1, 0), young).await;
    kept.insert(put_object(&h, &delivery::segment_path(done, 2, 0), old).await);
    kept.insert(put_object(&h, &delivery::manifest_path(done, 2), old).await);
    for status in [Status::Queued, Status::Dispatched, Status::Running] {
        let unfinished = insert(&h, status, 2).await;
        put_object(&h, &delivery::segment_path(unfinished, 1, 0), young).await;
        kept.insert(put_object(&h, &delivery::segment_path(unfinished, 2, 0), old).await);
    }
    kept.insert(put_object(&h, "exports/README", old).await);

    let row = sweep(&h, 1).await;
    let with_late = kept.iter().cloned().chain([late]).collect();
    assert_eq!(object_paths(&h).await, with_late);
    assert_eq!(row.detail.as_deref(), Some("orphaned objects: 8"), "{row:?}");
    h.advance_clock(DAY);
    sweep(&h, 2).await;
    assert_eq!(object_paths(&h).await, kept);
}

#[tokio::test]
async fn a_large_store_is_scanned_in_several_runs() {
    let mut h = harness_with_manual_sweep().await;
    h.config.tuning.sweep_max_objects = 3;
    start(&h).await;
    for _ in 0..7 {
        put_object(&h, &delivery::segment_path(ExportId::generate(), 1, 0), now() - TimeDelta::days(2)).await;
    }
    for (run, left) in (1..).zip([4, 1, 0]) {
        sweep(&h, run).await;
        assert_eq!(object_paths(&h).await.len(), left);
    }
    // the scan is finished, and the next one starts from the first object
    assert_eq!(h.job("sweep").await.state.as_deref(), Some(r#"{"objects":null}"#));
    put_object(&h, &delivery::segment_path(ExportId(uuid::Uuid::nil()), 1, 0), now() - TimeDelta::days(2)).await;
    sweep(&h, 4).await;
    assert!(object_paths(&h).await.is_empty());
}

#[tokio::test]
async fn segment_rows_without_a_file_are_deleted() {
    let h = harness_with_manual_sweep().await;
    start(&h).await;
    let (failed, done, running) = (
        insert(&h, Status::Failed, 1).await,
        insert(&h, Status::Completed, 2).await,
        insert(&h, Status::Running, 2).await,
    );
    for id in [failed, done, running] {
        for attempt in [1, 2] {
            h.write_segments(id, attempt, &[b"hello", b"world"]).await;
        }
    }
    assert_eq!(sweep(&h, 1).await.detail.as_deref(), Some("orphaned objects: 8, orphaned segment rows: 6"));
    let mut left = BTreeSet::new();
    for row in segment::Entity::find().all(&h.db).await.unwrap() {
        left.insert((ExportId(row.export_id), row.attempt));
    }
    assert_eq!(left, BTreeSet::from([(done, 2), (running, 1), (running, 2)]));
    assert_eq!(segment::Entity::find().count(&h.db).await.unwrap(), 6);
}

#[tokio::test]
async fn tickets_much_older_than_the_newest_one_are_deleted_whatever_the_clock_says() {
    let mut h = harness_with_manual_sweep().await;
    h.config.tuning.ticket_retention = HumanDuration::from_secs(2);
    let bucket = h.bus.tickets().await.unwrap();
    let stored_at = async |key: &str| bucket.entry(key).await.unwrap().unwrap().created.unix_timestamp();
    for n in 0..5 {
        bucket.put(format!("old{n}"), "x".into()).await.unwrap();
    }
    start(&h).await;
    // the clock of the NATS server is hours behind the clock of the notifier
    h.advance_clock(7200);
    assert_eq!(sweep(&h, 1).await.detail.as_deref(), Some("nothing to do"));
    let newest_old = stored_at("old4").await;
    testkit::eventually("the newest ticket is much newer", || async {
        bucket.put("new", "x".into()).await.unwrap();
        (stored_at("new").await > newest_old + 2).then_some(())
    })
    .await;
    assert!(sweep(&h, 2).await.detail.is_some_and(|detail| detail.starts_with("stale tickets: ")));
    let keys: Vec<_> = bucket.keys().await.unwrap().map(Result::unwrap).collect().await;
    assert_eq!(keys, ["new"]);
}

#[tokio::test]
async fn a_file_past_its_retention_is_refused_before_the_sweep_deletes_it() {
    let h = harness_with_manual_sweep().await;
    start(&h).await;
    let (id, attempt) = h.running_export().await;
    let segments = h.write_segments(id, attempt, &[b"hello"]).await;
    h.publish_outcome(id, "done", completed(attempt, &segments)).await;
    h.wait_for_status(id, Status::Completed).await;
    h.wait_until_settled().await;
    h.advance_clock(3599);
    assert!(matches!(h.request_grants(grant_request(id, 0)).await, GrantReply::Granted { .. }));
    h.advance_clock(1);
    let GrantReply::Refused { problem } = h.request_grants(grant_request(id, 0)).await else {
        panic!("an expired file was granted")
    };
    assert_eq!((problem.slug(), problem.status), (Slug::Expired, 410));
    assert_eq!(h.row(id).await.status, "completed");
    sweep(&h, 1).await;
    h.wait_for_status(id, Status::Expired).await;
    h.wait_until_settled().await;
    assert_eq!(h.events().await.last().unwrap(), "expired");
    assert!(object_paths(&h).await.is_empty());
}

#[tokio::test]
async fn one_sweep_expires_all_files_past_their_retention() {
    let mut h = harness_with_manual_sweep().await;
    h.config.tuning.sweep_batch = 2;
    start(&h).await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        let id = insert(&h, Status::Completed, 1).await;
        h.write_segments(id, 1, &[b"hello"]).await;
        ids.push(id);
    }
    h.advance_clock(6 * DAY);
    assert_eq!(sweep(&h, 1).await.detail.as_deref(), Some("expired: 5"));
    for id in ids {
        h.wait_for_status(id, Status::Expired).await;
    }
    h.wait_until_settled().await;
    assert!(object_paths(&h).await.is_empty());
    assert_eq!(h.events().await.iter().filter(|event| *event == "expired").count(), 5);
    // a later sweep deletes the segment rows, when no reader may resume
    h.advance_clock(2 * 60 * 60);
    assert_eq!(sweep(&h, 2).await.detail.as_deref(), Some("orphaned segment rows: 5"));
}

#[tokio::test]
async fn an_interrupted_sweep_is_finished_by_the_next() {
    const EXPORTS: usize = 40;
    let mut h = harness_with_manual_sweep().await;
    // one run scans a part of the objects, so that no notifier finishes all work before it is killed
    (h.config.tuning.sweep_max_objects, h.config.tuning.sweep_batch) = (30, 7);
    let mut expired = Vec::new();
    let mut kept = BTreeSet::new();
    for _ in 0..EXPORTS {
        let (id, live) = (insert(&h, Status::Completed, 1).await, insert(&h, Status::Completed, 1).await);
        h.write_segments(id, 1, &[b"a", b"b", b"c"]).await;
        // the retention of this file has ended
        let past = Expr::value(now() - TimeDelta::hours(1));
        let ended = export::Entity::update_many().col_expr(export::Column::ExpiresAt, past);
        ended.filter(export::Column::Id.eq(id.0)).exec(&h.db).await.unwrap();
        h.write_segments(live, 1, &[b"d"]).await;
        kept.insert(delivery::segment_path(live, 1, 0));
        expired.push(id);
        for index in 0..3 {
            put_object(&h, &delivery::segment_path(ExportId::generate(), 1, index), now() - TimeDelta::days(2)).await;
        }
    }
    assert_eq!(object_paths(&h).await.len(), EXPORTS * 7);

    let mut kills = 0;
    loop {
        let life = Lifecycle::new();
        h.start_with(credit_policy(), &life).await;
        assert!(scheduled_job::request(&h.db, "sweep", h.clock_now()).await.unwrap());
        let before = object_paths(&h).await.len();
        testkit::eventually("more objects are deleted, or the run has ended", || async {
            let ended =
                h.job("sweep").await.requested_at.is_none() && h.count_messages(subject::STREAM_OUTCOMES).await == 0;
            (ended || object_paths(&h).await.len() + 7 < before).then_some(())
        })
        .await;
        // simulates a kill: no task finishes its work, releases a lease or records a result
        life.hard().cancel();
        life.soft().cancel();
        life.shut_down(GRACE).await;
        kills += 1;
        // the leases of the killed notifier expire
        h.advance_clock(31);
        // a new consumer redelivers the pulled outcomes at once; the killed notifier may not have created one
        let outcomes = h.bus.jetstream().get_stream(subject::STREAM_OUTCOMES).await.unwrap();
        if outcomes.consumer_info("notifier").await.is_ok() {
            outcomes.delete_consumer("notifier").await.unwrap();
        }

        let left = object_paths(&h).await;
        assert!(left.is_superset(&kept), "the sweep deleted a file before the end of its retention");
        for id in &expired {
            let (row, count) = (h.row(*id).await, h.store.list(&delivery::export_prefix(*id)).await.unwrap().len());
            let promised = row.status == "completed" && row.expires_at.is_none_or(|at| at > h.clock_now());
            assert!(!promised, "{row:?} is not expired, and {count} of its objects are left");
            assert!(row.status != "expired" || count == 0, "{id} expired before its objects were deleted");
        }
        if left.len() == EXPORTS {
            break;
        }
    }
    assert!(kills >= 2, "no notifier was killed during a sweep");
    h.start().await;
    for id in &expired {
        h.wait_for_status(*id, Status::Expired).await;
    }
    h.wait_until_settled().await;
    let row = h.job("sweep").await;
    if row.requested_at.is_some() {
        h.wait_for_runs("sweep", row.runs + 1).await;
    }
    assert_eq!(object_paths(&h).await, kept, "an orphaned object is left");
    assert_eq!(h.events().await.iter().filter(|event| *event == "expired").count(), EXPORTS);
}
