//! Keeps a running job alive: acks to NATS, the lease in the database, and progress to whoever watches.

use std::time::Duration;

use async_nats::jetstream::{AckKind, Message};
use protocol::{envelope::ProgressNote, export::Progress, id::Owner, subject};
use tokio::time::{Instant, MissedTickBehavior, interval, interval_at, timeout};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::attempt::Attempt;
use crate::error::JobError;

/// Nothing that keeps a job alive may hang for longer than this: behind it wait cancels and the other signs of life.
const LONGEST: Duration = Duration::from_secs(2);

/// Runs until the attempt must stop; the answer says why.
pub(super) async fn keep(
    attempt: &Attempt<'_>,
    owner: &Owner,
    message: &Message,
    canceled: &CancellationToken,
) -> JobError {
    let worker = attempt.worker;
    let config = &worker.config;
    let mut acks = steady(config.ack_wait() / 3);
    let mut beats = steady(config.heartbeat());
    let mut notes = interval(config.progress());
    // even when the lease is short, there is time for more than one try
    let patience = LONGEST.min(config.lease() / 2);
    let mut told = Progress::default();
    let mut alive = Instant::now();
    loop {
        tokio::select! {
            biased;
            () = canceled.cancelled() => return JobError::Fenced,
            () = worker.hand_over.cancelled() => return JobError::Stopping,
            _ = acks.tick() => {
                let acked = timeout(patience, message.ack_with(AckKind::Progress)).await;
                if !matches!(acked, Ok(Ok(()))) {
                    // NATS may be away; if it stays away the job goes to another exporter, and the lease decides
                    warn!(export.id = %attempt.id, "can't tell NATS that the job is alive");
                }
            }
            _ = beats.tick() => {
                match timeout(patience, attempt.heartbeat()).await {
                    Ok(Ok(true)) => alive = Instant::now(),
                    Ok(Ok(false)) => return JobError::Fenced,
                    _ if alive.elapsed() >= config.lease() => return JobError::LeaseLost,
                    // the lease holds for a while
                    Ok(Err(e)) => warn!(export.id = %attempt.id, error = %e, "can't renew the lease"),
                    Err(_) => warn!(export.id = %attempt.id, "can't renew the lease: the database hangs"),
                }
                // from now, as a beat that hung would be followed by the next at once, and notes would wait
                beats.reset();
            }
            _ = notes.tick() => {
                let progress = attempt.meter.progress();
                if progress.rows != told.rows || progress.rows_total != told.rows_total {
                    tell(attempt, owner, &progress).await;
                    told = progress;
                    // from now, as late ticks would come closer together
                    notes.reset();
                }
            }
        }
    }
}

/// Tells progress, which may be lost, unless that was done less than a period ago.
pub(super) async fn tell(attempt: &Attempt<'_>, owner: &Owner, progress: &Progress) {
    let worker = attempt.worker;
    if !attempt.may_tell(worker.config.progress()) {
        return;
    }
    let note = ProgressNote { export_id: attempt.id, progress: progress.clone() };
    let subject = subject::progress(owner, attempt.id);
    let told = worker.bus.publish_lossy(subject, &attempt.traceparent, &note);
    if !matches!(timeout(LONGEST, told).await, Ok(Ok(()))) {
        warn!(export.id = %attempt.id, "progress can't be told");
    }
}

fn steady(period: Duration) -> tokio::time::Interval {
    let mut ticks = interval_at(Instant::now() + period, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
