//! The scheduled job `backup`, and the backups that operators start by command.
//!
//! A backup by command to the configured destination is a run of the scheduled job: the command acquires the lease of
//! the job and records the result in the row of the job. So the row describes the last backup to this destination, even
//! if another machine made it, and every notifier can report an overdue backup.

use std::{sync::Arc, time::Duration};

use ::backup::{BackupConfig, BackupError, Report, Source, create};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use entity::scheduled_job::{self, FinishedRun};
use sea_orm::TransactionTrait;
use tokio::time::Instant;
use tracing::warn;

use crate::{
    deps::Deps,
    error::NotifierError,
    lease::{HeldLease, LeaseCandidate},
    schedule::{
        job::{Job, Run},
        recurrence::Recurrence,
    },
};

/// The name of the scheduled job in its database row and in the metrics.
pub(in crate::schedule) const NAME: &str = "backup";
/// The name of the database lease that a backup holds while it runs.
const LEASE: &str = "job:backup";
/// The lease duration of a backup that an operator starts by command.
const COMMAND_LEASE_DURATION: Duration = Duration::from_secs(10);

/// The error of a backup that an operator started by command.
#[derive(Debug, thiserror::Error)]
pub enum BackupRunError {
    /// Another process is running a backup under the lease of the scheduled job.
    #[error("another backup is running; try again when it is done")]
    Busy,
    /// The process lost the lease during the backup.
    #[error("the backup was stopped: another process holds its lease now")]
    LeaseLost,
    /// A step of the backup failed.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// The schedule is invalid, or the row of the scheduled job can't be read or written.
    #[error(transparent)]
    Schedule(NotifierError),
}

impl From<NotifierError> for BackupRunError {
    fn from(e: NotifierError) -> Self {
        match e {
            NotifierError::Fenced => Self::LeaseLost,
            e => Self::Schedule(e),
        }
    }
}

impl From<entity::StoreError> for BackupRunError {
    fn from(e: entity::StoreError) -> Self {
        Self::Schedule(e.into())
    }
}

impl From<sea_orm::DbErr> for BackupRunError {
    fn from(e: sea_orm::DbErr) -> Self {
        Self::Schedule(e.into())
    }
}

pub(in crate::schedule) struct Backup {
    source: Source,
    recurrence: Recurrence,
}

impl Backup {
    /// Returns the scheduled job `backup`; `None` if the settings name no destination for backups.
    ///
    /// # Errors
    /// [`NotifierError::Config`] for an invalid setting.
    pub(in crate::schedule) fn if_configured(deps: &Deps) -> Result<Option<Arc<dyn Job>>, NotifierError> {
        let configured = deps.backup.as_deref().filter(|setup| !setup.config.destination.is_empty());
        let Some(setup) = configured else { return Ok(None) };
        setup.config.validate()?;
        let recurrence = recurrence(&setup.config)?;
        let source = Source {
            config: setup.config.clone(),
            db: deps.db.clone(),
            database: setup.database.clone(),
            bus: deps.bus.clone(),
            store: deps.store.clone(),
            clock: Arc::clone(&deps.clock),
            settings: setup.settings.clone(),
        };
        Ok(Some(Arc::new(Self { source, recurrence })))
    }
}

#[async_trait]
impl Job for Backup {
    fn name(&self) -> &'static str {
        NAME
    }

    fn recurrence(&self) -> Recurrence {
        self.recurrence.clone()
    }

    fn timeout(&self) -> Option<Duration> {
        // longer than the timeout in `create`, whose error names the failed step
        Some(self.source.config.backup_or_restore_timeout.get() * 2)
    }

    async fn run(&self, run: &Run<'_>) -> Result<String, NotifierError> {
        tokio::select! {
            biased;
            created = create(&self.source) => Ok(summary(&created?)),
            // an interrupted backup is useless; the next run starts from the beginning
            () = run.stopping() => Err(NotifierError::Stopping),
        }
    }
}

/// Creates a backup as a run of the scheduled job, and records the result and the next due time in the row of the job.
///
/// # Errors
/// [`BackupRunError::Busy`] when another backup is running, and [`BackupRunError::LeaseLost`] when this process loses
/// the lease. Fails also when the schedule is invalid, the backup fails, or its result can't be recorded.
pub async fn run_backup_job(source: &Source) -> Result<Report, BackupRunError> {
    let recurrence = recurrence(&source.config)?;
    let (lease, holder) = acquire_lease(source).await?;
    let (began, clock) = (source.clock.now(), Instant::now());
    // a new row is due now, so that operators see a failed first backup as overdue
    scheduled_job::ensure(&source.db, NAME, &recurrence.to_string(), began).await?;
    let row = scheduled_job::find(&source.db, NAME).await?;
    record_start(source, &lease, &holder, began).await?;

    let created = lease.run_while_renewing(create(source)).await?;
    let ended = source.clock.now();
    let (due, requested) = row.map_or((began, None), |row| (row.due_at, row.requested_at));
    let finished = FinishedRun {
        ended_at: ended,
        duration_ms: i64::try_from(clock.elapsed().as_millis()).unwrap_or(i64::MAX),
        // a failed backup stays due
        due_at: if created.is_ok() { recurrence.next_after_run(began, ended) } else { due },
        // the notifier that recorded the request may have a clock that is ahead
        requests_through: requested.map_or(began, |requested| requested.max(began)),
        result: created.as_ref().map(summary).map_err(ToString::to_string),
    };
    let recorded = record_end(source, &lease, &finished).await;
    lease.release().await;
    match created {
        Ok(report) => recorded.map(|()| report),
        Err(failed) => {
            if let Err(e) = recorded {
                warn!(error = %e, "failed to record a failed backup");
            }
            Err(failed.into())
        }
    }
}

/// Creates a backup at a destination other than the configured one. Holds the lease of the scheduled job during the
/// backup, but changes neither the row of the job nor its due time.
///
/// # Errors
/// [`BackupRunError::Busy`] when another backup is running, and [`BackupRunError::LeaseLost`] when this process loses
/// the lease. Fails also when the backup or the database fails.
pub async fn run_ad_hoc_backup(source: &Source) -> Result<Report, BackupRunError> {
    let (lease, _) = acquire_lease(source).await?;
    let created = lease.run_while_renewing(create(source)).await;
    lease.release().await;
    Ok(created??)
}

/// Acquires the lease of the scheduled job, and returns the lease with the name of its holder. If another process holds
/// the lease, waits for up to twice [`COMMAND_LEASE_DURATION`], then fails with [`BackupRunError::Busy`].
async fn acquire_lease(source: &Source) -> Result<(HeldLease, String), BackupRunError> {
    let holder = format!("command, {}", uuid::Uuid::new_v4().simple());
    let (db, clock) = (source.db.clone(), source.clock.clone());
    let mut candidate = LeaseCandidate::with_database(db, clock, LEASE, &holder, COMMAND_LEASE_DURATION);
    // the lease of a dead holder is free after one lease duration
    let give_up = Instant::now() + COMMAND_LEASE_DURATION * 2;
    loop {
        if let Some(lease) = candidate.try_acquire().await? {
            return Ok((lease, holder));
        }
        if Instant::now() >= give_up {
            return Err(BackupRunError::Busy);
        }
        tokio::time::sleep(COMMAND_LEASE_DURATION / 8).await;
    }
}

async fn record_start(
    source: &Source,
    lease: &HeldLease,
    holder: &str,
    began: DateTime<Utc>,
) -> Result<(), BackupRunError> {
    let tx = source.db.begin().await?;
    lease.fence(&tx).await?;
    scheduled_job::record_start(&tx, NAME, holder, began).await?;
    Ok(tx.commit().await?)
}

async fn record_end(source: &Source, lease: &HeldLease, finished: &FinishedRun) -> Result<(), BackupRunError> {
    let tx = source.db.begin().await?;
    lease.fence(&tx).await?;
    scheduled_job::record_end(&tx, NAME, finished).await?;
    Ok(tx.commit().await?)
}

/// Returns the rule for the due times of backups.
fn recurrence(config: &BackupConfig) -> Result<Recurrence, NotifierError> {
    Recurrence::cron("backup.schedule", &config.schedule, config.schedule_time_zone)
}

/// Returns a one-line summary of a backup for operators.
fn summary(report: &Report) -> String {
    let (counts, pruned) = (&report.contents.counts, &report.pruned);
    let mut summary = format!(
        "{}: {} exports, {} ledger entries, {} files ({} new objects); {} old backups deleted",
        report.manifest.id,
        counts.exports,
        counts.ledger_entries,
        counts.files,
        report.new_objects,
        pruned.backups.len()
    );
    if !report.contents.lost_objects.is_empty() {
        summary += &format!("; lost in the file store: {}", report.contents.lost_objects.join(", "));
    }
    if let Some(error) = &pruned.error {
        summary += &format!("; failed to delete old backups: {error}");
    }
    summary
}
