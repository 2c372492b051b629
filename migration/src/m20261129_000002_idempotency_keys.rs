//! Creates the table of idempotency keys. Several keys may refer to one export, because a request can join an
//! unfinished export.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[derive(DeriveIden)]
enum Export {
    Table,
    Id,
}

#[derive(DeriveIden)]
enum IdempotencyKey {
    Table,
    Tenant,
    UserId,
    Key,
    RequestHash,
    ExportId,
    CreatedAt,
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let text = |name: IdempotencyKey| ColumnDef::new(name).text().not_null().to_owned();
        let table = Table::create()
            .table(IdempotencyKey::Table)
            .col(text(IdempotencyKey::Tenant))
            .col(text(IdempotencyKey::UserId))
            .col(text(IdempotencyKey::Key))
            .col(text(IdempotencyKey::RequestHash))
            .col(ColumnDef::new(IdempotencyKey::ExportId).uuid().not_null())
            .col(ColumnDef::new(IdempotencyKey::CreatedAt).timestamp_with_time_zone().not_null())
            // a key of one owner: `entity::idempotency_key::find`
            .primary_key(
                Index::create().col(IdempotencyKey::Tenant).col(IdempotencyKey::UserId).col(IdempotencyKey::Key),
            )
            .foreign_key(
                ForeignKey::create()
                    .name("idempotency_key_export")
                    .from(IdempotencyKey::Table, IdempotencyKey::ExportId)
                    .to(Export::Table, Export::Id)
                    .on_delete(ForeignKeyAction::Cascade),
            )
            .to_owned();
        manager.create_table(table).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table(IdempotencyKey::Table).to_owned()).await
    }
}
