//! What operators and gauges look at: exports whoever they belong to.

use chrono::{DateTime, Utc};
use protocol::{export::Status, id::ExportId};
use sea_orm::{FromQueryResult, QueryOrder, QuerySelect, entity::prelude::*};

use crate::{
    StoreError,
    export::{Column, Entity, Model, UNFINISHED},
};

/// Which exports to list.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// Only those in this status.
    pub status: Option<Status>,
    /// Only those of this tenant.
    pub tenant: Option<String>,
    /// Only those of the people of this name.
    pub user: Option<String>,
    /// Only those of this dataset.
    pub dataset: Option<String>,
    /// Only those older than this one.
    pub before: Option<ExportId>,
    /// At most this many.
    pub limit: u64,
}

/// Exports, newest first.
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

/// Unfinished exports of one tenant in one status of one lane.
#[derive(Clone, Debug, PartialEq, Eq, FromQueryResult)]
pub struct Group {
    /// Their exporters.
    pub pool: String,
    /// Their lane.
    pub lane: String,
    /// Whose they are.
    pub tenant: String,
    /// Where they stand.
    pub status: String,
    /// How many they are.
    pub exports: i64,
    /// When the first of them was asked for.
    pub oldest: DateTime<Utc>,
}

/// All unfinished exports, counted. Those that are to be canceled are left out, as they wait for nothing.
///
/// # Errors
/// When the database fails.
pub async fn unfinished(db: &impl ConnectionTrait) -> Result<Vec<Group>, StoreError> {
    let grouped = Entity::find()
        .select_only()
        .columns([Column::Pool, Column::Lane, Column::Tenant, Column::Status])
        .column_as(Column::Id.count(), "exports")
        .column_as(Column::RequestedAt.min(), "oldest")
        .filter(Column::Status.is_in(UNFINISHED))
        .filter(Column::CancelRequestedAt.is_null())
        .group_by(Column::Pool)
        .group_by(Column::Lane)
        .group_by(Column::Tenant)
        .group_by(Column::Status);
    Ok(grouped.into_model::<Group>().all(db).await?)
}
