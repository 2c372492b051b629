//! What a scheduled job is, and what it has to work with.

use std::time::Duration;

use async_trait::async_trait;
use entity::job;
use sea_orm::{ConnectionTrait, TransactionTrait};
use serde::{Serialize, de::DeserializeOwned};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::when::When;
use crate::{app::Deps, error::NotifierError, lease::Held};

/// Something that runs by the clock, on one notifier at a time. A run that dies is begun again by another, so whatever it
/// does it does in steps that may be done twice.
#[async_trait]
pub(crate) trait Job: Send + Sync + 'static {
    /// Its name: for operators, its row and its lease.
    fn name(&self) -> &'static str;

    /// When it is due.
    fn when(&self) -> When;

    /// How long a run may take, if it is not the `schedule_deadline_s` of the settings.
    fn deadline(&self) -> Option<Duration> {
        None
    }

    /// Does it, and says what it did, for people.
    ///
    /// # Errors
    /// Whatever went wrong: the job is due still, and tried again after a growing pause.
    async fn run(&self, run: &Run<'_>) -> Result<String, NotifierError>;
}

/// One run of a job.
pub(crate) struct Run<'a> {
    pub(super) deps: &'a Deps,
    pub(super) name: &'static str,
    pub(super) held: &'a Held,
    pub(super) soft: &'a CancellationToken,
}

impl Run<'_> {
    /// To be asked between steps.
    ///
    /// # Errors
    /// [`NotifierError::Stopping`] when the process is to stop: the job is due still, and another notifier goes on.
    pub(crate) fn go_on(&self) -> Result<(), NotifierError> {
        if self.soft.is_cancelled() { Err(NotifierError::Stopping) } else { Ok(()) }
    }

    /// Ends when the process is to stop, for a job of one long step.
    pub(crate) async fn stopping(&self) {
        self.soft.cancelled().await;
    }

    /// Proves in a transaction that this run is the only one. As a write it may be the first statement.
    ///
    /// # Errors
    /// [`NotifierError::Fenced`] when another notifier took over, or when the database fails.
    pub(crate) async fn fence(&self, tx: &impl ConnectionTrait) -> Result<(), NotifierError> {
        self.held.fence(tx).await
    }

    /// What an earlier run left. What can't be read any more, as by another version, counts as nothing.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn left<T: DeserializeOwned + Default>(&self) -> Result<T, NotifierError> {
        let state = job::find(&self.deps.db, self.name).await?.and_then(|row| row.state);
        Ok(state.map_or_else(T::default, |state| {
            serde_json::from_str(&state).unwrap_or_else(|e| {
                warn!(job.name = self.name, error = %e, "what an earlier run left can't be read; begun anew");
                T::default()
            })
        }))
    }

    /// Leaves something for the next run.
    ///
    /// # Errors
    /// [`NotifierError::Fenced`] when another notifier took over, or when the database fails.
    pub(crate) async fn leave(&self, state: &(impl Serialize + Sync)) -> Result<(), NotifierError> {
        let state = serde_json::to_string(state)
            .map_err(|source| NotifierError::Document { path: format!("the state of {}", self.name), source })?;
        let tx = self.deps.db.begin().await?;
        self.held.fence(&tx).await?;
        job::leave(&tx, self.name, Some(&state)).await?;
        Ok(tx.commit().await?)
    }
}
