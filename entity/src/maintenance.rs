//! Queries of the reconciler and the sweep. Each query returns one batch. A query with the parameter `after` continues
//! after the last row of the previous batch.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use protocol::export::Status;
use sea_orm::{Condition, QueryOrder, QuerySelect, entity::prelude::*};

use crate::{
    StoreError,
    export::{Column, ENDED, Entity, Model},
    segment,
};

/// Lists completed exports whose retention has ended and whose id is greater than `after`, oldest first.
///
/// # Errors
/// When the database fails.
pub async fn past_retention(
    db: &impl ConnectionTrait,
    after: Uuid,
    now: DateTime<Utc>,
    limit: u64,
) -> Result<Vec<Model>, StoreError> {
    let ended = Entity::find()
        .filter(Column::Status.eq(Status::Completed.as_str()))
        .filter(Column::ExpiresAt.lte(now))
        .filter(Column::Id.gt(after))
        .order_by_asc(Column::Id);
    Ok(ended.limit(limit).all(db).await?)
}

/// Lists at most `limit` completed exports whose owner requested deletion of the file, oldest first.
///
/// # Errors
/// When the database fails.
pub async fn delete_requested(db: &impl ConnectionTrait, limit: u64) -> Result<Vec<Model>, StoreError> {
    let requested = Entity::find()
        .filter(Column::Status.eq(Status::Completed.as_str()))
        .filter(Column::DeleteRequestedAt.is_not_null())
        .order_by_asc(Column::Id);
    Ok(requested.limit(limit).all(db).await?)
}

/// The objects of an export that the file store must retain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetainedFiles {
    /// All objects, because the export ended so recently that another service may still delete objects.
    Everything,
    /// The objects of this attempt and of later ones, because the export is unfinished. No reader needs the objects of
    /// earlier attempts.
    Since(u32),
    /// The objects of this attempt, because the attempt wrote the file of the completed export.
    Attempt(u32),
    /// No object, because the export has no file.
    Nothing,
}

/// Returns, for each of these exports, the objects that the file store must retain. The result omits exports without a
/// row. An export that ended at `settled_before` or later retains all objects, because the service that ended the
/// export may still delete objects.
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
            Status::Queued | Status::Dispatched | Status::Running => RetainedFiles::Since(attempt.unsigned_abs()),
            _ if updated_at >= settled_before => RetainedFiles::Everything,
            Status::Completed => RetainedFiles::Attempt(attempt.unsigned_abs()),
            Status::Unchanged | Status::Failed | Status::Canceled | Status::Expired => RetainedFiles::Nothing,
        };
        found.insert(id, kept);
    }
    Ok(found)
}

/// Lists at most `limit` ids of exports with segment rows, in ascending order after the id `after`.
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

/// Deletes the unused segment rows of these exports and returns their number. After an export has ended, only the
/// segments of the attempt that wrote its file are in use. Unfinished exports, and exports that ended at `before` or
/// later, keep all segments. Call it in one transaction with [`crate::lease::fence`].
///
/// # Errors
/// When the database fails.
pub async fn delete_unused_segments(
    db: &impl ConnectionTrait,
    ids: &[Uuid],
    before: DateTime<Utc>,
) -> Result<u64, StoreError> {
    use sea_orm::sea_query::{ExprTrait, Query};
    let ended_with = |status: Condition| {
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
    let unused = ended_with(Condition::any().add(without_file).add(other_attempt));
    let delete = segment::Entity::delete_many()
        .filter(segment::Column::ExportId.is_in(ids.iter().copied()))
        .filter(Expr::exists(unused));
    Ok(delete.exec(db).await?.rows_affected)
}
