//! The accrual of daily grants: for one account at its next use, and for all active accounts in batches at midnight.

use std::ops::AddAssign;

use chrono::{DateTime, NaiveDate, Utc};
use protocol::{credits::EntryKind, id::Owner};
use sea_orm::{
    ActiveValue::Set,
    QueryOrder, QuerySelect,
    entity::prelude::*,
    sea_query::{CaseStatement, ExprTrait, OnConflict, SimpleExpr},
};

use super::{Balance, NewEntry, add_to_account, append, find, with_new_version};
use crate::{StoreError, account, credit_policy::CreditPolicy, entry};

/// The maximum number of entries in one INSERT. SQLite binds at most 32,766 values, and an entry has ten.
const ENTRIES_PER_INSERT: usize = 1000;

/// Reads the credits of an account that has all its daily grants and was already used today. Returns None for any other
/// account; the caller then calls [`open_and_accrue`].
///
/// # Errors
/// When the database fails.
pub async fn read_if_current(
    db: &impl ConnectionTrait,
    owner: &Owner,
    policy: &CreditPolicy,
    now: DateTime<Utc>,
) -> Result<Option<Balance>, StoreError> {
    let today = policy.local_date(now);
    let row = find(db, owner).await?.filter(|row| row.granted_through >= today && row.last_active_on >= today);
    Ok(row.map(|row| Balance { balance: row.balance, held: row.held }))
}

/// The credits that a call granted to accounts as initial balances and daily grants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GrantTotals {
    /// The number of added ledger entries.
    pub entries: u64,
    /// The sum of the granted credits.
    pub credits: i64,
}

impl AddAssign for GrantTotals {
    fn add_assign(&mut self, other: Self) {
        self.entries += other.entries;
        self.credits += other.credits;
    }
}

/// The result of [`open_and_accrue`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accrued {
    /// The credits of the account after the grants.
    pub balance: Balance,
    /// The grants that the call added. They are lost if the transaction is rolled back.
    pub granted: GrantTotals,
}

/// Opens the account if it does not exist, adds the missing daily grants, and records that the owner used the account
/// today. The first statement is a write, and the account stays locked until the transaction ends.
///
/// # Errors
/// When the database fails.
pub async fn open_and_accrue(
    db: &impl ConnectionTrait,
    owner: &Owner,
    policy: &CreditPolicy,
    now: DateTime<Utc>,
) -> Result<Accrued, StoreError> {
    let today = policy.local_date(now);
    let new_account = account::ActiveModel {
        tenant: Set(owner.tenant.clone()),
        user_id: Set(owner.user.clone()),
        balance: Set(policy.initial_balance),
        held: Set(0),
        opened_at: Set(now),
        granted_through: Set(today),
        last_active_on: Set(today),
        version: Set(0),
        notified_version: Set(0),
    };
    let key = OnConflict::columns([account::Column::Tenant, account::Column::UserId]).do_nothing().to_owned();
    let opened = account::Entity::insert(new_account).on_conflict(key).exec_without_returning(db).await? == 1;
    if opened {
        let (kind, amount) = (EntryKind::Grant, policy.initial_balance);
        if amount != 0 {
            append(db, NewEntry { owner, kind, amount, reason: "initial balance", at: now }.row()).await?;
        }
        let granted = GrantTotals { entries: u64::from(amount != 0), credits: amount };
        return Ok(Accrued { balance: Balance { balance: amount, held: 0 }, granted });
    }
    let row = account::Entity::find_by_id((owner.tenant.clone(), owner.user.clone())).lock_exclusive().one(db).await?;
    let row = row.ok_or_else(|| StoreError::Damaged {
        row: "credit_account".into(),
        detail: "the row is missing after its insert".into(),
    })?;
    add_missing_grants(db, &row, Ord::max(row.last_active_on, today), policy, now).await
}

/// Adds the missing daily grants of an account, and returns the added grants. Adds nothing if the account does not
/// exist. Leaves `last_active_on` unchanged. Call it before any other increase of the balance, because under an accrual
/// cap a higher balance receives smaller grants. [`super::read`] assumes the same order.
///
/// # Errors
/// When the database fails.
pub async fn accrue(
    db: &impl ConnectionTrait,
    owner: &Owner,
    policy: &CreditPolicy,
    now: DateTime<Utc>,
) -> Result<GrantTotals, StoreError> {
    let row = account::Entity::find_by_id((owner.tenant.clone(), owner.user.clone())).lock_exclusive().one(db).await?;
    match row {
        Some(row) => Ok(add_missing_grants(db, &row, row.last_active_on, policy, now).await?.granted),
        None => Ok(GrantTotals::default()),
    }
}

/// Adds the missing daily grants of a locked account, and records `last_active_on`.
async fn add_missing_grants(
    db: &impl ConnectionTrait,
    row: &account::Model,
    last_active_on: NaiveDate,
    policy: &CreditPolicy,
    now: DateTime<Utc>,
) -> Result<Accrued, StoreError> {
    let today = policy.local_date(now);
    if row.granted_through >= today && row.last_active_on >= last_active_on {
        let balance = Balance { balance: row.balance, held: row.held };
        return Ok(Accrued { balance, granted: GrantTotals::default() });
    }
    let owner = Owner::new(row.tenant.clone(), row.user_id.clone());
    let grants = policy.daily_grants(row.balance, row.granted_through, today);
    let amount = grants.iter().map(|(_, amount)| amount).sum();
    let granted = GrantTotals { entries: grants.len() as u64, credits: amount };
    let mut update = add_to_account(&owner, amount, 0)
        .col_expr(account::Column::LastActiveOn, Expr::value(last_active_on))
        .col_expr(account::Column::GrantedThrough, Expr::value(Ord::max(row.granted_through, today)));
    if amount != 0 {
        update = with_new_version(update);
    }
    update.exec(db).await?;
    insert_entries(db, grants.into_iter().map(|(date, amount)| grant_entry(&owner, date, amount, now))).await?;
    Ok(Accrued { balance: Balance { balance: row.balance + amount, held: row.held }, granted })
}

/// The accounts and grants of one batch of [`accrue_batch`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AccruedBatch {
    /// The number of accounts that now have all their daily grants.
    pub accounts: u64,
    /// The grants of these accounts. An account at the accrual cap receives none.
    pub granted: GrantTotals,
}

/// Adds the missing daily grants of at most `limit` accounts that were last used on the date `last_active_on`. The
/// batch is empty when all these accounts have their grants. [`CreditPolicy::active_dates`] lists the dates for the
/// daily credits job.
///
/// Call it in a transaction whose first statement was a write. The accounts stay locked until the transaction ends, so
/// a batch should be small.
///
/// # Errors
/// When the database fails.
pub async fn accrue_batch(
    db: &impl ConnectionTrait,
    policy: &CreditPolicy,
    now: DateTime<Utc>,
    last_active_on: NaiveDate,
    limit: u64,
) -> Result<AccruedBatch, StoreError> {
    let today = policy.local_date(now);
    // in the order of the index; after the update, an account no longer matches the query
    let rows = account::Entity::find()
        .filter(account::Column::LastActiveOn.eq(last_active_on))
        .filter(account::Column::GrantedThrough.lt(today))
        .order_by_asc(account::Column::GrantedThrough)
        .order_by_asc(account::Column::Tenant)
        .order_by_asc(account::Column::UserId)
        .limit(limit)
        .lock_exclusive()
        .all(db)
        .await?;
    let mut batch = AccruedBatch::default();
    let mut entries = Vec::with_capacity(rows.len());
    // usually one group, because nearly all accounts have their grants through yesterday
    for group in rows.chunk_by(|a, b| a.granted_through == b.granted_through) {
        batch.accounts += update_accounts(db, policy, today, group).await?;
        for row in group {
            let owner = Owner::new(row.tenant.clone(), row.user_id.clone());
            for (date, amount) in policy.daily_grants(row.balance, row.granted_through, today) {
                batch.granted += GrantTotals { entries: 1, credits: amount };
                entries.push(grant_entry(&owner, date, amount, now));
            }
        }
    }
    insert_entries(db, entries.into_iter()).await?;
    Ok(batch)
}

/// Adds the missing daily grants to locked accounts with the same `granted_through`. One statement updates the key
/// range from the first to the last account.
async fn update_accounts(
    db: &impl ConnectionTrait,
    policy: &CreditPolicy,
    today: NaiveDate,
    rows: &[account::Model],
) -> Result<u64, StoreError> {
    let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return Ok(0) };
    let days = Ord::max((today - first.granted_through).num_days(), 0);
    let key = || Expr::tuple([Expr::col(account::Column::Tenant), Expr::col(account::Column::UserId)]);
    let key_of = |row: &account::Model| Expr::tuple([Expr::value(&*row.tenant), Expr::value(&*row.user_id)]);
    let update = account::Entity::update_many()
        .col_expr(account::Column::Balance, Expr::col(account::Column::Balance).add(accrued(policy, days)))
        .col_expr(account::Column::Version, Expr::col(account::Column::Version).add(version_increase(policy)))
        .col_expr(account::Column::GrantedThrough, Expr::value(today))
        .filter(account::Column::LastActiveOn.eq(first.last_active_on))
        .filter(account::Column::GrantedThrough.eq(first.granted_through))
        .filter(key().gte(key_of(first)))
        .filter(key().lte(key_of(last)));
    let updated = update.exec(db).await?.rows_affected;
    if updated != rows.len() as u64 {
        let detail = format!("the daily grants reached {updated} of {} locked accounts", rows.len());
        return Err(StoreError::Damaged { row: "credit_account".into(), detail });
    }
    Ok(updated)
}

/// Returns the SQL expression that computes [`CreditPolicy::accrued`] for each account: the sum of its missing daily
/// grants.
fn accrued(policy: &CreditPolicy, days: i64) -> SimpleExpr {
    let amount = days.saturating_mul(policy.daily_grant);
    let Some(cap) = policy.accrual_cap else { return Expr::value(amount) };
    let balance = || Expr::col(account::Column::Balance);
    CaseStatement::new()
        .case(balance().gte(cap), Expr::value(0_i64))
        .case(balance().gt(cap.saturating_sub(amount)), Expr::value(cap).sub(balance()))
        .finally(Expr::value(amount))
        .into()
}

/// Returns the SQL expression for the increase of the column `version`: 1 if the account receives a daily grant, and 0
/// at the accrual cap, because the owner then needs no notification.
fn version_increase(policy: &CreditPolicy) -> SimpleExpr {
    let increase = i64::from(policy.daily_grant > 0);
    let Some(cap) = policy.accrual_cap else { return Expr::value(increase) };
    CaseStatement::new()
        .case(Expr::col(account::Column::Balance).gte(cap), Expr::value(0_i64))
        .finally(Expr::value(increase))
        .into()
}

fn grant_entry(owner: &Owner, date: NaiveDate, amount: i64, now: DateTime<Utc>) -> entry::ActiveModel {
    let reason = format!("daily grant of {date}");
    NewEntry { owner, kind: EntryKind::Grant, amount, reason: &reason, at: now }.daily_grant(date)
}

/// Inserts entries for daily grants. The key of a daily grant is unique, so a duplicate makes the transaction fail.
async fn insert_entries(
    db: &impl ConnectionTrait,
    entries: impl Iterator<Item = entry::ActiveModel>,
) -> Result<(), StoreError> {
    let mut entries = entries.peekable();
    while entries.peek().is_some() {
        let chunk: Vec<_> = entries.by_ref().take(ENTRIES_PER_INSERT).collect();
        entry::Entity::insert_many(chunk).exec_without_returning(db).await?;
    }
    Ok(())
}
