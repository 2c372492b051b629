//! Keeps a running job alive: acks to NATS, the lease in the database, and progress to whoever watches.

use std::time::Duration;

use async_nats::jetstream::{AckKind, Message};
use protocol::{envelope::ProgressNote, export::Progress, id::Owner, subject};
use tokio::time::{Instant, MissedTickBehavior, interval, interval_at};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{Worker, attempt::Attempt};
use crate::error::JobError;

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
    notes.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told = Progress::default();
    let mut alive = Instant::now();
    loop {
        tokio::select! {
            () = canceled.cancelled() => return JobError::Fenced,
            () = worker.hand_over.cancelled() => return JobError::Stopping,
            _ = acks.tick() => {
                if let Err(e) = message.ack_with(AckKind::Progress).await {
                    // NATS may be away; if it stays away the job goes to another exporter, and the lease decides
                    warn!(export.id = %attempt.id, error = %e, "can't tell NATS that the job is alive");
                }
            }
            _ = beats.tick() => match attempt.heartbeat().await {
                Ok(true) => alive = Instant::now(),
                Ok(false) => return JobError::Fenced,
                // the lease holds for a while
                Err(e) if alive.elapsed() < config.lease() => {
                    warn!(export.id = %attempt.id, error = %e, "can't renew the lease");
                }
                Err(_) => return JobError::LeaseLost,
            },
            _ = notes.tick() => {
                let progress = attempt.meter.progress();
                if progress.rows != told.rows || progress.rows_total != told.rows_total {
                    tell(worker, attempt, owner, &progress).await;
                    told = progress;
                }
            }
        }
    }
}

/// Progress may be lost, and is never waited for.
pub(super) async fn tell(worker: &Worker, attempt: &Attempt<'_>, owner: &Owner, progress: &Progress) {
    let note = ProgressNote { export_id: attempt.id, progress: progress.clone() };
    if let Err(e) = worker.bus.publish_lossy(subject::progress(owner, attempt.id), &attempt.traceparent, &note).await {
        warn!(export.id = %attempt.id, error = %e, "progress can't be told");
    }
}

fn steady(period: Duration) -> tokio::time::Interval {
    let mut ticks = interval_at(Instant::now() + period, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
