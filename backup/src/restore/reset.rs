//! Prepares a restored database for operation. After a restore, no exporter is running an export, no stream contains a
//! job, and some files may be missing.

use chrono::{DateTime, Utc};
use entity::{export, lease};
use protocol::{export::Status, id::ExportId};
use sea_orm::{ColumnTrait, DatabaseConnection, EntityTrait, QueryFilter, TransactionTrait, sea_query::Expr};
use uuid::Uuid;

use super::database;
use crate::{error::BackupError, manifest::FileEntry, pool::Lines};

/// The numbers of unfinished exports in the restored database.
pub(crate) struct Unfinished {
    /// Number of exports that wait for dispatch.
    pub(crate) queued: u64,
    /// Number of running exports, which an exporter will run again.
    pub(crate) resumed: u64,
}

/// Sets the status of dispatched exports to `queued`. Ends the leases of running exports by clearing `worker`, so that
/// the interruption does not count as a failure. Releases the leases that notifiers of the former installation held.
pub(crate) async fn reset_unfinished(db: &DatabaseConnection) -> Result<Unfinished, BackupError> {
    use export::Column;
    let tx = db.begin().await?;
    let dispatched = export::Entity::update_many()
        .col_expr(Column::Status, Expr::value(Status::Queued.as_str()))
        .col_expr(Column::DispatchedAt, Expr::value(None::<DateTime<Utc>>))
        .filter(Column::Status.eq(Status::Dispatched.as_str()));
    dispatched.exec(&tx).await?;
    let running = export::Entity::update_many()
        .col_expr(Column::Worker, Expr::value(None::<String>))
        .filter(Column::Status.eq(Status::Running.as_str()));
    let resumed = running.exec(&tx).await?.rows_affected;
    // the holders of the leases belong to the former installation
    let free = lease::Entity::update_many().col_expr(lease::Column::Holder, Expr::value(None::<String>));
    free.exec(&tx).await?;
    let queued = export::Entity::find().filter(Column::Status.eq(Status::Queued.as_str()));
    let queued = sea_orm::PaginatorTrait::count(queued, &tx).await?;
    tx.commit().await?;
    Ok(Unfinished { queued, resumed })
}

/// Ends the retention of the completed exports whose files are not in the backup, and returns their number. `files`
/// lists the objects in the backup, ordered by export id.
pub(crate) async fn expire_without_file(
    db: &DatabaseConnection,
    mut files: Lines<FileEntry>,
    now: DateTime<Utc>,
) -> Result<u64, BackupError> {
    let mut next = next_export(&mut files, None).await?;
    let (mut after, mut expired) = (Uuid::nil(), 0);
    loop {
        let page = database::completed_exports(after).all(db).await?;
        let Some(last) = page.last() else { return Ok(expired) };
        after = last.id;
        for row in page {
            while let Some(id) = next.filter(|id| *id < row.id) {
                next = next_export(&mut files, Some(id)).await?;
            }
            if next == Some(row.id) || row.expires_at.is_some_and(|at| at <= now) {
                continue;
            }
            let update = export::Entity::update_many()
                .col_expr(export::Column::ExpiresAt, Expr::value(now))
                .filter(export::Column::Id.eq(row.id));
            expired += update.exec(db).await?.rows_affected;
        }
    }
}

/// Returns the next export id in the list that differs from `current`; `None` at the end of the list.
async fn next_export(files: &mut Lines<FileEntry>, current: Option<Uuid>) -> Result<Option<Uuid>, BackupError> {
    while let Some(entry) = files.next().await? {
        let id = entry.path.split('/').nth(1).and_then(|id| id.parse().ok());
        let id = id.ok_or_else(|| BackupError::damaged("files.ndjson", format!("invalid path {}", entry.path)))?;
        if Some(id) != current {
            return Ok(Some(id));
        }
    }
    Ok(None)
}

/// Whether the restored database has this export and the export has not ended.
pub(crate) async fn is_unfinished(db: &DatabaseConnection, id: ExportId) -> Result<bool, BackupError> {
    let Some(row) = export::find(db, id).await? else { return Ok(false) };
    Ok(row.status()?.is_unfinished())
}
