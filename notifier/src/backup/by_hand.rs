//! A backup outside of the notifiers, by a person or a CronJob.
//!
//! It is a run of the scheduled job all the same: under the job's lease, and noted in the job's row. So the schedule knows
//! of it wherever it was made, and notifiers that make none tell when one is overdue.

use chrono::{DateTime, Utc};
use entity::job::{self, Ended};
use sea_orm::TransactionTrait;
use tokio::time::{Duration, Instant};
use tracing::warn;

use super::{
    Source,
    error::BackupError,
    job::{NAME, told, when},
    make::{Report, make},
};
use crate::lease::{Candidate, Held};

/// The lease of whoever makes a backup: that of the scheduled job.
const LEASE: &str = "job:backup";
/// The term of a lease that is taken by hand.
const TERM: Duration = Duration::from_secs(10);

/// Makes a backup as the scheduled job does, unless that one, or another by hand, is running. The row of the job says
/// afterwards how it went, and when the next one is due.
///
/// # Errors
/// [`BackupError::Busy`] when one is running; when the schedule of the settings can't work; when the end can't be noted,
/// though the backup is there; else as [`make`].
pub async fn by_hand(source: &Source) -> Result<Report, BackupError> {
    let when = when(&source.config)?;
    let (held, holder) = lease(source).await?;
    let (began, clock) = (source.clock.now(), Instant::now());
    // without a row it is due now, so that one that fails is overdue soon
    job::ensure(&source.db, NAME, &when.to_string(), began).await?;
    let row = job::find(&source.db, NAME).await?;
    begin(source, &held, &holder, began).await?;

    let Ok(made) = held.keep(make(source)).await else { return Err(BackupError::Fenced) };
    let ended = source.clock.now();
    let (due, asked) = row.map_or((began, None), |row| (row.due_at, row.requested_at));
    let end = Ended {
        at: ended,
        duration_ms: i64::try_from(clock.elapsed().as_millis()).unwrap_or(i64::MAX),
        // what failed is due still
        due_at: if made.is_ok() { when.after(began, ended) } else { due },
        // also one by a machine whose clock is ahead
        began_at: asked.map_or(began, |asked| asked.max(began)),
        result: made.as_ref().map(told).map_err(ToString::to_string),
    };
    let noted = note(source, &held, &end).await;
    held.give_back().await;
    match made {
        Ok(report) => noted.map(|()| report),
        Err(failed) => {
            if let Err(e) = noted {
                warn!(error = %e, "a backup failed, and that can't be noted");
            }
            Err(failed)
        }
    }
}

/// Makes a backup to another place than that of the settings, unless one is running. It is no run of the job: the next
/// one is due when it was.
///
/// # Errors
/// [`BackupError::Busy`] when one is running; else as [`make`].
pub async fn aside(source: &Source) -> Result<Report, BackupError> {
    let (held, _) = lease(source).await?;
    let made = held.keep(make(source)).await;
    held.give_back().await;
    made.map_err(|_| BackupError::Fenced)?
}

/// The lease of the job, and the name under which it is held.
async fn lease(source: &Source) -> Result<(Held, String), BackupError> {
    let holder = format!("by hand, {}", uuid::Uuid::new_v4().simple());
    let mut candidate = Candidate::of(source.db.clone(), source.clock.clone(), LEASE, &holder, TERM);
    // one whose holder died is seen as free after a term
    let until = Instant::now() + TERM * 2;
    loop {
        if let Some(held) = candidate.stand().await? {
            return Ok((held, holder));
        }
        if Instant::now() >= until {
            return Err(BackupError::Busy);
        }
        tokio::time::sleep(TERM / 8).await;
    }
}

async fn begin(source: &Source, held: &Held, holder: &str, began: DateTime<Utc>) -> Result<(), BackupError> {
    let tx = source.db.begin().await?;
    held.fence(&tx).await?;
    job::started(&tx, NAME, holder, began).await?;
    Ok(tx.commit().await?)
}

async fn note(source: &Source, held: &Held, end: &Ended) -> Result<(), BackupError> {
    let tx = source.db.begin().await?;
    held.fence(&tx).await?;
    job::ended(&tx, NAME, end).await?;
    Ok(tx.commit().await?)
}
