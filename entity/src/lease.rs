//! The `lease` table: who of several replicas may do what only one should do, with a fencing token.
//!
//! A lease is free when its time is over by the caller's clock, or when its holder has not renewed it for as long as the
//! caller watched by a clock that can't be set: a machine whose clock stepped back, or is ahead of the others, stops
//! nobody for longer than that. The token grows with each holder; [`fence`] in a transaction proves that the effects in
//! it are those of the present holder, and keeps the lease from changing hands until the transaction ends.

use chrono::{DateTime, Utc};
use sea_orm::{ActiveValue::Set, Condition, entity::prelude::*, sea_query::OnConflict};

use crate::StoreError;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "lease")]
pub struct Model {
    /// What it is for.
    #[sea_orm(primary_key, auto_increment = false, column_type = "Text")]
    pub name: String,
    /// Who holds it; none when it was given back.
    #[sea_orm(column_type = "Text", nullable)]
    pub holder: Option<String>,
    /// Grows with each holder.
    pub fencing_token: i64,
    /// Grows with each renewal.
    pub renewals: i64,
    /// Until when it holds without another renewal.
    pub expires_at: DateTime<Utc>,
}

/// No relations: found by name.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// What was seen of a lease that somebody else holds. When it is still the same after a whole term, that somebody is dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObservedLease {
    token: i64,
    renewals: i64,
}

/// The answer to somebody who wants a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acquisition {
    /// It is yours, under this token.
    Acquired(i64),
    /// Somebody else holds it, as seen.
    HeldElsewhere(ObservedLease),
}

/// Takes a lease that is free, or that was still as `stale` when the caller had watched it for a whole term.
///
/// # Errors
/// When the database fails.
pub async fn acquire(
    db: &impl ConnectionTrait,
    name: &str,
    holder: &str,
    now: DateTime<Utc>,
    expires_at: DateTime<Utc>,
    stale: Option<ObservedLease>,
) -> Result<Acquisition, StoreError> {
    let fresh = ActiveModel {
        name: Set(name.to_owned()),
        holder: Set(None),
        fencing_token: Set(0),
        renewals: Set(0),
        expires_at: Set(DateTime::UNIX_EPOCH),
    };
    let exists = OnConflict::column(Column::Name).do_nothing().to_owned();
    Entity::insert(fresh).on_conflict(exists).exec_without_returning(db).await?;
    let Some(row) = Entity::find_by_id(name.to_owned()).one(db).await? else {
        return Err(StoreError::Damaged { row: format!("lease {name}"), detail: "vanished".into() });
    };
    let observed = ObservedLease { token: row.fencing_token, renewals: row.renewals };
    if row.holder.is_some() && row.expires_at > now && stale != Some(observed) {
        return Ok(Acquisition::HeldElsewhere(observed));
    }
    let token = row.fencing_token + 1;
    let update = Entity::update_many()
        .col_expr(Column::Holder, Expr::value(holder))
        .col_expr(Column::FencingToken, Expr::value(token))
        .col_expr(Column::Renewals, Expr::value(0_i64))
        .col_expr(Column::ExpiresAt, Expr::value(expires_at))
        .filter(same(name, row.fencing_token))
        .filter(Column::Renewals.eq(row.renewals));
    if update.exec(db).await?.rows_affected == 1 {
        return Ok(Acquisition::Acquired(token));
    }
    Ok(Acquisition::HeldElsewhere(observed))
}

/// A sign of life. False: it is somebody else's by now.
///
/// # Errors
/// When the database fails.
pub async fn renew(
    db: &impl ConnectionTrait,
    name: &str,
    token: i64,
    expires_at: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let update = renewed(name, token).col_expr(Column::ExpiresAt, Expr::value(expires_at));
    Ok(update.exec(db).await?.rows_affected == 1)
}

/// Proves within a transaction that the lease is held under this token, and keeps it so until the transaction ends. As
/// a write it may be the transaction's first statement. False: do nothing more.
///
/// # Errors
/// When the database fails.
pub async fn fence(db: &impl ConnectionTrait, name: &str, token: i64) -> Result<bool, StoreError> {
    Ok(renewed(name, token).exec(db).await?.rows_affected == 1)
}

/// Lets another take it at once.
///
/// # Errors
/// When the database fails.
pub async fn release(db: &impl ConnectionTrait, name: &str, token: i64) -> Result<(), StoreError> {
    renewed(name, token).col_expr(Column::Holder, Expr::value(None::<String>)).exec(db).await?;
    Ok(())
}

fn same(name: &str, token: i64) -> Condition {
    Condition::all().add(Column::Name.eq(name)).add(Column::FencingToken.eq(token))
}

fn renewed(name: &str, token: i64) -> sea_orm::UpdateMany<Entity> {
    use sea_orm::sea_query::ExprTrait;
    Entity::update_many().col_expr(Column::Renewals, Expr::col(Column::Renewals).add(1)).filter(same(name, token))
}
