//! The `pause` table: the tenants and users whose exports wait until an operator resumes them.
//!
//! A paused export stays `queued`: the dispatch order omits it ([`crate::dispatch_queue`]), and no exporter can claim it
//! ([`crate::transition::claim`]). An export that runs already continues to its end, including its further attempts.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use protocol::{
    export::Status,
    id::{ExportId, Owner},
    ops,
};
use sea_orm::{
    ActiveValue::Set,
    QueryOrder, QuerySelect,
    entity::prelude::*,
    sea_query::{ExprTrait, OnConflict},
};

use crate::{StoreError, export};

/// A row of `pause`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "pause")]
pub struct Model {
    /// The paused tenant, or the tenant of the paused user.
    #[sea_orm(primary_key, auto_increment = false, column_type = "Text")]
    pub tenant: String,
    /// The paused user; empty if the whole tenant is paused.
    #[sea_orm(primary_key, auto_increment = false, column_type = "Text")]
    pub user_id: String,
    /// The reason, as text for operators.
    #[sea_orm(column_type = "Text")]
    pub reason: String,
    /// The operator who paused the tenant or user.
    #[sea_orm(column_type = "Text")]
    pub paused_by: String,
    /// The time since which the exports wait.
    pub paused_at: DateTime<Utc>,
}

/// sea-orm requires this type. It is empty, because all queries use the key or their own SQL.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl From<Model> for ops::Pause {
    fn from(row: Model) -> Self {
        Self {
            tenant: row.tenant,
            user: Some(row.user_id).filter(|user| !user.is_empty()),
            reason: row.reason,
            paused_by: row.paused_by,
            paused_at: row.paused_at.into(),
        }
    }
}

/// The paused owners, for lookups by tenant and user.
#[derive(Clone, Debug)]
pub struct PausedOwners<'a>(HashMap<&'a str, Vec<&'a str>>);

impl<'a> PausedOwners<'a> {
    /// Collects the owners of these pauses.
    #[must_use]
    pub fn new(pauses: &'a [Model]) -> Self {
        let mut users: HashMap<&str, Vec<&str>> = HashMap::new();
        for pause in pauses {
            users.entry(&pause.tenant).or_default().push(&pause.user_id);
        }
        Self(users)
    }

    /// Whether the tenant or this user of it is paused.
    #[must_use]
    pub fn contains(&self, tenant: &str, user: &str) -> bool {
        self.0.get(tenant).is_some_and(|users| users.iter().any(|paused| paused.is_empty() || *paused == user))
    }
}

/// The SQL condition that the owner of a row of `export` is paused. The same text works in PostgreSQL and SQLite.
const IS_PAUSED: &str =
    "EXISTS (SELECT 1 FROM pause p WHERE p.tenant = export.tenant AND p.user_id IN ('', export.user_id))";

/// [`IS_PAUSED`] as an expression.
pub(crate) fn is_paused() -> Expr {
    Expr::cust(IS_PAUSED)
}

/// Pauses a tenant or a user, and takes their dispatched exports back into the queue. Returns false if they were paused
/// before; the earlier reason then stays. Call it in a transaction.
///
/// # Errors
/// When the database fails.
pub async fn pause(tx: &impl ConnectionTrait, row: Model) -> Result<bool, StoreError> {
    let (tenant, user, now) = (row.tenant.clone(), row.user_id.clone(), row.paused_at);
    let row = ActiveModel {
        tenant: Set(row.tenant),
        user_id: Set(row.user_id),
        reason: Set(row.reason),
        paused_by: Set(row.paused_by),
        paused_at: Set(row.paused_at),
    };
    let exists = OnConflict::columns([Column::Tenant, Column::UserId]).do_nothing().to_owned();
    let is_new = Entity::insert(row).on_conflict(exists).exec_without_returning(tx).await? == 1;
    if is_new {
        let mut taken_back = taken_back(now)
            .filter(export::Column::Status.eq(Status::Dispatched.as_str()))
            .filter(export::Column::Tenant.eq(tenant));
        if !user.is_empty() {
            taken_back = taken_back.filter(export::Column::UserId.eq(user));
        }
        taken_back.exec(tx).await?;
    }
    Ok(is_new)
}

/// Ends the pause of a tenant (`user` is None) or of a user. Returns false if there was no such pause. A paused tenant
/// does not resume with one of its users.
///
/// # Errors
/// When the database fails.
pub async fn resume(db: &impl ConnectionTrait, tenant: &str, user: Option<&str>) -> Result<bool, StoreError> {
    let key = (tenant.to_owned(), user.unwrap_or_default().to_owned());
    Ok(Entity::delete_by_id(key).exec(db).await?.rows_affected == 1)
}

/// The pause of a tenant (`user` is None) or of a user; None if they are not paused.
///
/// # Errors
/// When the database fails.
pub async fn find(db: &impl ConnectionTrait, tenant: &str, user: Option<&str>) -> Result<Option<Model>, StoreError> {
    let key = (tenant.to_owned(), user.unwrap_or_default().to_owned());
    Ok(Entity::find_by_id(key).one(db).await?)
}

/// The newest pauses, at most `limit`.
///
/// # Errors
/// When the database fails.
pub async fn list(db: &impl ConnectionTrait, limit: u64) -> Result<Vec<Model>, StoreError> {
    let newest =
        Entity::find().order_by_desc(Column::PausedAt).order_by_asc(Column::Tenant).order_by_asc(Column::UserId);
    Ok(newest.limit(limit).all(db).await?)
}

/// The queued exports of paused owners, oldest first, at most `limit`. Omits exports whose cancellation was requested.
///
/// # Errors
/// When the database fails.
pub async fn waiting_exports(db: &impl ConnectionTrait, limit: u64) -> Result<Vec<(ExportId, Owner)>, StoreError> {
    use export::Column;
    if Entity::find().one(db).await?.is_none() {
        // the usual case, at each round of the dispatcher
        return Ok(Vec::new());
    }
    let rows: Vec<(Uuid, String, String)> = export::Entity::find()
        .select_only()
        .columns([Column::Id, Column::Tenant, Column::UserId])
        .filter(Column::Status.eq(Status::Queued.as_str()))
        .filter(Column::CancelRequestedAt.is_null())
        .filter(is_paused())
        .order_by_asc(Column::Id)
        .limit(limit)
        .into_tuple()
        .all(db)
        .await?;
    Ok(rows.into_iter().map(|(id, tenant, user)| (ExportId(id), Owner::new(tenant, user))).collect())
}

/// Takes one waiting export back into the queue if its owner is paused. Returns whether it did. The export then needs a
/// new job, so the exporter that holds the current one may acknowledge it.
///
/// # Errors
/// When the database fails.
pub(crate) async fn take_back(db: &impl ConnectionTrait, id: ExportId, now: DateTime<Utc>) -> Result<bool, StoreError> {
    let waiting = [Status::Queued.as_str(), Status::Dispatched.as_str()];
    let update = taken_back(now)
        .filter(export::Column::Id.eq(id.0))
        .filter(export::Column::Status.is_in(waiting))
        .filter(is_paused());
    Ok(update.exec(db).await?.rows_affected == 1)
}

/// An update that returns exports to the status `queued`. The next job number makes every published job obsolete, and
/// gives the next job a new message id, which JetStream does not take for a duplicate.
fn taken_back(now: DateTime<Utc>) -> sea_orm::UpdateMany<export::Entity> {
    use export::Column;
    export::Entity::update_many()
        .col_expr(Column::Status, Expr::value(Status::Queued.as_str()))
        .col_expr(Column::DispatchedAt, Expr::value(None::<DateTime<Utc>>))
        .col_expr(Column::JobNumber, Expr::col(Column::JobNumber).add(1))
        .col_expr(Column::Renewals, Expr::col(Column::Renewals).add(1))
        .col_expr(Column::UpdatedAt, Expr::value(now))
        .filter(Column::CancelRequestedAt.is_null())
}
