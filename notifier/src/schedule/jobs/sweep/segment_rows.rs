//! Deletes the segment rows that no reader needs.

use chrono::TimeDelta;
use entity::maintenance;
use sea_orm::TransactionTrait;
use uuid::Uuid;

use super::Sweep;
use crate::{
    error::NotifierError,
    schedule::{job::Run, steps::StepCount},
};

/// A reader that received bytes of an older attempt may resume this long after the end of the export.
const RESUME_GRACE: TimeDelta = TimeDelta::hours(1);

/// Deletes the segment rows of ended exports, except those of retained files. So the number of exports to visit is that
/// of the files in the store.
///
/// # Errors
/// When the database fails, another notifier holds the lease, or after the soft stop.
pub(super) async fn delete(sweep: &Sweep, run: &Run<'_>) -> Result<StepCount, NotifierError> {
    let (db, ended_before) = (&sweep.deps.db, sweep.deps.clock.now() - RESUME_GRACE);
    let (mut count, mut after) = (StepCount::default(), Uuid::nil());
    loop {
        run.check_stop()?;
        let ids = maintenance::with_segments(db, after, sweep.config.tuning.sweep_batch).await?;
        let Some(last) = ids.last() else { return Ok(count) };
        after = *last;
        let tx = db.begin().await?;
        run.fence(&tx).await?;
        count.done += maintenance::delete_unused_segments(&tx, &ids, ended_before).await?;
        tx.commit().await?;
    }
}
