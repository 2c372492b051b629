//! The trait of a scheduled job, and the context of one run of a job.

use std::time::Duration;

use async_trait::async_trait;
use entity::scheduled_job;
use sea_orm::{ConnectionTrait, TransactionTrait};
use serde::{Serialize, de::DeserializeOwned};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::recurrence::Recurrence;
use crate::{deps::Deps, error::NotifierError, lease::HeldLease};

/// A scheduled job, which runs on one notifier at a time. Another notifier repeats an interrupted run, so each step of
/// a job must be idempotent.
#[async_trait]
pub(crate) trait Job: Send + Sync + 'static {
    /// Returns the name of the scheduled job in the CLI, in its database row, in its lease and in the metrics.
    fn name(&self) -> &'static str;

    /// Returns the rule that yields the times at which the scheduled job is due.
    fn recurrence(&self) -> Recurrence;

    /// Returns the timeout of one run. `None` means the setting `scheduled_job_timeout`.
    fn timeout(&self) -> Option<Duration> {
        None
    }

    /// Runs the scheduled job, and returns a summary for operators.
    ///
    /// # Errors
    /// When a step fails. The job stays due, and the runner repeats the job with an exponential backoff.
    async fn run(&self, run: &Run<'_>) -> Result<String, NotifierError>;
}

/// The context of one run: the dependencies, the lease, and access to the saved state of the scheduled job.
pub(crate) struct Run<'a> {
    pub(super) deps: &'a Deps,
    pub(super) name: &'static str,
    pub(super) lease: &'a HeldLease,
    pub(super) shutdown: &'a CancellationToken,
}

impl Run<'_> {
    /// Fails after shutdown has begun. A scheduled job calls this method between two steps.
    ///
    /// # Errors
    /// [`NotifierError::Stopping`] after shutdown has begun: the job stays due, and another notifier runs the job
    /// again.
    pub(crate) fn check_stop(&self) -> Result<(), NotifierError> {
        if self.shutdown.is_cancelled() { Err(NotifierError::Stopping) } else { Ok(()) }
    }

    /// Completes when shutdown begins. A scheduled job with one long step awaits this method together with the step,
    /// and stops the step if this method completes first.
    pub(crate) async fn stopping(&self) {
        self.shutdown.cancelled().await;
    }

    /// Fails unless this run still holds the lease. Call this method in each transaction of the run, so that a run that
    /// has lost its lease commits nothing. On SQLite, a transaction that begins with a read can't safely write later.
    /// This method writes to the database, so it can be the first call of a transaction.
    ///
    /// # Errors
    /// [`NotifierError::Fenced`] when another notifier holds the lease, or the error of the database.
    pub(crate) async fn fence(&self, tx: &impl ConnectionTrait) -> Result<(), NotifierError> {
        self.lease.fence(tx).await
    }

    /// Loads the state that an earlier run saved. Returns the default for missing state, and for state that this
    /// version can't parse.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn load_state<T: DeserializeOwned + Default>(&self) -> Result<T, NotifierError> {
        let state = scheduled_job::find(&self.deps.db, self.name).await?.and_then(|row| row.state);
        Ok(state.map_or_else(T::default, |state| {
            serde_json::from_str(&state).unwrap_or_else(|e| {
                warn!(job.name = self.name, error = %e, "discarded the unreadable state of a scheduled job");
                T::default()
            })
        }))
    }

    /// Saves the state for the next run in the row of the scheduled job.
    ///
    /// # Errors
    /// [`NotifierError::Fenced`] when another notifier holds the lease, or the error of the database.
    pub(crate) async fn save_state(&self, state: &(impl Serialize + Sync)) -> Result<(), NotifierError> {
        let state = serde_json::to_string(state)
            .map_err(|source| NotifierError::Document { path: format!("the state of {}", self.name), source })?;
        let tx = self.deps.db.begin().await?;
        self.lease.fence(&tx).await?;
        scheduled_job::save_state(&tx, self.name, Some(&state)).await?;
        Ok(tx.commit().await?)
    }
}
