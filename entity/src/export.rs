//! The `export` table: one row for each export, from the request to the deletion of its file.

use chrono::{DateTime, Utc};
use protocol::{
    export::Status,
    id::{ExportId, Owner},
    subject::Lane,
    time::Timestamp,
};
use sea_orm::{Condition, IntoActiveModel, QueryOrder, QuerySelect, entity::prelude::*};

use crate::StoreError;

/// A row of `export`. Counters are `i64`, because SQL has no unsigned numbers. [`crate::view`] converts a row into the
/// export object of the API.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "export")]
pub struct Model {
    /// A UUIDv7, so that ids sort by the time of the request.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// The tenant of the owner.
    #[sea_orm(column_type = "Text")]
    pub tenant: String,
    /// The user who owns the export.
    #[sea_orm(column_type = "Text")]
    pub user_id: String,
    /// The name of the dataset.
    #[sea_orm(column_type = "Text")]
    pub dataset: String,
    /// The name of the template.
    #[sea_orm(column_type = "Text")]
    pub template: String,
    /// The name of the format.
    #[sea_orm(column_type = "Text")]
    pub format: String,
    /// The name of the compression.
    #[sea_orm(column_type = "Text")]
    pub compression: String,
    /// The filter of the request, after the gateway checked it.
    #[sea_orm(column_type = "JsonBinary")]
    pub filter: Json,
    /// The requested columns as a JSON list; empty for the columns of the template.
    #[sea_orm(column_type = "JsonBinary")]
    pub columns: Json,
    /// The parameters of the request, including defaults.
    #[sea_orm(column_type = "JsonBinary")]
    pub params: Json,
    /// The claims of the caller at the time of the request, for row policies.
    #[sea_orm(column_type = "JsonBinary")]
    pub claims: Json,
    /// The status of the export, as the text of [`Status`].
    #[sea_orm(column_type = "Text")]
    pub status: String,
    /// The number of the last attempt, which is also the fencing token of its writes; 0 before the first attempt.
    pub attempt: i32,
    /// The number of attempts that failed or were abandoned. An attempt that released its lease is not counted.
    pub failures: i32,
    /// The number of abandoned attempts. A notifier ended the lease of such an attempt, because the exporter died or
    /// lost the database. `failures` includes these attempts.
    pub abandoned_attempts: i32,
    /// The number of attempts that ran in a separate process and ended with the death of this process. `failures`
    /// includes these attempts.
    pub crashed_attempts: i32,
    /// The part of the installation that the export waits for, as the text of [`protocol::export::WaitingFor`]. The
    /// last attempt recorded this value; None if the attempt did not wait.
    #[sea_orm(column_type = "Text", nullable)]
    pub waiting_for: Option<String>,
    /// The sum of the pauses after attempts that an outage interrupted, in milliseconds. `failures` does not count such
    /// attempts; this sum bounds their number.
    pub waited_ms: i64,
    /// The pool of exporters that offer the dataset.
    #[sea_orm(column_type = "Text")]
    pub pool: String,
    /// The lane, which is the queue within the pool: `interactive` for small exports, `bulk` for the others.
    #[sea_orm(column_type = "Text")]
    pub lane: String,
    /// The price of the export, in credits.
    pub credits: i64,
    /// The time from the completion of the export to the deletion of its file, in seconds.
    pub retention_seconds: i64,
    /// The trace context of the request.
    #[sea_orm(column_type = "Text")]
    pub traceparent: String,
    /// The join key. Two requests of one owner with equal join keys produce the same file. So a later request joins the
    /// export of an earlier request while that export is unfinished. None for an export that no request may join.
    #[sea_orm(column_type = "Text", nullable)]
    pub join_key: Option<String>,
    /// The time at which the gateway accepted the request.
    pub requested_at: DateTime<Utc>,
    /// The time at which the dispatcher published the job.
    pub dispatched_at: Option<DateTime<Utc>>,
    /// The start of the first attempt; None before the first attempt.
    pub started_at: Option<DateTime<Utc>>,
    /// The time at which the exporter finished the last row of the file.
    pub completed_at: Option<DateTime<Utc>>,
    /// The time at which the retention of the file ends; None before the export completes.
    pub expires_at: Option<DateTime<Utc>>,
    /// The time of the last change of this row.
    pub updated_at: DateTime<Utc>,
    /// The time at which the owner or an operator requested cancellation.
    pub cancel_requested_at: Option<DateTime<Utc>>,
    /// The time at which the owner requested deletion of the file.
    pub delete_requested_at: Option<DateTime<Utc>>,
    /// The name of the exporter that holds the lease of the attempt; None while no exporter holds the lease. The name
    /// stays when the export ends.
    #[sea_orm(column_type = "Text", nullable)]
    pub worker: Option<String>,
    /// The duration of the attempt's lease, in milliseconds. A notifier ends the lease when `renewals` stays the same
    /// for this time. None before the first attempt.
    pub lease_ms: Option<i64>,
    /// Increases whenever an exporter acquires, renews or releases the lease, and whenever a notifier ends the lease.
    /// Processes compare this number instead of times, so a wrong clock neither ends nor extends a lease.
    pub renewals: i64,
    /// The number of the newest job of the export: 0 for the job of the dispatcher, and one more for each later job.
    pub job_number: i32,
    /// The number of rows that the last attempt has written.
    pub rows: i64,
    /// The total number of rows of the file; None while it is unknown.
    pub rows_total: Option<i64>,
    /// The number of bytes that the last attempt has written.
    pub bytes: i64,
    /// The name of the file.
    #[sea_orm(column_type = "Text", nullable)]
    pub file_name: Option<String>,
    /// The size of the file, in bytes.
    pub file_size: Option<i64>,
    /// The number of data rows of the file.
    pub file_rows: Option<i64>,
    /// The SHA-256 of the file, in lower-case hex.
    #[sea_orm(column_type = "Text", nullable)]
    pub file_sha256: Option<String>,
    /// The media type of the file.
    #[sea_orm(column_type = "Text", nullable)]
    pub file_media_type: Option<String>,
    /// The problem (RFC 9457) of a failed or canceled export, as JSON.
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub problem: Option<Json>,
    /// Whether the exporter computes `content_sha256`, because the export ends as unchanged if the last run of its
    /// schedule had the same content.
    pub wants_content_digest: bool,
    /// The SHA-256 of the file's content without its timestamps, in lower-case hex.
    #[sea_orm(column_type = "Text", nullable)]
    pub content_sha256: Option<String>,
}

/// The relations of this table, which sea-orm requires. The type is empty, because no query joins through sea-orm.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// Creates the row of a new queued export with default values. The caller replaces the defaults by the values of
    /// the request.
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
            abandoned_attempts: 0,
            crashed_attempts: 0,
            waiting_for: None,
            waited_ms: 0,
            pool: "default".into(),
            lane: Lane::Bulk.as_str().into(),
            credits: 1,
            retention_seconds: 0,
            traceparent: String::new(),
            join_key: None,
            // truncated to milliseconds, because the file contains this time
            requested_at: Timestamp::from(now).into(),
            dispatched_at: None,
            started_at: None,
            completed_at: None,
            expires_at: None,
            updated_at: now,
            cancel_requested_at: None,
            delete_requested_at: None,
            worker: None,
            lease_ms: None,
            renewals: 0,
            job_number: 0,
            rows: 0,
            rows_total: None,
            bytes: 0,
            file_name: None,
            file_size: None,
            file_rows: None,
            file_sha256: None,
            file_media_type: None,
            problem: None,
            wants_content_digest: false,
            content_sha256: None,
        }
    }

    /// Returns the id of the export as an [`ExportId`].
    #[must_use]
    pub fn export_id(&self) -> ExportId {
        ExportId(self.id)
    }

    /// Returns the owner of the export: its tenant and user.
    #[must_use]
    pub fn owner(&self) -> Owner {
        Owner::new(self.tenant.clone(), self.user_id.clone())
    }

    /// Returns the status of the export, parsed from the column `status`.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] for an unknown status.
    pub fn status(&self) -> Result<Status, StoreError> {
        self.status
            .parse()
            .map_err(|e| StoreError::Damaged { row: format!("export {}", self.id), detail: format!("{e}") })
    }
}

/// The statuses of unfinished exports, as text.
pub const UNFINISHED: [&str; 3] = [Status::Queued.as_str(), Status::Dispatched.as_str(), Status::Running.as_str()];

/// The statuses of ended exports, as text.
pub(crate) const ENDED: [&str; 5] = [
    Status::Completed.as_str(),
    Status::Unchanged.as_str(),
    Status::Failed.as_str(),
    Status::Canceled.as_str(),
    Status::Expired.as_str(),
];

/// Finds an export of any owner. Requests of clients must use [`find_owned`] instead.
///
/// # Errors
/// When the database fails.
pub async fn find(db: &impl ConnectionTrait, id: ExportId) -> Result<Option<Model>, StoreError> {
    Ok(Entity::find_by_id(id.0).one(db).await?)
}

/// Finds an export of this owner; None when the export does not exist or belongs to another owner.
///
/// # Errors
/// When the database fails.
pub async fn find_owned(db: &impl ConnectionTrait, owner: &Owner, id: ExportId) -> Result<Option<Model>, StoreError> {
    Ok(owned(owner).filter(Column::Id.eq(id.0)).one(db).await?)
}

/// Inserts the row of a new export. Call it in one transaction with [`crate::ledger::hold`].
///
/// # Errors
/// When the database fails.
pub async fn insert(db: &impl ConnectionTrait, row: Model) -> Result<(), StoreError> {
    Entity::insert(row.into_active_model().reset_all()).exec_without_returning(db).await?;
    Ok(())
}

/// Finds the oldest unfinished export of this owner with this join key. Ignores exports whose cancellation was
/// requested.
///
/// # Errors
/// When the database fails.
pub async fn find_joinable(
    db: &impl ConnectionTrait,
    owner: &Owner,
    join_key: &str,
) -> Result<Option<Model>, StoreError> {
    let identical = owned(owner)
        .filter(Column::Status.is_in(UNFINISHED))
        .filter(Column::JoinKey.eq(join_key))
        .filter(Column::CancelRequestedAt.is_null())
        .order_by_asc(Column::Id);
    Ok(identical.one(db).await?)
}

/// The filter and the limit of [`list_owned`].
#[derive(Clone, Debug, Default)]
pub struct ListQuery {
    /// Lists only exports with this status.
    pub status: Option<Status>,
    /// Lists only exports of this dataset.
    pub dataset: Option<String>,
    /// Lists only exports that are older than the export with this id.
    pub before: Option<ExportId>,
    /// The maximum number of exports.
    pub limit: u64,
}

/// Lists the exports of an owner that match the query, newest first.
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

/// Counts the unfinished exports of an owner.
///
/// # Errors
/// When the database fails.
pub async fn count_unfinished(db: &impl ConnectionTrait, owner: &Owner) -> Result<u64, StoreError> {
    Ok(owned(owner).filter(Column::Status.is_in(UNFINISHED)).count(db).await?)
}

/// Returns at most `limit` ended exports, ordered by the time of the last change and then by id. The list begins after
/// the time and id in `after`, and omits exports that changed later than `latest`.
///
/// # Errors
/// When the database fails.
pub async fn ended_between(
    db: &impl ConnectionTrait,
    after: (DateTime<Utc>, Uuid),
    latest: DateTime<Utc>,
    limit: u64,
) -> Result<Vec<Model>, StoreError> {
    let same = Condition::all().add(Column::UpdatedAt.eq(after.0)).add(Column::Id.gt(after.1));
    let ended = Entity::find()
        .filter(Column::Status.is_in(ENDED))
        .filter(Condition::any().add(Column::UpdatedAt.gt(after.0)).add(same))
        .filter(Column::UpdatedAt.lte(latest))
        .order_by_asc(Column::UpdatedAt)
        .order_by_asc(Column::Id);
    Ok(ended.limit(limit).all(db).await?)
}

/// Lists at most `limit` unfinished exports whose cancellation was requested, oldest first.
///
/// # Errors
/// When the database fails.
pub async fn cancel_requested(db: &impl ConnectionTrait, limit: u64) -> Result<Vec<Model>, StoreError> {
    let requested = Entity::find()
        .filter(Column::Status.is_in(UNFINISHED))
        .filter(Column::CancelRequestedAt.is_not_null())
        .order_by_asc(Column::Id);
    Ok(requested.limit(limit).all(db).await?)
}

fn owned(owner: &Owner) -> Select<Entity> {
    Entity::find().filter(Column::Tenant.eq(&owner.tenant)).filter(Column::UserId.eq(&owner.user))
}
