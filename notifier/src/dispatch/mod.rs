//! Publishes committed exports as jobs, in a fair order. The export table is the outbox: an export keeps the status
//! `queued` until its job is published, so that a crash loses no job.
//!
//! The leader is the notifier that holds the dispatcher's lease. The leader reads the waiting exports in the order of
//! [`entity::dispatch_queue`], and dispatches as many as the exporters have capacity for. The order of the remaining
//! exports may still change before the next round.
//!
//! A gateway commits the row of an export and then publishes a hint. If the hint is lost, the next poll finds the row.
//! Publishing a job twice is harmless, because only one exporter at a time can claim an export.

mod capacity;
mod credit_notifications;
mod jobs;
mod lease_watch;
mod outage_log;
mod queue_positions;

use std::{sync::Arc, time::Duration};

use async_nats::Subscriber;
use entity::{
    dispatch_queue::{self, QueueSnapshot, WaitingExport},
    export, transition,
};
use futures::{FutureExt, StreamExt};
use platform::catalog::Catalog;
use protocol::subject;
use sea_orm::TransactionTrait;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use self::{
    capacity::{Capacity, Limits},
    lease_watch::LeaseWatch,
    outage_log::OutageLog,
    queue_positions::QueuePositions,
};
use crate::{
    config::NotifierConfig,
    deps::Deps,
    error::NotifierError,
    lease::{HeldLease, LeaseCandidate},
    saved_exports::Scheduler,
};

/// The name of the dispatcher's lease.
const LEASE: &str = "dispatch";
/// The timeout of one dispatch round, and of one round of the lease watch.
const ROUND_TIMEOUT: Duration = Duration::from_secs(120);
/// Time between two rounds of the lease watch.
const LEASE_WATCH_INTERVAL: Duration = Duration::from_millis(500);
/// Time between two searches for schedules whose moment has come.
const SCHEDULE_INTERVAL: Duration = Duration::from_millis(500);
/// Largest number of waiting exports that one dispatch round reads, from the front of the queue.
const MAX_WAITING: u64 = 10_000;

/// Publishes the jobs of waiting exports while this notifier holds the dispatcher's lease.
pub(crate) struct Dispatcher {
    deps: Deps,
    config: Arc<NotifierConfig>,
    catalog: Catalog,
    instance: String,
    scheduler: Scheduler,
}

impl Dispatcher {
    pub(crate) fn new(deps: Deps, config: Arc<NotifierConfig>, catalog: Catalog, instance: &str) -> Self {
        let scheduler = Scheduler::new(deps.clone(), catalog.clone(), config.tuning.schedule_rights_max_age.get());
        Self { deps, config, catalog, instance: instance.to_owned(), scheduler }
    }

    /// Tries repeatedly to acquire the dispatcher's lease, and dispatches while this notifier holds the lease. `hints`
    /// receives a message whenever an export may be waiting. Returns when shutdown begins.
    ///
    /// # Errors
    /// When the subscription `hints` ends, which happens only when the NATS client is closed.
    pub(crate) async fn run(self, mut hints: Subscriber, shutdown: CancellationToken) -> Result<(), NotifierError> {
        let lease_duration = self.config.lease_duration.get();
        let mut candidate = LeaseCandidate::new(&self.deps, LEASE, &self.instance, lease_duration);
        let mut outage = OutageLog::new("acquiring dispatcher leadership");
        loop {
            let acquired = candidate.try_acquire().await;
            let (lease, result) = acquired.map_or_else(|e| (None, Err(e)), |lease| (lease, Ok(())));
            outage.record(result);
            if let Some(lease) = lease {
                info!(lease.token = lease.token(), "acquired dispatcher leadership");
                match lease.run_while_renewing(self.lead(&lease, &mut hints, &shutdown)).await {
                    Ok(led) => {
                        lease.release().await;
                        return led;
                    }
                    Err(e) => info!(lease.token = lease.token(), error = %e, "lost dispatcher leadership"),
                }
            }
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return Ok(()),
                // hints are discarded while another notifier leads
                hint = hints.next() => if hint.is_none() { return Err(NotifierError::Unsubscribed("submitted exports")) },
                () = tokio::time::sleep(lease_duration / 4) => {}
            }
        }
    }

    /// Runs five loops until shutdown begins or the subscription `hints` ends:
    /// - `triggering` wakes `dispatching` and `notifying` at each message from `hints`, and after each poll interval.
    /// - `dispatching` runs a dispatch round at each wake-up.
    /// - `notifying` publishes the pending credit notifications at each wake-up. It is a separate loop, because
    ///   thousands of daily grants take long to publish and must not delay exports.
    /// - `watching` runs the lease watch, which ends the leases of dead exporters, and publishes the next job of each
    ///   export whose exporter or job is gone.
    /// - `scheduling` starts the exports of schedules whose moment has come.
    async fn lead(
        &self,
        lease: &HeldLease,
        hints: &mut Subscriber,
        shutdown: &CancellationToken,
    ) -> Result<(), NotifierError> {
        // a `Notify` stores one wake-up while its loop is busy
        let (exports, credits) = (Notify::new(), Notify::new());
        let stop = shutdown.child_token();
        let triggering = async {
            let poll_interval = self.config.tuning.dispatch_poll_interval.get();
            loop {
                exports.notify_one();
                credits.notify_one();
                tokio::select! {
                    biased;
                    () = stop.cancelled() => return Ok(()),
                    hint = hints.next() => if hint.is_none() { return Err(NotifierError::Unsubscribed("submitted exports")) },
                    () = tokio::time::sleep(poll_interval) => {}
                }
                // one round covers all hints received so far
                while let Some(Some(_)) = hints.next().now_or_never() {}
            }
        };
        let dispatching = async {
            let (mut outage, mut positions) =
                (OutageLog::new("dispatching exports"), QueuePositions::new(&self.config));
            loop {
                exports.notified().await;
                let round =
                    tokio::time::timeout(ROUND_TIMEOUT, self.dispatch_round(lease, &mut positions, &stop)).await;
                outage.record(round.unwrap_or(Err(NotifierError::Timeout("a dispatch round"))));
            }
        };
        let notifying = async {
            let mut outage = OutageLog::new("publishing credit notifications");
            loop {
                credits.notified().await;
                outage.record(credit_notifications::publish_pending(&self.deps).await);
            }
        };
        let watching = async {
            let mut outage = OutageLog::new("watching the leases of exports");
            let mut watch = LeaseWatch::new(self.deps.clone(), self.config.tuning.unclaimed_timeout.get());
            loop {
                let round = tokio::time::timeout(ROUND_TIMEOUT, watch.round()).await;
                outage.record(round.unwrap_or(Err(NotifierError::Timeout("a round of the lease watch"))));
                tokio::time::sleep(LEASE_WATCH_INTERVAL).await;
            }
        };
        let scheduling = async {
            let mut outage = OutageLog::new("starting scheduled exports");
            loop {
                outage.record(self.scheduler.round().await);
                tokio::time::sleep(SCHEDULE_INTERVAL).await;
            }
        };
        tokio::select! {
            biased;
            ended = triggering => ended,
            ended = dispatching => ended,
            ended = notifying => ended,
            ended = watching => ended,
            ended = scheduling => ended,
        }
    }

    /// Dispatches every waiting export that the exporters have capacity for, and then publishes queue positions if a
    /// round of `positions` is due. The waiting exports come from [`QueueSnapshot`], which omits an export whose
    /// cancellation was requested or whose owner is paused.
    ///
    /// # Errors
    /// When the queue can't be read or a dispatch failed. After a failed dispatch, the round continues with the next
    /// export and later returns the error. The round ends at once if the lease is lost or the stream of jobs does not
    /// answer.
    async fn dispatch_round(
        &self,
        lease: &HeldLease,
        positions: &mut QueuePositions,
        shutdown: &CancellationToken,
    ) -> Result<(), NotifierError> {
        let snapshot = QueueSnapshot::read(&self.deps.db, MAX_WAITING).await?;
        let (mut failure, mut dispatched) = (None, false);
        let slots = |pool: &str, lane| self.catalog.slots(pool, lane);
        let mut capacity = Capacity::new(&snapshot, Limits::from(&*self.config), slots);
        for row in &snapshot.waiting {
            if shutdown.is_cancelled() {
                break;
            }
            if !capacity.admits(row) {
                continue;
            }
            let Err(e) = self.dispatch(lease, row).await else {
                capacity.take(row);
                dispatched = true;
                continue;
            };
            if matches!(e, NotifierError::Fenced)
                || (matches!(e, NotifierError::Bus(_)) && !self.jobs_stream_answers().await)
            {
                return Err(e);
            }
            debug!(export.id = %row.id, error = %e, "failed to dispatch an export");
            failure = Some(e);
        }
        if positions.are_due() {
            let snapshot = if dispatched { QueueSnapshot::read(&self.deps.db, MAX_WAITING).await? } else { snapshot };
            positions.publish(&snapshot, &self.catalog, &self.deps.bus).await;
            positions.publish_paused(&snapshot.paused, &self.deps.bus).await;
        }
        failure.map_or(Ok(()), Err)
    }

    /// Whether the stream of jobs answers. The dispatch round calls this method after a job could not be published. If
    /// the stream answers, the failure affected only this job, and the round continues with the next export.
    async fn jobs_stream_answers(&self) -> bool {
        self.deps.bus.jetstream().get_stream(subject::STREAM_JOBS).await.is_ok()
    }

    async fn dispatch(&self, lease: &HeldLease, waiting: &WaitingExport) -> Result<(), NotifierError> {
        let id = waiting.export_id();
        let Some(row) = export::find(&self.deps.db, id).await? else { return Ok(()) };
        // the job is published before the row changes, so that a crash in between repeats the job and never loses it
        jobs::publish(&self.deps.bus, &row).await?;
        // position 0 follows the job at once, because the exporter soon reports rows instead of a position
        queue_positions::publish_front_position(&self.deps.bus, &row.owner(), id).await;
        let now = self.deps.clock.now();
        let tx = self.deps.db.begin().await?;
        lease.fence(&tx).await?;
        let updated = transition::dispatched(&tx, id, now).await?;
        // records the dispatch even if an exporter has already claimed the job and the row has not changed
        dispatch_queue::record_dispatch(&tx, &row.pool, &row.lane, &row.owner(), now).await?;
        tx.commit().await?;
        metrics::counter!("sluice_notifier_dispatched_exports_total").increment(u64::from(updated));
        let waited = (now - row.requested_at).to_std().unwrap_or_default();
        metrics::histogram!("sluice_queue_dispatch_wait_seconds", "lane" => row.lane).record(waited.as_secs_f64());
        debug!(export.id = %id, export.updated = updated, "dispatched an export");
        Ok(())
    }
}
