//! Credit changes that an operator makes.

use chrono::{DateTime, Utc};
use protocol::{credits::EntryKind, id::Owner};
use sea_orm::entity::prelude::*;

use super::{NewEntry, add_to_account, append, with_new_version};
use crate::{StoreError, account};

/// Adds credits to an account. Call [`super::open_and_accrue`] in the same transaction first.
///
/// # Errors
/// When the database fails.
pub async fn grant(
    db: &impl ConnectionTrait,
    owner: &Owner,
    amount: i64,
    reason: &str,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    with_new_version(add_to_account(owner, amount, 0)).exec(db).await?;
    append(db, NewEntry { owner, kind: EntryKind::Grant, amount, reason, at: now }.row()).await?;
    Ok(())
}

/// Corrects a balance by `amount`, which may be negative. Call [`super::open_and_accrue`] in the same transaction
/// first. Returns false and changes nothing when the balance would become negative.
///
/// # Errors
/// When the database fails.
pub async fn adjust(
    db: &impl ConnectionTrait,
    owner: &Owner,
    amount: i64,
    reason: &str,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let enough = account::Column::Balance.gte(amount.saturating_neg());
    if with_new_version(add_to_account(owner, amount, 0)).filter(enough).exec(db).await?.rows_affected == 0 {
        return Ok(false);
    }
    append(db, NewEntry { owner, kind: EntryKind::Adjustment, amount, reason, at: now }.row()).await?;
    Ok(true)
}
