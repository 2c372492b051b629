//! Starts the exports of schedules at their moments, and notifies owners of paused schedules.
//!
//! The leading notifier polls the table of schedules. The row of a schedule has its next moment, so a moment that passed
//! while no notifier ran is still due. Of several missed moments the newest has a run, and the others are recorded as
//! missed. One transaction sets the next moment, records the run and inserts the export. Its first statement is an
//! update of the old moment, and a moment has one row, so each moment has one run on any number of notifiers.
//!
//! - `run` decides what becomes of a due moment, and starts its export.
//! - `rights` determines the rights of a run.

mod rights;
mod run;

use std::time::Duration;

use chrono::TimeDelta;
use entity::{saved_export, schedule};
use platform::catalog::Catalog;
use sea_orm::EntityTrait;
use tokio::time::Instant;
use tracing::warn;
use uuid::Uuid;

use crate::{deps::Deps, error::NotifierError, settle::events};

/// The number of schedules in one page of the database.
const PAGE: u64 = 100;
/// The number of paused schedules whose owners one round notifies.
const MAX_NOTIFICATIONS: u64 = 100;
/// The time limit of one moment.
const STEP_TIMEOUT: Duration = Duration::from_secs(60);

/// Starts the exports of schedules.
pub(crate) struct Scheduler {
    deps: Deps,
    catalog: Catalog,
    /// The time after which the rights of a user who presented no token are too old for a run.
    rights_max_age: TimeDelta,
    started: Instant,
}

impl Scheduler {
    pub(crate) fn new(deps: Deps, catalog: Catalog, rights_max_age: Duration) -> Self {
        let rights_max_age = TimeDelta::from_std(rights_max_age).unwrap_or(TimeDelta::MAX);
        Self { deps, catalog, rights_max_age, started: Instant::now() }
    }

    /// Starts the export of each schedule with a due moment, and notifies the owners of paused schedules. A failure of
    /// one schedule does not delay the others; the next round repeats it.
    ///
    /// # Errors
    /// When the database fails, or the last failure of a schedule.
    pub(crate) async fn round(&self) -> Result<(), NotifierError> {
        let (mut after, mut failure) = (Uuid::nil(), None);
        loop {
            let due = schedule::due(&self.deps.db, after, self.deps.clock.now(), PAGE).await?;
            let Some(last) = due.last() else { break };
            after = last.saved_export_id;
            for row in due {
                let done = tokio::time::timeout(STEP_TIMEOUT, self.start_due(&row)).await;
                if let Err(e) = done.unwrap_or(Err(NotifierError::Timeout("the start of a scheduled export"))) {
                    warn!(saved_export.id = %row.saved_export_id, error = %e, "failed to start a scheduled export, retrying");
                    failure = Some(e);
                }
            }
        }
        self.notify_paused().await?;
        failure.map_or(Ok(()), Err)
    }

    /// Publishes the event of each paused schedule whose owner was not notified. A notifier that stops before it has
    /// recorded the notification repeats the event.
    async fn notify_paused(&self) -> Result<(), NotifierError> {
        for row in schedule::unnotified(&self.deps.db, MAX_NOTIFICATIONS).await? {
            let saved = saved_export::Entity::find_by_id(row.saved_export_id).one(&self.deps.db).await?;
            if let Some(saved) = saved {
                events::schedule_paused(&self.deps.bus, &row, &saved.name).await?;
            }
            schedule::mark_notified(&self.deps.db, &row).await?;
        }
        Ok(())
    }
}
