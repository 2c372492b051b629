//! The ledger entries of an export: a hold at the request, then a capture or a release.

use chrono::{DateTime, Utc};
use protocol::{
    credits::EntryKind,
    id::{ExportId, Owner},
};
use sea_orm::entity::prelude::*;

use super::{NewEntry, add_to_account, append, with_new_version};
use crate::{StoreError, account};

/// Holds (reserves) the price of an export. Call [`super::open_and_accrue`] in the same transaction first. Returns
/// false and changes nothing when the balance is too low.
///
/// # Errors
/// When the database fails.
pub async fn hold(
    db: &impl ConnectionTrait,
    owner: &Owner,
    id: ExportId,
    price: i64,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let enough = account::Column::Balance.gte(price);
    if with_new_version(add_to_account(owner, -price, price)).filter(enough).exec(db).await?.rows_affected == 0 {
        return Ok(false);
    }
    let entry = NewEntry { owner, kind: EntryKind::Hold, amount: -price, reason: "export requested", at: now };
    append(db, entry.export_step(id)).await?;
    Ok(true)
}

/// Captures (finally charges) the held credits of a completed export. A repeated call changes nothing and returns
/// false.
///
/// # Errors
/// When the database fails.
pub async fn capture(
    db: &impl ConnectionTrait,
    owner: &Owner,
    id: ExportId,
    price: i64,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let entry = NewEntry { owner, kind: EntryKind::Capture, amount: 0, reason: "export completed", at: now };
    if !append(db, entry.export_step(id)).await? {
        return Ok(false);
    }
    add_to_account(owner, 0, -price).exec(db).await?;
    Ok(true)
}

/// Releases the held credits of a failed or canceled export to the balance. A repeated call changes nothing and returns
/// false. Call [`super::accrue`] in the same transaction first.
///
/// # Errors
/// When the database fails.
pub async fn release(
    db: &impl ConnectionTrait,
    owner: &Owner,
    id: ExportId,
    price: i64,
    reason: &str,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let entry = NewEntry { owner, kind: EntryKind::Release, amount: price, reason, at: now };
    if !append(db, entry.export_step(id)).await? {
        return Ok(false);
    }
    add_to_account(owner, price, -price).exec(db).await?;
    Ok(true)
}
