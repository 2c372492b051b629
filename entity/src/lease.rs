//! The `lease` table: leader election between replicas, with fencing tokens.
//!
//! A lease is free when it has expired by the caller's clock. It is also free when the caller has seen no renewal for a
//! whole lease duration, by the caller's monotonic clock. So a holder with a wrong clock blocks the other replicas for
//! at most one lease duration. Each new holder increases the fencing token. [`fence`] checks within a transaction that
//! the caller still holds the lease, and prevents a change of the holder until the transaction ends.

use chrono::{DateTime, Utc};
use sea_orm::{ActiveValue::Set, Condition, entity::prelude::*, sea_query::OnConflict};

use crate::StoreError;

/// A row of `lease`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "lease")]
pub struct Model {
    /// The name of the lease, such as `dispatch`.
    #[sea_orm(primary_key, auto_increment = false, column_type = "Text")]
    pub name: String,
    /// The replica that holds the lease; None after a release.
    #[sea_orm(column_type = "Text", nullable)]
    pub holder: Option<String>,
    /// The fencing token, which increases by one with each new holder.
    pub fencing_token: i64,
    /// The number of renewals by the current holder.
    pub renewals: i64,
    /// The time at which the lease expires, unless the holder renews the lease before that time.
    pub expires_at: DateTime<Utc>,
}

/// The relations of this table, which sea-orm requires. The type is empty, because all queries use the name.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// The state of a lease that another replica holds. A state that does not change for a whole lease duration means that
/// the holder has stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObservedLease {
    token: i64,
    renewals: i64,
}

/// The result of [`acquire`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acquisition {
    /// The caller holds the lease with this fencing token.
    Acquired(i64),
    /// Another replica holds the lease. A caller that observes this state for a whole lease duration passes it to
    /// [`acquire`].
    HeldElsewhere(ObservedLease),
}

/// Acquires the lease if it is free. A caller that has observed the same state of the lease for a whole lease duration
/// passes this state as `stale`. If the lease still has this state, the lease counts as free.
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
        return Err(StoreError::Damaged {
            row: format!("lease {name}"),
            detail: "the row is missing after its insert".into(),
        });
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
        .filter(is_held(name, row.fencing_token))
        .filter(Column::Renewals.eq(row.renewals));
    if update.exec(db).await?.rows_affected == 1 {
        return Ok(Acquisition::Acquired(token));
    }
    Ok(Acquisition::HeldElsewhere(observed))
}

/// Extends the lease. Returns false when another replica holds the lease.
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

/// Checks within a transaction that the caller holds the lease with this token, and locks the lease until the
/// transaction ends. Returns false when another replica holds the lease; the caller must then roll back. The check is a
/// write. So it can come first in a SQLite transaction, which must begin with a write.
///
/// # Errors
/// When the database fails.
pub async fn fence(db: &impl ConnectionTrait, name: &str, token: i64) -> Result<bool, StoreError> {
    Ok(renewed(name, token).exec(db).await?.rows_affected == 1)
}

/// Releases the lease, so that another replica can acquire it at once.
///
/// # Errors
/// When the database fails.
pub async fn release(db: &impl ConnectionTrait, name: &str, token: i64) -> Result<(), StoreError> {
    renewed(name, token).col_expr(Column::Holder, Expr::value(None::<String>)).exec(db).await?;
    Ok(())
}

fn is_held(name: &str, token: i64) -> Condition {
    Condition::all().add(Column::Name.eq(name)).add(Column::FencingToken.eq(token))
}

fn renewed(name: &str, token: i64) -> sea_orm::UpdateMany<Entity> {
    use sea_orm::sea_query::ExprTrait;
    Entity::update_many().col_expr(Column::Renewals, Expr::col(Column::Renewals).add(1)).filter(is_held(name, token))
}
