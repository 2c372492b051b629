//! Exports and the segments of their files.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[derive(DeriveIden)]
enum Export {
    Table,
    Id,
    Tenant,
    UserId,
    Dataset,
    Template,
    Format,
    Compression,
    Filter,
    Columns,
    Params,
    Claims,
    Status,
    Attempt,
    Pool,
    Lane,
    Credits,
    RetentionS,
    Traceparent,
    IdempotencyKey,
    RequestHash,
    RequestedAt,
    StartedAt,
    CompletedAt,
    ExpiresAt,
    UpdatedAt,
    CancelRequestedAt,
    DeleteRequestedAt,
    Worker,
    LeaseUntil,
    Rows,
    RowsTotal,
    Bytes,
    FileName,
    FileSize,
    FileRows,
    FileSha256,
    FileMediaType,
    Problem,
}

#[derive(DeriveIden)]
enum Segment {
    Table,
    ExportId,
    Attempt,
    Index,
    Offset,
    Size,
    Rows,
    Sha256,
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let text = |name: Export| ColumnDef::new(name).text().not_null().to_owned();
        let big = |name: Export| ColumnDef::new(name).big_integer().not_null().to_owned();
        let json = |name: Export| ColumnDef::new(name).json_binary().not_null().to_owned();
        let moment = |name: Export| ColumnDef::new(name).timestamp_with_time_zone().null().to_owned();
        manager
            .create_table(
                Table::create()
                    .table(Export::Table)
                    .col(ColumnDef::new(Export::Id).uuid().not_null().primary_key())
                    .col(text(Export::Tenant))
                    .col(text(Export::UserId))
                    .col(text(Export::Dataset))
                    .col(text(Export::Template))
                    .col(text(Export::Format))
                    .col(text(Export::Compression))
                    .col(json(Export::Filter))
                    .col(json(Export::Columns))
                    .col(json(Export::Params))
                    .col(json(Export::Claims))
                    .col(text(Export::Status))
                    .col(ColumnDef::new(Export::Attempt).integer().not_null())
                    .col(text(Export::Pool))
                    .col(text(Export::Lane))
                    .col(big(Export::Credits))
                    .col(big(Export::RetentionS))
                    .col(text(Export::Traceparent))
                    .col(ColumnDef::new(Export::IdempotencyKey).text().null())
                    .col(text(Export::RequestHash))
                    .col(ColumnDef::new(Export::RequestedAt).timestamp_with_time_zone().not_null())
                    .col(moment(Export::StartedAt))
                    .col(moment(Export::CompletedAt))
                    .col(moment(Export::ExpiresAt))
                    .col(ColumnDef::new(Export::UpdatedAt).timestamp_with_time_zone().not_null())
                    .col(moment(Export::CancelRequestedAt))
                    .col(moment(Export::DeleteRequestedAt))
                    .col(ColumnDef::new(Export::Worker).text().null())
                    .col(moment(Export::LeaseUntil))
                    .col(big(Export::Rows))
                    .col(ColumnDef::new(Export::RowsTotal).big_integer().null())
                    .col(big(Export::Bytes))
                    .col(ColumnDef::new(Export::FileName).text().null())
                    .col(ColumnDef::new(Export::FileSize).big_integer().null())
                    .col(ColumnDef::new(Export::FileRows).big_integer().null())
                    .col(ColumnDef::new(Export::FileSha256).text().null())
                    .col(ColumnDef::new(Export::FileMediaType).text().null())
                    .col(ColumnDef::new(Export::Problem).json_binary().null())
                    .to_owned(),
            )
            .await?;
        // a person's exports, newest first: ids are UUIDv7
        manager
            .create_index(
                Index::create()
                    .name("export_owner")
                    .table(Export::Table)
                    .col(Export::Tenant)
                    .col(Export::UserId)
                    .col(Export::Id)
                    .to_owned(),
            )
            .await?;
        // NULL keys never meet each other
        manager
            .create_index(
                Index::create()
                    .name("export_idempotency")
                    .table(Export::Table)
                    .col(Export::Tenant)
                    .col(Export::UserId)
                    .col(Export::IdempotencyKey)
                    .unique()
                    .to_owned(),
            )
            .await?;
        // what the dispatcher and the sweep look for
        manager
            .create_index(
                Index::create()
                    .name("export_status")
                    .table(Export::Table)
                    .col(Export::Status)
                    .col(Export::Id)
                    .to_owned(),
            )
            .await?;
        // what ended lately and may have left objects behind
        manager
            .create_index(
                Index::create()
                    .name("export_updated")
                    .table(Export::Table)
                    .col(Export::UpdatedAt)
                    .col(Export::Id)
                    .to_owned(),
            )
            .await?;
        let part = |name: Segment| ColumnDef::new(name).big_integer().not_null().to_owned();
        manager
            .create_table(
                Table::create()
                    .table(Segment::Table)
                    .col(ColumnDef::new(Segment::ExportId).uuid().not_null())
                    .col(ColumnDef::new(Segment::Attempt).integer().not_null())
                    .col(ColumnDef::new(Segment::Index).integer().not_null())
                    .col(part(Segment::Offset))
                    .col(part(Segment::Size))
                    .col(part(Segment::Rows))
                    .col(ColumnDef::new(Segment::Sha256).text().not_null())
                    .primary_key(Index::create().col(Segment::ExportId).col(Segment::Attempt).col(Segment::Index))
                    .foreign_key(
                        ForeignKey::create()
                            .from(Segment::Table, Segment::ExportId)
                            .to(Export::Table, Export::Id)
                            .on_delete(ForeignKeyAction::Cascade),
                    )
                    .to_owned(),
            )
            .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table(Segment::Table).to_owned()).await?;
        manager.drop_table(Table::drop().table(Export::Table).to_owned()).await
    }
}
