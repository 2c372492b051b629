//! Creates the table of API keys. The row of a key stays after the key is deleted.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[derive(Clone, Copy, DeriveIden)]
enum ApiKey {
    Table,
    Id,
    Tenant,
    Name,
    SecretHash,
    Scopes,
    Claims,
    CreatedBy,
    CreatedAt,
    ExpiresAt,
    LastUsedAt,
    DeletedAt,
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.create_table(table()).await?;
        for index in indexes() {
            manager.create_index(index).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table(ApiKey::Table).to_owned()).await
    }
}

fn table() -> TableCreateStatement {
    let text = |name: ApiKey| ColumnDef::new(name).text().not_null().to_owned();
    let json = |name: ApiKey| ColumnDef::new(name).json_binary().not_null().to_owned();
    let optional_time = |name: ApiKey| ColumnDef::new(name).timestamp_with_time_zone().null().to_owned();
    Table::create()
        .table(ApiKey::Table)
        .col(ColumnDef::new(ApiKey::Id).uuid().not_null().primary_key())
        .col(text(ApiKey::Tenant))
        .col(text(ApiKey::Name))
        .col(text(ApiKey::SecretHash))
        .col(json(ApiKey::Scopes))
        .col(json(ApiKey::Claims))
        .col(text(ApiKey::CreatedBy))
        .col(ColumnDef::new(ApiKey::CreatedAt).timestamp_with_time_zone().not_null())
        .col(optional_time(ApiKey::ExpiresAt))
        .col(optional_time(ApiKey::LastUsedAt))
        .col(optional_time(ApiKey::DeletedAt))
        .to_owned()
}

fn indexes() -> [IndexCreateStatement; 2] {
    let index = |name: &str, columns: &[ApiKey]| {
        let mut index = Index::create();
        index.name(name).table(ApiKey::Table);
        for column in columns {
            index.col(*column);
        }
        index
    };
    [
        // every request with a key: `entity::api_key::find_by_hash`
        index("api_key_secret_hash", &[ApiKey::SecretHash]).unique().to_owned(),
        // `entity::api_key::list` and `entity::api_key::count_recent`
        index("api_key_tenant", &[ApiKey::Tenant, ApiKey::Id]),
    ]
}
