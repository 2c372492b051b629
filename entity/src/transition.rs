//! The state transitions of an export: `queued → dispatched → running → completed | failed | canceled`, and
//! `completed → expired`. The exports of a paused owner also go back, from `dispatched` to `queued` ([`crate::pause`]).
//!
//! Each transition is one conditional update, and returns whether the update changed the row. A caller that receives
//! `false` must stop, because another process changed the export first.

mod claim;

use std::time::Duration;

use chrono::{DateTime, Utc};
use protocol::{
    export::{FileInfo, Progress, Status, WaitingFor},
    id::{ExportId, Owner},
    problem::Problem,
};
use sea_orm::{UpdateMany, entity::prelude::*, sea_query::ExprTrait};

pub use self::claim::{Claim, Claimant, claim, claim_shared};
use crate::{
    StoreError,
    export::{Column, Entity, UNFINISHED},
    pause,
};

/// `queued → dispatched`: the dispatcher published the job. Returns false for an export whose owner was paused meanwhile;
/// the exporter that receives the job then returns it.
///
/// # Errors
/// When the database fails.
pub async fn dispatched(db: &impl ConnectionTrait, id: ExportId, now: DateTime<Utc>) -> Result<bool, StoreError> {
    let update = update_of(id, now)
        .filter(Column::Status.eq(Status::Queued.as_str()))
        .filter(pause::is_paused().not())
        .col_expr(Column::DispatchedAt, Expr::value(now));
    applied(db, with_status(update, Status::Dispatched)).await
}

/// Records the progress of an attempt and renews its lease. Returns false when the attempt no longer owns the export;
/// the exporter must then stop the attempt.
///
/// # Errors
/// When the database fails.
pub async fn heartbeat(
    db: &impl ConnectionTrait,
    id: ExportId,
    attempt: u32,
    progress: &Progress,
    now: DateTime<Utc>,
    lease: Duration,
) -> Result<bool, StoreError> {
    let update = running(id, attempt, now)
        .filter(Column::CancelRequestedAt.is_null())
        // a notifier that ends a lease clears `worker`
        .filter(Column::Worker.is_not_null())
        .col_expr(Column::LeaseMs, Expr::value(millis(lease)))
        .col_expr(Column::Renewals, Expr::col(Column::Renewals).add(1))
        .col_expr(Column::Rows, Expr::value(progress.rows.cast_signed()))
        .col_expr(Column::RowsTotal, Expr::value(progress.rows_total.map(u64::cast_signed)))
        .col_expr(Column::Bytes, Expr::value(progress.bytes.cast_signed()))
        .col_expr(Column::WaitingFor, Expr::value(progress.waiting_for.map(WaitingFor::as_str)));
    applied(db, update).await
}

/// Releases the lease of an attempt, so that another exporter can claim the export at once. An exporter calls this
/// function when it shuts down. A release does not count as a failed attempt.
///
/// # Errors
/// When the database fails.
pub async fn release_lease(
    db: &impl ConnectionTrait,
    id: ExportId,
    attempt: u32,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    applied(db, released(id, attempt, now)).await
}

/// Records that an attempt failed, and releases its lease, so that another attempt may start at once.
///
/// # Errors
/// When the database fails.
pub async fn attempt_failed(
    db: &impl ConnectionTrait,
    id: ExportId,
    attempt: u32,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    applied(db, released(id, attempt, now).col_expr(Column::Failures, Expr::col(Column::Failures).add(1))).await
}

/// Records that an outage of a part of the installation interrupted an attempt, and releases its lease, so that another
/// attempt may start. The interruption does not count as a failed attempt. `waited` is the pause before the next
/// attempt; the row stores the sum of these pauses.
///
/// # Errors
/// When the database fails.
pub async fn attempt_interrupted(
    db: &impl ConnectionTrait,
    id: ExportId,
    attempt: u32,
    part: WaitingFor,
    waited: Duration,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let waited_ms = i64::try_from(waited.as_millis()).unwrap_or(i64::MAX);
    let update = released(id, attempt, now)
        .col_expr(Column::WaitingFor, Expr::value(part.as_str()))
        .col_expr(Column::WaitedMs, Expr::col(Column::WaitedMs).add(waited_ms));
    applied(db, update).await
}

/// Records that the process `worker`, which ran only this export, died during the attempt. Releases the lease. Returns
/// false when the process held no lease of the export.
///
/// # Errors
/// When the database fails.
pub async fn attempt_crashed(
    db: &impl ConnectionTrait,
    id: ExportId,
    worker: &str,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let update = without_lease(update_of(id, now))
        .filter(Column::Status.eq(Status::Running.as_str()))
        .filter(Column::Worker.eq(worker))
        .col_expr(Column::Failures, Expr::col(Column::Failures).add(1))
        .col_expr(Column::CrashedAttempts, Expr::col(Column::CrashedAttempts).add(1));
    applied(db, update).await
}

/// `running → completed`: records that the attempt has written the whole file.
///
/// # Errors
/// When the database fails.
pub async fn completed(
    db: &impl ConnectionTrait,
    id: ExportId,
    attempt: u32,
    file: &FileInfo,
    completed_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let update = running(id, attempt, now)
        .col_expr(Column::CompletedAt, Expr::value(completed_at))
        .col_expr(Column::ExpiresAt, Expr::value(expires_at))
        .col_expr(Column::FileName, Expr::value(file.name.as_str()))
        .col_expr(Column::FileSize, Expr::value(file.size.cast_signed()))
        .col_expr(Column::FileRows, Expr::value(file.rows.cast_signed()))
        .col_expr(Column::FileSha256, Expr::value(file.sha256.as_str()))
        .col_expr(Column::FileMediaType, Expr::value(file.media_type.as_str()))
        .col_expr(Column::Rows, Expr::value(file.rows.cast_signed()))
        .col_expr(Column::RowsTotal, Expr::value(file.rows.cast_signed()))
        .col_expr(Column::Bytes, Expr::value(file.size.cast_signed()));
    applied(db, with_status(update, Status::Completed)).await
}

/// `running → unchanged`: the attempt made the content of the last run, so the export has no file.
///
/// # Errors
/// When the database fails.
pub async fn unchanged(
    db: &impl ConnectionTrait,
    id: ExportId,
    attempt: u32,
    file: &FileInfo,
    completed_at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let update = running(id, attempt, now)
        .col_expr(Column::CompletedAt, Expr::value(completed_at))
        .col_expr(Column::Rows, Expr::value(file.rows.cast_signed()))
        .col_expr(Column::RowsTotal, Expr::value(file.rows.cast_signed()))
        .col_expr(Column::Bytes, Expr::value(0_i64));
    applied(db, with_status(update, Status::Unchanged)).await
}

/// `running → failed`: records that the attempt failed and that no further attempt will start.
///
/// # Errors
/// When the database fails.
pub async fn failed(
    db: &impl ConnectionTrait,
    id: ExportId,
    attempt: u32,
    problem: &Problem,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let update = running(id, attempt, now).col_expr(Column::Problem, Expr::value(json(problem)));
    applied(db, with_status(update, Status::Failed)).await
}

/// `queued | dispatched | running → canceled`: cancels the export at the request of the owner or an operator.
///
/// # Errors
/// When the database fails.
pub async fn canceled(
    db: &impl ConnectionTrait,
    id: ExportId,
    problem: &Problem,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let update = update_of(id, now)
        .filter(Column::Status.is_in(UNFINISHED))
        .col_expr(Column::Problem, Expr::value(json(problem)));
    applied(db, with_status(update, Status::Canceled)).await
}

/// `completed → expired`: records that the file of the export was deleted.
///
/// # Errors
/// When the database fails.
pub async fn expired(db: &impl ConnectionTrait, id: ExportId, now: DateTime<Utc>) -> Result<bool, StoreError> {
    let update = update_of(id, now).filter(Column::Status.eq(Status::Completed.as_str()));
    applied(db, with_status(update, Status::Expired)).await
}

/// Records the request to cancel an unfinished export. Returns false when the export has ended or belongs to another
/// owner.
///
/// # Errors
/// When the database fails.
pub async fn request_cancel(
    db: &impl ConnectionTrait,
    owner: &Owner,
    id: ExportId,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let update = owned(owner, id, now)
        .filter(Column::Status.is_in(UNFINISHED))
        .col_expr(Column::CancelRequestedAt, Expr::value(now));
    applied(db, update).await
}

/// Records the request to delete the file of a completed export. Returns false when the export has no file or belongs
/// to another owner.
///
/// # Errors
/// When the database fails.
pub async fn request_delete(
    db: &impl ConnectionTrait,
    owner: &Owner,
    id: ExportId,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let update = owned(owner, id, now)
        .filter(Column::Status.eq(Status::Completed.as_str()))
        .col_expr(Column::DeleteRequestedAt, Expr::value(now));
    applied(db, update).await
}

pub(crate) fn update_of(id: ExportId, now: DateTime<Utc>) -> UpdateMany<Entity> {
    Entity::update_many().filter(Column::Id.eq(id.0)).col_expr(Column::UpdatedAt, Expr::value(now))
}

fn owned(owner: &Owner, id: ExportId, now: DateTime<Utc>) -> UpdateMany<Entity> {
    update_of(id, now).filter(Column::Tenant.eq(&owner.tenant)).filter(Column::UserId.eq(&owner.user))
}

fn running(id: ExportId, attempt: u32, now: DateTime<Utc>) -> UpdateMany<Entity> {
    update_of(id, now)
        .filter(Column::Status.eq(Status::Running.as_str()))
        .filter(Column::Attempt.eq(attempt.cast_signed()))
}

fn released(id: ExportId, attempt: u32, now: DateTime<Utc>) -> UpdateMany<Entity> {
    without_lease(running(id, attempt, now).filter(Column::Worker.is_not_null()))
}

/// Clears `worker`, so that no exporter holds the lease.
pub(crate) fn without_lease(update: UpdateMany<Entity>) -> UpdateMany<Entity> {
    update
        .col_expr(Column::Worker, Expr::value(None::<String>))
        .col_expr(Column::Renewals, Expr::col(Column::Renewals).add(1))
}

fn with_status(update: UpdateMany<Entity>, status: Status) -> UpdateMany<Entity> {
    update.col_expr(Column::Status, Expr::value(status.as_str()))
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

pub(crate) async fn applied(db: &impl ConnectionTrait, update: UpdateMany<Entity>) -> Result<bool, StoreError> {
    Ok(update.exec(db).await?.rows_affected == 1)
}

fn json(problem: &Problem) -> Json {
    serde_json::to_value(problem).unwrap_or_else(|e| unreachable!("problems always serialise: {e}"))
}
