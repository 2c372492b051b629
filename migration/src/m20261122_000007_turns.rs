//! Fair turns: when an export was handed to the exporters, when a person was last served, and by what an identical
//! running export is found.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[derive(DeriveIden)]
enum Export {
    Table,
    Id,
    Pool,
    Lane,
    Tenant,
    UserId,
    Status,
    DeleteRequestedAt,
    DispatchedAt,
    JoinKey,
}

#[derive(DeriveIden)]
enum Turn {
    Table,
    Pool,
    Lane,
    Tenant,
    UserId,
    ServedAt,
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let dispatched_at = ColumnDef::new(Export::DispatchedAt).timestamp_with_time_zone().null().to_owned();
        // NULL joins nothing: an export that was made before there were such keys
        let join_key = ColumnDef::new(Export::JoinKey).text().null().to_owned();
        for column in [dispatched_at, join_key] {
            manager.alter_table(Table::alter().table(Export::Table).add_column(column).to_owned()).await?;
        }
        // few exports are unfinished at a time, and these are looked for at every submit and every turn
        manager
            .create_index(
                Index::create()
                    .name("export_unfinished")
                    .table(Export::Table)
                    .col(Export::Tenant)
                    .col(Export::UserId)
                    .col(Export::Status)
                    .and_where(Expr::col(Export::Status).is_in(["queued", "dispatched", "running"]))
                    .to_owned(),
            )
            .await?;
        // by what the time of a run is judged
        manager
            .create_index(
                Index::create()
                    .name("export_judged")
                    .table(Export::Table)
                    .col(Export::Status)
                    .col(Export::Pool)
                    .col(Export::Lane)
                    .col(Export::Id)
                    .to_owned(),
            )
            .await?;
        // few wait for their file to be deleted
        manager
            .create_index(
                Index::create()
                    .name("export_delete_requested")
                    .table(Export::Table)
                    .col(Export::Status)
                    .col(Export::Id)
                    .and_where(Expr::col(Export::DeleteRequestedAt).is_not_null())
                    .to_owned(),
            )
            .await?;
        let text = |name: Turn| ColumnDef::new(name).text().not_null().to_owned();
        manager
            .create_table(
                Table::create()
                    .table(Turn::Table)
                    .col(text(Turn::Pool))
                    .col(text(Turn::Lane))
                    .col(text(Turn::Tenant))
                    .col(text(Turn::UserId))
                    .col(ColumnDef::new(Turn::ServedAt).big_integer().not_null())
                    .primary_key(Index::create().col(Turn::Pool).col(Turn::Lane).col(Turn::Tenant).col(Turn::UserId))
                    .to_owned(),
            )
            .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table(Turn::Table).to_owned()).await?;
        for name in ["export_delete_requested", "export_judged", "export_unfinished"] {
            manager.drop_index(Index::drop().name(name).table(Export::Table).to_owned()).await?;
        }
        for column in [Export::JoinKey, Export::DispatchedAt] {
            manager.alter_table(Table::alter().table(Export::Table).drop_column(column).to_owned()).await?;
        }
        Ok(())
    }
}
