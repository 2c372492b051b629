//! Watches the exports in flight. If the exporter of an export has died, or the job of an export was lost, the leader
//! publishes the next job of the export. The leader is the notifier that holds the dispatcher's lease.
//!
//! The leader reads the exports in flight at an interval ([`entity::in_flight`]). If an exporter does not renew the
//! lease of an export for the duration of the lease, the exporter has died or lost its connection to the database. The
//! leader then ends the lease and publishes the next job at once. The leader does not wait until NATS redelivers the
//! earlier job, because the NATS server redelivers by its wall clock, which may be wrong. The leader measures all
//! durations with its own monotonic clock, so no wall clock ends a lease.
//!
//! An export that no exporter holds needs a job in the stream. The leader publishes a new job in two cases:
//!
//! - The stream has lost the job.
//! - An exporter has received the job, but no exporter has claimed the export for `unclaimed_timeout`.
//!
//! A notifier may die after it received an outcome and before it settled the outcome. The leader publishes such an
//! outcome again, when the lease of the export has not changed for `unclaimed_timeout`.

use std::{collections::HashMap, time::Duration};

use entity::{
    export,
    in_flight::{self, InFlight},
};
use protocol::{id::ExportId, subject};
use tokio::time::Instant;
use tracing::{info, warn};
use uuid::Uuid;

use super::jobs;
use crate::{
    GROUP,
    deps::Deps,
    error::NotifierError,
    work_queue::{self, Queued},
};

/// Largest number of exports in flight that one round reads. The dispatcher normally keeps far fewer exports in flight,
/// because it dispatches only as many as the exporters have capacity for.
const MAX_IN_FLIGHT: u64 = 10_000;
/// Largest time that one round adds to [`Observation::unchanged`]. If the notifier could not read the database for
/// longer, the exporters may have been unable to renew their leases too, so the excess does not count.
const MAX_STEP: Duration = Duration::from_secs(2);
/// Time between two checks of the job of an export that no exporter holds. A check finds out whether the job still
/// waits in the stream.
const JOB_CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// The observations of the leader about the exports in flight.
pub(super) struct LeaseWatch {
    deps: Deps,
    unclaimed_timeout: Duration,
    observed: HashMap<Uuid, Observation>,
    read_at: Option<Instant>,
}

/// The last observed number of renewals of an export's lease (`renewals`), and the time for which this number has not
/// changed (`unchanged`).
#[derive(Clone, Copy, Debug)]
struct Observation {
    renewals: i64,
    unchanged: Duration,
    /// The value of [`Self::unchanged`] at which the watch next checks whether the job of the export is lost. Applies
    /// while no exporter holds the export. A check that finds the job raises this value.
    next_check: Duration,
    /// The value of [`Self::unchanged`] at which the watch publishes the outcome of the export again. Applies while a
    /// notifier has received the outcome, but not settled it. Each publication doubles this value.
    next_outcome: Duration,
}

impl Observation {
    const fn new(renewals: i64, first_outcome: Duration) -> Self {
        Self { renewals, unchanged: Duration::ZERO, next_check: JOB_CHECK_INTERVAL, next_outcome: first_outcome }
    }
}

impl LeaseWatch {
    /// Creates a watch without observations. The job of an export counts as lost if an exporter has received the job,
    /// but the watch has observed for `unclaimed_timeout` that no exporter claimed the export.
    pub(super) fn new(deps: Deps, unclaimed_timeout: Duration) -> Self {
        Self { deps, unclaimed_timeout, observed: HashMap::new(), read_at: None }
    }

    /// Reads the exports in flight once, and publishes the next job of each export that has lost its exporter or its
    /// job.
    ///
    /// # Errors
    /// When the database or NATS fails; the next round continues.
    pub(super) async fn round(&mut self) -> Result<(), NotifierError> {
        let rows = in_flight::list(&self.deps.db, MAX_IN_FLIGHT).await?;
        let due = self.observe(&rows, Instant::now());
        for row in due {
            match row.lease {
                Some(_) => self.replace_exporter(&row).await?,
                None => self.check_job(&row).await?,
            }
        }
        Ok(())
    }

    /// Updates the observations from `rows`, the exports in flight at the time `now`. Returns the exports that need a
    /// repair. These are exports whose exporter has not renewed its lease for the duration of the lease, and exports
    /// without an exporter whose job may be lost.
    fn observe(&mut self, rows: &[InFlight], now: Instant) -> Vec<InFlight> {
        let step = self.read_at.map_or(Duration::ZERO, |last| (now - last).min(MAX_STEP));
        self.read_at = Some(now);
        let (mut observed, mut due) = (HashMap::with_capacity(rows.len()), Vec::new());
        for row in rows {
            let last = self.observed.get(&row.id).filter(|last| last.renewals == row.renewals);
            let mut observation =
                last.copied().unwrap_or_else(|| Observation::new(row.renewals, self.unclaimed_timeout));
            if last.is_some() {
                observation.unchanged += step;
            }
            if observation.unchanged >= row.lease.unwrap_or(observation.next_check) {
                due.push(*row);
            }
            observed.insert(row.id, observation);
        }
        self.observed = observed;
        due
    }

    /// Ends a lease that its exporter no longer renews, and publishes the next job of the export. Does nothing if an
    /// outcome of the export is not settled yet, or if the lease has changed.
    async fn replace_exporter(&mut self, found: &InFlight) -> Result<(), NotifierError> {
        if self.has_outcome(found.id).await? {
            return Ok(());
        }
        let id = ExportId(found.id);
        let now = self.deps.clock.now();
        let Some(row) = in_flight::end_lease(&self.deps.db, id, found.renewals, now).await? else { return Ok(()) };
        warn!(export.id = %id, export.attempt = row.attempt, "an exporter no longer renews its lease; another takes over");
        metrics::counter!("sluice_notifier_replacement_jobs_total", "reason" => "lease").increment(1);
        jobs::publish(&self.deps.bus, &row).await
    }

    /// Publishes a new job for an export that no exporter holds, if the stream has lost the current job, or an exporter
    /// received the job but has not started the export for too long. Does nothing if an outcome of the export is not
    /// settled yet.
    async fn check_job(&mut self, found: &InFlight) -> Result<(), NotifierError> {
        let id = ExportId(found.id);
        let Some(row) = export::find(&self.deps.db, id).await? else { return Ok(()) };
        let unchanged = self.observed.get(&found.id).map_or(Duration::ZERO, |observation| observation.unchanged);
        let is_lost = match jobs::find(&self.deps.bus, &row).await? {
            Queued::No => true,
            Queued::Undelivered => false,
            Queued::Delivered => unchanged >= self.unclaimed_timeout,
        };
        if !is_lost || self.has_outcome(found.id).await? {
            if let Some(observation) = self.observed.get_mut(&found.id) {
                observation.next_check = unchanged + JOB_CHECK_INTERVAL;
            }
            return Ok(());
        }
        let now = self.deps.clock.now();
        let Some(row) = in_flight::end_lease(&self.deps.db, id, found.renewals, now).await? else { return Ok(()) };
        info!(export.id = %id, export.job = row.job_number, "publishing the lost job of an export again");
        metrics::counter!("sluice_notifier_replacement_jobs_total", "reason" => "lost").increment(1);
        jobs::publish(&self.deps.bus, &row).await
    }

    /// Whether the outcomes stream has an unsettled outcome of the export. Such an outcome may complete the export
    /// without another attempt.
    ///
    /// If a notifier received the outcome and [`Observation::next_outcome`] is reached, this method also publishes the
    /// outcome again. NATS may redeliver the outcome too late, because the NATS server redelivers by its wall clock,
    /// which may be wrong. Settling an outcome twice is harmless.
    async fn has_outcome(&mut self, id: Uuid) -> Result<bool, NotifierError> {
        let (bus, subject) = (&self.deps.bus, subject::outcome(ExportId(id)));
        let found = work_queue::find_message(bus, subject::STREAM_OUTCOMES, GROUP, &subject).await?;
        let (Queued::Delivered, Some(message)) = found else { return Ok(found.0 != Queued::No) };
        if let Some(observation) = self.observed.get_mut(&id)
            && observation.unchanged >= observation.next_outcome
        {
            observation.next_outcome *= 2;
            info!(export.id = %id, "publishing an outcome again that no notifier has settled");
            let sent = bus.jetstream().publish(subject, message.payload).await;
            let stored = match sent {
                Ok(ack) => ack.await,
                Err(e) => Err(e),
            };
            stored.map_err(NotifierError::jetstream("publish an outcome again"))?;
        }
        Ok(true)
    }
}
