//! Creates the tables of operators: who is paused, what operators did, and the history of each export, which a trigger
//! of the database writes. Also creates the index for searches by a part of a name.

use sea_orm_migration::{prelude::*, sea_orm::DbBackend};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[derive(Clone, Copy, DeriveIden)]
enum Pause {
    Table,
    Tenant,
    UserId,
    Reason,
    PausedBy,
    PausedAt,
}

#[derive(Clone, Copy, DeriveIden)]
enum OperatorAct {
    Table,
    Seq,
    At,
    Operator,
    Action,
    Tenant,
    UserId,
    ExportId,
    Exporter,
    Reason,
}

#[derive(Clone, Copy, DeriveIden)]
enum ExportHistory {
    Table,
    Seq,
    ExportId,
    At,
    Status,
    Attempt,
    Failures,
    AbandonedAttempts,
    CrashedAttempts,
    WaitedMs,
    WaitingFor,
    Worker,
    CancelRequested,
    DeleteRequested,
}

#[derive(Clone, Copy, DeriveIden)]
enum Export {
    Table,
    Id,
    Tenant,
    UserId,
    Dataset,
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.create_table(pause_table()).await?;
        manager.create_table(act_table()).await?;
        manager.create_table(history_table()).await?;
        for index in indexes() {
            manager.create_index(index).await?;
        }
        let statements: &[&str] = match manager.get_database_backend() {
            DbBackend::Postgres => &POSTGRES_TRIGGERS,
            _ => &SQLITE_TRIGGERS,
        };
        for statement in statements {
            manager.get_connection().execute_unprepared(statement).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let statements: &[&str] = match manager.get_database_backend() {
            DbBackend::Postgres => &[
                "DROP TRIGGER export_history_insert ON export",
                "DROP TRIGGER export_history_update ON export",
                "DROP FUNCTION write_export_history()",
            ],
            _ => &["DROP TRIGGER export_history_insert", "DROP TRIGGER export_history_update"],
        };
        for statement in statements {
            manager.get_connection().execute_unprepared(statement).await?;
        }
        manager.drop_index(Index::drop().name("export_names").table(Export::Table).to_owned()).await?;
        manager.drop_table(Table::drop().table(ExportHistory::Table).to_owned()).await?;
        manager.drop_table(Table::drop().table(OperatorAct::Table).to_owned()).await?;
        manager.drop_table(Table::drop().table(Pause::Table).to_owned()).await
    }
}

fn pause_table() -> TableCreateStatement {
    let text = |name: Pause| ColumnDef::new(name).text().not_null().to_owned();
    Table::create()
        .table(Pause::Table)
        .col(text(Pause::Tenant))
        // empty for the whole tenant; the subject of a token is never empty
        .col(text(Pause::UserId))
        .col(text(Pause::Reason))
        .col(text(Pause::PausedBy))
        .col(ColumnDef::new(Pause::PausedAt).timestamp_with_time_zone().not_null())
        .primary_key(Index::create().col(Pause::Tenant).col(Pause::UserId))
        .to_owned()
}

fn act_table() -> TableCreateStatement {
    let optional_text = |name: OperatorAct| ColumnDef::new(name).text().null().to_owned();
    Table::create()
        .table(OperatorAct::Table)
        .col(ColumnDef::new(OperatorAct::Seq).big_integer().not_null().auto_increment().primary_key())
        .col(ColumnDef::new(OperatorAct::At).timestamp_with_time_zone().not_null())
        .col(ColumnDef::new(OperatorAct::Operator).text().not_null())
        .col(ColumnDef::new(OperatorAct::Action).text().not_null())
        .col(optional_text(OperatorAct::Tenant))
        .col(optional_text(OperatorAct::UserId))
        .col(ColumnDef::new(OperatorAct::ExportId).uuid().null())
        .col(optional_text(OperatorAct::Exporter))
        .col(optional_text(OperatorAct::Reason))
        .to_owned()
}

fn history_table() -> TableCreateStatement {
    let number = |name: ExportHistory| ColumnDef::new(name).integer().not_null().to_owned();
    let optional_text = |name: ExportHistory| ColumnDef::new(name).text().null().to_owned();
    let flag = |name: ExportHistory| ColumnDef::new(name).boolean().not_null().to_owned();
    Table::create()
        .table(ExportHistory::Table)
        .col(ColumnDef::new(ExportHistory::Seq).big_integer().not_null().auto_increment().primary_key())
        .col(ColumnDef::new(ExportHistory::ExportId).uuid().not_null())
        .col(ColumnDef::new(ExportHistory::At).timestamp_with_time_zone().not_null())
        .col(ColumnDef::new(ExportHistory::Status).text().not_null())
        .col(number(ExportHistory::Attempt))
        .col(number(ExportHistory::Failures))
        .col(number(ExportHistory::AbandonedAttempts))
        .col(number(ExportHistory::CrashedAttempts))
        .col(ColumnDef::new(ExportHistory::WaitedMs).big_integer().not_null())
        .col(optional_text(ExportHistory::WaitingFor))
        .col(optional_text(ExportHistory::Worker))
        .col(flag(ExportHistory::CancelRequested))
        .col(flag(ExportHistory::DeleteRequested))
        .foreign_key(
            ForeignKey::create()
                .name("export_history_export")
                .from(ExportHistory::Table, ExportHistory::ExportId)
                .to(Export::Table, Export::Id)
                .on_delete(ForeignKeyAction::Cascade),
        )
        .to_owned()
}

fn indexes() -> [IndexCreateStatement; 3] {
    [
        // the history of one export: `entity::history::of_export`
        Index::create()
            .name("export_history_export")
            .table(ExportHistory::Table)
            .col(ExportHistory::ExportId)
            .col(ExportHistory::Seq)
            .to_owned(),
        // what operators did with one export: `entity::operator_act::of_export`
        Index::create()
            .name("operator_act_export")
            .table(OperatorAct::Table)
            .col(OperatorAct::ExportId)
            .col(OperatorAct::Seq)
            .to_owned(),
        // a search reads this index instead of the wide rows: `entity::operator::list`. None of its columns ever
        // changes, so updates of an export don't touch it
        Index::create()
            .name("export_names")
            .table(Export::Table)
            .col(Export::Id)
            .col(Export::Tenant)
            .col(Export::UserId)
            .col(Export::Dataset)
            .to_owned(),
    ]
}

/// The function of the triggers in PostgreSQL.
pub(crate) const HISTORY_FUNCTION: &str = "write_export_history()";

/// PostgreSQL: one function, which the insert and the relevant updates of a row call.
const POSTGRES_TRIGGERS: [&str; 3] = [
    "CREATE FUNCTION write_export_history() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO export_history (export_id, at, status, attempt, failures, abandoned_attempts, crashed_attempts,
        waited_ms, waiting_for, worker, cancel_requested, delete_requested)
    VALUES (NEW.id, NEW.updated_at, NEW.status, NEW.attempt, NEW.failures, NEW.abandoned_attempts,
        NEW.crashed_attempts, NEW.waited_ms, NEW.waiting_for, NEW.worker, NEW.cancel_requested_at IS NOT NULL,
        NEW.delete_requested_at IS NOT NULL);
    RETURN NULL;
END $$",
    "CREATE TRIGGER export_history_insert AFTER INSERT ON export
FOR EACH ROW EXECUTE FUNCTION write_export_history()",
    "CREATE TRIGGER export_history_update AFTER UPDATE ON export FOR EACH ROW
WHEN (OLD.status IS DISTINCT FROM NEW.status OR OLD.attempt IS DISTINCT FROM NEW.attempt
    OR OLD.worker IS DISTINCT FROM NEW.worker OR OLD.waiting_for IS DISTINCT FROM NEW.waiting_for
    OR OLD.failures IS DISTINCT FROM NEW.failures
    OR OLD.cancel_requested_at IS DISTINCT FROM NEW.cancel_requested_at
    OR OLD.delete_requested_at IS DISTINCT FROM NEW.delete_requested_at)
EXECUTE FUNCTION write_export_history()",
];

/// SQLite: the same as [`POSTGRES_TRIGGERS`]. SQLite has no functions, so both triggers contain the statement.
const SQLITE_TRIGGERS: [&str; 2] = [
    "CREATE TRIGGER export_history_insert AFTER INSERT ON export FOR EACH ROW
BEGIN
    INSERT INTO export_history (export_id, at, status, attempt, failures, abandoned_attempts, crashed_attempts,
        waited_ms, waiting_for, worker, cancel_requested, delete_requested)
    VALUES (NEW.id, NEW.updated_at, NEW.status, NEW.attempt, NEW.failures, NEW.abandoned_attempts,
        NEW.crashed_attempts, NEW.waited_ms, NEW.waiting_for, NEW.worker, NEW.cancel_requested_at IS NOT NULL,
        NEW.delete_requested_at IS NOT NULL);
END",
    "CREATE TRIGGER export_history_update AFTER UPDATE ON export FOR EACH ROW
WHEN OLD.status IS NOT NEW.status OR OLD.attempt IS NOT NEW.attempt
    OR OLD.worker IS NOT NEW.worker OR OLD.waiting_for IS NOT NEW.waiting_for
    OR OLD.failures IS NOT NEW.failures
    OR OLD.cancel_requested_at IS NOT NEW.cancel_requested_at
    OR OLD.delete_requested_at IS NOT NEW.delete_requested_at
BEGIN
    INSERT INTO export_history (export_id, at, status, attempt, failures, abandoned_attempts, crashed_attempts,
        waited_ms, waiting_for, worker, cancel_requested, delete_requested)
    VALUES (NEW.id, NEW.updated_at, NEW.status, NEW.attempt, NEW.failures, NEW.abandoned_attempts,
        NEW.crashed_attempts, NEW.waited_ms, NEW.waiting_for, NEW.worker, NEW.cancel_requested_at IS NOT NULL,
        NEW.delete_requested_at IS NOT NULL);
END",
];
