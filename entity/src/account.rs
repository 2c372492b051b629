//! The `credit_account` table: the balance of each user. Every ledger entry updates the balance in its transaction.

use chrono::{DateTime, NaiveDate, Utc};
use sea_orm::entity::prelude::*;

/// A row of `credit_account`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "credit_account")]
pub struct Model {
    /// The tenant of the owner.
    #[sea_orm(primary_key, auto_increment = false, column_type = "Text")]
    pub tenant: String,
    /// The user who owns the account.
    #[sea_orm(primary_key, auto_increment = false, column_type = "Text")]
    pub user_id: String,
    /// The credits that the owner can spend: the sum of the amounts of the ledger.
    pub balance: i64,
    /// The credits that unfinished exports hold.
    pub held: i64,
    /// The time at which the first use of the account created this row.
    pub opened_at: DateTime<Utc>,
    /// The last local date whose daily grant is in the balance.
    pub granted_through: NaiveDate,
    /// The local date on which the owner last used the account.
    pub last_active_on: NaiveDate,
    /// Increases with each change of which the owner needs a notification: a hold, a daily grant, or a change by an
    /// operator. The events of exports report captures and releases.
    pub version: i64,
    /// The `version` of the last notification to the owner. A smaller number than `version` means that one is pending.
    pub notified_version: i64,
}

/// No relations: all queries use the key.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
