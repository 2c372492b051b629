//! What an export does to an account: hold at submit, then capture or release.

use chrono::{DateTime, Utc};
use protocol::{
    credits::EntryKind,
    id::{ExportId, Owner},
};
use sea_orm::entity::prelude::*;

use super::{Entry, append, change, with_new_version};
use crate::{StoreError, account};

/// Sets `cost` aside for an export. The account must have been reckoned in the same transaction. Returns false, and
/// changes nothing, when the balance is too low.
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
    let enough = account::Column::Balance.gte(cost);
    if with_new_version(change(owner, -cost, cost)).filter(enough).exec(db).await?.rows_affected == 0 {
        return Ok(false);
    }
    let entry = Entry { owner, kind: EntryKind::Hold, amount: -cost, reason: "export requested", at: now };
    append(db, entry.of_export(id)).await?;
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
    let entry = Entry { owner, kind: EntryKind::Capture, amount: 0, reason: "export completed", at: now };
    if !append(db, entry.of_export(id)).await? {
        return Ok(false);
    }
    change(owner, 0, -cost).exec(db).await?;
    Ok(true)
}

/// Gives the hold of a failed or canceled export back. Doing it again changes nothing. The account must have been caught
/// up with in the same transaction.
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
    let entry = Entry { owner, kind: EntryKind::Release, amount: cost, reason, at: now };
    if !append(db, entry.of_export(id)).await? {
        return Ok(false);
    }
    change(owner, cost, -cost).exec(db).await?;
    Ok(true)
}
