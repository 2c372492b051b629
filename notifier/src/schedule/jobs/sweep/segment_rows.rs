//! Deletes the database rows of segments that no client can read any more. A segment is a part of a stored file. A
//! notifier reads the row of a segment when a gateway requests access to the bytes of the file.

use entity::maintenance;
use sea_orm::TransactionTrait;
use uuid::Uuid;

use super::Sweep;
use crate::{
    error::NotifierError,
    schedule::{
        job::Run,
        steps::{StepCount, time_before},
    },
};

/// Deletes the segment rows that no client needs any more, of exports that ended more than `resume_grace` ago. Returns
/// the number of deleted rows. For a failed, canceled or expired export, deletes all segment rows. For a completed
/// export, deletes the segment rows of superseded attempts. The sweep visits only exports with segment rows, so its
/// cost does not depend on the total number of exports.
///
/// # Errors
/// When the database fails, another notifier holds the lease, or shutdown has begun.
pub(super) async fn delete(sweep: &Sweep, run: &Run<'_>) -> Result<StepCount, NotifierError> {
    let (db, grace) = (&sweep.deps.db, sweep.config.tuning.resume_grace.get());
    let ended_before = time_before(sweep.deps.clock.now(), grace);
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
