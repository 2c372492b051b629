//! After exporters died in the middle of their work, the store and the tables hold what exports need, and nothing else.

use chrono::TimeDelta;
use entity::{export, scheduled_job, transition};
use platform::units::HumanDuration;
use protocol::{
    delivery,
    envelope::OutcomeResult,
    export::Status,
    id::ExportId,
    problem::{Problem, Slug},
};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, sea_query::Expr};
use testkit::leftovers::differences;

use crate::harness::{Harness, alice, completed, now};

/// Writes what an exporter leaves that is killed during an attempt: a segment with its row, an object without a row, and
/// the file of an unfinished write.
async fn die_in_attempt(h: &Harness, id: ExportId, attempt: u32) {
    h.write_segments(id, attempt, &[b"hello"]).await;
    h.store.put(&delivery::segment_path(id, attempt, 1), &b"late"[..]).await.unwrap();
    leave_partial(h, &delivery::segment_path(id, attempt, 2));
}

fn leave_partial(h: &Harness, path: &str) {
    let file = h.folder.path().join(format!("{path}#1"));
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(file, "hel").unwrap();
}

/// Runs an export whose first attempt dies, and ends it with this status.
async fn end_after_death(h: &Harness, status: Status) -> ExportId {
    let (id, first) = h.running_export().await;
    die_in_attempt(h, id, first).await;
    let second = h.claim(id).await;
    match status {
        Status::Failed => {
            die_in_attempt(h, id, second).await;
            let problem = Problem::new(Slug::ExportFailed, "the source is gone");
            h.publish_outcome(id, &format!("{id}"), OutcomeResult::Failed { attempt: second, problem }).await;
        }
        Status::Canceled => {
            die_in_attempt(h, id, second).await;
            assert!(transition::request_cancel(&h.db, &alice(), id, now()).await.unwrap());
            h.publish_outcome(id, &format!("{id}"), OutcomeResult::CancelRequested).await;
        }
        _ => {
            let segments = h.write_segments(id, second, &[b"hello", b"world"]).await;
            h.store.put(&delivery::manifest_path(id, second), "{}").await.unwrap();
            h.store.put(&delivery::metadata_path(id, second), "{}").await.unwrap();
            h.publish_outcome(id, &format!("{id}"), completed(second, &segments)).await;
            if status == Status::Expired {
                h.wait_for_status(id, Status::Completed).await;
                assert!(transition::request_delete(&h.db, &alice(), id, now()).await.unwrap());
                h.publish_outcome(id, &format!("{id}:delete"), OutcomeResult::DeleteRequested).await;
            }
        }
    }
    h.wait_for_status(id, status).await;
    id
}

#[tokio::test]
async fn after_deaths_and_one_sweep_nothing_is_left_that_no_export_needs() {
    let mut h = Harness::new().await;
    h.config.command_reconcile_interval = HumanDuration::from_secs(1_000_000_000);
    h.config.sweep_schedule = "0 0 1 1 *".into();
    h.start().await;
    h.wait_until_idle().await;
    let mut done = Vec::new();
    for status in [Status::Completed, Status::Failed, Status::Canceled, Status::Expired] {
        done.push(end_after_death(&h, status).await);
    }
    h.wait_until_settled().await;
    assert!(h.store.list_partials("").await.unwrap().is_empty(), "the end of an export deletes partial objects");

    // exporters that were frozen write on after the end of their exports
    for id in &done {
        die_in_attempt(&h, *id, 9).await;
    }
    // a finished attempt leaves no partial object, but its directory may have one of a write that was repeated
    leave_partial(&h, &delivery::segment_path(done[0], 2, 0));
    // an export whose row is lost
    let unknown = ExportId::generate();
    h.store.put(&delivery::segment_path(unknown, 1, 0), &b"hello"[..]).await.unwrap();
    leave_partial(&h, &delivery::segment_path(unknown, 1, 1));
    // an export that runs on, after its first exporter died
    let (running, first) = h.running_export().await;
    die_in_attempt(&h, running, first).await;
    let second = h.claim(running).await;
    h.write_segments(running, second, &[b"hello"]).await;
    leave_partial(&h, &delivery::segment_path(running, second, 1));
    let before = differences(&h.db, &h.store).await;
    assert!(before.len() >= 4 * 3, "{before:#?}");

    keep_files(&h).await;
    // by the clock of the notifier, all files are a day old
    h.clock.advance(TimeDelta::seconds(seconds_until_old()));
    assert!(scheduled_job::request(&h.db, "sweep", h.clock_now()).await.unwrap());
    let row = h.wait_for_runs("sweep", 1).await;
    assert_eq!(row.result.as_deref(), Some("ok"), "{:?}", row.detail);
    // the file that a live exporter is writing stays
    let writing = format!("{}#1", delivery::segment_path(running, second, 1));
    let partials: Vec<_> = h.store.list_partials("").await.unwrap().into_iter().map(|partial| partial.path).collect();
    assert_eq!(partials, std::slice::from_ref(&writing));
    let after = differences(&h.db, &h.store).await;
    assert_eq!(after, [format!("no export needs the object {writing}")]);

    h.publish_outcome(running, "done", completed(second, &h.segments(running, second).await)).await;
    h.store.put(&delivery::manifest_path(running, second), "{}").await.unwrap();
    h.wait_for_status(running, Status::Completed).await;
    h.wait_until_settled().await;
    keep_files(&h).await;
    h.advance_clock(1200);
    assert!(scheduled_job::request(&h.db, "sweep", h.clock_now()).await.unwrap());
    h.wait_for_runs("sweep", 2).await;
    assert_eq!(differences(&h.db, &h.store).await, [""; 0]);
}

/// Extends the retention of all files beyond the end of the test.
async fn keep_files(h: &Harness) {
    let update =
        export::Entity::update_many().col_expr(export::Column::ExpiresAt, Expr::value(now() + TimeDelta::days(999)));
    update.filter(export::Column::Status.eq("completed")).exec(&h.db).await.unwrap();
}

/// Seconds from the time of the harness to a day after the files were written.
fn seconds_until_old() -> i64 {
    use platform::clock::{Clock, SystemClock};
    (SystemClock.now() - now()).num_seconds().max(0) + 25 * 60 * 60
}
