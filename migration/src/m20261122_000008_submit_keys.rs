//! Idempotency keys in a table of their own: two keys may name the same export, as an identical running export is joined.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[derive(DeriveIden)]
enum Export {
    Table,
    Id,
    Tenant,
    UserId,
    IdempotencyKey,
    RequestHash,
    RequestedAt,
}

#[derive(DeriveIden)]
enum SubmitKey {
    Table,
    Tenant,
    UserId,
    Key,
    RequestHash,
    ExportId,
    At,
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let text = |name: SubmitKey| ColumnDef::new(name).text().not_null().to_owned();
        manager
            .create_table(
                Table::create()
                    .table(SubmitKey::Table)
                    .col(text(SubmitKey::Tenant))
                    .col(text(SubmitKey::UserId))
                    .col(text(SubmitKey::Key))
                    .col(text(SubmitKey::RequestHash))
                    .col(ColumnDef::new(SubmitKey::ExportId).uuid().not_null())
                    .col(ColumnDef::new(SubmitKey::At).timestamp_with_time_zone().not_null())
                    .primary_key(Index::create().col(SubmitKey::Tenant).col(SubmitKey::UserId).col(SubmitKey::Key))
                    .foreign_key(
                        ForeignKey::create()
                            .from(SubmitKey::Table, SubmitKey::ExportId)
                            .to(Export::Table, Export::Id)
                            .on_delete(ForeignKeyAction::Cascade),
                    )
                    .to_owned(),
            )
            .await?;
        let of_exports = Query::select()
            .columns([
                Export::Tenant,
                Export::UserId,
                Export::IdempotencyKey,
                Export::RequestHash,
                Export::Id,
                Export::RequestedAt,
            ])
            .from(Export::Table)
            .and_where(Expr::col(Export::IdempotencyKey).is_not_null())
            .to_owned();
        let mut moved = Query::insert()
            .into_table(SubmitKey::Table)
            .columns([
                SubmitKey::Tenant,
                SubmitKey::UserId,
                SubmitKey::Key,
                SubmitKey::RequestHash,
                SubmitKey::ExportId,
                SubmitKey::At,
            ])
            .to_owned();
        let moved = moved.select_from(of_exports).map_err(|e| DbErr::Custom(e.to_string()))?.to_owned();
        manager.execute(moved).await?;
        manager.drop_index(Index::drop().name("export_idempotency").table(Export::Table).to_owned()).await?;
        for column in [Export::IdempotencyKey, Export::RequestHash] {
            manager.alter_table(Table::alter().table(Export::Table).drop_column(column).to_owned()).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let key = ColumnDef::new(Export::IdempotencyKey).text().null().to_owned();
        let hash = ColumnDef::new(Export::RequestHash).text().not_null().default("").to_owned();
        for column in [key, hash] {
            manager.alter_table(Table::alter().table(Export::Table).add_column(column).to_owned()).await?;
        }
        // of several keys of one export, the earlier version can keep one
        for (column, of_key) in
            [(Export::IdempotencyKey, SubmitKey::Key), (Export::RequestHash, SubmitKey::RequestHash)]
        {
            let first = Query::select()
                .expr(Expr::col((SubmitKey::Table, of_key)))
                .from(SubmitKey::Table)
                .and_where(Expr::col((SubmitKey::Table, SubmitKey::ExportId)).equals((Export::Table, Export::Id)))
                .order_by((SubmitKey::Table, SubmitKey::Key), Order::Asc)
                .limit(1)
                .to_owned();
            let named = Query::select().column(SubmitKey::ExportId).from(SubmitKey::Table).to_owned();
            let back = Query::update()
                .table(Export::Table)
                .value(column, Expr::SubQuery(None, Box::new(first.into())))
                .and_where(Expr::col(Export::Id).in_subquery(named))
                .to_owned();
            manager.execute(back).await?;
        }
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
        manager.drop_table(Table::drop().table(SubmitKey::Table).to_owned()).await
    }
}
