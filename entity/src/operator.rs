//! Queries over the exports of all owners, for operators and metrics.

use chrono::{DateTime, Utc};
use protocol::{export::Status, id::ExportId};
use sea_orm::{FromQueryResult, QueryOrder, QuerySelect, entity::prelude::*};

use crate::{
    StoreError,
    export::{Column, Entity, Model, UNFINISHED},
};

/// The filter and the limit of [`list`].
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// Lists only exports with this status.
    pub status: Option<Status>,
    /// Lists only exports of this tenant.
    pub tenant: Option<String>,
    /// Lists only exports of users with this name. Without `tenant`, the list has the users of all tenants.
    pub user: Option<String>,
    /// Lists only exports of this dataset.
    pub dataset: Option<String>,
    /// Lists only exports that are older than the export with this id.
    pub before: Option<ExportId>,
    /// The maximum number of exports.
    pub limit: u64,
}

/// Lists the exports that match the query, newest first.
///
/// # Errors
/// When the database fails.
pub async fn list(db: &impl ConnectionTrait, query: &Query) -> Result<Vec<Model>, StoreError> {
    let mut select = Entity::find().order_by_desc(Column::Id).limit(query.limit);
    if let Some(status) = query.status {
        select = select.filter(Column::Status.eq(status.as_str()));
    }
    for (column, value) in
        [(Column::Tenant, &query.tenant), (Column::UserId, &query.user), (Column::Dataset, &query.dataset)]
    {
        if let Some(value) = value {
            select = select.filter(column.eq(value));
        }
    }
    if let Some(before) = query.before {
        select = select.filter(Column::Id.lt(before.0));
    }
    Ok(select.all(db).await?)
}

/// The number of unfinished exports with the same pool, lane, owner and status.
#[derive(Clone, Debug, PartialEq, Eq, FromQueryResult)]
pub struct UnfinishedCount {
    /// The pool of the exports.
    pub pool: String,
    /// The lane of the exports.
    pub lane: String,
    /// The tenant of the owner.
    pub tenant: String,
    /// The user who owns the exports.
    pub user_id: String,
    /// The status of the exports.
    pub status: String,
    /// The number of these exports.
    pub exports: i64,
    /// The request time of the oldest of these exports.
    pub oldest: DateTime<Utc>,
}

/// Counts the unfinished exports by pool, lane, owner and status, without exports whose cancellation was requested.
///
/// # Errors
/// When the database fails.
pub async fn unfinished(db: &impl ConnectionTrait) -> Result<Vec<UnfinishedCount>, StoreError> {
    let grouped = Entity::find()
        .select_only()
        .columns([Column::Pool, Column::Lane, Column::Tenant, Column::UserId, Column::Status])
        .column_as(Column::Id.count(), "exports")
        .column_as(Column::RequestedAt.min(), "oldest")
        .filter(Column::Status.is_in(UNFINISHED))
        .filter(Column::CancelRequestedAt.is_null())
        .group_by(Column::Pool)
        .group_by(Column::Lane)
        .group_by(Column::Tenant)
        .group_by(Column::UserId)
        .group_by(Column::Status);
    Ok(grouped.into_model::<UnfinishedCount>().all(db).await?)
}
