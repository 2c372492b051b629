//! The `credit_entry` table: the append-only ledger.

use chrono::{DateTime, NaiveDate, Utc};
use sea_orm::entity::prelude::*;

/// A row; never changed, never deleted.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "credit_entry")]
pub struct Model {
    /// UUIDv7, so that entries sort by time.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Whose it is.
    #[sea_orm(column_type = "Text")]
    pub tenant: String,
    /// Whose it is.
    #[sea_orm(column_type = "Text")]
    pub user_id: String,
    /// [`protocol::credits::EntryKind`] as text.
    #[sea_orm(column_type = "Text")]
    pub kind: String,
    /// Added to the balance.
    pub amount: i64,
    /// The export concerned; unique together with the next and `kind`.
    pub export_id: Option<Uuid>,
    /// Which hold of that export; 0 as long as an export is held once.
    pub hold_attempt: Option<i32>,
    /// For a nightly grant, its local date; unique for the account.
    pub granted_on: Option<NaiveDate>,
    /// For people.
    #[sea_orm(column_type = "Text")]
    pub reason: String,
    /// When it was written.
    pub created_at: DateTime<Utc>,
}

/// No relations: found by owner.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
