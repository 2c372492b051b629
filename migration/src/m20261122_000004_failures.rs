//! How often an export's attempts failed, apart from how often it was claimed: what is handed over from one exporter to
//! the next is claimed again and never failed.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[derive(DeriveIden)]
enum Export {
    Table,
    Failures,
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let failures = ColumnDef::new(Export::Failures).integer().not_null().default(0).to_owned();
        manager.alter_table(Table::alter().table(Export::Table).add_column(failures).to_owned()).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.alter_table(Table::alter().table(Export::Table).drop_column(Export::Failures).to_owned()).await
    }
}
