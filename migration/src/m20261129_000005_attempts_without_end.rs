//! Adds two counts to the table of exports: the attempts whose lease a notifier ended, and the attempts that ran in a
//! separate process that died.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[derive(Clone, Copy, DeriveIden)]
enum Export {
    Table,
    AbandonedAttempts,
    CrashedAttempts,
}

const COLUMNS: [Export; 2] = [Export::AbandonedAttempts, Export::CrashedAttempts];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // SQLite adds one column with each statement
        for name in COLUMNS {
            let column = ColumnDef::new(name).integer().not_null().default(0).to_owned();
            manager.alter_table(Table::alter().table(Export::Table).add_column(column).to_owned()).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for name in COLUMNS {
            manager.alter_table(Table::alter().table(Export::Table).drop_column(name).to_owned()).await?;
        }
        Ok(())
    }
}
