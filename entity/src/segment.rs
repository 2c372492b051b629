//! The `segment` table: the segments that the file store holds, for each attempt.

use protocol::{delivery, id::ExportId};
use sea_orm::{
    ActiveValue::Set,
    FromQueryResult, QueryOrder, QuerySelect,
    entity::prelude::*,
    sea_query::{ExprTrait, OnConflict},
};

use crate::StoreError;

/// A row of `segment`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "segment")]
pub struct Model {
    /// The id of the export.
    #[sea_orm(primary_key, auto_increment = false)]
    pub export_id: Uuid,
    /// The attempt that wrote the segment.
    #[sea_orm(primary_key, auto_increment = false)]
    pub attempt: i32,
    /// The index of the segment within the attempt, starting at 0.
    #[sea_orm(primary_key, auto_increment = false)]
    pub index: i32,
    /// The position of the first byte of the segment in the file.
    pub offset: i64,
    /// The size of the segment, in bytes.
    pub size: i64,
    /// The number of data rows whose last byte is in the segment.
    pub rows: i64,
    /// The SHA-256 of the segment, in lower-case hex.
    #[sea_orm(column_type = "Text")]
    pub sha256: String,
}

/// The relations of this table, which sea-orm requires. The type is empty, because all queries use the key.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl From<Model> for delivery::Segment {
    fn from(row: Model) -> Self {
        Self {
            index: row.index.unsigned_abs(),
            offset: row.offset.unsigned_abs(),
            size: row.size.unsigned_abs(),
            rows: row.rows.unsigned_abs(),
            sha256: row.sha256,
        }
    }
}

/// Records a segment that the file store holds. Call it in one transaction with [`crate::transition::heartbeat`], which
/// checks that the attempt still owns the export. Keeps a segment that is already recorded, because a caller repeats a
/// transaction whose commit was not confirmed.
///
/// # Errors
/// When the database fails.
pub async fn insert(
    db: &impl ConnectionTrait,
    id: ExportId,
    attempt: u32,
    segment: &delivery::Segment,
) -> Result<(), StoreError> {
    let row = ActiveModel {
        export_id: Set(id.0),
        attempt: Set(attempt.cast_signed()),
        index: Set(segment.index.cast_signed()),
        offset: Set(segment.offset.cast_signed()),
        size: Set(segment.size.cast_signed()),
        rows: Set(segment.rows.cast_signed()),
        sha256: Set(segment.sha256.clone()),
    };
    let key = [Column::ExportId, Column::Attempt, Column::Index];
    let keep = OnConflict::columns(key).do_nothing().to_owned();
    Entity::insert(row).on_conflict(keep).exec_without_returning(db).await?;
    Ok(())
}

/// Reads the first `limit` segments of an attempt, in order, from the segment that contains the byte at `offset`.
///
/// # Errors
/// When the database fails.
pub async fn from_offset(
    db: &impl ConnectionTrait,
    id: ExportId,
    attempt: u32,
    offset: u64,
    limit: u64,
) -> Result<Vec<delivery::Segment>, StoreError> {
    let rows = of_attempt(id, attempt)
        .filter(Expr::col(Column::Offset).add(Expr::col(Column::Size)).gt(offset.cast_signed()))
        .limit(limit)
        .all(db)
        .await?;
    Ok(rows.into_iter().map(Into::into).collect())
}

/// Reads the segments of an attempt that begin before the byte at `end`, in order.
///
/// # Errors
/// When the database fails.
pub async fn before(
    db: &impl ConnectionTrait,
    id: ExportId,
    attempt: u32,
    end: u64,
) -> Result<Vec<delivery::Segment>, StoreError> {
    let rows = of_attempt(id, attempt).filter(Column::Offset.lt(end.cast_signed())).all(db).await?;
    Ok(rows.into_iter().map(Into::into).collect())
}

/// The number of segments of one attempt, and the sums of their rows and bytes.
#[derive(Clone, Debug, PartialEq, Eq, FromQueryResult)]
pub struct AttemptSegments {
    /// The number of the attempt.
    pub attempt: i32,
    /// The number of segments.
    pub segments: i64,
    /// The number of data rows.
    pub rows: i64,
    /// The number of bytes.
    pub bytes: i64,
}

/// The segments of each attempt at an export.
///
/// # Errors
/// When the database fails.
pub async fn by_attempt(db: &impl ConnectionTrait, id: ExportId) -> Result<Vec<AttemptSegments>, StoreError> {
    // PostgreSQL's sum of BIGINT is NUMERIC
    let sum = |column: Column| Expr::expr(column.sum()).cast_as("BIGINT");
    let grouped = Entity::find()
        .select_only()
        .column(Column::Attempt)
        .column_as(Column::Index.count(), "segments")
        .column_as(sum(Column::Rows), "rows")
        .column_as(sum(Column::Size), "bytes")
        .filter(Column::ExportId.eq(id.0))
        .group_by(Column::Attempt)
        .order_by_asc(Column::Attempt);
    Ok(grouped.into_model::<AttemptSegments>().all(db).await?)
}

fn of_attempt(id: ExportId, attempt: u32) -> Select<Entity> {
    Entity::find()
        .filter(Column::ExportId.eq(id.0))
        .filter(Column::Attempt.eq(attempt.cast_signed()))
        .order_by_asc(Column::Index)
}
