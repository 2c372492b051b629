//! The trait of a scheduled job, and the context of one run.

use std::time::Duration;

use async_trait::async_trait;
use entity::scheduled_job;
use sea_orm::{ConnectionTrait, TransactionTrait};
use serde::{Serialize, de::DeserializeOwned};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::recurrence::Recurrence;
use crate::{deps::Deps, error::NotifierError, lease::HeldLease};

/// A job that runs by the clock, on one notifier at a time. Another notifier repeats an interrupted run, so each step of
/// a job must be idempotent.
#[async_trait]
pub(crate) trait Job: Send + Sync + 'static {
    /// The name of the job in the CLI, its row, its lease and its metrics.
    fn name(&self) -> &'static str;

    /// The due times of the job.
    fn recurrence(&self) -> Recurrence;

    /// The timeout of a run, if it differs from the setting `job_timeout`.
    fn timeout(&self) -> Option<Duration> {
        None
    }

    /// Runs the job, and returns a summary for operators.
    ///
    /// # Errors
    /// When a step fails: the job stays due, and is retried after a growing pause.
    async fn run(&self, run: &Run<'_>) -> Result<String, NotifierError>;
}

/// The context of one run: the lease that it holds and the state that runs share.
pub(crate) struct Run<'a> {
    pub(super) deps: &'a Deps,
    pub(super) name: &'static str,
    pub(super) held: &'a HeldLease,
    pub(super) soft: &'a CancellationToken,
}

impl Run<'_> {
    /// Checks between two steps whether the run may continue.
    ///
    /// # Errors
    /// [`NotifierError::Stopping`] after the soft stop: the job stays due, and another notifier continues.
    pub(crate) fn check_stop(&self) -> Result<(), NotifierError> {
        if self.soft.is_cancelled() { Err(NotifierError::Stopping) } else { Ok(()) }
    }

    /// Waits for the soft stop, for a job with one long step.
    pub(crate) async fn stopping(&self) {
        self.soft.cancelled().await;
    }

    /// Proves within a transaction that this run still holds the lease. It is a write, so it may be the first statement
    /// of the transaction.
    ///
    /// # Errors
    /// [`NotifierError::Fenced`] when another notifier holds the lease, or the error of the database.
    pub(crate) async fn fence(&self, tx: &impl ConnectionTrait) -> Result<(), NotifierError> {
        self.held.fence(tx).await
    }

    /// Loads the state that an earlier run saved. Unreadable state, such as that of another version, counts as the
    /// default.
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

    /// Saves state for the next run.
    ///
    /// # Errors
    /// [`NotifierError::Fenced`] when another notifier holds the lease, or the error of the database.
    pub(crate) async fn save_state(&self, state: &(impl Serialize + Sync)) -> Result<(), NotifierError> {
        let state = serde_json::to_string(state)
            .map_err(|source| NotifierError::Document { path: format!("the state of {}", self.name), source })?;
        let tx = self.deps.db.begin().await?;
        self.held.fence(&tx).await?;
        scheduled_job::save_state(&tx, self.name, Some(&state)).await?;
        Ok(tx.commit().await?)
    }
}
