//! Creates the tables of exports and of the segments of their files.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[derive(Clone, Copy, DeriveIden)]
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
    Failures,
    WaitingFor,
    WaitedMs,
    Pool,
    Lane,
    Credits,
    RetentionSeconds,
    Traceparent,
    JoinKey,
    RequestedAt,
    DispatchedAt,
    StartedAt,
    CompletedAt,
    ExpiresAt,
    UpdatedAt,
    CancelRequestedAt,
    DeleteRequestedAt,
    Worker,
    LeaseMs,
    Renewals,
    JobNumber,
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
        manager.create_table(export_table()).await?;
        for index in export_indexes() {
            manager.create_index(index).await?;
        }
        manager.create_table(segment_table()).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table(Segment::Table).to_owned()).await?;
        manager.drop_table(Table::drop().table(Export::Table).to_owned()).await
    }
}

fn export_table() -> TableCreateStatement {
    let text = |name: Export| ColumnDef::new(name).text().not_null().to_owned();
    let optional_text = |name: Export| ColumnDef::new(name).text().null().to_owned();
    let number = |name: Export| ColumnDef::new(name).big_integer().not_null().to_owned();
    let optional_number = |name: Export| ColumnDef::new(name).big_integer().null().to_owned();
    let json = |name: Export| ColumnDef::new(name).json_binary().not_null().to_owned();
    let time = |name: Export| ColumnDef::new(name).timestamp_with_time_zone().not_null().to_owned();
    let optional_time = |name: Export| ColumnDef::new(name).timestamp_with_time_zone().null().to_owned();
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
        .col(ColumnDef::new(Export::Failures).integer().not_null().default(0))
        .col(optional_text(Export::WaitingFor))
        .col(ColumnDef::new(Export::WaitedMs).big_integer().not_null().default(0))
        .col(text(Export::Pool))
        .col(text(Export::Lane))
        .col(number(Export::Credits))
        .col(number(Export::RetentionSeconds))
        .col(text(Export::Traceparent))
        .col(optional_text(Export::JoinKey))
        .col(time(Export::RequestedAt))
        .col(optional_time(Export::DispatchedAt))
        .col(optional_time(Export::StartedAt))
        .col(optional_time(Export::CompletedAt))
        .col(optional_time(Export::ExpiresAt))
        .col(time(Export::UpdatedAt))
        .col(optional_time(Export::CancelRequestedAt))
        .col(optional_time(Export::DeleteRequestedAt))
        .col(optional_text(Export::Worker))
        .col(ColumnDef::new(Export::LeaseMs).big_integer().null())
        .col(ColumnDef::new(Export::Renewals).big_integer().not_null().default(0))
        .col(ColumnDef::new(Export::JobNumber).integer().not_null().default(0))
        .col(number(Export::Rows))
        .col(optional_number(Export::RowsTotal))
        .col(number(Export::Bytes))
        .col(optional_text(Export::FileName))
        .col(optional_number(Export::FileSize))
        .col(optional_number(Export::FileRows))
        .col(optional_text(Export::FileSha256))
        .col(optional_text(Export::FileMediaType))
        .col(ColumnDef::new(Export::Problem).json_binary().null())
        .to_owned()
}

fn export_indexes() -> [IndexCreateStatement; 6] {
    use Export::{DeleteRequestedAt, Id, Lane, Pool, Status, Tenant, UpdatedAt, UserId};
    let index = |name: &str, columns: &[Export]| {
        let mut index = Index::create().name(name).table(Export::Table).to_owned();
        for column in columns {
            index.col(*column);
        }
        index
    };
    [
        // the exports of one owner, newest first: `entity::export::list_owned`
        index("export_by_owner", &[Tenant, UserId, Id]),
        // exports of one status, oldest first: `entity::maintenance::past_retention`
        index("export_by_status", &[Status, Id]),
        // exports that ended recently, for deleting orphans: `entity::export::ended_between`
        index("export_by_update", &[UpdatedAt, Id]),
        // the few unfinished exports: `entity::export::count_unfinished` and `find_joinable`,
        // `entity::dispatch_queue`, `entity::in_flight`
        index("export_unfinished", &[Tenant, UserId, Status])
            .and_where(Expr::col(Status).is_in(["queued", "dispatched", "running"]))
            .to_owned(),
        // the last completed exports of a pool and lane, for the mean run time: `entity::dispatch_queue`
        index("export_recent_runs", &[Status, Pool, Lane, Id]),
        // the few exports whose owner requested deletion of the file: `entity::maintenance::delete_requested`
        index("export_delete_requested", &[Status, Id])
            .and_where(Expr::col(DeleteRequestedAt).is_not_null())
            .to_owned(),
    ]
}

fn segment_table() -> TableCreateStatement {
    let number = |name: Segment| ColumnDef::new(name).big_integer().not_null().to_owned();
    Table::create()
        .table(Segment::Table)
        .col(ColumnDef::new(Segment::ExportId).uuid().not_null())
        .col(ColumnDef::new(Segment::Attempt).integer().not_null())
        .col(ColumnDef::new(Segment::Index).integer().not_null())
        .col(number(Segment::Offset))
        .col(number(Segment::Size))
        .col(number(Segment::Rows))
        .col(ColumnDef::new(Segment::Sha256).text().not_null())
        // the segments of one attempt in order: `entity::segment::from_offset`
        .primary_key(Index::create().col(Segment::ExportId).col(Segment::Attempt).col(Segment::Index))
        .foreign_key(
            ForeignKey::create()
                .name("segment_export")
                .from(Segment::Table, Segment::ExportId)
                .to(Export::Table, Export::Id)
                .on_delete(ForeignKeyAction::Cascade),
        )
        .to_owned()
}
