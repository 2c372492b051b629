//! The `schedule` table: the cron expression of a saved export, its next moment, and why it is paused.
//!
//! The update that advances `next_run_at` is conditional on its old value, so that of several notifiers one takes a
//! moment. The unique row of the moment in `saved_export_run` also holds after a step back of the clock.

use chrono::{DateTime, Utc};
use protocol::{
    id::{ExportId, Owner},
    saved_export::SavedExportId,
};
use sea_orm::{
    Condition, IntoActiveModel, QueryOrder, QuerySelect, UpdateMany, entity::prelude::*, sea_query::ExprTrait,
};
use serde_json::{Map, Value};

use crate::{StoreError, saved_export_run};

/// The number of failed runs in a row after which a schedule pauses.
pub const MAX_FAILURES: i32 = 5;

/// A row of `schedule`. A saved export without a schedule has no row.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "schedule")]
pub struct Model {
    /// The id of the saved export.
    #[sea_orm(primary_key, auto_increment = false)]
    pub saved_export_id: Uuid,
    /// The tenant of the owner.
    #[sea_orm(column_type = "Text")]
    pub tenant: String,
    /// The user who owns the saved export, and every export of the schedule.
    #[sea_orm(column_type = "Text")]
    pub user_id: String,
    /// The cron expression of five fields.
    #[sea_orm(column_type = "Text")]
    pub cron: String,
    /// The IANA name of the time zone in which the expression is evaluated.
    #[sea_orm(column_type = "Text")]
    pub zone: String,
    /// Whether the schedule runs. A paused schedule does not.
    pub enabled: bool,
    /// Whether a run ends without a file when the rows are those of the last run.
    pub only_if_changed: bool,
    /// The owner's claims when the schedule was saved. No run has wider rights.
    #[sea_orm(column_type = "JsonBinary")]
    pub claims: Json,
    /// The next moment; None while the schedule does not run.
    pub next_run_at: Option<DateTime<Utc>>,
    /// Why the schedule is paused, as a text for its owner; None for a schedule that is not paused.
    #[sea_orm(column_type = "Text", nullable)]
    pub paused_reason: Option<String>,
    /// Whether the owner was notified of the pause.
    pub pause_notified: bool,
    /// The number of failed runs since the last one that did not fail.
    pub failures: i32,
    /// The digest of the last file's content, without its timestamps, in lower-case hex.
    #[sea_orm(column_type = "Text", nullable)]
    pub last_content_sha256: Option<String>,
}

/// sea-orm requires this type. It is empty, because no query joins through sea-orm.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// The id of the saved export, as a [`SavedExportId`].
    #[must_use]
    pub fn id(&self) -> SavedExportId {
        SavedExportId(self.saved_export_id)
    }

    /// The owner of the saved export.
    #[must_use]
    pub fn owner(&self) -> Owner {
        Owner::new(self.tenant.clone(), self.user_id.clone())
    }

    /// The owner's claims when the schedule was saved.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when the column is no JSON object.
    pub fn claim_map(&self) -> Result<Map<String, Value>, StoreError> {
        let damaged = || StoreError::Damaged {
            row: format!("schedule {}", self.saved_export_id),
            detail: "claims: expected an object".into(),
        };
        self.claims.as_object().cloned().ok_or_else(damaged)
    }
}

/// Stores the schedule of a saved export, in place of an earlier one.
///
/// # Errors
/// When the database fails.
pub async fn put(tx: &impl ConnectionTrait, row: Model) -> Result<(), StoreError> {
    delete(tx, row.id()).await?;
    Entity::insert(row.into_active_model().reset_all()).exec_without_returning(tx).await?;
    Ok(())
}

/// Deletes the schedule of a saved export, if it has one.
///
/// # Errors
/// When the database fails.
pub async fn delete(tx: &impl ConnectionTrait, id: SavedExportId) -> Result<(), StoreError> {
    Entity::delete_by_id(id.0).exec(tx).await?;
    Ok(())
}

/// The schedule of a saved export, if it has one.
///
/// # Errors
/// When the database fails.
pub async fn find(db: &impl ConnectionTrait, id: SavedExportId) -> Result<Option<Model>, StoreError> {
    Ok(Entity::find_by_id(id.0).one(db).await?)
}

/// The schedules of these saved exports.
///
/// # Errors
/// When the database fails.
pub async fn find_all(db: &impl ConnectionTrait, ids: &[Uuid]) -> Result<Vec<Model>, StoreError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    Ok(Entity::find().filter(Column::SavedExportId.is_in(ids.iter().copied())).all(db).await?)
}

/// The schedules with a moment that has come, by the id of the saved export: at most `limit`, only those after `after`.
///
/// # Errors
/// When the database fails.
pub async fn due(
    db: &impl ConnectionTrait,
    after: Uuid,
    now: DateTime<Utc>,
    limit: u64,
) -> Result<Vec<Model>, StoreError> {
    let due = Entity::find()
        .filter(Column::NextRunAt.lte(now))
        .filter(Column::Enabled.eq(true))
        .filter(Column::SavedExportId.gt(after))
        .order_by_asc(Column::SavedExportId);
    Ok(due.limit(limit).all(db).await?)
}

/// Takes the moments of a schedule up to now: sets the next one, if the row is unchanged. Returns false when another
/// notifier took them, or the owner changed the schedule.
///
/// # Errors
/// When the database fails.
pub async fn advance(tx: &impl ConnectionTrait, row: &Model, next: Option<DateTime<Utc>>) -> Result<bool, StoreError> {
    let update = unchanged(row).col_expr(Column::NextRunAt, Expr::value(next));
    Ok(update.exec(tx).await?.rows_affected == 1)
}

/// Pauses a schedule, if the row is unchanged. Returns false when the owner changed the schedule.
///
/// # Errors
/// When the database fails.
pub async fn pause(tx: &impl ConnectionTrait, row: &Model, reason: &str) -> Result<bool, StoreError> {
    Ok(paused(unchanged(row), reason).exec(tx).await?.rows_affected == 1)
}

/// The schedules whose owner was not notified of their pause.
///
/// # Errors
/// When the database fails.
pub async fn unnotified(db: &impl ConnectionTrait, limit: u64) -> Result<Vec<Model>, StoreError> {
    let unnotified =
        Entity::find().filter(Column::PausedReason.is_not_null()).filter(Column::PauseNotified.eq(false)).limit(limit);
    Ok(unnotified.all(db).await?)
}

/// Records that the owner was notified of this pause.
///
/// # Errors
/// When the database fails.
pub async fn mark_notified(db: &impl ConnectionTrait, row: &Model) -> Result<(), StoreError> {
    let update = Entity::update_many()
        .col_expr(Column::PauseNotified, Expr::value(true))
        .filter(Column::SavedExportId.eq(row.saved_export_id))
        .filter(Column::PausedReason.eq(row.paused_reason.clone()));
    update.exec(db).await?;
    Ok(())
}

/// The schedule that started an export; None for every other export.
///
/// # Errors
/// When the database fails.
pub async fn of_export(db: &impl ConnectionTrait, export: ExportId) -> Result<Option<Model>, StoreError> {
    let Some(run) = saved_export_run::scheduled(db, export).await? else { return Ok(None) };
    find(db, SavedExportId(run.saved_export_id)).await
}

/// Counts a failed run of a schedule. The run with which the count reaches [`MAX_FAILURES`] pauses the schedule. Call
/// it in the transaction in which the export fails.
///
/// # Errors
/// When the database fails.
pub async fn record_failure(tx: &impl ConnectionTrait, id: SavedExportId) -> Result<(), StoreError> {
    let count = of(id).col_expr(Column::Failures, Expr::col(Column::Failures).add(1));
    count.exec(tx).await?;
    let reason = format!("{MAX_FAILURES} runs in a row failed; see its runs for the cause.");
    let limit = paused(of(id), &reason).filter(Column::Failures.gte(MAX_FAILURES)).filter(Column::Enabled.eq(true));
    limit.exec(tx).await?;
    Ok(())
}

/// Records that a run ended as completed or unchanged, with the digest of its content if that is known. Call it in the
/// transaction in which the export ends.
///
/// # Errors
/// When the database fails.
pub async fn record_success(
    tx: &impl ConnectionTrait,
    id: SavedExportId,
    content_sha256: Option<&str>,
) -> Result<(), StoreError> {
    let mut update = of(id).col_expr(Column::Failures, Expr::value(0));
    if let Some(digest) = content_sha256 {
        update = update.col_expr(Column::LastContentSha256, Expr::value(digest));
    }
    update.exec(tx).await?;
    Ok(())
}

fn of(id: SavedExportId) -> UpdateMany<Entity> {
    Entity::update_many().filter(Column::SavedExportId.eq(id.0))
}

/// An update of the row, if it has the same moment and runs.
fn unchanged(row: &Model) -> UpdateMany<Entity> {
    let same = Condition::all().add(Column::Enabled.eq(true)).add(Column::NextRunAt.eq(row.next_run_at));
    of(row.id()).filter(same)
}

fn paused(update: UpdateMany<Entity>, reason: &str) -> UpdateMany<Entity> {
    update
        .col_expr(Column::Enabled, Expr::value(false))
        .col_expr(Column::NextRunAt, Expr::value(None::<DateTime<Utc>>))
        .col_expr(Column::PausedReason, Expr::value(reason))
        .col_expr(Column::PauseNotified, Expr::value(false))
}
