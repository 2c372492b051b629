//! Runs the timers of an attempt. They send progress acknowledgements of the job to NATS, renew the lease in the
//! database, and report progress to the owner of the export.

use std::{sync::PoisonError, time::Duration};

use async_nats::jetstream::{AckKind, Message};
use entity::transition;
use protocol::{
    envelope::ProgressReport,
    export::{Progress, WaitingFor},
    subject,
};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, interval_at, timeout};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{Attempt, outage::Waiting};
use crate::error::JobError;

/// The timeout of one call to NATS or the database. During such a call, the loop of `keep_alive` can't react to
/// cancellations or timers.
const CALL_TIMEOUT: Duration = Duration::from_secs(2);
/// The time for which the exporter still sends progress acknowledgements after its lease has expired without a renewal.
/// After this time, NATS redelivers the job to another exporter, which may be able to reach the database.
const JOB_KEEPING: Duration = Duration::from_secs(60);
/// The interval at which an attempt repeats its progress report while it waits, for example for the database. A report
/// may be lost.
const WAITING_INTERVAL: Duration = Duration::from_secs(2);

impl Attempt<'_> {
    /// Keeps the job and the lease until the attempt must stop. Returns the reason for the stop: [`JobError::Fenced`]
    /// after a cancellation, or if another attempt has replaced this attempt; [`JobError::Stopping`] if the process
    /// stops and hands the export over; [`JobError::LeaseLost`] if the database has been unavailable for too long.
    ///
    /// Three timers run until then. The first sends progress acknowledgements, so that NATS does not redeliver the job.
    /// The second renews the lease. The third reports progress.
    ///
    /// While the database is unavailable, no exporter can take over the export. So the attempt continues after its
    /// lease has expired, for at most `exporter.export_outage_timeout`.
    pub(super) async fn keep_alive(&self, message: &Message, canceled: &CancellationToken) -> JobError {
        let config = &self.context.config;
        let lease = config.lease_duration.get();
        let keeping = lease + config.export_outage_timeout.get();
        let mut ack_timer = delayed_interval(config.ack_wait() / 3);
        let mut renewal_timer = delayed_interval(config.heartbeat_interval());
        let mut report_timer = interval(config.tuning.progress_interval);
        // half of a short lease leaves time for a second call
        let call_timeout = CALL_TIMEOUT.min(lease / 2);
        let (mut reported, mut reported_at) = (Progress::default(), Instant::now());
        let (mut renewed_at, mut waiting) = (Instant::now(), None);
        loop {
            tokio::select! {
                biased;
                () = canceled.cancelled() => break JobError::Fenced,
                () = self.context.hand_over.cancelled() => break JobError::Stopping,
                _ = ack_timer.tick(), if renewed_at.elapsed() < lease + JOB_KEEPING => {
                    let acked = timeout(call_timeout, message.ack_with(AckKind::Progress)).await;
                    if !matches!(acked, Ok(Ok(()))) {
                        // NATS may redeliver the job, but the lease keeps other exporters from the export
                        warn!(export.id = %self.id, "failed to send a progress acknowledgement to NATS");
                    }
                }
                _ = renewal_timer.tick() => {
                    match timeout(call_timeout, self.renew_lease()).await {
                        Ok(Ok(())) => (renewed_at, waiting) = (Instant::now(), None),
                        Ok(Err(JobError::Fenced)) => break JobError::Fenced,
                        _ if renewed_at.elapsed() >= keeping => break JobError::LeaseLost,
                        _ if renewed_at.elapsed() >= lease => {
                            waiting.get_or_insert_with(|| Waiting::begin(&self.meter, WaitingFor::Database));
                        }
                        // the attempt continues, because the lease has not expired
                        Ok(Err(e)) => warn!(export.id = %self.id, error = %e, "failed to renew a lease"),
                        Err(_) => warn!(export.id = %self.id, "failed to renew a lease: the database did not answer"),
                    }
                    // the next renewal is a full interval after a slow one
                    renewal_timer.reset();
                }
                _ = report_timer.tick() => {
                    let progress = self.meter.progress();
                    let waits = progress.waiting_for.is_some();
                    if progress.rows != reported.rows
                        || progress.rows_total != reported.rows_total
                        || progress.waiting_for != reported.waiting_for
                        || (waits && reported_at.elapsed() >= WAITING_INTERVAL)
                    {
                        self.report_progress(&progress).await;
                        (reported, reported_at) = (progress, Instant::now());
                        // two reports are never closer than the interval
                        report_timer.reset();
                    }
                }
            }
        }
    }

    /// Renews the lease in the database, and stores the progress of the attempt there.
    ///
    /// # Errors
    /// Returns [`JobError::Fenced`] when the export was canceled or another attempt replaced this attempt, and
    /// [`JobError::Store`] when the database fails.
    pub(super) async fn renew_lease(&self) -> Result<(), JobError> {
        let now = self.context.clock.now();
        let lease = self.context.config.lease_duration.get();
        let progress = self.meter.progress();
        let db = &self.context.db;
        let held = transition::heartbeat(db, self.id, self.number, &progress, now, lease).await?;
        if held { Ok(()) } else { Err(JobError::Fenced) }
    }

    /// Reports progress to the owner of the export over core NATS, at most once per progress interval. A report may be
    /// lost.
    pub(super) async fn report_progress(&self, progress: &Progress) {
        if !self.is_report_due() {
            return;
        }
        let report = ProgressReport { export_id: self.id, progress: progress.clone() };
        let subject = subject::progress(&self.owner, self.id);
        let published = self.context.bus.publish_lossy(subject, &self.traceparent, &report);
        if !matches!(timeout(CALL_TIMEOUT, published).await, Ok(Ok(()))) {
            warn!(export.id = %self.id, "failed to report progress");
        }
    }

    /// Returns whether the progress interval has passed since the last report. If so, starts the next interval.
    fn is_report_due(&self) -> bool {
        // a panic while the lock is held leaves the instant valid
        let mut reported_at = self.reported_at.lock().unwrap_or_else(PoisonError::into_inner);
        let interval = self.context.config.tuning.progress_interval;
        let due = reported_at.is_none_or(|at| at.elapsed() >= interval);
        if due {
            *reported_at = Some(Instant::now());
        }
        due
    }
}

/// Returns an interval whose first tick comes after one period.
fn delayed_interval(period: Duration) -> Interval {
    let mut ticks = interval_at(Instant::now() + period, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
