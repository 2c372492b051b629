//! Nightly grants: for one account when somebody needs it, and for all active ones at midnight.

use chrono::{DateTime, NaiveDate, Utc};
use protocol::{credits::EntryKind, id::Owner};
use sea_orm::{
    ActiveValue::Set,
    QueryOrder, QuerySelect,
    entity::prelude::*,
    sea_query::{CaseStatement, ExprTrait, OnConflict, SimpleExpr},
};

use super::{Balance, Entry, append, change, find, with_new_version};
use crate::{StoreError, account, credit_policy::CreditPolicy, entry};

/// Entries of one statement: SQLite binds 32,766 values, and an entry has ten.
const CHUNK: usize = 1000;

/// The account, if there is nothing to write down first: see [`reckon`].
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

/// The account as it is today: opened when it is new, with the grants of all nights that are over, and noted as seen.
/// In a transaction it begins with a write, and keeps the account locked from then on.
///
/// # Errors
/// When the database fails.
pub async fn open_and_accrue(
    db: &impl ConnectionTrait,
    owner: &Owner,
    policy: &CreditPolicy,
    now: DateTime<Utc>,
) -> Result<Balance, StoreError> {
    let today = policy.local_date(now);
    let fresh = account::ActiveModel {
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
    let opened = account::Entity::insert(fresh).on_conflict(key).exec_without_returning(db).await? == 1;
    if opened {
        if policy.initial_balance != 0 {
            let kind = EntryKind::Grant;
            append(db, Entry { owner, kind, amount: policy.initial_balance, reason: "opening balance", at: now }.row())
                .await?;
        }
        return Ok(Balance { balance: policy.initial_balance, held: 0 });
    }
    let row = account::Entity::find_by_id((owner.tenant.clone(), owner.user.clone())).lock_exclusive().one(db).await?;
    let row = row.ok_or_else(|| StoreError::Damaged { row: "credit_account".into(), detail: "vanished".into() })?;
    write_down(db, &row, Ord::max(row.last_active_on, today), policy, now).await
}

/// Writes the nights down that are missing, of an account that exists, without noting it as seen. It belongs before
/// whatever else adds to the balance: under a cap the order counts, and readers see the nights first.
///
/// # Errors
/// When the database fails.
pub async fn accrue(
    db: &impl ConnectionTrait,
    owner: &Owner,
    policy: &CreditPolicy,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let row = account::Entity::find_by_id((owner.tenant.clone(), owner.user.clone())).lock_exclusive().one(db).await?;
    if let Some(row) = row {
        write_down(db, &row, row.last_active_on, policy, now).await?;
    }
    Ok(())
}

/// The missing nights of a locked account.
async fn write_down(
    db: &impl ConnectionTrait,
    row: &account::Model,
    last_active_on: NaiveDate,
    policy: &CreditPolicy,
    now: DateTime<Utc>,
) -> Result<Balance, StoreError> {
    let today = policy.local_date(now);
    if row.granted_through >= today && row.last_active_on >= last_active_on {
        return Ok(Balance { balance: row.balance, held: row.held });
    }
    let owner = Owner::new(row.tenant.clone(), row.user_id.clone());
    let nights = policy.daily_grants(row.balance, row.granted_through, today);
    let amount = nights.iter().map(|(_, amount)| amount).sum();
    let mut update = change(&owner, amount, 0)
        .col_expr(account::Column::LastActiveOn, Expr::value(last_active_on))
        .col_expr(account::Column::GrantedThrough, Expr::value(Ord::max(row.granted_through, today)));
    if amount != 0 {
        update = with_new_version(update);
    }
    update.exec(db).await?;
    write(db, nights.into_iter().map(|(night, amount)| grant_entry(&owner, night, amount, now))).await?;
    Ok(Balance { balance: row.balance + amount, held: row.held })
}

/// What one batch of a night's work did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AccruedBatch {
    /// Accounts that are up to date now.
    pub accounts: u64,
    /// Credits that they were given together.
    pub credits: i64,
}

/// Grants the missing nights to at most `limit` accounts that lack some and were last seen on this day; none when there
/// are no more. It belongs into a transaction that began with a write; the accounts are locked for that long, so keep
/// the batch small. [`CreditPolicy::active`] has the days.
///
/// # Errors
/// When the database fails.
pub async fn accrue_batch(
    db: &impl ConnectionTrait,
    policy: &CreditPolicy,
    now: DateTime<Utc>,
    seen: NaiveDate,
    limit: u64,
) -> Result<AccruedBatch, StoreError> {
    let today = policy.local_date(now);
    // in the order of the index: what is granted leaves its range
    let rows = account::Entity::find()
        .filter(account::Column::LastActiveOn.eq(seen))
        .filter(account::Column::GrantedThrough.lt(today))
        .order_by_asc(account::Column::GrantedThrough)
        .order_by_asc(account::Column::Tenant)
        .order_by_asc(account::Column::UserId)
        .limit(limit)
        .lock_exclusive()
        .all(db)
        .await?;
    let mut night = AccruedBatch::default();
    let mut entries = Vec::with_capacity(rows.len());
    // nearly always all of them have theirs through yesterday
    for alike in rows.chunk_by(|a, b| a.granted_through == b.granted_through) {
        night.accounts += grant_alike(db, policy, today, alike).await?;
        for row in alike {
            let owner = Owner::new(row.tenant.clone(), row.user_id.clone());
            for (day, amount) in policy.daily_grants(row.balance, row.granted_through, today) {
                night.credits += amount;
                entries.push(grant_entry(&owner, day, amount, now));
            }
        }
    }
    write(db, entries.into_iter()).await?;
    Ok(night)
}

/// One statement for locked accounts that have their grants through the same day: all that lie between the first and
/// the last of them.
async fn grant_alike(
    db: &impl ConnectionTrait,
    policy: &CreditPolicy,
    today: NaiveDate,
    rows: &[account::Model],
) -> Result<u64, StoreError> {
    let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return Ok(0) };
    let nights = Ord::max((today - first.granted_through).num_days(), 0);
    let key = || Expr::tuple([Expr::col(account::Column::Tenant), Expr::col(account::Column::UserId)]);
    let at = |row: &account::Model| Expr::tuple([Expr::value(&*row.tenant), Expr::value(&*row.user_id)]);
    let update = account::Entity::update_many()
        .col_expr(account::Column::Balance, Expr::col(account::Column::Balance).add(addition(policy, nights)))
        .col_expr(account::Column::Version, Expr::col(account::Column::Version).add(news(policy)))
        .col_expr(account::Column::GrantedThrough, Expr::value(today))
        .filter(account::Column::LastActiveOn.eq(first.last_active_on))
        .filter(account::Column::GrantedThrough.eq(first.granted_through))
        .filter(key().gte(at(first)))
        .filter(key().lte(at(last)));
    let granted = update.exec(db).await?.rows_affected;
    if granted != rows.len() as u64 {
        let detail = format!("{granted} accounts of {} were granted", rows.len());
        return Err(StoreError::Damaged { row: "credit_account".into(), detail });
    }
    Ok(granted)
}

/// [`CreditPolicy::due`] in SQL.
fn addition(policy: &CreditPolicy, nights: i64) -> SimpleExpr {
    let amount = nights.saturating_mul(policy.daily_grant);
    let Some(cap) = policy.accrual_cap else { return Expr::value(amount) };
    let balance = || Expr::col(account::Column::Balance);
    CaseStatement::new()
        .case(balance().gte(cap), Expr::value(0_i64))
        .case(balance().gt(cap.saturating_sub(amount)), Expr::value(cap).sub(balance()))
        .finally(Expr::value(amount))
        .into()
}

/// Whether a night is news: not for who gets nothing.
fn news(policy: &CreditPolicy) -> SimpleExpr {
    let some = i64::from(policy.daily_grant > 0);
    let Some(cap) = policy.accrual_cap else { return Expr::value(some) };
    CaseStatement::new()
        .case(Expr::col(account::Column::Balance).gte(cap), Expr::value(0_i64))
        .finally(Expr::value(some))
        .into()
}

fn grant_entry(owner: &Owner, night: NaiveDate, amount: i64, now: DateTime<Utc>) -> entry::ActiveModel {
    let reason = format!("nightly credit of {night}");
    Entry { owner, kind: EntryKind::Grant, amount, reason: &reason, at: now }.daily_grant(night)
}

/// The key of a night is unique: granting it twice fails, and takes the transaction with it.
async fn write(db: &impl ConnectionTrait, entries: impl Iterator<Item = entry::ActiveModel>) -> Result<(), StoreError> {
    let mut entries = entries.peekable();
    while entries.peek().is_some() {
        let chunk: Vec<_> = entries.by_ref().take(CHUNK).collect();
        entry::Entity::insert_many(chunk).exec_without_returning(db).await?;
    }
    Ok(())
}
