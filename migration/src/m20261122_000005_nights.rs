//! Nightly credits, reckoned lazily: until which local day an account has its grants, when its owner was last seen, and
//! how much of what happened to it its owner was told.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[derive(DeriveIden)]
enum CreditAccount {
    Table,
    Tenant,
    UserId,
    GrantedThrough,
    SeenOn,
    News,
    Told,
}

/// What SQLite wants for a column that is added; overwritten at once.
const BEFORE_ALL: &str = "1970-01-01";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let day = |name: CreditAccount| ColumnDef::new(name).date().not_null().default(BEFORE_ALL).to_owned();
        let count = |name: CreditAccount| ColumnDef::new(name).big_integer().not_null().default(0).to_owned();
        for column in [
            day(CreditAccount::GrantedThrough),
            day(CreditAccount::SeenOn),
            count(CreditAccount::News),
            count(CreditAccount::Told),
        ] {
            manager.alter_table(Table::alter().table(CreditAccount::Table).add_column(column).to_owned()).await?;
        }
        // nights before today were not promised
        let today = Query::update()
            .table(CreditAccount::Table)
            .value(CreditAccount::GrantedThrough, Expr::current_date())
            .value(CreditAccount::SeenOn, Expr::current_date())
            .to_owned();
        manager.execute(today).await?;
        // what the night's work walks along: for each of the last days those seen on it, and of these the ones that are due
        manager
            .create_index(
                Index::create()
                    .name("credit_account_due")
                    .table(CreditAccount::Table)
                    .col(CreditAccount::SeenOn)
                    .col(CreditAccount::GrantedThrough)
                    .col(CreditAccount::Tenant)
                    .col(CreditAccount::UserId)
                    .to_owned(),
            )
            .await?;
        manager
            .create_index(
                Index::create()
                    .name("credit_account_untold")
                    .table(CreditAccount::Table)
                    .col(CreditAccount::Tenant)
                    .col(CreditAccount::UserId)
                    .and_where(Expr::col(CreditAccount::News).ne(Expr::col(CreditAccount::Told)))
                    .to_owned(),
            )
            .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for name in ["credit_account_untold", "credit_account_due"] {
            manager.drop_index(Index::drop().name(name).table(CreditAccount::Table).to_owned()).await?;
        }
        for column in [CreditAccount::Told, CreditAccount::News, CreditAccount::SeenOn, CreditAccount::GrantedThrough] {
            manager.alter_table(Table::alter().table(CreditAccount::Table).drop_column(column).to_owned()).await?;
        }
        Ok(())
    }
}
