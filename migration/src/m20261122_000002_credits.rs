//! Credit accounts and their append-only ledger.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[derive(DeriveIden)]
enum CreditAccount {
    Table,
    Tenant,
    UserId,
    Balance,
    Held,
    OpenedAt,
}

#[derive(DeriveIden)]
enum CreditEntry {
    Table,
    Id,
    Tenant,
    UserId,
    Kind,
    Amount,
    ExportId,
    AttemptOfHold,
    GrantedOn,
    Reason,
    At,
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                Table::create()
                    .table(CreditAccount::Table)
                    .col(ColumnDef::new(CreditAccount::Tenant).text().not_null())
                    .col(ColumnDef::new(CreditAccount::UserId).text().not_null())
                    .col(
                        ColumnDef::new(CreditAccount::Balance)
                            .big_integer()
                            .not_null()
                            .check(Expr::col(CreditAccount::Balance).gte(0)),
                    )
                    .col(
                        ColumnDef::new(CreditAccount::Held)
                            .big_integer()
                            .not_null()
                            .check(Expr::col(CreditAccount::Held).gte(0)),
                    )
                    .col(ColumnDef::new(CreditAccount::OpenedAt).timestamp_with_time_zone().not_null())
                    .primary_key(Index::create().col(CreditAccount::Tenant).col(CreditAccount::UserId))
                    .to_owned(),
            )
            .await?;
        manager
            .create_table(
                Table::create()
                    .table(CreditEntry::Table)
                    .col(ColumnDef::new(CreditEntry::Id).uuid().not_null().primary_key())
                    .col(ColumnDef::new(CreditEntry::Tenant).text().not_null())
                    .col(ColumnDef::new(CreditEntry::UserId).text().not_null())
                    .col(ColumnDef::new(CreditEntry::Kind).text().not_null())
                    .col(ColumnDef::new(CreditEntry::Amount).big_integer().not_null())
                    .col(ColumnDef::new(CreditEntry::ExportId).uuid().null())
                    .col(ColumnDef::new(CreditEntry::AttemptOfHold).integer().null())
                    .col(ColumnDef::new(CreditEntry::GrantedOn).date().null())
                    .col(ColumnDef::new(CreditEntry::Reason).text().not_null())
                    .col(ColumnDef::new(CreditEntry::At).timestamp_with_time_zone().not_null())
                    .to_owned(),
            )
            .await?;
        let index = |name: &str, columns: [CreditEntry; 3], unique: bool| {
            let mut index = Index::create().name(name).table(CreditEntry::Table).to_owned();
            for column in columns {
                index.col(column);
            }
            if unique {
                index.unique();
            }
            index
        };
        // every step of an export's credit happens at most once, and so does every night's grant
        for index in [
            index("credit_entry_step", [CreditEntry::ExportId, CreditEntry::AttemptOfHold, CreditEntry::Kind], true),
            index("credit_entry_night", [CreditEntry::Tenant, CreditEntry::UserId, CreditEntry::GrantedOn], true),
            index("credit_entry_owner", [CreditEntry::Tenant, CreditEntry::UserId, CreditEntry::Id], false),
        ] {
            manager.create_index(index).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table(CreditEntry::Table).to_owned()).await?;
        manager.drop_table(Table::drop().table(CreditAccount::Table).to_owned()).await
    }
}
