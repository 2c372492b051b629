//! The `credit_account` table: the balance of each user. The transaction that adds a ledger entry also updates the
//! balance.

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
    /// The credits that unfinished exports hold (reserve), in addition to the balance.
    pub held: i64,
    /// The time at which the first use of the account created this row.
    pub opened_at: DateTime<Utc>,
    /// The last local date whose daily grant is in the balance.
    pub granted_through: NaiveDate,
    /// The local date on which the owner last used the account.
    pub last_active_on: NaiveDate,
    /// The version of the account. Increases with each hold, each daily grant and each change by an operator, because
    /// the owner then needs a notification. Captures and releases don't change the version, because the events of the
    /// export report them.
    pub version: i64,
    /// The `version` that the last notification reported. A notification is pending while this number is less than
    /// `version`.
    pub notified_version: i64,
}

/// The relations of this table, which sea-orm requires. The type is empty, because all queries use the key.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
