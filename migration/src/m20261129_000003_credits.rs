//! Creates the tables of credit accounts and of the append-only credit ledger.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[derive(Clone, Copy, DeriveIden)]
enum CreditAccount {
    Table,
    Tenant,
    UserId,
    Balance,
    Held,
    OpenedAt,
    GrantedThrough,
    LastActiveOn,
    Version,
    NotifiedVersion,
}

#[derive(Clone, Copy, DeriveIden)]
enum CreditEntry {
    Table,
    Id,
    Tenant,
    UserId,
    Kind,
    Amount,
    ExportId,
    HoldAttempt,
    GrantedOn,
    Reason,
    CreatedAt,
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.create_table(account_table()).await?;
        for index in account_indexes() {
            manager.create_index(index).await?;
        }
        manager.create_table(entry_table()).await?;
        for index in entry_indexes() {
            manager.create_index(index).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table(CreditEntry::Table).to_owned()).await?;
        manager.drop_table(Table::drop().table(CreditAccount::Table).to_owned()).await
    }
}

fn account_table() -> TableCreateStatement {
    let amount = |name: CreditAccount| ColumnDef::new(name).big_integer().not_null().to_owned();
    let version = |name: CreditAccount| ColumnDef::new(name).big_integer().not_null().default(0).to_owned();
    let not_negative = |name: &'static str, column: CreditAccount| Check::named(name, Expr::col(column).gte(0));
    Table::create()
        .table(CreditAccount::Table)
        .col(ColumnDef::new(CreditAccount::Tenant).text().not_null())
        .col(ColumnDef::new(CreditAccount::UserId).text().not_null())
        .col(amount(CreditAccount::Balance))
        .col(amount(CreditAccount::Held))
        .col(ColumnDef::new(CreditAccount::OpenedAt).timestamp_with_time_zone().not_null())
        .col(ColumnDef::new(CreditAccount::GrantedThrough).date().not_null())
        .col(ColumnDef::new(CreditAccount::LastActiveOn).date().not_null())
        .col(version(CreditAccount::Version))
        .col(version(CreditAccount::NotifiedVersion))
        .primary_key(Index::create().col(CreditAccount::Tenant).col(CreditAccount::UserId))
        .check(not_negative("credit_account_balance_not_negative", CreditAccount::Balance))
        .check(not_negative("credit_account_held_not_negative", CreditAccount::Held))
        .to_owned()
}

fn account_indexes() -> [IndexCreateStatement; 2] {
    use CreditAccount::{GrantedThrough, LastActiveOn, NotifiedVersion, Tenant, UserId, Version};
    [
        // the accounts last active on one date that lack daily grants: `entity::ledger::accrue_batch`
        Index::create()
            .name("credit_account_accrual_due")
            .table(CreditAccount::Table)
            .col(LastActiveOn)
            .col(GrantedThrough)
            .col(Tenant)
            .col(UserId)
            .to_owned(),
        // the few accounts with a pending notification: `entity::ledger::pending_notifications`
        Index::create()
            .name("credit_account_notification_due")
            .table(CreditAccount::Table)
            .col(Tenant)
            .col(UserId)
            .and_where(Expr::col(Version).ne(Expr::col(NotifiedVersion)))
            .to_owned(),
    ]
}

fn entry_table() -> TableCreateStatement {
    Table::create()
        .table(CreditEntry::Table)
        .col(ColumnDef::new(CreditEntry::Id).uuid().not_null().primary_key())
        .col(ColumnDef::new(CreditEntry::Tenant).text().not_null())
        .col(ColumnDef::new(CreditEntry::UserId).text().not_null())
        .col(ColumnDef::new(CreditEntry::Kind).text().not_null())
        .col(ColumnDef::new(CreditEntry::Amount).big_integer().not_null())
        .col(ColumnDef::new(CreditEntry::ExportId).uuid().null())
        .col(ColumnDef::new(CreditEntry::HoldAttempt).integer().null())
        .col(ColumnDef::new(CreditEntry::GrantedOn).date().null())
        .col(ColumnDef::new(CreditEntry::Reason).text().not_null())
        .col(ColumnDef::new(CreditEntry::CreatedAt).timestamp_with_time_zone().not_null())
        .to_owned()
}

fn entry_indexes() -> [IndexCreateStatement; 3] {
    use CreditEntry::{ExportId, GrantedOn, HoldAttempt, Id, Kind, Tenant, UserId};
    let index = |name: &str, columns: [CreditEntry; 3]| {
        let mut index = Index::create().name(name).table(CreditEntry::Table).to_owned();
        for column in columns {
            index.col(column);
        }
        index
    };
    [
        // one hold, one capture and one release for each hold of an export: `entity::ledger::{hold, capture, release}`
        index("credit_entry_export_step", [ExportId, HoldAttempt, Kind]).unique().to_owned(),
        // one daily grant for each account and date: `entity::ledger::accrue`
        index("credit_entry_daily_grant", [Tenant, UserId, GrantedOn]).unique().to_owned(),
        // the newest entries of one account: `entity::ledger::entries`
        index("credit_entry_by_owner", [Tenant, UserId, Id]),
    ]
}
