//! The inventory of a database snapshot: counts of rows, and the list of the files of completed exports.

use std::path::Path;

use chrono::{DateTime, Utc};
use entity::{account, entry, export, ledger, segment};
use protocol::{delivery, export::Status, id::ExportId};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect, Statement,
};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, BufWriter};
use uuid::Uuid;

use crate::{error::BackupError, manifest::Counts, pool};

/// Number of exports that one query reads.
const PAGE_SIZE: u64 = 500;
/// The tables that have rows even in a new installation. Migrations and the scheduler write these rows.
const INITIAL_TABLES: [&str; 3] = ["seaql_migrations", "lease", "scheduled_job"];

/// The row counts and the migrations of a snapshot.
#[derive(Clone, Debug)]
pub(crate) struct Inventory {
    /// Numbers of rows in the snapshot. The fields for the numbers of files and messages are zero.
    pub(crate) counts: Counts,
    /// The names of the applied migrations, in order.
    pub(crate) migrations: Vec<String>,
}

/// The file of a completed export.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ExportFile {
    /// The id of the export.
    pub(crate) export: Uuid,
    /// The attempt that wrote the file.
    pub(crate) attempt: u32,
    /// An identifier of the bytes of the file: its SHA-256 and completion time. The attempt number is not sufficient,
    /// because after a restore, an attempt with the same number may run again and write other bytes.
    pub(crate) version: String,
    /// The index, the size in bytes and the SHA-256 of each segment.
    pub(crate) segments: Vec<(u32, u64, String)>,
}

/// An object that belongs to an export's file: a segment, the manifest or the metadata document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileObject {
    /// The path in the installation's file store.
    pub(crate) path: String,
    /// Size in bytes and SHA-256 of a segment; `None` for the manifest and the metadata document, whose digests are not
    /// in the database.
    pub(crate) digest: Option<(u64, String)>,
    /// An identifier of the bytes at this path: the SHA-256 of a segment, or the version of the file.
    pub(crate) version: String,
}

impl ExportFile {
    /// Returns the segments and the documents of the file.
    pub(crate) fn objects(&self) -> Vec<FileObject> {
        let (id, attempt) = (ExportId(self.export), self.attempt);
        let segments = self.segments.iter().map(|(index, size, sha256)| FileObject {
            path: delivery::segment_path(id, attempt, *index),
            digest: Some((*size, sha256.clone())),
            version: sha256.clone(),
        });
        let documents = [delivery::metadata_path(id, attempt), delivery::manifest_path(id, attempt)];
        let documents = documents.map(|path| FileObject { path, digest: None, version: self.version.clone() });
        segments.chain(documents).collect()
    }
}

impl Inventory {
    /// Counts the rows of the snapshot, and writes the [`ExportFile`]s to the local file `list`, ordered by export id.
    pub(crate) async fn read(db: &impl ConnectionTrait, list: &Path, now: DateTime<Utc>) -> Result<Self, BackupError> {
        let counts = Counts {
            exports: export::Entity::find().count(db).await?,
            completed: with_status(&[Status::Completed.as_str()]).count(db).await?,
            unfinished: with_status(&export::UNFINISHED).count(db).await?,
            ledger_entries: entry::Entity::find().count(db).await?,
            accounts: account::Entity::find().count(db).await?,
            unbalanced: ledger::audit(db).await?.len() as u64,
            segments: segment::Entity::find().count(db).await?,
            ..Counts::default()
        };
        let query = "SELECT version FROM seaql_migrations ORDER BY version";
        let rows = db.query_all_raw(Statement::from_string(db.get_database_backend(), query)).await?;
        let migrations = rows.iter().map(|row| row.try_get_by_index(0)).collect::<Result<_, _>>()?;
        let failed = || BackupError::local(list.display());
        let mut out = BufWriter::new(tokio::fs::File::create(list).await.map_err(failed())?);
        let mut after = Uuid::nil();
        loop {
            let page = completed_exports(after).all(db).await?;
            let Some(last) = page.last() else { break };
            after = last.id;
            for file in export_files(db, page, now).await? {
                out.write_all(&pool::json_line(&file).map_err(failed())?).await.map_err(failed())?;
            }
        }
        out.flush().await.map_err(failed())?;
        Ok(Self { counts, migrations })
    }
}

fn with_status(statuses: &[&str]) -> sea_orm::Select<export::Entity> {
    export::Entity::find().filter(export::Column::Status.is_in(statuses.iter().copied()))
}

/// Returns the query that reads one page of the completed exports with ids above `after`, ordered by id.
pub(crate) fn completed_exports(after: Uuid) -> sea_orm::Select<export::Entity> {
    with_status(&[Status::Completed.as_str()])
        .filter(export::Column::Id.gt(after))
        .order_by_asc(export::Column::Id)
        .limit(PAGE_SIZE)
}

/// Returns the files of a page of exports. Omits a file whose retention has ended or whose owner requested the
/// deletion, because a notifier may delete the file at any time.
async fn export_files(
    db: &impl ConnectionTrait,
    page: Vec<export::Model>,
    now: DateTime<Utc>,
) -> Result<Vec<ExportFile>, BackupError> {
    let kept: Vec<_> = page
        .into_iter()
        .filter(|row| row.delete_requested_at.is_none() && row.expires_at.is_none_or(|at| at > now))
        .collect();
    let rows = segment::Entity::find()
        .filter(segment::Column::ExportId.is_in(kept.iter().map(|row| row.id)))
        .order_by_asc(segment::Column::ExportId)
        .order_by_asc(segment::Column::Attempt)
        .order_by_asc(segment::Column::Index)
        .all(db)
        .await?;
    let files = kept.into_iter().map(|row| {
        let of_file = rows.iter().skip(rows.partition_point(|s| s.export_id < row.id));
        let segments = of_file
            .take_while(|s| s.export_id == row.id)
            .filter(|s| s.attempt == row.attempt)
            .map(|s| (s.index.unsigned_abs(), s.size.unsigned_abs(), s.sha256.clone()))
            .collect();
        let at = row.completed_at.map(|at| at.timestamp_micros()).unwrap_or_default();
        let version = format!("{} {at}", row.file_sha256.unwrap_or_default());
        ExportFile { export: row.id, attempt: row.attempt.unsigned_abs(), version, segments }
    });
    Ok(files.collect())
}

/// Reads the list that [`Inventory::read`] wrote.
pub(crate) async fn read_export_files(
    list: &Path,
) -> Result<impl futures::Stream<Item = Result<ExportFile, BackupError>> + Send + use<>, BackupError> {
    let name = list.display().to_string();
    let file = tokio::fs::File::open(list).await.map_err(BackupError::local(&name))?;
    let lines = BufReader::new(file).lines();
    Ok(futures::stream::try_unfold((lines, name), |(mut lines, name)| async move {
        let failed = |e| BackupError::local(&name)(e);
        let Some(line) = lines.next_line().await.map_err(failed)? else { return Ok(None) };
        let file = serde_json::from_str(&line).map_err(|e| failed(e.into()))?;
        Ok(Some((file, (lines, name))))
    }))
}

/// Returns a message for each table that has rows but would be empty in a new installation. The list is empty if the
/// database holds no data.
pub(crate) async fn non_empty_tables(db: &impl ConnectionTrait) -> Result<Vec<String>, BackupError> {
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
        if INITIAL_TABLES.contains(&table.as_str()) {
            continue;
        }
        let query = format!("SELECT 1 FROM \"{}\" LIMIT 1", table.replace('"', "\"\""));
        if db.query_one_raw(Statement::from_string(backend, query)).await?.is_some() {
            found.push(format!("the table {table} has rows"));
        }
    }
    Ok(found)
}
