//! The `credit_account` table: the balance of one user, updated in the transaction of each ledger entry.

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
    /// The time of the first use of the account.
    pub opened_at: DateTime<Utc>,
    /// The last local date whose daily grant is in the balance.
    pub granted_through: NaiveDate,
    /// The local date of the last activity of the owner.
    pub last_active_on: NaiveDate,
    /// Increases with each change that the outcome of an export does not report to the owner.
    pub version: i64,
    /// The version of which the owner was last notified.
    pub notified_version: i64,
}

/// No relations: all queries use the key.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
