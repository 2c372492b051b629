//! The `export` table: one row is one export, from the request to the day its file is deleted.

use chrono::{DateTime, Utc};
use protocol::{
    export::Status,
    id::{ExportId, Owner},
    subject::Lane,
    time::Timestamp,
};
use sea_orm::{Condition, IntoActiveModel, QueryOrder, QuerySelect, entity::prelude::*};

use crate::StoreError;

/// A row. Counters are `i64` as SQL has no unsigned numbers; [`crate::view`] turns a row into what clients see.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "export")]
pub struct Model {
    /// UUIDv7.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Whose it is.
    #[sea_orm(column_type = "Text")]
    pub tenant: String,
    /// Whose it is.
    #[sea_orm(column_type = "Text")]
    pub user_id: String,
    /// A name in the catalog.
    #[sea_orm(column_type = "Text")]
    pub dataset: String,
    /// A template of the dataset.
    #[sea_orm(column_type = "Text")]
    pub template: String,
    /// A format of the dataset.
    #[sea_orm(column_type = "Text")]
    pub format: String,
    /// A compression of the format.
    #[sea_orm(column_type = "Text")]
    pub compression: String,
    /// The filter as asked for, checked.
    #[sea_orm(column_type = "JsonBinary")]
    pub filter: Json,
    /// A JSON list of column names; empty for those of the template.
    #[sea_orm(column_type = "JsonBinary")]
    pub columns: Json,
    /// The parameters with defaults filled in.
    #[sea_orm(column_type = "JsonBinary")]
    pub params: Json,
    /// The caller's claims at submit, for row policies.
    #[sea_orm(column_type = "JsonBinary")]
    pub claims: Json,
    /// [`Status`] as text.
    #[sea_orm(column_type = "Text")]
    pub status: String,
    /// The fencing token.
    pub attempt: i32,
    /// How many attempts failed or died. One that was handed over did neither.
    pub failures: i32,
    /// Which exporters offer the dataset.
    #[sea_orm(column_type = "Text")]
    pub pool: String,
    /// `interactive` or `bulk`.
    #[sea_orm(column_type = "Text")]
    pub lane: String,
    /// What it costs.
    pub credits: i64,
    /// How long the file is kept, seconds.
    pub retention_seconds: i64,
    /// The trace of the request.
    #[sea_orm(column_type = "Text")]
    pub traceparent: String,
    /// The same for two requests of a person that would make the same file; absent: joins nothing.
    #[sea_orm(column_type = "Text", nullable)]
    pub join_key: Option<String>,
    /// When the gateway took the request.
    pub requested_at: DateTime<Utc>,
    /// When it was handed to the exporters.
    pub dispatched_at: Option<DateTime<Utc>>,
    /// When the first attempt began.
    pub started_at: Option<DateTime<Utc>>,
    /// When the last byte was made.
    pub completed_at: Option<DateTime<Utc>>,
    /// Until when the file is kept.
    pub expires_at: Option<DateTime<Utc>>,
    /// When this row last changed.
    pub updated_at: DateTime<Utc>,
    /// When its owner asked to cancel it.
    pub cancel_requested_at: Option<DateTime<Utc>>,
    /// When its owner asked to delete the file.
    pub delete_requested_at: Option<DateTime<Utc>>,
    /// The exporter that runs it.
    #[sea_orm(column_type = "Text", nullable)]
    pub worker: Option<String>,
    /// Until when that exporter owns it without a sign of life.
    pub lease_expires_at: Option<DateTime<Utc>>,
    /// Rows written.
    pub rows: i64,
    /// Rows there will be, where known.
    pub rows_total: Option<i64>,
    /// Bytes written.
    pub bytes: i64,
    /// The file's name.
    #[sea_orm(column_type = "Text", nullable)]
    pub file_name: Option<String>,
    /// The file's bytes.
    pub file_size: Option<i64>,
    /// The file's data rows.
    pub file_rows: Option<i64>,
    /// The file's SHA-256, hex.
    #[sea_orm(column_type = "Text", nullable)]
    pub file_sha256: Option<String>,
    /// The file's media type.
    #[sea_orm(column_type = "Text", nullable)]
    pub file_media_type: Option<String>,
    /// Why there is no file.
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub problem: Option<Json>,
}

/// No relations: segments are found by key.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// A request that was just taken and on which no work was done. The caller adds what is asked for.
    #[must_use]
    pub fn queued(id: ExportId, owner: &Owner, now: DateTime<Utc>) -> Self {
        Self {
            id: id.0,
            tenant: owner.tenant.clone(),
            user_id: owner.user.clone(),
            dataset: String::new(),
            template: "default".into(),
            format: "csv".into(),
            compression: "none".into(),
            filter: serde_json::json!({}),
            columns: serde_json::json!([]),
            params: serde_json::json!({}),
            claims: serde_json::json!({}),
            status: Status::Queued.as_str().into(),
            attempt: 0,
            failures: 0,
            pool: "default".into(),
            lane: Lane::Bulk.as_str().into(),
            credits: 1,
            retention_seconds: 0,
            traceparent: String::new(),
            join_key: None,
            // the contract's times have milliseconds, and the file's header repeats this one
            requested_at: Timestamp::from(now).into(),
            dispatched_at: None,
            started_at: None,
            completed_at: None,
            expires_at: None,
            updated_at: now,
            cancel_requested_at: None,
            delete_requested_at: None,
            worker: None,
            lease_expires_at: None,
            rows: 0,
            rows_total: None,
            bytes: 0,
            file_name: None,
            file_size: None,
            file_rows: None,
            file_sha256: None,
            file_media_type: None,
            problem: None,
        }
    }

    /// The id as the rest of the house has it.
    #[must_use]
    pub fn export_id(&self) -> ExportId {
        ExportId(self.id)
    }

    /// Whose it is.
    #[must_use]
    pub fn owner(&self) -> Owner {
        Owner::new(self.tenant.clone(), self.user_id.clone())
    }

    /// The status, parsed.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] for a word that no code of ours writes.
    pub fn status(&self) -> Result<Status, StoreError> {
        self.status
            .parse()
            .map_err(|e| StoreError::Damaged { row: format!("export {}", self.id), detail: format!("{e}") })
    }
}

/// Statuses in which work may still be going on, as text.
pub const UNFINISHED: [&str; 3] = [Status::Queued.as_str(), Status::Dispatched.as_str(), Status::Running.as_str()];

/// Statuses in which no work is going on any more, as text.
pub const ENDED: [&str; 4] =
    [Status::Completed.as_str(), Status::Failed.as_str(), Status::Canceled.as_str(), Status::Expired.as_str()];

/// An export whoever it belongs to: for services, never for a caller.
///
/// # Errors
/// When the database fails.
pub async fn find(db: &impl ConnectionTrait, id: ExportId) -> Result<Option<Model>, StoreError> {
    Ok(Entity::find_by_id(id.0).one(db).await?)
}

/// An export if it is this owner's.
///
/// # Errors
/// When the database fails.
pub async fn find_owned(db: &impl ConnectionTrait, owner: &Owner, id: ExportId) -> Result<Option<Model>, StoreError> {
    Ok(owned(owner).filter(Column::Id.eq(id.0)).one(db).await?)
}

/// Inserts a row. Belongs into one transaction with [`crate::ledger::hold`].
///
/// # Errors
/// When the database fails.
pub async fn insert(db: &impl ConnectionTrait, row: Model) -> Result<(), StoreError> {
    Entity::insert(row.into_active_model().reset_all()).exec_without_returning(db).await?;
    Ok(())
}

/// The unfinished export of this owner that will make the same file, if there is one: the oldest, and none that is to be
/// canceled.
///
/// # Errors
/// When the database fails.
pub async fn find_joinable(
    db: &impl ConnectionTrait,
    owner: &Owner,
    join_key: &str,
) -> Result<Option<Model>, StoreError> {
    let twins = owned(owner)
        .filter(Column::Status.is_in(UNFINISHED))
        .filter(Column::JoinKey.eq(join_key))
        .filter(Column::CancelRequestedAt.is_null())
        .order_by_asc(Column::Id);
    Ok(twins.one(db).await?)
}

/// Which of an owner's exports to list.
#[derive(Clone, Debug, Default)]
pub struct ListQuery {
    /// Only those in this status.
    pub status: Option<Status>,
    /// Only those of this dataset.
    pub dataset: Option<String>,
    /// Only those older than this one.
    pub before: Option<ExportId>,
    /// At most this many.
    pub limit: u64,
}

/// An owner's exports, newest first.
///
/// # Errors
/// When the database fails.
pub async fn list_owned(db: &impl ConnectionTrait, owner: &Owner, query: &ListQuery) -> Result<Vec<Model>, StoreError> {
    let mut select = owned(owner).order_by_desc(Column::Id).limit(query.limit);
    if let Some(status) = query.status {
        select = select.filter(Column::Status.eq(status.as_str()));
    }
    if let Some(dataset) = &query.dataset {
        select = select.filter(Column::Dataset.eq(dataset));
    }
    if let Some(before) = query.before {
        select = select.filter(Column::Id.lt(before.0));
    }
    Ok(select.all(db).await?)
}

/// How many of an owner's exports are unfinished.
///
/// # Errors
/// When the database fails.
pub async fn count_unfinished(db: &impl ConnectionTrait, owner: &Owner) -> Result<u64, StoreError> {
    Ok(owned(owner).filter(Column::Status.is_in(UNFINISHED)).count(db).await?)
}

/// Ended exports that changed last after this time and id and until that time, in that order.
///
/// # Errors
/// When the database fails.
pub async fn ended_between(
    db: &impl ConnectionTrait,
    after: (DateTime<Utc>, Uuid),
    until: DateTime<Utc>,
    limit: u64,
) -> Result<Vec<Model>, StoreError> {
    let same = Condition::all().add(Column::UpdatedAt.eq(after.0)).add(Column::Id.gt(after.1));
    let ended = Entity::find()
        .filter(Column::Status.is_in(ENDED))
        .filter(Condition::any().add(Column::UpdatedAt.gt(after.0)).add(same))
        .filter(Column::UpdatedAt.lte(until))
        .order_by_asc(Column::UpdatedAt)
        .order_by_asc(Column::Id);
    Ok(ended.limit(limit).all(db).await?)
}

/// Unfinished exports whose owner asked to cancel them, oldest first.
///
/// # Errors
/// When the database fails.
pub async fn cancel_requested(db: &impl ConnectionTrait, limit: u64) -> Result<Vec<Model>, StoreError> {
    let asked = Entity::find()
        .filter(Column::Status.is_in(UNFINISHED))
        .filter(Column::CancelRequestedAt.is_not_null())
        .order_by_asc(Column::Id);
    Ok(asked.limit(limit).all(db).await?)
}

/// Dispatched long ago, or running with a lease that ran out long ago: their job may be lost.
///
/// # Errors
/// When the database fails.
pub async fn find_stale(
    db: &impl ConnectionTrait,
    before: DateTime<Utc>,
    limit: u64,
) -> Result<Vec<Model>, StoreError> {
    let dispatched =
        Condition::all().add(Column::Status.eq(Status::Dispatched.as_str())).add(Column::UpdatedAt.lt(before));
    let running =
        Condition::all().add(Column::Status.eq(Status::Running.as_str())).add(Column::LeaseExpiresAt.lt(before));
    let lost = Condition::any().add(dispatched).add(running);
    Ok(Entity::find().filter(lost).order_by_asc(Column::Id).limit(limit).all(db).await?)
}

fn owned(owner: &Owner) -> Select<Entity> {
    Entity::find().filter(Column::Tenant.eq(&owner.tenant)).filter(Column::UserId.eq(&owner.user))
}
