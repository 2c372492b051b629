//! The `credit_account` table: the balance of one person, kept in the same transaction as the ledger.

use chrono::{DateTime, NaiveDate, Utc};
use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "credit_account")]
pub struct Model {
    /// Whose it is.
    #[sea_orm(primary_key, auto_increment = false, column_type = "Text")]
    pub tenant: String,
    /// Whose it is.
    #[sea_orm(primary_key, auto_increment = false, column_type = "Text")]
    pub user_id: String,
    /// What can be spent; always the sum of the ledger's amounts.
    pub balance: i64,
    /// What unfinished exports have set aside.
    pub held: i64,
    /// When the account was first needed.
    pub opened_at: DateTime<Utc>,
    /// The last local day whose nightly grant is in the balance.
    pub granted_through: NaiveDate,
    /// The local day on which its owner last needed it.
    pub last_active_on: NaiveDate,
    /// How often something happened to it that no export tells of.
    pub version: i64,
    /// Of how many of these its owner was told.
    pub notified_version: i64,
}

/// No relations: found by key.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
