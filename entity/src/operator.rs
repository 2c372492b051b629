//! Queries over the exports of all owners, for operators and metrics.

use chrono::{DateTime, Utc};
use protocol::{
    export::Status,
    id::ExportId,
    problem::{Problem, Slug},
};
use sea_orm::{
    Condition, FromQueryResult, QueryOrder, QuerySelect,
    entity::prelude::*,
    sea_query::{ExprTrait, Func, LikeExpr},
};

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
    /// Lists only exports whose tenant, user or dataset contains this text, in any case, or whose id or trace id is this
    /// text.
    pub text: Option<String>,
    /// Lists only exports that are older than this one.
    pub before: Option<ExportId>,
    /// The maximum number of exports.
    pub limit: u64,
}

/// Lists the exports that match the query, newest first.
///
/// # Errors
/// When the database fails.
pub async fn list(db: &impl ConnectionTrait, query: &Query) -> Result<Vec<Model>, StoreError> {
    if query.text.as_deref().is_none_or(str::is_empty) {
        return Ok(filtered(query).all(db).await?);
    }
    let ids: Vec<Uuid> = search_ids(query).into_tuple().all(db).await?;
    Ok(Entity::find().filter(Column::Id.is_in(ids)).order_by_desc(Column::Id).all(db).await?)
}

/// The first step of a search by text: the ids of the exports that match the filter. The step reads only columns of the
/// index `export_names`, unless the filter has a status.
#[must_use]
pub fn search_ids(query: &Query) -> Select<Entity> {
    let text = query.text.as_deref().unwrap_or_default();
    filtered(query).select_only().column(Column::Id).filter(matches(text))
}

fn filtered(query: &Query) -> Select<Entity> {
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
    select
}

/// The condition that an export has this text in one of its names, or as its id or trace id.
fn matches(text: &str) -> Condition {
    if let Ok(id) = Uuid::parse_str(text) {
        let trace = format!("00-{}-%", id.simple());
        return Condition::any().add(Column::Id.eq(id)).add(Column::Traceparent.like(trace));
    }
    let escaped = text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
    let mut any = Condition::any();
    for column in [Column::Tenant, Column::UserId, Column::Dataset] {
        // SQLite lowers only ASCII letters, so the text as it is must match too
        for pattern in [escaped.to_lowercase(), escaped.clone()] {
            let like = LikeExpr::new(format!("%{pattern}%")).escape('\\');
            any = any.add(Expr::col(column).like(like.clone()));
            any = any.add(Expr::from(Func::lower(Expr::col(column))).like(like));
        }
    }
    any
}

/// The number of failed exports that were requested since a time.
///
/// # Errors
/// When the database fails.
pub async fn count_failed(db: &impl ConnectionTrait, since: DateTime<Utc>) -> Result<u64, StoreError> {
    Ok(failed_since(since).count(db).await?)
}

/// A failed export: its id, its dataset and the slug of its problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The id of the export.
    pub id: ExportId,
    /// The name of the dataset.
    pub dataset: String,
    /// The slug of the problem.
    pub problem: Slug,
}

/// The newest failed exports that were requested since a time, newest first, at most `limit`.
///
/// # Errors
/// When the database fails.
pub async fn newest_failures(
    db: &impl ConnectionTrait,
    since: DateTime<Utc>,
    limit: u64,
) -> Result<Vec<Failure>, StoreError> {
    let rows: Vec<(Uuid, String, Option<Json>)> = failed_since(since)
        .select_only()
        .columns([Column::Id, Column::Dataset, Column::Problem])
        .order_by_desc(Column::Id)
        .limit(limit)
        .into_tuple()
        .all(db)
        .await?;
    let failure = |(id, dataset, problem): (Uuid, String, Option<Json>)| {
        let problem = problem.and_then(|problem| serde_json::from_value::<Problem>(problem).ok());
        Failure { id: ExportId(id), dataset, problem: problem.map_or(Slug::Internal, |problem| problem.slug()) }
    };
    Ok(rows.into_iter().map(failure).collect())
}

/// The failed exports whose id has a time of `since` or later. An id begins with its time in milliseconds.
fn failed_since(since: DateTime<Utc>) -> Select<Entity> {
    let first = Uuid::from_u128(u128::from(since.timestamp_millis().unsigned_abs()) << 80);
    Entity::find().filter(Column::Status.eq(Status::Failed.as_str())).filter(Column::Id.gte(first))
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
