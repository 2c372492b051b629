//! The `credit_entry` table: the append-only credit ledger.

use chrono::{DateTime, NaiveDate, Utc};
use sea_orm::entity::prelude::*;

/// A row of `credit_entry`. Rows are never updated or deleted.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "credit_entry")]
pub struct Model {
    /// A UUIDv7, so that entries sort by time.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// The tenant of the account.
    #[sea_orm(column_type = "Text")]
    pub tenant: String,
    /// The user who owns the account.
    #[sea_orm(column_type = "Text")]
    pub user_id: String,
    /// The kind of the entry, as the text of [`protocol::credits::EntryKind`].
    #[sea_orm(column_type = "Text")]
    pub kind: String,
    /// The amount added to the balance; negative for a hold.
    pub amount: i64,
    /// The export that caused the entry, if any; unique together with `hold_attempt` and `kind`.
    pub export_id: Option<Uuid>,
    /// The number of the hold of the export; always 0, because an export has one hold. None without an export.
    pub hold_attempt: Option<i32>,
    /// The local date of a daily grant, unique for the account; None for other entries.
    pub granted_on: Option<NaiveDate>,
    /// The reason for the entry, for users.
    #[sea_orm(column_type = "Text")]
    pub reason: String,
    /// The time at which the entry was added.
    pub created_at: DateTime<Utc>,
}

/// The relations of this table, which sea-orm requires. The type is empty, because all queries filter by owner.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
