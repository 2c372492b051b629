//! What differs between the moment of a backup and the moment after a restore: nobody works on anything, no job waits,
//! and some files are not there.

use chrono::{DateTime, Utc};
use entity::{export, lease};
use protocol::{export::Status, id::ExportId};
use sea_orm::{ColumnTrait, DatabaseConnection, EntityTrait, QueryFilter, TransactionTrait, sea_query::Expr};
use uuid::Uuid;

use super::{
    super::{error::BackupError, manifest::FileEntry, pool::Lines},
    database,
};

/// Lets the work of all unfinished exports begin again: those that had a job wait for a new one, and those that ran have
/// a lease that is over, of a worker that is not to blame. Gives how many of each.
pub(super) async fn revive(db: &DatabaseConnection) -> Result<(u64, u64), BackupError> {
    use export::Column;
    let tx = db.begin().await?;
    let queued = export::Entity::update_many()
        .col_expr(Column::Status, Expr::value(Status::Queued.as_str()))
        .col_expr(Column::DispatchedAt, Expr::value(None::<DateTime<Utc>>))
        .filter(Column::Status.eq(Status::Dispatched.as_str()));
    queued.exec(&tx).await?;
    let running = export::Entity::update_many()
        .col_expr(Column::LeaseUntil, Expr::value(DateTime::UNIX_EPOCH))
        .col_expr(Column::Worker, Expr::value(None::<String>))
        .filter(Column::Status.eq(Status::Running.as_str()));
    let revived = running.exec(&tx).await?.rows_affected;
    // whoever held them is no more
    let free = lease::Entity::update_many().col_expr(lease::Column::Holder, Expr::value(None::<String>));
    free.exec(&tx).await?;
    let waiting = export::Entity::find().filter(Column::Status.eq(Status::Queued.as_str()));
    let waiting = sea_orm::PaginatorTrait::count(waiting, &tx).await?;
    tx.commit().await?;
    Ok((waiting, revived))
}

/// Lets completed exports expire whose files are not in the backup. Both lists go by the exports' ids.
pub(super) async fn expire_without_file(
    db: &DatabaseConnection,
    mut files: Lines<FileEntry>,
    now: DateTime<Utc>,
) -> Result<u64, BackupError> {
    let mut next = next_export(&mut files, None).await?;
    let (mut after, mut expired) = (Uuid::nil(), 0);
    loop {
        let page = database::completed(after).all(db).await?;
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

/// The export of the next file after those of `past`.
async fn next_export(files: &mut Lines<FileEntry>, past: Option<Uuid>) -> Result<Option<Uuid>, BackupError> {
    while let Some(entry) = files.next().await? {
        let id = entry.path.split('/').nth(1).and_then(|id| id.parse().ok());
        let id =
            id.ok_or_else(|| BackupError::damaged("files.ndjson", format!("{} is no path of a file", entry.path)))?;
        if Some(id) != past {
            return Ok(Some(id));
        }
    }
    Ok(None)
}

/// Whether an export's end is not in the database.
pub(super) async fn is_unfinished(db: &DatabaseConnection, id: ExportId) -> Result<bool, BackupError> {
    let Some(row) = export::find(db, id).await? else { return Ok(false) };
    Ok(row.status()?.is_unfinished())
}
