//! The `saved_export` table: the export requests that users saved. A deleted saved export keeps its row, because its
//! runs refer to it.

use chrono::{DateTime, Utc};
use protocol::{
    export::ExportRequest,
    id::Owner,
    saved_export::{SavedExportId, Visibility},
};
use sea_orm::{Condition, IntoActiveModel, QueryOrder, QuerySelect, entity::prelude::*, sea_query::ExprTrait};

use crate::StoreError;

/// A row of `saved_export`.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "saved_export")]
pub struct Model {
    /// A UUIDv7, so that ids sort by the time of creation.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// The tenant of the owner.
    #[sea_orm(column_type = "Text")]
    pub tenant: String,
    /// The user who owns the saved export.
    #[sea_orm(column_type = "Text")]
    pub user_id: String,
    /// The name, for people.
    #[sea_orm(column_type = "Text")]
    pub name: String,
    /// The dataset of `request`, for queries.
    #[sea_orm(column_type = "Text")]
    pub dataset: String,
    /// The export request as its owner wrote it, with moments relative to now.
    #[sea_orm(column_type = "JsonBinary")]
    pub request: Json,
    /// The users who see the saved export, as the text of [`Visibility`].
    #[sea_orm(column_type = "Text")]
    pub visibility: String,
    /// The number of the version, starting at 1. Each change by the owner increases it.
    pub version: i64,
    /// The time at which the saved export was created.
    pub created_at: DateTime<Utc>,
    /// The time of the last change by the owner.
    pub updated_at: DateTime<Utc>,
    /// The time at which the owner deleted the saved export; None while it exists.
    pub deleted_at: Option<DateTime<Utc>>,
}

/// sea-orm requires this type. It is empty, because no query joins through sea-orm.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// The id, as a [`SavedExportId`].
    #[must_use]
    pub fn saved_export_id(&self) -> SavedExportId {
        SavedExportId(self.id)
    }

    /// The owner of the saved export.
    #[must_use]
    pub fn owner(&self) -> Owner {
        Owner::new(self.tenant.clone(), self.user_id.clone())
    }

    /// The export request.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when the column is no export request.
    pub fn export_request(&self) -> Result<ExportRequest, StoreError> {
        serde_json::from_value(self.request.clone()).map_err(|e| self.damaged(format!("request: {e}")))
    }

    /// The users who see the saved export.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] for an unknown text in the column.
    pub fn visibility(&self) -> Result<Visibility, StoreError> {
        let unknown = || self.damaged(format!("unknown visibility `{}`", self.visibility));
        Visibility::from_name(&self.visibility).ok_or_else(unknown)
    }

    fn damaged(&self, detail: String) -> StoreError {
        StoreError::Damaged { row: format!("saved_export {}", self.id), detail }
    }
}

/// The datasets whose saved exports a user sees when another user shares them with the tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VisibleDatasets {
    /// Every dataset except these.
    AllExcept(Vec<String>),
    /// No dataset except these.
    Only(Vec<String>),
}

/// The user who reads saved exports.
#[derive(Clone, Debug)]
pub struct Reader {
    /// The user. Their own saved exports are visible.
    pub owner: Owner,
    /// The datasets of the tenant's shared saved exports that are visible too.
    pub datasets: VisibleDatasets,
}

/// Inserts a row. Call it in a transaction. Returns false when the owner has more than `max` saved exports after the
/// insert; the caller must then roll back. On PostgreSQL, concurrent transactions may exceed the limit by their number.
///
/// # Errors
/// When the database fails.
pub async fn insert(tx: &impl ConnectionTrait, row: Model, max: u64) -> Result<bool, StoreError> {
    let owner = row.owner();
    Entity::insert(row.into_active_model().reset_all()).exec_without_returning(tx).await?;
    let count = Entity::find().filter(owned(&owner)).count(tx).await?;
    Ok(count <= max)
}

/// Finds a saved export that this user may see.
///
/// # Errors
/// When the database fails.
pub async fn find(db: &impl ConnectionTrait, reader: &Reader, id: SavedExportId) -> Result<Option<Model>, StoreError> {
    Ok(Entity::find_by_id(id.0).filter(visible_to(reader)).one(db).await?)
}

/// The saved exports that this user may see, newest first: at most `limit`, only those before `before`.
///
/// # Errors
/// When the database fails.
pub async fn list(
    db: &impl ConnectionTrait,
    reader: &Reader,
    before: Option<SavedExportId>,
    limit: u64,
) -> Result<Vec<Model>, StoreError> {
    let mut select = Entity::find().filter(visible_to(reader)).order_by_desc(Column::Id).limit(limit);
    if let Some(before) = before {
        select = select.filter(Column::Id.lt(before.0));
    }
    Ok(select.all(db).await?)
}

/// Stores a changed saved export as the next version, if the row still has the version `row.version`. Returns false
/// when the row has another version or was deleted.
///
/// # Errors
/// When the database fails.
pub async fn update(db: &impl ConnectionTrait, row: &Model, now: DateTime<Utc>) -> Result<bool, StoreError> {
    let update = Entity::update_many()
        .col_expr(Column::Name, Expr::value(row.name.as_str()))
        .col_expr(Column::Dataset, Expr::value(row.dataset.as_str()))
        .col_expr(Column::Request, Expr::value(row.request.clone()))
        .col_expr(Column::Visibility, Expr::value(row.visibility.as_str()))
        .col_expr(Column::Version, Expr::col(Column::Version).add(1))
        .col_expr(Column::UpdatedAt, Expr::value(now))
        .filter(at_version(row));
    Ok(update.exec(db).await?.rows_affected == 1)
}

/// Deletes a saved export, if the row still has the version `row.version`. Returns false when the row has another
/// version or was deleted.
///
/// # Errors
/// When the database fails.
pub async fn delete(db: &impl ConnectionTrait, row: &Model, now: DateTime<Utc>) -> Result<bool, StoreError> {
    let update = Entity::update_many().col_expr(Column::DeletedAt, Expr::value(now)).filter(at_version(row));
    Ok(update.exec(db).await?.rows_affected == 1)
}

fn at_version(row: &Model) -> Condition {
    owned(&row.owner()).add(Column::Id.eq(row.id)).add(Column::Version.eq(row.version))
}

fn owned(owner: &Owner) -> Condition {
    Condition::all()
        .add(Column::Tenant.eq(&owner.tenant))
        .add(Column::UserId.eq(&owner.user))
        .add(Column::DeletedAt.is_null())
}

fn visible_to(reader: &Reader) -> Condition {
    let dataset = match &reader.datasets {
        VisibleDatasets::AllExcept(names) => Column::Dataset.is_not_in(names),
        VisibleDatasets::Only(names) => Column::Dataset.is_in(names),
    };
    let shared = Condition::all().add(Column::Visibility.eq(Visibility::Tenant.as_str())).add(dataset);
    Condition::all()
        .add(Column::Tenant.eq(&reader.owner.tenant))
        .add(Column::DeletedAt.is_null())
        .add(Condition::any().add(Column::UserId.eq(&reader.owner.user)).add(shared))
}
