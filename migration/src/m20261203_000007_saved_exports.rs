//! Creates the tables of saved exports and of their runs. The row of a saved export stays when its owner deletes it,
//! because its runs refer to it.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[derive(Clone, Copy, DeriveIden)]
enum SavedExport {
    Table,
    Id,
    Tenant,
    UserId,
    Name,
    Dataset,
    Request,
    Visibility,
    Version,
    CreatedAt,
    UpdatedAt,
    DeletedAt,
}

#[derive(Clone, Copy, DeriveIden)]
enum SavedExportRun {
    Table,
    Id,
    SavedExportId,
    Tenant,
    UserId,
    ExportId,
    ScheduledFor,
    CreatedAt,
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.create_table(saved_exports()).await?;
        manager.create_table(runs()).await?;
        for index in indexes() {
            manager.create_index(index).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table(SavedExportRun::Table).to_owned()).await?;
        manager.drop_table(Table::drop().table(SavedExport::Table).to_owned()).await
    }
}

fn saved_exports() -> TableCreateStatement {
    let text = |name: SavedExport| ColumnDef::new(name).text().not_null().to_owned();
    let time = |name: SavedExport| ColumnDef::new(name).timestamp_with_time_zone().not_null().to_owned();
    Table::create()
        .table(SavedExport::Table)
        .col(ColumnDef::new(SavedExport::Id).uuid().not_null().primary_key())
        .col(text(SavedExport::Tenant))
        .col(text(SavedExport::UserId))
        .col(text(SavedExport::Name))
        .col(text(SavedExport::Dataset))
        .col(ColumnDef::new(SavedExport::Request).json_binary().not_null())
        .col(text(SavedExport::Visibility))
        .col(ColumnDef::new(SavedExport::Version).big_integer().not_null())
        .col(time(SavedExport::CreatedAt))
        .col(time(SavedExport::UpdatedAt))
        .col(ColumnDef::new(SavedExport::DeletedAt).timestamp_with_time_zone().null())
        .to_owned()
}

fn runs() -> TableCreateStatement {
    let text = |name: SavedExportRun| ColumnDef::new(name).text().not_null().to_owned();
    Table::create()
        .table(SavedExportRun::Table)
        .col(ColumnDef::new(SavedExportRun::Id).uuid().not_null().primary_key())
        .col(ColumnDef::new(SavedExportRun::SavedExportId).uuid().not_null())
        .col(text(SavedExportRun::Tenant))
        .col(text(SavedExportRun::UserId))
        .col(ColumnDef::new(SavedExportRun::ExportId).uuid().null())
        .col(ColumnDef::new(SavedExportRun::ScheduledFor).timestamp_with_time_zone().null())
        .col(ColumnDef::new(SavedExportRun::CreatedAt).timestamp_with_time_zone().not_null())
        .to_owned()
}

fn indexes() -> [IndexCreateStatement; 4] {
    let index = |name: &str, columns: &[SavedExportRun]| {
        let mut index = Index::create();
        index.name(name).table(SavedExportRun::Table);
        for column in columns {
            index.col(*column);
        }
        index
    };
    use SavedExportRun as Run;
    [
        // `entity::saved_export::list`
        Index::create()
            .name("saved_export_tenant")
            .table(SavedExport::Table)
            .col(SavedExport::Tenant)
            .col(SavedExport::Id)
            .to_owned(),
        // `entity::saved_export_run::list` and `entity::saved_export_run::newest`
        index("saved_export_run_user", &[Run::SavedExportId, Run::Tenant, Run::UserId, Run::Id]),
        // two requests that join one export are one run
        index("saved_export_run_export", &[Run::ExportId, Run::SavedExportId]).unique().to_owned(),
        // each moment of a schedule has one run
        index("saved_export_run_moment", &[Run::SavedExportId, Run::ScheduledFor]).unique().to_owned(),
    ]
}
