//! Rows of segments that nobody can read any more.

use chrono::TimeDelta;
use entity::upkeep;
use sea_orm::TransactionTrait;
use uuid::Uuid;

use super::Sweep;
use crate::{
    error::NotifierError,
    schedule::{each::Tally, job::Run},
};

/// For this long after the end of an export, a reader that was sent bytes of an older attempt may still come back.
const READERS: TimeDelta = TimeDelta::hours(1);

/// Forgets them: how many. Those of files that are kept stay, so that the walk is as long as what is in the store.
///
/// # Errors
/// When the database fails, another notifier took over, or at the soft stop.
pub(super) async fn forget(sweep: &Sweep, run: &Run<'_>) -> Result<Tally, NotifierError> {
    let (db, before) = (&sweep.deps.db, sweep.deps.clock.now() - READERS);
    let (mut tally, mut after) = (Tally::default(), Uuid::nil());
    loop {
        run.go_on()?;
        let ids = upkeep::with_segments(db, after, sweep.config.sweep_batch).await?;
        let Some(last) = ids.last() else { return Ok(tally) };
        after = *last;
        let tx = db.begin().await?;
        run.fence(&tx).await?;
        tally.done += upkeep::forget_segments(&tx, &ids, before).await?;
        tx.commit().await?;
    }
}
