//! What a database holds at the moment that is backed up: counts, and which files belong to it.

use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use entity::{account, entry, export, ledger, segment};
use protocol::{delivery, export::Status, id::ExportId};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect, Statement,
};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, BufWriter};
use uuid::Uuid;

use super::{
    super::{manifest::Counts, pool},
    BackupError,
};

/// Exports looked at with one query.
const PAGE: u64 = 500;
/// Tables with rows in a fresh installation: they come with the steps of the schema, or by the clock.
const OF_A_FRESH_ONE: [&str; 6] = ["seaql_migrations", "menus", "muscles", "muscle_menus", "lease", "scheduled_job"];

/// What was counted.
#[derive(Clone, Debug)]
pub(in crate::backup) struct Survey {
    /// Counts of rows; those of files are for later.
    pub(in crate::backup) counts: Counts,
    /// The steps of the schema.
    pub(in crate::backup) steps: Vec<String>,
}

/// A completed export whose file belongs to the backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::backup) struct WorkItem {
    /// The export.
    pub(in crate::backup) export: Uuid,
    /// The attempt that made the file.
    pub(in crate::backup) attempt: u32,
    /// Which file of this attempt: its SHA-256, and when it was completed.
    pub(in crate::backup) version: String,
    /// Its segments: index, bytes, SHA-256.
    pub(in crate::backup) segments: Vec<(u32, u64, String)>,
}

/// An object of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::backup) struct Object {
    /// Its path in the file store.
    pub(in crate::backup) path: String,
    /// Its bytes and their SHA-256; a document's are not in the database, and not every format has both documents.
    pub(in crate::backup) known: Option<(u64, String)>,
    /// What tells it from others that were at this path: the SHA-256 of a segment, the version of a document's file.
    pub(in crate::backup) version: String,
}

impl WorkItem {
    /// The objects of the file.
    pub(in crate::backup) fn objects(&self) -> Vec<Object> {
        let (id, attempt) = (ExportId(self.export), self.attempt);
        let segments = self.segments.iter().map(|(index, size, sha256)| Object {
            path: delivery::segment_path(id, attempt, *index),
            known: Some((*size, sha256.clone())),
            version: sha256.clone(),
        });
        let documents = [delivery::metadata_path(id, attempt), delivery::manifest_path(id, attempt)];
        let documents = documents.map(|path| Object { path, known: None, version: self.version.clone() });
        segments.chain(documents).collect()
    }
}

impl Survey {
    /// Counts what is there at this connection's moment, and writes which files belong to it into a file, in the order
    /// of the exports' ids.
    pub(super) async fn take(db: &impl ConnectionTrait, work: &Path, now: DateTime<Utc>) -> Result<Self, BackupError> {
        let counts = Counts {
            exports: export::Entity::find().count(db).await?,
            completed: of_status(&[Status::Completed.as_str()]).count(db).await?,
            unfinished: of_status(&export::UNFINISHED).count(db).await?,
            ledger_entries: entry::Entity::find().count(db).await?,
            accounts: account::Entity::find().count(db).await?,
            unbalanced: ledger::audit(db).await?.len() as u64,
            segments: segment::Entity::find().count(db).await?,
            ..Counts::default()
        };
        let list = "SELECT version FROM seaql_migrations ORDER BY version";
        let rows = db.query_all_raw(Statement::from_string(db.get_database_backend(), list)).await?;
        let steps = rows.iter().map(|row| row.try_get_by_index(0)).collect::<Result<_, _>>()?;
        let failed = || BackupError::local(work.display());
        let mut out = BufWriter::new(tokio::fs::File::create(work).await.map_err(failed())?);
        let mut after = Uuid::nil();
        loop {
            let page = completed(after).all(db).await?;
            let Some(last) = page.last() else { break };
            after = last.id;
            for item in with_segments(db, page, now).await? {
                out.write_all(&pool::line(&item).map_err(failed())?).await.map_err(failed())?;
            }
        }
        out.flush().await.map_err(failed())?;
        Ok(Self { counts, steps })
    }
}

fn of_status(statuses: &[&str]) -> sea_orm::Select<export::Entity> {
    export::Entity::find().filter(export::Column::Status.is_in(statuses.iter().copied()))
}

/// The next page of completed exports by id.
pub(in crate::backup) fn completed(after: Uuid) -> sea_orm::Select<export::Entity> {
    of_status(&[Status::Completed.as_str()])
        .filter(export::Column::Id.gt(after))
        .order_by_asc(export::Column::Id)
        .limit(PAGE)
}

async fn with_segments(
    db: &impl ConnectionTrait,
    page: Vec<export::Model>,
    now: DateTime<Utc>,
) -> Result<Vec<WorkItem>, BackupError> {
    let wanted: Vec<_> = page
        .into_iter()
        .filter(|row| row.delete_requested_at.is_none() && row.expires_at.is_none_or(|at| at > now))
        .collect();
    let rows = segment::Entity::find()
        .filter(segment::Column::ExportId.is_in(wanted.iter().map(|row| row.id)))
        .order_by_asc(segment::Column::ExportId)
        .order_by_asc(segment::Column::Attempt)
        .order_by_asc(segment::Column::Index)
        .all(db)
        .await?;
    let items = wanted.into_iter().map(|row| {
        let of_file = rows.iter().skip(rows.partition_point(|s| s.export_id < row.id));
        let segments = of_file
            .take_while(|s| s.export_id == row.id)
            .filter(|s| s.attempt == row.attempt)
            .map(|s| (s.index.unsigned_abs(), s.size.unsigned_abs(), s.sha256.clone()))
            .collect();
        let at = row.completed_at.map(|at| at.timestamp_micros()).unwrap_or_default();
        let version = format!("{} {at}", row.file_sha256.unwrap_or_default());
        WorkItem { export: row.id, attempt: row.attempt.unsigned_abs(), version, segments }
    });
    Ok(items.collect())
}

/// Reads what a survey wrote.
pub(in crate::backup) async fn work_items(
    work: &PathBuf,
) -> Result<impl futures::Stream<Item = Result<WorkItem, BackupError>> + Send + use<>, BackupError> {
    let what = work.display().to_string();
    let file = tokio::fs::File::open(work).await.map_err(BackupError::local(&what))?;
    let lines = BufReader::new(file).lines();
    Ok(futures::stream::try_unfold((lines, what), |(mut lines, what)| async move {
        let failed = |e| BackupError::local(&what)(e);
        let Some(line) = lines.next_line().await.map_err(failed)? else { return Ok(None) };
        let item = serde_json::from_str(&line).map_err(|e| failed(e.into()))?;
        Ok(Some((item, (lines, what))))
    }))
}

/// Tables with rows that a fresh installation doesn't have.
pub(super) async fn occupied(db: &impl ConnectionTrait) -> Result<Vec<String>, BackupError> {
    let backend = db.get_database_backend();
    let tables = match backend {
        sea_orm::DbBackend::Sqlite => {
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%' ORDER BY 1"
        }
        _ => "SELECT CAST(tablename AS TEXT) FROM pg_tables WHERE schemaname = current_schema() ORDER BY 1",
    };
    let mut found = vec![];
    for row in db.query_all_raw(Statement::from_string(backend, tables)).await? {
        let table: String = row.try_get_by_index(0)?;
        if OF_A_FRESH_ONE.contains(&table.as_str()) {
            continue;
        }
        let any = format!("SELECT 1 FROM \"{}\" LIMIT 1", table.replace('"', "\"\""));
        if db.query_one_raw(Statement::from_string(backend, any)).await?.is_some() {
            found.push(format!("the table {table} has rows"));
        }
    }
    Ok(found)
}
