//! An exporter claims an export, which starts the next attempt. The status changes from `queued` or `dispatched` to
//! `running`; an export that is already running keeps this status.

use std::time::Duration;

use chrono::{DateTime, Utc};
use protocol::{export::Status, id::ExportId};
use sea_orm::{entity::prelude::*, sea_query::ExprTrait};

use super::{applied, millis, update_of, with_status};
use crate::{
    StoreError,
    export::{Column, Model, UNFINISHED, find},
    pause,
};

/// The result of [`claim`].
#[derive(Clone, Debug, PartialEq)]
pub enum Claim {
    /// The exporter owns the export. The row contains the number of the new attempt.
    Won(Box<Model>),
    /// The export must run in a separate process, because the process of an earlier attempt died. Only [`claim_shared`]
    /// returns this value, and then claims nothing.
    SetApart(Box<Model>),
    /// Another exporter owns the export, with a lease of this duration.
    Busy(Duration),
    /// A notifier has published a newer job of the export. This job is no longer needed.
    Superseded,
    /// The owner of the export is paused. The export waits in the queue and will get a new job, so this job is no longer
    /// needed.
    Paused,
    /// The export ended, does not exist, or its cancellation was requested.
    Ended,
}

/// The exporter that claims an export.
#[derive(Clone, Copy, Debug)]
pub struct Claimant<'a> {
    /// The name of the exporter, under which it holds the lease.
    pub worker: &'a str,
    /// The number of the job that the exporter received.
    pub job_number: u32,
    /// The duration of the lease. The exporter loses the export if it does not renew the lease for this time.
    pub lease: Duration,
}

/// Starts the next attempt at an export as [`claim`] does, for an exporter process that also runs other exports.
/// Returns [`Claim::SetApart`] for an export that must run in a separate process.
///
/// # Errors
/// When the database fails.
pub async fn claim_shared(
    db: &impl ConnectionTrait,
    id: ExportId,
    claimant: Claimant<'_>,
    now: DateTime<Utc>,
) -> Result<Claim, StoreError> {
    match find(db, id).await? {
        Some(row) if refusal(&row, claimant)?.is_none() && row.is_set_apart() => Ok(Claim::SetApart(Box::new(row))),
        row => take(db, row, claimant, now).await,
    }
}

/// Starts the next attempt at an export, and gives its lease to the claimant. Succeeds for a waiting export whose owner
/// is not paused, and for a running export whose lease no exporter holds.
///
/// # Errors
/// When the database fails.
pub async fn claim(
    db: &impl ConnectionTrait,
    id: ExportId,
    claimant: Claimant<'_>,
    now: DateTime<Utc>,
) -> Result<Claim, StoreError> {
    take(db, find(db, id).await?, claimant, now).await
}

/// Returns the reason why the claimant can't start an attempt; None if it can.
fn refusal(row: &Model, claimant: Claimant<'_>) -> Result<Option<Claim>, StoreError> {
    if !row.status()?.is_unfinished() || row.cancel_requested_at.is_some() {
        return Ok(Some(Claim::Ended));
    }
    if claimant.job_number < row.job_number.unsigned_abs() {
        return Ok(Some(Claim::Superseded));
    }
    if row.is_free() {
        return Ok(None);
    }
    Ok(Some(Claim::Busy(Duration::from_millis(row.lease_ms.unwrap_or_default().unsigned_abs()))))
}

async fn take(
    db: &impl ConnectionTrait,
    row: Option<Model>,
    claimant: Claimant<'_>,
    now: DateTime<Utc>,
) -> Result<Claim, StoreError> {
    let Some(row) = row else { return Ok(Claim::Ended) };
    if let Some(refusal) = refusal(&row, claimant)? {
        return Ok(refusal);
    }
    let id = row.export_id();
    // fails if the lease has changed since the row was read, because each such change also changes `attempt` or
    // `renewals`
    let update = update_of(id, now)
        .filter(Column::Status.is_in(UNFINISHED))
        .filter(Column::Attempt.eq(row.attempt))
        .filter(Column::Renewals.eq(row.renewals))
        .filter(Column::CancelRequestedAt.is_null())
        // a running export continues while its owner is paused
        .filter(Column::Status.eq(Status::Running.as_str()).or(pause::is_paused().not()))
        .col_expr(Column::Attempt, Expr::value(row.attempt + 1))
        .col_expr(Column::Worker, Expr::value(claimant.worker))
        .col_expr(Column::LeaseMs, Expr::value(millis(claimant.lease)))
        .col_expr(Column::Renewals, Expr::col(Column::Renewals).add(1))
        .col_expr(Column::DispatchedAt, Expr::value(row.dispatched_at.unwrap_or(now)))
        .col_expr(Column::StartedAt, Expr::value(row.started_at.unwrap_or(now)))
        .col_expr(Column::Rows, Expr::value(0_i64))
        .col_expr(Column::Bytes, Expr::value(0_i64));
    let won = applied(db, with_status(update, Status::Running)).await?;
    let Some(row) = find(db, id).await? else { return Ok(Claim::Ended) };
    if won {
        return Ok(Claim::Won(Box::new(row)));
    }
    if refusal(&row, claimant)?.is_none() && pause::take_back(db, id, now).await? {
        return Ok(Claim::Paused);
    }
    // another process changed the row first; if the row is free, the exporter claims it at the next delivery of the job
    Ok(refusal(&row, claimant)?.unwrap_or(Claim::Busy(Duration::ZERO)))
}
