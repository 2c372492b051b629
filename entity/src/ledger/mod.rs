//! The credit ledger. The functions that change credits run in the database transaction of the caller, so that credits
//! change together with the export.
//!
//! The ledger is append-only. Every hold, capture, release and daily grant has a unique key, so a retry adds no second
//! entry. The transaction that adds an entry also updates the balance of the account.
//!
//! Daily grants accrue lazily. An account stores the last local date whose grant is in the balance, and each change of
//! the account first adds the missing grants. So an unused account needs no writes. [`read`] computes the missing
//! grants without a write.

mod accrual;
mod audit;
mod exports;
mod notifications;
mod operator;

use chrono::{DateTime, NaiveDate, Utc};
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

pub use self::{
    accrual::{Accrued, AccruedBatch, GrantTotals, accrue, accrue_batch, open_and_accrue, read_if_current},
    audit::{AccountDifference, audit, rebuild},
    exports::{capture, hold, release},
    notifications::{PendingNotification, mark_notified, pending_notifications},
    operator::{adjust, grant},
};
use crate::{StoreError, account, credit_policy::CreditPolicy, entry};

/// The credits of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Balance {
    /// The credits that the owner can spend.
    pub balance: i64,
    /// The credits that unfinished exports hold (reserve), in addition to the balance.
    pub held: i64,
}

/// Reads the current credits of an account, including daily grants that have no entry yet. Returns zero for an account
/// that does not exist.
///
/// # Errors
/// When the database fails.
pub async fn read(
    db: &impl ConnectionTrait,
    owner: &Owner,
    policy: &CreditPolicy,
    now: DateTime<Utc>,
) -> Result<Balance, StoreError> {
    let Some(row) = find(db, owner).await? else { return Ok(Balance { balance: 0, held: 0 }) };
    let accrued = policy.accrued(row.balance, row.granted_through, policy.local_date(now));
    Ok(Balance { balance: row.balance + accrued, held: row.held })
}

/// Reads at most `limit` ledger entries of an account, newest first.
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
            let kind = kind(&row)?;
            let export_id = row.export_id.map(ExportId);
            Ok(CreditEntry { kind, amount: row.amount, export_id, reason: row.reason, at: row.created_at.into() })
        })
        .collect()
}

fn kind(row: &entry::Model) -> Result<EntryKind, StoreError> {
    serde_json::from_value(row.kind.clone().into()).map_err(|_| StoreError::Damaged {
        row: format!("credit_entry {}", row.id),
        detail: format!("unknown kind `{}`", row.kind),
    })
}

async fn find(db: &impl ConnectionTrait, owner: &Owner) -> Result<Option<account::Model>, StoreError> {
    Ok(account::Entity::find_by_id((owner.tenant.clone(), owner.user.clone())).one(db).await?)
}

/// The values of a ledger entry that is not in the database yet.
struct NewEntry<'a> {
    owner: &'a Owner,
    kind: EntryKind,
    amount: i64,
    reason: &'a str,
    at: DateTime<Utc>,
}

impl NewEntry<'_> {
    fn row(self) -> entry::ActiveModel {
        entry::ActiveModel {
            id: Set(Uuid::now_v7()),
            tenant: Set(self.owner.tenant.clone()),
            user_id: Set(self.owner.user.clone()),
            kind: Set(self.kind.as_str().to_owned()),
            amount: Set(self.amount),
            export_id: Set(None),
            hold_attempt: Set(None),
            granted_on: Set(None),
            reason: Set(self.reason.to_owned()),
            created_at: Set(self.at),
        }
    }

    fn export_step(self, id: ExportId) -> entry::ActiveModel {
        // every export has exactly one hold, with this number
        const FIRST_HOLD: i32 = 0;
        entry::ActiveModel { export_id: Set(Some(id.0)), hold_attempt: Set(Some(FIRST_HOLD)), ..self.row() }
    }

    fn daily_grant(self, date: NaiveDate) -> entry::ActiveModel {
        entry::ActiveModel { granted_on: Set(Some(date)), ..self.row() }
    }
}

/// Adds an entry. Returns false when the ledger already has this hold, capture or release of the export.
async fn append(db: &impl ConnectionTrait, row: entry::ActiveModel) -> Result<bool, StoreError> {
    let same_step = OnConflict::columns([entry::Column::ExportId, entry::Column::HoldAttempt, entry::Column::Kind])
        .do_nothing()
        .to_owned();
    Ok(entry::Entity::insert(row).on_conflict(same_step).exec_without_returning(db).await? == 1)
}

/// Creates the update that adds these amounts to the balance and to the held credits of an account.
fn add_to_account(owner: &Owner, balance: i64, held: i64) -> sea_orm::UpdateMany<account::Entity> {
    account::Entity::update_many()
        .col_expr(account::Column::Balance, Expr::col(account::Column::Balance).add(balance))
        .col_expr(account::Column::Held, Expr::col(account::Column::Held).add(held))
        .filter(account::Column::Tenant.eq(&owner.tenant))
        .filter(account::Column::UserId.eq(&owner.user))
}

/// Increases the version of the account, so that a notifier notifies the owner.
fn with_new_version(update: sea_orm::UpdateMany<account::Entity>) -> sea_orm::UpdateMany<account::Entity> {
    update.col_expr(account::Column::Version, Expr::col(account::Column::Version).add(1))
}
