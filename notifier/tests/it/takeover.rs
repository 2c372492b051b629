//! The leader replaces exporters that died and jobs that were lost, whatever NATS and the wall clock say.

use std::time::Duration;

use async_nats::jetstream::{
    AckKind, Message,
    consumer::{PullConsumer, pull},
    stream::{Config, RetentionPolicy},
};
use chrono::TimeDelta;
use entity::transition;
use futures::StreamExt;
use protocol::{
    envelope::OutcomeResult,
    export::Status,
    id::ExportId,
    problem::{Problem, Slug},
    subject::{self, Lane},
};
use sea_orm::ConnectionTrait;

use crate::harness::{Harness, alice, completed, now, observation_time};

/// A lease that ends soon after its last renewal.
const SHORT: Duration = Duration::from_millis(300);

/// Receives the next job as an exporter does. NATS redelivers the job after an hour.
async fn pull_job(h: &Harness) -> Message {
    let name = subject::job_consumer("default", Lane::Bulk);
    let config = pull::Config {
        durable_name: Some(name.clone()),
        filter_subject: subject::jobs_filter("default", Lane::Bulk),
        ack_wait: Duration::from_secs(3600),
        ..pull::Config::default()
    };
    let stream = h.bus.jetstream().get_stream(subject::STREAM_JOBS).await.unwrap();
    let consumer: PullConsumer = stream.get_or_create_consumer(&name, config).await.unwrap();
    let mut batch = consumer.batch().max_messages(1).expires(testkit::DEADLINE).messages().await.unwrap();
    batch.next().await.expect("a job in time").unwrap()
}

/// The numbers of the jobs of an export in the stream.
async fn job_numbers(h: &Harness, id: ExportId) -> Vec<u32> {
    h.all_jobs().await.into_iter().filter(|(_, job)| job.export_id == id).map(|(_, job)| job.number).collect()
}

async fn wait_for_jobs(h: &Harness, id: ExportId, numbers: &[u32]) {
    testkit::eventually("the jobs are in the stream", || async { (job_numbers(h, id).await == numbers).then_some(()) })
        .await;
}

#[tokio::test]
async fn a_silent_exporter_is_replaced_although_nats_redelivers_nothing() {
    let h = Harness::running().await;
    let id = h.submit().await;
    h.wait_for_status(id, Status::Dispatched).await;
    let _undelivered_for_an_hour = pull_job(&h).await;
    assert_eq!(h.claim_with_lease(id, SHORT).await, 1);
    // another export runs beside it, with a lease that does not end during the test
    let (other, _) = h.running_export().await;

    wait_for_jobs(&h, id, &[0, 1]).await;
    let row = h.row(id).await;
    assert_eq!((row.status.as_str(), row.worker, row.abandoned_attempts, row.job_number), ("running", None, 1, 1));
    assert_eq!(h.claim(id).await, 2);
    observation_time().await;
    assert_eq!(job_numbers(&h, id).await, [0, 1]);
    assert_eq!((h.row(other).await.job_number, job_numbers(&h, other).await), (0, vec![0]));
}

#[tokio::test]
async fn no_wall_clock_ends_or_extends_a_lease() {
    let h = Harness::running().await;
    let (held, attempt) = h.running_export().await;
    for hours in [2, -4, 2] {
        h.clock.advance(TimeDelta::hours(hours));
        observation_time().await;
        let row = h.row(held).await;
        assert_eq!((row.attempt.unsigned_abs(), row.worker.as_deref(), row.job_number), (attempt, Some("worker"), 0));
    }
    // the clock of the leader stands still, and is an hour behind the time at which the exporter claimed the export
    h.clock.advance(TimeDelta::hours(-1));
    let id = h.submit().await;
    h.wait_for_status(id, Status::Dispatched).await;
    h.claim_with_lease(id, SHORT).await;
    wait_for_jobs(&h, id, &[0, 1]).await;
}

#[tokio::test]
async fn a_lost_job_is_published_again_and_a_waiting_one_is_not() {
    let mut h = Harness::new().await;
    h.config.tuning.unclaimed_timeout = SHORT.into();
    h.start().await;
    let (lost, waiting) = (h.submit().await, h.submit().await);
    for id in [lost, waiting] {
        h.wait_for_status(id, Status::Dispatched).await;
    }
    let jobs = h.bus.jetstream().get_stream(subject::STREAM_JOBS).await.unwrap();
    let subject = subject::job("default", Lane::Bulk, lost);
    jobs.delete_message(jobs.get_last_raw_message_by_subject(&subject).await.unwrap().sequence).await.unwrap();
    wait_for_jobs(&h, lost, &[1]).await;
    assert_eq!(h.row(lost).await.abandoned_attempts, 0, "a lost job is no failure");

    // a process received this job, and died before it claimed the export
    let received = pull_job(&h).await;
    assert!(received.subject.ends_with(&waiting.to_string()));
    wait_for_jobs(&h, waiting, &[0, 1]).await;
}

#[tokio::test]
async fn an_export_whose_outcome_waits_is_not_run_again() {
    let h = Harness::running().await;
    let id = h.submit().await;
    h.wait_for_status(id, Status::Dispatched).await;
    h.wait_until_notified().await;
    h.db.execute_unprepared("ALTER TABLE credit_account RENAME TO away").await.unwrap();
    let attempt = h.claim_with_lease(id, SHORT).await;
    let segments = h.write_segments(id, attempt, &[b"hello"]).await;
    h.publish_outcome(id, "done", completed(attempt, &segments)).await;
    let outcomes = h.bus.jetstream().get_stream(subject::STREAM_OUTCOMES).await.unwrap();
    testkit::eventually("the outcome is redelivered", || async {
        let info = outcomes.consumer_info("notifier").await.ok()?;
        (info.delivered.consumer_sequence > 2).then_some(())
    })
    .await;
    assert_eq!((h.row(id).await.worker.as_deref(), job_numbers(&h, id).await), (Some("worker"), vec![0]));
    h.db.execute_unprepared("ALTER TABLE away RENAME TO credit_account").await.unwrap();
    assert_eq!(h.wait_for_status(id, Status::Completed).await.attempt, 1);
}

#[tokio::test]
async fn an_outcome_that_nats_does_not_redeliver_is_settled() {
    let mut h = Harness::new().await;
    h.config.tuning.unclaimed_timeout = SHORT.into();
    let id = h.submit().await;
    assert!(transition::dispatched(&h.db, id, now()).await.unwrap());
    let attempt = h.claim_with_lease(id, SHORT).await;
    let segments = h.write_segments(id, attempt, &[b"hello"]).await;
    h.publish_outcome(id, "done", completed(attempt, &segments)).await;
    // a notifier received the outcome and died, and the clock of the NATS server was set back
    let config = pull::Config { durable_name: Some("notifier".into()), ..pull::Config::default() };
    let stream = h.bus.jetstream().get_stream(subject::STREAM_OUTCOMES).await.unwrap();
    let consumer: PullConsumer = stream.get_or_create_consumer("notifier", config).await.unwrap();
    let mut batch = consumer.batch().max_messages(1).expires(testkit::DEADLINE).messages().await.unwrap();
    let outcome = batch.next().await.unwrap().unwrap();
    outcome.double_ack_with(AckKind::Nak(Some(Duration::from_secs(3600)))).await.unwrap();
    h.start().await;
    let row = h.wait_for_status(id, Status::Completed).await;
    assert_eq!((row.attempt, row.job_number), (1, 0));
    assert_eq!(h.balance().await, (4, 0));
}

/// Makes a stream keep acknowledged messages, as a NATS server does after a write to a full disk failed.
async fn keep_acknowledged(h: &Harness, name: &str) {
    let jetstream = h.bus.jetstream();
    let config = jetstream.get_stream(name).await.unwrap().get_info().await.unwrap().config;
    jetstream.delete_stream(name).await.unwrap();
    jetstream.create_stream(Config { retention: RetentionPolicy::Limits, ..config }).await.unwrap();
}

#[tokio::test]
async fn acknowledged_messages_that_stay_in_their_stream_hide_no_lost_message() {
    let h = Harness::new().await;
    keep_acknowledged(&h, subject::STREAM_OUTCOMES).await;
    keep_acknowledged(&h, subject::STREAM_JOBS).await;
    h.start().await;

    // the file of an export whose outcome stays is deleted, although its command was lost
    let (deleted, attempt) = h.running_export().await;
    let segments = h.write_segments(deleted, attempt, &[b"hello"]).await;
    h.publish_outcome(deleted, "done", completed(attempt, &segments)).await;
    h.wait_for_status(deleted, Status::Completed).await;
    assert!(transition::request_delete(&h.db, &alice(), deleted, now()).await.unwrap());
    // so is an export canceled that failed an attempt before
    let (canceled, attempt) = h.running_export().await;
    let problem = Problem::new(Slug::ExportFailed, "an outcome of an attempt that is over");
    h.publish_outcome(canceled, "stale", OutcomeResult::Failed { attempt: attempt + 1, problem }).await;
    assert!(transition::request_cancel(&h.db, &alice(), canceled, now()).await.unwrap());
    h.wait_until_idle().await;
    h.advance_clock(60);
    h.wait_for_status(deleted, Status::Expired).await;
    h.wait_for_status(canceled, Status::Canceled).await;
    assert!(h.count_messages(subject::STREAM_OUTCOMES).await >= 4, "the outcomes stay");

    // an exporter acknowledged the job, and died before it could hand the export over
    let id = h.submit().await;
    h.wait_for_status(id, Status::Dispatched).await;
    loop {
        let job = pull_job(&h).await;
        job.double_ack_with(AckKind::Ack).await.unwrap();
        if job.subject.ends_with(&id.to_string()) {
            break;
        }
    }
    wait_for_jobs(&h, id, &[0, 1]).await;
}
