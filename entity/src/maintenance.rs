//! What the hourly sweep asks the tables. Each question goes on where the last answer ended, so that a long table is
//! gone through in bounded steps.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use protocol::export::Status;
use sea_orm::{Condition, QueryOrder, QuerySelect, entity::prelude::*};

use crate::{
    StoreError,
    export::{Column, ENDED, Entity, Model},
    segment,
};

/// Completed exports after this id whose time is over, oldest first.
///
/// # Errors
/// When the database fails.
pub async fn past_retention(
    db: &impl ConnectionTrait,
    after: Uuid,
    now: DateTime<Utc>,
    limit: u64,
) -> Result<Vec<Model>, StoreError> {
    let over = Entity::find()
        .filter(Column::Status.eq(Status::Completed.as_str()))
        .filter(Column::ExpiresAt.lte(now))
        .filter(Column::Id.gt(after))
        .order_by_asc(Column::Id);
    Ok(over.limit(limit).all(db).await?)
}

/// Completed exports whose owner asked to delete the file, oldest first.
///
/// # Errors
/// When the database fails.
pub async fn delete_requested(db: &impl ConnectionTrait, limit: u64) -> Result<Vec<Model>, StoreError> {
    let asked = Entity::find()
        .filter(Column::Status.eq(Status::Completed.as_str()))
        .filter(Column::DeleteRequestedAt.is_not_null())
        .order_by_asc(Column::Id);
    Ok(asked.limit(limit).all(db).await?)
}

/// Exports after this id that were dispatched long ago, or run with a lease that ran out long ago, oldest first.
///
/// # Errors
/// When the database fails.
pub async fn stale(
    db: &impl ConnectionTrait,
    after: Uuid,
    before: DateTime<Utc>,
    limit: u64,
) -> Result<Vec<Model>, StoreError> {
    let dispatched =
        Condition::all().add(Column::Status.eq(Status::Dispatched.as_str())).add(Column::UpdatedAt.lt(before));
    let running =
        Condition::all().add(Column::Status.eq(Status::Running.as_str())).add(Column::LeaseExpiresAt.lt(before));
    let stuck = Entity::find()
        .filter(Condition::any().add(dispatched).add(running))
        .filter(Column::Id.gt(after))
        .order_by_asc(Column::Id);
    Ok(stuck.limit(limit).all(db).await?)
}

/// What is kept of an export's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetainedFiles {
    /// Work may be going on, also that of whoever ended it and deletes what is left: everything.
    Everything,
    /// It is completed: what this attempt made.
    Attempt(u32),
    /// It ended without a file, or the file is gone: nothing.
    Nothing,
}

/// What is kept of these exports; those that have no row are not in the answer. Whatever changed at `settled_before` or
/// later is left to those who changed it.
///
/// # Errors
/// When the database fails, or a row is damaged.
pub async fn retained_files(
    db: &impl ConnectionTrait,
    ids: &[Uuid],
    settled_before: DateTime<Utc>,
) -> Result<HashMap<Uuid, RetainedFiles>, StoreError> {
    let rows: Vec<(Uuid, String, i32, DateTime<Utc>)> = Entity::find()
        .select_only()
        .columns([Column::Id, Column::Status, Column::Attempt, Column::UpdatedAt])
        .filter(Column::Id.is_in(ids.iter().copied()))
        .into_tuple()
        .all(db)
        .await?;
    let mut found = HashMap::with_capacity(rows.len());
    for (id, status, attempt, updated_at) in rows {
        let status: Status =
            status.parse().map_err(|e| StoreError::Damaged { row: format!("export {id}"), detail: format!("{e}") })?;
        let kept = match status {
            _ if updated_at >= settled_before => RetainedFiles::Everything,
            Status::Queued | Status::Dispatched | Status::Running => RetainedFiles::Everything,
            Status::Completed => RetainedFiles::Attempt(attempt.unsigned_abs()),
            Status::Failed | Status::Canceled | Status::Expired => RetainedFiles::Nothing,
        };
        found.insert(id, kept);
    }
    Ok(found)
}

/// The exports after this id that have segments, in order.
///
/// # Errors
/// When the database fails.
pub async fn with_segments(db: &impl ConnectionTrait, after: Uuid, limit: u64) -> Result<Vec<Uuid>, StoreError> {
    let ids = segment::Entity::find()
        .select_only()
        .column(segment::Column::ExportId)
        .distinct()
        .filter(segment::Column::ExportId.gt(after))
        .order_by_asc(segment::Column::ExportId)
        .limit(limit);
    Ok(ids.into_tuple().all(db).await?)
}

/// Forgets the segments of these exports that nobody can read any more: of those that ended before `before`, all but
/// what the attempt that made the file wrote. How many they were. It belongs into one transaction with
/// [`crate::lease::fence`].
///
/// # Errors
/// When the database fails.
pub async fn delete_unused_segments(
    db: &impl ConnectionTrait,
    ids: &[Uuid],
    before: DateTime<Utc>,
) -> Result<u64, StoreError> {
    use sea_orm::sea_query::{ExprTrait, Query};
    let gone = |status: Condition| {
        let of_export = Expr::col((Entity, Column::Id)).equals((segment::Entity, segment::Column::ExportId));
        Query::select()
            .expr(Expr::value(1))
            .from(Entity)
            .and_where(of_export)
            .and_where(Expr::col((Entity, Column::UpdatedAt)).lt(before))
            .cond_where(status)
            .to_owned()
    };
    let status = || Expr::col((Entity, Column::Status));
    let without_file =
        Condition::all().add(status().is_in(ENDED)).add(ExprTrait::ne(status(), Status::Completed.as_str()));
    let other_attempt = Condition::all()
        .add(ExprTrait::eq(status(), Status::Completed.as_str()))
        .add(Expr::col((Entity, Column::Attempt)).not_equals((segment::Entity, segment::Column::Attempt)));
    let nobodys = gone(Condition::any().add(without_file).add(other_attempt));
    let delete = segment::Entity::delete_many()
        .filter(segment::Column::ExportId.is_in(ids.iter().copied()))
        .filter(Expr::exists(nobodys));
    Ok(delete.exec(db).await?.rows_affected)
}
