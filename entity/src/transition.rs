//! The moves of an export: `queued → dispatched → running → completed | failed | canceled`, then `expired`.
//!
//! Each is one conditional update; its answer says whether it happened. A caller that gets `false` has been
//! overtaken and must do nothing more.

use chrono::{DateTime, Utc};
use protocol::{
    export::{FileInfo, Progress, Status},
    id::{ExportId, Owner},
    problem::Problem,
};
use sea_orm::{Condition, UpdateMany, entity::prelude::*, sea_query::ExprTrait};

use crate::{
    StoreError,
    export::{Column, Entity, Model, UNFINISHED, find},
};

/// The dispatcher published the job.
///
/// # Errors
/// When the database fails.
pub async fn dispatched(db: &impl ConnectionTrait, id: ExportId, now: DateTime<Utc>) -> Result<bool, StoreError> {
    let update =
        at(id, now).filter(Column::Status.eq(Status::Queued.as_str())).col_expr(Column::DispatchedAt, Expr::value(now));
    done(db, to(update, Status::Dispatched)).await
}

/// What a worker learns when it wants to run an export.
#[derive(Clone, Debug, PartialEq)]
pub enum Claim {
    /// It is yours, under `attempt` of this row.
    Won(Box<Model>),
    /// Another worker runs it and was alive until this time.
    Busy(DateTime<Utc>),
    /// It ended, or never was.
    Ended,
}

/// A worker takes an export that waits, or whose worker gave no sign of life in time, under the next attempt. The
/// silence of a worker is a failure of its attempt: what kills every worker must end too.
///
/// # Errors
/// When the database fails.
pub async fn claim(
    db: &impl ConnectionTrait,
    id: ExportId,
    worker: &str,
    now: DateTime<Utc>,
    lease_expires_at: DateTime<Utc>,
) -> Result<Claim, StoreError> {
    let Some(row) = find(db, id).await? else { return Ok(Claim::Ended) };
    let waiting = [Status::Queued.as_str(), Status::Dispatched.as_str()];
    let free = Condition::any()
        .add(Column::Status.is_in(waiting))
        .add(Condition::all().add(Column::Status.eq(Status::Running.as_str())).add(Column::LeaseExpiresAt.lte(now)));
    // one that gave its lease up is no longer named
    let silent = Column::Status.eq(Status::Running.as_str()).and(Column::Worker.is_not_null());
    let died = Expr::case(silent, 1).finally(0);
    let update = at(id, now)
        .filter(Column::Attempt.eq(row.attempt))
        .filter(Column::CancelRequestedAt.is_null())
        .filter(free)
        .col_expr(Column::Attempt, Expr::value(row.attempt + 1))
        .col_expr(Column::Failures, Expr::col(Column::Failures).add(died))
        .col_expr(Column::Worker, Expr::value(worker))
        .col_expr(Column::LeaseExpiresAt, Expr::value(lease_expires_at))
        .col_expr(Column::DispatchedAt, Expr::value(row.dispatched_at.unwrap_or(now)))
        .col_expr(Column::StartedAt, Expr::value(row.started_at.unwrap_or(now)))
        .col_expr(Column::Rows, Expr::value(0_i64))
        .col_expr(Column::Bytes, Expr::value(0_i64));
    let won = done(db, to(update, Status::Running)).await?;
    let Some(row) = find(db, id).await? else { return Ok(Claim::Ended) };
    if won {
        return Ok(Claim::Won(Box::new(row)));
    }
    if !row.status()?.is_unfinished() || row.cancel_requested_at.is_some() {
        return Ok(Claim::Ended);
    }
    Ok(Claim::Busy(row.lease_expires_at.unwrap_or(now)))
}

/// A worker's sign of life: its progress and a longer lease. False: the attempt no longer holds, stop at once.
///
/// # Errors
/// When the database fails.
pub async fn heartbeat(
    db: &impl ConnectionTrait,
    id: ExportId,
    attempt: u32,
    progress: &Progress,
    now: DateTime<Utc>,
    lease_expires_at: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let update = running(id, attempt, now)
        .filter(Column::CancelRequestedAt.is_null())
        .col_expr(Column::LeaseExpiresAt, Expr::value(lease_expires_at))
        .col_expr(Column::Rows, Expr::value(progress.rows.cast_signed()))
        .col_expr(Column::RowsTotal, Expr::value(progress.rows_total.map(u64::cast_signed)))
        .col_expr(Column::Bytes, Expr::value(progress.bytes.cast_signed()));
    done(db, update).await
}

/// A worker that stops lets another take over at once. That is no failure, however often it happens.
///
/// # Errors
/// When the database fails.
pub async fn release_lease(
    db: &impl ConnectionTrait,
    id: ExportId,
    attempt: u32,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    done(db, freed(id, attempt, now)).await
}

/// The attempt failed, and another may begin at once.
///
/// # Errors
/// When the database fails.
pub async fn attempt_failed(
    db: &impl ConnectionTrait,
    id: ExportId,
    attempt: u32,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    done(db, freed(id, attempt, now).col_expr(Column::Failures, Expr::col(Column::Failures).add(1))).await
}

/// The attempt's file is whole.
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
    done(db, to(update, Status::Completed)).await
}

/// The attempt can't make the file.
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
    done(db, to(update, Status::Failed)).await
}

/// The export ends without a file because its owner asked for that.
///
/// # Errors
/// When the database fails.
pub async fn canceled(
    db: &impl ConnectionTrait,
    id: ExportId,
    problem: &Problem,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let update =
        at(id, now).filter(Column::Status.is_in(UNFINISHED)).col_expr(Column::Problem, Expr::value(json(problem)));
    done(db, to(update, Status::Canceled)).await
}

/// The file was deleted.
///
/// # Errors
/// When the database fails.
pub async fn expired(db: &impl ConnectionTrait, id: ExportId, now: DateTime<Utc>) -> Result<bool, StoreError> {
    let update = at(id, now).filter(Column::Status.eq(Status::Completed.as_str()));
    done(db, to(update, Status::Expired)).await
}

/// Notes that the owner wants an unfinished export to end. False: it is not theirs or has ended.
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
    done(db, update).await
}

/// Notes that the owner wants the file of a completed export deleted. False: it is not theirs or has no file.
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
    done(db, update).await
}

fn at(id: ExportId, now: DateTime<Utc>) -> UpdateMany<Entity> {
    Entity::update_many().filter(Column::Id.eq(id.0)).col_expr(Column::UpdatedAt, Expr::value(now))
}

fn owned(owner: &Owner, id: ExportId, now: DateTime<Utc>) -> UpdateMany<Entity> {
    at(id, now).filter(Column::Tenant.eq(&owner.tenant)).filter(Column::UserId.eq(&owner.user))
}

fn running(id: ExportId, attempt: u32, now: DateTime<Utc>) -> UpdateMany<Entity> {
    at(id, now).filter(Column::Status.eq(Status::Running.as_str())).filter(Column::Attempt.eq(attempt.cast_signed()))
}

/// Without a worker's name [`claim`] knows that the attempt's end was told.
fn freed(id: ExportId, attempt: u32, now: DateTime<Utc>) -> UpdateMany<Entity> {
    running(id, attempt, now)
        .filter(Column::Worker.is_not_null())
        .col_expr(Column::LeaseExpiresAt, Expr::value(now))
        .col_expr(Column::Worker, Expr::value(None::<String>))
}

fn to(update: UpdateMany<Entity>, status: Status) -> UpdateMany<Entity> {
    update.col_expr(Column::Status, Expr::value(status.as_str()))
}

async fn done(db: &impl ConnectionTrait, update: UpdateMany<Entity>) -> Result<bool, StoreError> {
    Ok(update.exec(db).await?.rows_affected == 1)
}

fn json(problem: &Problem) -> Json {
    serde_json::to_value(problem).unwrap_or_else(|e| unreachable!("problems always serialise: {e}"))
}
