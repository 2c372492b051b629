//! What runs by the clock: leases with fencing tokens, and one row for each scheduled job.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[derive(DeriveIden)]
enum Lease {
    Table,
    Name,
    Holder,
    Token,
    Beat,
    Until,
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

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let count = |name: DynIden| ColumnDef::new(name).big_integer().not_null().default(0).to_owned();
        let moment = |name: ScheduledJob| ColumnDef::new(name).timestamp_with_time_zone().null().to_owned();
        let text = |name: ScheduledJob| ColumnDef::new(name).text().null().to_owned();
        manager
            .create_table(
                Table::create()
                    .table(Lease::Table)
                    .col(ColumnDef::new(Lease::Name).text().not_null().primary_key())
                    .col(ColumnDef::new(Lease::Holder).text().null())
                    .col(count(Lease::Token.into_iden()))
                    .col(count(Lease::Beat.into_iden()))
                    .col(ColumnDef::new(Lease::Until).timestamp_with_time_zone().not_null())
                    .to_owned(),
            )
            .await?;
        manager
            .create_table(
                Table::create()
                    .table(ScheduledJob::Table)
                    .col(ColumnDef::new(ScheduledJob::Name).text().not_null().primary_key())
                    .col(ColumnDef::new(ScheduledJob::Schedule).text().not_null())
                    .col(ColumnDef::new(ScheduledJob::DueAt).timestamp_with_time_zone().not_null())
                    .col(moment(ScheduledJob::RequestedAt))
                    .col(moment(ScheduledJob::StartedAt))
                    .col(moment(ScheduledJob::EndedAt))
                    .col(ColumnDef::new(ScheduledJob::DurationMs).big_integer().null())
                    .col(text(ScheduledJob::Result))
                    .col(text(ScheduledJob::Detail))
                    .col(count(ScheduledJob::Runs.into_iden()))
                    .col(count(ScheduledJob::Failures.into_iden()))
                    .col(text(ScheduledJob::Runner))
                    .col(text(ScheduledJob::State))
                    .to_owned(),
            )
            .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table(ScheduledJob::Table).to_owned()).await?;
        manager.drop_table(Table::drop().table(Lease::Table).to_owned()).await
    }
}
