//! The `saved_export_run` table: the exports that each saved export started, and the moments of its schedule. Rows are
//! never deleted.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use protocol::{
    id::{ExportId, Owner},
    saved_export::SavedExportId,
};
use sea_orm::{
    ActiveValue::Set,
    QueryOrder, QuerySelect,
    entity::prelude::*,
    sea_query::{Alias, ExprTrait, OnConflict, Query},
};

use crate::{StoreError, export, saved_export};

/// A row of `saved_export_run`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "saved_export_run")]
pub struct Model {
    /// A UUIDv7, so that ids sort by the time of the run.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// The id of the saved export.
    pub saved_export_id: Uuid,
    /// The tenant of the saved export.
    #[sea_orm(column_type = "Text")]
    pub tenant: String,
    /// The user who started the run, and owns the export.
    #[sea_orm(column_type = "Text")]
    pub user_id: String,
    /// The export; None for a missed moment of the schedule. Unique together with `saved_export_id`.
    pub export_id: Option<Uuid>,
    /// The moment of the schedule; None for a run that a user started. Unique together with `saved_export_id`.
    pub scheduled_for: Option<DateTime<Utc>>,
    /// The time at which the run started.
    pub created_at: DateTime<Utc>,
}

/// sea-orm requires this type. It is empty, because no query joins through sea-orm.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// Records that a user ran a saved export. Call it in the transaction that creates the export or joins an export. A
/// second record of the same export changes nothing.
///
/// # Errors
/// When the database fails.
pub async fn record(
    tx: &impl ConnectionTrait,
    saved: SavedExportId,
    owner: &Owner,
    export: ExportId,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let row = ActiveModel {
        id: Set(Uuid::now_v7()),
        saved_export_id: Set(saved.0),
        tenant: Set(owner.tenant.clone()),
        user_id: Set(owner.user.clone()),
        export_id: Set(Some(export.0)),
        scheduled_for: Set(None),
        created_at: Set(now),
    };
    let known = OnConflict::columns([Column::ExportId, Column::SavedExportId]).do_nothing().to_owned();
    Entity::insert(row).on_conflict(known).exec_without_returning(tx).await?;
    Ok(())
}

/// Records the run of a moment of a schedule. Call it in the transaction that creates the export. Returns false when
/// the moment has a run already; the caller must then roll back.
///
/// # Errors
/// When the database fails.
pub async fn record_moment(
    tx: &impl ConnectionTrait,
    saved: SavedExportId,
    owner: &Owner,
    export: ExportId,
    moment: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let row = ActiveModel { export_id: Set(Some(export.0)), ..at_moment(saved, owner, moment, now) };
    Ok(Entity::insert(row).on_conflict(same_moment()).exec_without_returning(tx).await? == 1)
}

/// Records that a moment of a schedule passed without a run. A moment that has a row already stays as it is.
///
/// # Errors
/// When the database fails.
pub async fn record_missed(
    tx: &impl ConnectionTrait,
    saved: SavedExportId,
    owner: &Owner,
    moment: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let row = at_moment(saved, owner, moment, now);
    Entity::insert(row).on_conflict(same_moment()).exec_without_returning(tx).await?;
    Ok(())
}

fn at_moment(saved: SavedExportId, owner: &Owner, moment: DateTime<Utc>, now: DateTime<Utc>) -> ActiveModel {
    ActiveModel {
        id: Set(Uuid::now_v7()),
        saved_export_id: Set(saved.0),
        tenant: Set(owner.tenant.clone()),
        user_id: Set(owner.user.clone()),
        export_id: Set(None),
        scheduled_for: Set(Some(moment)),
        created_at: Set(now),
    }
}

fn same_moment() -> OnConflict {
    OnConflict::columns([Column::SavedExportId, Column::ScheduledFor]).do_nothing().to_owned()
}

/// The newest moments of a schedule without a run, newest first: at most `limit`.
///
/// # Errors
/// When the database fails.
pub async fn missed(
    db: &impl ConnectionTrait,
    saved: SavedExportId,
    owner: &Owner,
    limit: u64,
) -> Result<Vec<DateTime<Utc>>, StoreError> {
    let missed = Entity::find()
        .filter(Column::SavedExportId.eq(saved.0))
        .filter(Column::Tenant.eq(&owner.tenant))
        .filter(Column::UserId.eq(&owner.user))
        .filter(Column::ExportId.is_null())
        .order_by_desc(Column::ScheduledFor)
        .limit(limit);
    Ok(missed.all(db).await?.into_iter().filter_map(|row| row.scheduled_for).collect())
}

/// The run of a schedule that this export is; None for every other export.
///
/// # Errors
/// When the database fails.
pub async fn scheduled(db: &impl ConnectionTrait, export: ExportId) -> Result<Option<Model>, StoreError> {
    let run = Entity::find().filter(Column::ExportId.eq(export.0)).filter(Column::ScheduledFor.is_not_null());
    Ok(run.one(db).await?)
}

/// One run with its export.
#[derive(Clone, Debug)]
pub struct Run {
    /// The row of the run.
    pub run: Model,
    /// The row of the export.
    pub export: export::Model,
}

/// The runs of a saved export that this user owns, newest first: at most `limit`, only those before the run `before`.
///
/// # Errors
/// When the database fails.
pub async fn list(
    db: &impl ConnectionTrait,
    saved: SavedExportId,
    owner: &Owner,
    before: Option<Uuid>,
    limit: u64,
) -> Result<Vec<Run>, StoreError> {
    let mut select = Entity::find()
        .filter(Column::SavedExportId.eq(saved.0))
        .filter(Column::Tenant.eq(&owner.tenant))
        .filter(Column::UserId.eq(&owner.user))
        .filter(Column::ExportId.is_not_null())
        .order_by_desc(Column::Id)
        .limit(limit);
    if let Some(before) = before {
        select = select.filter(Column::Id.lt(before));
    }
    with_exports(db, select.all(db).await?).await
}

/// The newest run of each of these saved exports that this user owns, by the id of the saved export.
///
/// # Errors
/// When the database fails.
pub async fn newest(
    db: &impl ConnectionTrait,
    saved: &[Uuid],
    owner: &Owner,
) -> Result<HashMap<Uuid, Run>, StoreError> {
    if saved.is_empty() {
        return Ok(HashMap::new());
    }
    // one probe of an index for each saved export, with any number of runs
    let other = Alias::new("other");
    let newest = Query::select()
        .column((other.clone(), Column::Id))
        .from_as(Entity, other.clone())
        .and_where(
            Expr::col((other.clone(), Column::SavedExportId)).equals((saved_export::Entity, saved_export::Column::Id)),
        )
        .and_where(ExprTrait::eq(Expr::col((other.clone(), Column::Tenant)), owner.tenant.as_str()))
        .and_where(ExprTrait::eq(Expr::col((other.clone(), Column::UserId)), owner.user.as_str()))
        .and_where(Expr::col((other.clone(), Column::ExportId)).is_not_null())
        .order_by((other, Column::Id), sea_orm::sea_query::Order::Desc)
        .limit(1)
        .to_owned();
    let ids = Query::select()
        .expr(Expr::SubQuery(None, Box::new(newest.into())))
        .from(saved_export::Entity)
        .and_where(Expr::col((saved_export::Entity, saved_export::Column::Id)).is_in(saved.iter().copied()))
        .to_owned();
    let rows = Entity::find().filter(Column::Id.in_subquery(ids)).all(db).await?;
    let runs = with_exports(db, rows).await?;
    Ok(runs.into_iter().map(|run| (run.run.saved_export_id, run)).collect())
}

/// Adds the export to each row, and omits rows without one.
async fn with_exports(db: &impl ConnectionTrait, rows: Vec<Model>) -> Result<Vec<Run>, StoreError> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let ids = rows.iter().filter_map(|row| row.export_id);
    let exports = export::Entity::find().filter(export::Column::Id.is_in(ids)).all(db).await?;
    let mut exports: HashMap<Uuid, export::Model> = exports.into_iter().map(|row| (row.id, row)).collect();
    let runs = rows.into_iter().filter_map(|run| {
        let export = exports.remove(&run.export_id?)?;
        Some(Run { run, export })
    });
    Ok(runs.collect())
}
