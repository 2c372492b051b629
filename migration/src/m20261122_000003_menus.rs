//! The demo data: training menus, muscles, and which menu trains which muscle.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[derive(DeriveIden)]
enum Menus {
    Table,
    Id,
    Name,
    Category,
}

#[derive(DeriveIden)]
enum Muscles {
    Table,
    Id,
    Name,
}

#[derive(DeriveIden)]
enum MuscleMenus {
    Table,
    Id,
    MuscleId,
    MenuId,
}

const MENUS: [(&str, &str); 6] = [
    ("menu1", "training"),
    ("menu2", "training"),
    ("menu3", "training"),
    ("menu4", "stretch"),
    ("menu5", "stretch"),
    ("menu6", "balance"),
];
const MUSCLES: [&str; 3] = ["muscle1", "muscle2", "muscle3"];
const MUSCLE_MENUS: [(i32, i32); 7] = [(1, 1), (1, 2), (1, 3), (1, 6), (2, 1), (2, 4), (3, 1)];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let id = |name: DynIden| ColumnDef::new(name).integer().not_null().auto_increment().primary_key().to_owned();
        manager
            .create_table(
                Table::create()
                    .table(Menus::Table)
                    .col(id(Menus::Id.into_iden()))
                    .col(ColumnDef::new(Menus::Name).text())
                    .col(ColumnDef::new(Menus::Category).text())
                    .to_owned(),
            )
            .await?;
        manager
            .create_table(
                Table::create()
                    .table(Muscles::Table)
                    .col(id(Muscles::Id.into_iden()))
                    .col(ColumnDef::new(Muscles::Name).text())
                    .to_owned(),
            )
            .await?;
        manager
            .create_table(
                Table::create()
                    .table(MuscleMenus::Table)
                    .col(id(MuscleMenus::Id.into_iden()))
                    .col(ColumnDef::new(MuscleMenus::MuscleId).integer().not_null())
                    .col(ColumnDef::new(MuscleMenus::MenuId).integer().not_null())
                    .foreign_key(
                        ForeignKey::create()
                            .from(MuscleMenus::Table, MuscleMenus::MuscleId)
                            .to(Muscles::Table, Muscles::Id),
                    )
                    .foreign_key(
                        ForeignKey::create().from(MuscleMenus::Table, MuscleMenus::MenuId).to(Menus::Table, Menus::Id),
                    )
                    .to_owned(),
            )
            .await?;

        let mut menus = Query::insert().into_table(Menus::Table).columns([Menus::Name, Menus::Category]).to_owned();
        for (name, category) in MENUS {
            menus.values_panic([name.into(), category.into()]);
        }
        let mut muscles = Query::insert().into_table(Muscles::Table).columns([Muscles::Name]).to_owned();
        for name in MUSCLES {
            muscles.values_panic([name.into()]);
        }
        let mut pairs = Query::insert()
            .into_table(MuscleMenus::Table)
            .columns([MuscleMenus::MuscleId, MuscleMenus::MenuId])
            .to_owned();
        for (muscle, menu) in MUSCLE_MENUS {
            pairs.values_panic([muscle.into(), menu.into()]);
        }
        for insert in [menus, muscles, pairs] {
            manager.execute(insert).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table(MuscleMenus::Table).to_owned()).await?;
        manager.drop_table(Table::drop().table(Muscles::Table).to_owned()).await?;
        manager.drop_table(Table::drop().table(Menus::Table).to_owned()).await
    }
}
