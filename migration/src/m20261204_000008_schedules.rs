//! Creates the tables of schedules and of the rights of their owners, and adds columns to the exports that schedules
//! start.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[derive(Clone, Copy, DeriveIden)]
enum Schedule {
    Table,
    SavedExportId,
    Tenant,
    UserId,
    Cron,
    Zone,
    Enabled,
    OnlyIfChanged,
    Claims,
    NextRunAt,
    PausedReason,
    PauseNotified,
    Failures,
    LastContentSha256,
}

#[derive(Clone, Copy, DeriveIden)]
enum UserRights {
    Table,
    Tenant,
    UserId,
    Claims,
    IssuedAt,
    SeenAt,
}

#[derive(Clone, Copy, DeriveIden)]
enum Export {
    Table,
    WantsContentDigest,
    ContentSha256,
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.create_table(schedules()).await?;
        let due = Index::create()
            .name("schedule_due")
            .table(Schedule::Table)
            .col(Schedule::NextRunAt)
            .col(Schedule::SavedExportId)
            .to_owned();
        manager.create_index(due).await?;
        manager.create_table(user_rights()).await?;
        // SQLite adds one column with each statement
        let wanted = ColumnDef::new(Export::WantsContentDigest).boolean().not_null().default(false).to_owned();
        let digest = ColumnDef::new(Export::ContentSha256).text().null().to_owned();
        for column in [wanted, digest] {
            manager.alter_table(Table::alter().table(Export::Table).add_column(column).to_owned()).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for column in [Export::ContentSha256, Export::WantsContentDigest] {
            manager.alter_table(Table::alter().table(Export::Table).drop_column(column).to_owned()).await?;
        }
        manager.drop_table(Table::drop().table(UserRights::Table).to_owned()).await?;
        manager.drop_table(Table::drop().table(Schedule::Table).to_owned()).await
    }
}

fn schedules() -> TableCreateStatement {
    let text = |name: Schedule| ColumnDef::new(name).text().not_null().to_owned();
    let flag = |name: Schedule| ColumnDef::new(name).boolean().not_null().to_owned();
    Table::create()
        .table(Schedule::Table)
        .col(ColumnDef::new(Schedule::SavedExportId).uuid().not_null().primary_key())
        .col(text(Schedule::Tenant))
        .col(text(Schedule::UserId))
        .col(text(Schedule::Cron))
        .col(text(Schedule::Zone))
        .col(flag(Schedule::Enabled))
        .col(flag(Schedule::OnlyIfChanged))
        .col(ColumnDef::new(Schedule::Claims).json_binary().not_null())
        .col(ColumnDef::new(Schedule::NextRunAt).timestamp_with_time_zone().null())
        .col(ColumnDef::new(Schedule::PausedReason).text().null())
        .col(flag(Schedule::PauseNotified))
        .col(ColumnDef::new(Schedule::Failures).integer().not_null())
        .col(ColumnDef::new(Schedule::LastContentSha256).text().null())
        .to_owned()
}

fn user_rights() -> TableCreateStatement {
    Table::create()
        .table(UserRights::Table)
        .col(ColumnDef::new(UserRights::Tenant).text().not_null())
        .col(ColumnDef::new(UserRights::UserId).text().not_null())
        .col(ColumnDef::new(UserRights::Claims).json_binary().not_null())
        .col(ColumnDef::new(UserRights::IssuedAt).big_integer().not_null())
        .col(ColumnDef::new(UserRights::SeenAt).timestamp_with_time_zone().not_null())
        .primary_key(Index::create().col(UserRights::Tenant).col(UserRights::UserId))
        .to_owned()
}
