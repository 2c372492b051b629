//! Creates the tables of leases, of scheduled jobs, and of the last dispatch for each user.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[derive(DeriveIden)]
enum Lease {
    Table,
    Name,
    Holder,
    FencingToken,
    Renewals,
    ExpiresAt,
}

#[derive(DeriveIden)]
enum ScheduledJob {
    Table,
    Name,
    Schedule,
    DueAt,
    RequestedAt,
    StartedAt,
    EndedAt,
    DurationMs,
    Result,
    Detail,
    Runs,
    Failures,
    Runner,
    State,
}

#[derive(DeriveIden)]
enum DispatchTurn {
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
        manager.create_table(lease_table()).await?;
        manager.create_table(scheduled_job_table()).await?;
        manager.create_table(dispatch_turn_table()).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table(DispatchTurn::Table).to_owned()).await?;
        manager.drop_table(Table::drop().table(ScheduledJob::Table).to_owned()).await?;
        manager.drop_table(Table::drop().table(Lease::Table).to_owned()).await
    }
}

fn lease_table() -> TableCreateStatement {
    let count = |name: Lease| ColumnDef::new(name).big_integer().not_null().default(0).to_owned();
    Table::create()
        .table(Lease::Table)
        .col(ColumnDef::new(Lease::Name).text().not_null().primary_key())
        .col(ColumnDef::new(Lease::Holder).text().null())
        .col(count(Lease::FencingToken))
        .col(count(Lease::Renewals))
        .col(ColumnDef::new(Lease::ExpiresAt).timestamp_with_time_zone().not_null())
        .to_owned()
}

fn scheduled_job_table() -> TableCreateStatement {
    let count = |name: ScheduledJob| ColumnDef::new(name).big_integer().not_null().default(0).to_owned();
    let optional_time = |name: ScheduledJob| ColumnDef::new(name).timestamp_with_time_zone().null().to_owned();
    let optional_text = |name: ScheduledJob| ColumnDef::new(name).text().null().to_owned();
    Table::create()
        .table(ScheduledJob::Table)
        .col(ColumnDef::new(ScheduledJob::Name).text().not_null().primary_key())
        .col(ColumnDef::new(ScheduledJob::Schedule).text().not_null())
        .col(ColumnDef::new(ScheduledJob::DueAt).timestamp_with_time_zone().not_null())
        .col(optional_time(ScheduledJob::RequestedAt))
        .col(optional_time(ScheduledJob::StartedAt))
        .col(optional_time(ScheduledJob::EndedAt))
        .col(ColumnDef::new(ScheduledJob::DurationMs).big_integer().null())
        .col(optional_text(ScheduledJob::Result))
        .col(optional_text(ScheduledJob::Detail))
        .col(count(ScheduledJob::Runs))
        .col(count(ScheduledJob::Failures))
        .col(optional_text(ScheduledJob::Runner))
        .col(optional_text(ScheduledJob::State))
        .to_owned()
}

fn dispatch_turn_table() -> TableCreateStatement {
    let text = |name: DispatchTurn| ColumnDef::new(name).text().not_null().to_owned();
    Table::create()
        .table(DispatchTurn::Table)
        .col(text(DispatchTurn::Pool))
        .col(text(DispatchTurn::Lane))
        .col(text(DispatchTurn::Tenant))
        .col(text(DispatchTurn::UserId))
        .col(ColumnDef::new(DispatchTurn::ServedAt).big_integer().not_null())
        // the dispatch order joins this table with the waiting exports: `entity::dispatch_queue`
        .primary_key(
            Index::create()
                .col(DispatchTurn::Pool)
                .col(DispatchTurn::Lane)
                .col(DispatchTurn::Tenant)
                .col(DispatchTurn::UserId),
        )
        .to_owned()
}
