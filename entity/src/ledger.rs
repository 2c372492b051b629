//! Credits: hold, capture, release and grant. Each function belongs into the transaction of what it pays for.

use chrono::{DateTime, Utc};
use protocol::{
    credits::{CreditEntry, EntryKind},
    id::{ExportId, Owner},
};
use sea_orm::{
    ActiveValue::Set,
    QueryOrder, QuerySelect,
    entity::prelude::*,
    sea_query::{ExprTrait, OnConflict},
};

use crate::{StoreError, account, entry};

/// An export is held once, so its hold has this number.
const FIRST_HOLD: i32 = 0;

/// What an account has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Balance {
    /// What can be spent.
    pub balance: i64,
    /// What unfinished exports have set aside.
    pub held: i64,
}

/// The account's balance, opening the account with `opening` credits when it is new.
///
/// # Errors
/// When the database fails.
pub async fn open(
    db: &impl ConnectionTrait,
    owner: &Owner,
    opening: i64,
    now: DateTime<Utc>,
) -> Result<Balance, StoreError> {
    let row = account::ActiveModel {
        tenant: Set(owner.tenant.clone()),
        user_id: Set(owner.user.clone()),
        balance: Set(opening),
        held: Set(0),
        opened_at: Set(now),
    };
    let key = OnConflict::columns([account::Column::Tenant, account::Column::UserId]).do_nothing().to_owned();
    let inserted = account::Entity::insert(row).on_conflict(key).exec_without_returning(db).await?;
    if inserted == 1 && opening != 0 {
        append(db, owner, EntryKind::Grant, opening, None, "opening balance", now).await?;
    }
    read(db, owner).await
}

/// The account's balance; zero for one that was never opened.
///
/// # Errors
/// When the database fails.
pub async fn read(db: &impl ConnectionTrait, owner: &Owner) -> Result<Balance, StoreError> {
    Ok(find(db, owner).await?.unwrap_or(Balance { balance: 0, held: 0 }))
}

/// The account's balance, if it was opened before.
///
/// # Errors
/// When the database fails.
pub async fn find(db: &impl ConnectionTrait, owner: &Owner) -> Result<Option<Balance>, StoreError> {
    let row = account::Entity::find_by_id((owner.tenant.clone(), owner.user.clone())).one(db).await?;
    Ok(row.map(|row| Balance { balance: row.balance, held: row.held }))
}

/// Sets `cost` aside for an export. The account must be open. Returns false, and changes nothing, when the balance
/// is too low.
///
/// # Errors
/// When the database fails, or the export was held before.
pub async fn hold(
    db: &impl ConnectionTrait,
    owner: &Owner,
    id: ExportId,
    cost: i64,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let changed = account::Entity::update_many()
        .col_expr(account::Column::Balance, Expr::col(account::Column::Balance).sub(cost))
        .col_expr(account::Column::Held, Expr::col(account::Column::Held).add(cost))
        .filter(account::Column::Tenant.eq(&owner.tenant))
        .filter(account::Column::UserId.eq(&owner.user))
        .filter(account::Column::Balance.gte(cost))
        .exec(db)
        .await?;
    if changed.rows_affected == 0 {
        return Ok(false);
    }
    append(db, owner, EntryKind::Hold, -cost, Some(id), "export requested", now).await?;
    Ok(true)
}

/// Makes the hold of a completed export its price. Doing it again changes nothing.
///
/// # Errors
/// When the database fails.
pub async fn capture(
    db: &impl ConnectionTrait,
    owner: &Owner,
    id: ExportId,
    cost: i64,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    if !append(db, owner, EntryKind::Capture, 0, Some(id), "export completed", now).await? {
        return Ok(false);
    }
    adjust(db, owner, 0, -cost).await?;
    Ok(true)
}

/// Gives the hold of a failed or canceled export back. Doing it again changes nothing.
///
/// # Errors
/// When the database fails.
pub async fn release(
    db: &impl ConnectionTrait,
    owner: &Owner,
    id: ExportId,
    cost: i64,
    reason: &str,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    if !append(db, owner, EntryKind::Release, cost, Some(id), reason, now).await? {
        return Ok(false);
    }
    adjust(db, owner, cost, -cost).await?;
    Ok(true)
}

/// Adds credits. The account must be open.
///
/// # Errors
/// When the database fails.
pub async fn grant(
    db: &impl ConnectionTrait,
    owner: &Owner,
    amount: i64,
    reason: &str,
    now: DateTime<Utc>,
) -> Result<Balance, StoreError> {
    adjust(db, owner, amount, 0).await?;
    append(db, owner, EntryKind::Grant, amount, None, reason, now).await?;
    read(db, owner).await
}

/// The newest entries of an account.
///
/// # Errors
/// When the database fails, or a row is damaged.
pub async fn entries(db: &impl ConnectionTrait, owner: &Owner, limit: u64) -> Result<Vec<CreditEntry>, StoreError> {
    let rows = entry::Entity::find()
        .filter(entry::Column::Tenant.eq(&owner.tenant))
        .filter(entry::Column::UserId.eq(&owner.user))
        .order_by_desc(entry::Column::Id)
        .limit(limit)
        .all(db)
        .await?;
    rows.into_iter()
        .map(|row| {
            let kind = serde_json::from_value(row.kind.clone().into()).map_err(|_| StoreError::Damaged {
                row: format!("credit_entry {}", row.id),
                detail: format!("unknown kind `{}`", row.kind),
            })?;
            let export_id = row.export_id.map(ExportId);
            Ok(CreditEntry { kind, amount: row.amount, export_id, reason: row.reason, at: row.at.into() })
        })
        .collect()
}

/// Appends an entry; false when the same step of the same export was recorded before.
async fn append(
    db: &impl ConnectionTrait,
    owner: &Owner,
    kind: EntryKind,
    amount: i64,
    export: Option<ExportId>,
    reason: &str,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let row = entry::ActiveModel {
        id: Set(Uuid::now_v7()),
        tenant: Set(owner.tenant.clone()),
        user_id: Set(owner.user.clone()),
        kind: Set(kind.as_str().to_owned()),
        amount: Set(amount),
        export_id: Set(export.map(|id| id.0)),
        attempt_of_hold: Set(export.map(|_| FIRST_HOLD)),
        granted_on: Set(None),
        reason: Set(reason.to_owned()),
        at: Set(now),
    };
    let step = OnConflict::columns([entry::Column::ExportId, entry::Column::AttemptOfHold, entry::Column::Kind])
        .do_nothing()
        .to_owned();
    Ok(entry::Entity::insert(row).on_conflict(step).exec_without_returning(db).await? == 1)
}

async fn adjust(db: &impl ConnectionTrait, owner: &Owner, balance: i64, held: i64) -> Result<(), StoreError> {
    account::Entity::update_many()
        .col_expr(account::Column::Balance, Expr::col(account::Column::Balance).add(balance))
        .col_expr(account::Column::Held, Expr::col(account::Column::Held).add(held))
        .filter(account::Column::Tenant.eq(&owner.tenant))
        .filter(account::Column::UserId.eq(&owner.user))
        .exec(db)
        .await?;
    Ok(())
}
