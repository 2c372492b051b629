//! Copies the files of completed exports into the object pool, which stores each object once for all backups. Does not
//! read an object that the pool already has. Reads any other object once, and compares it with the digest in the
//! database.

use std::{
    io,
    path::{Path, PathBuf},
};

use entity::export;
use futures::{StreamExt, TryStreamExt};
use platform::store::{FileStore, FileStoreError};
use protocol::{export::Status, id::ExportId};
use tokio::io::{AsyncWriteExt, BufWriter};
use tracing::warn;

use crate::{
    Source,
    codec::Encoder,
    database::{ExportFile, FileObject, read_export_files},
    digest::{Digest, verify_stream},
    error::BackupError,
    manifest::FileEntry,
    pool::{self, KnownObjects, PoolEntry},
};

/// Largest number of lost objects that a report lists.
const MAX_LOST_OBJECTS: usize = 100;

/// The counts and sizes of the copied files.
#[derive(Clone, Debug, Default)]
pub(crate) struct CopyReport {
    /// Number of exports whose files are in the backup.
    pub(crate) files: u64,
    /// Number of objects of the files in the backup.
    pub(crate) objects: u64,
    /// Size of the files in the backup, in bytes.
    pub(crate) bytes: u64,
    /// Number of objects that the backup added to the pool.
    pub(crate) new_objects: u64,
    /// Stored size of the added objects in bytes.
    pub(crate) new_bytes: u64,
    /// Stored size of all pool objects that the backup references, in bytes.
    pub(crate) pool_bytes: u64,
    /// Number of completed exports whose file was deleted, or whose retention ended, during the backup.
    pub(crate) ended_exports: u64,
    /// At most [`MAX_LOST_OBJECTS`] objects that are missing or damaged in the installation's file store.
    pub(crate) lost_objects: Vec<String>,
}

/// Copies the files of exports into the object pool of one destination.
pub(crate) struct Copier<'a> {
    pub(crate) source: &'a Source,
    pub(crate) destination: &'a FileStore,
    pub(crate) encoder: &'a Encoder,
    pub(crate) known: KnownObjects,
    pub(crate) id: &'a str,
}

/// An object of an export's file, and its copy in the pool.
struct StoredObject {
    file: FileEntry,
    pool: PoolEntry,
    /// Whether this backup copied the object.
    new: bool,
}

/// The result of copying one file.
enum CopiedFile {
    /// All objects of the file are in the pool.
    Stored {
        objects: Vec<StoredObject>,
        /// Size of the file in bytes.
        bytes: u64,
    },
    /// The file was deleted, or its retention ended, during the backup.
    Ended,
    /// An object of the file is missing or damaged in the file store. The value is the path of the object.
    Lost(String),
}

impl Copier<'_> {
    /// Copies the files in the list `export_files`. Writes the list of copied files to `files` and the list of pool
    /// objects to `pool`.
    pub(crate) async fn copy_all(
        &self,
        export_files: &Path,
        files: &PathBuf,
        pool: &PathBuf,
    ) -> Result<CopyReport, BackupError> {
        let create = async |path: &PathBuf| {
            tokio::fs::File::create(path).await.map(BufWriter::new).map_err(BackupError::local(path.display()))
        };
        let (mut files_out, mut pool_out) = (create(files).await?, create(pool).await?);
        let mut report = CopyReport::default();
        let listed = read_export_files(export_files).await?;
        let copies = listed.map_ok(|file| self.copy_file(file)).try_buffered(self.source.config.tuning.concurrency);
        let mut copies = std::pin::pin!(copies);
        while let Some(copied) = copies.try_next().await? {
            match copied {
                CopiedFile::Ended => report.ended_exports += 1,
                CopiedFile::Lost(object) => {
                    warn!(backup.object = %object, "lost object in the file store; the backup omits its file");
                    if report.lost_objects.len() < MAX_LOST_OBJECTS {
                        report.lost_objects.push(object);
                    }
                }
                CopiedFile::Stored { objects, bytes } => {
                    report.files += 1;
                    report.bytes += bytes;
                    for StoredObject { file, pool, new } in objects {
                        report.objects += 1;
                        report.pool_bytes += pool.size;
                        report.new_objects += u64::from(new);
                        report.new_bytes += if new { pool.size } else { 0 };
                        let write = async {
                            files_out.write_all(&pool::json_line(&file)?).await?;
                            pool_out.write_all(&pool::json_line(&pool)?).await
                        };
                        write.await.map_err(BackupError::local("a list of files"))?;
                    }
                }
            }
        }
        let flushed = files_out.flush().await.and(pool_out.flush().await);
        flushed.map_err(BackupError::local("a list of files"))?;
        Ok(report)
    }

    async fn copy_file(&self, file: ExportFile) -> Result<CopiedFile, BackupError> {
        let mut objects = vec![];
        for object in file.objects() {
            let FileObject { path, digest: known, .. } = &object;
            match self.copy_object(&object).await {
                Ok(Some(stored)) => objects.push(stored),
                // not every format has this document
                Ok(None) if known.is_none() => {}
                Ok(None) => return self.lost_or_ended(&file, format!("{path} is missing")).await,
                Err(BackupError::Files(FileStoreError::Source(e))) if e.kind() == io::ErrorKind::InvalidData => {
                    return self.lost_or_ended(&file, format!("{path}: {e}")).await;
                }
                Err(e) => return Err(e),
            }
        }
        // checks the row last, because a document may be absent when the deletion of the file has started
        if self.has_ended(&file).await? {
            return Ok(CopiedFile::Ended);
        }
        Ok(CopiedFile::Stored { objects, bytes: file.segments.iter().map(|(_, size, _)| size).sum() })
    }

    async fn lost_or_ended(&self, file: &ExportFile, object: String) -> Result<CopiedFile, BackupError> {
        Ok(if self.has_ended(file).await? { CopiedFile::Ended } else { CopiedFile::Lost(object) })
    }

    /// Whether the file was deleted after the snapshot, or may be deleted from now on, because its retention has ended
    /// or its owner requested the deletion.
    async fn has_ended(&self, file: &ExportFile) -> Result<bool, BackupError> {
        let row = export::find(&self.source.db, ExportId(file.export)).await?;
        let now = self.source.clock.now();
        Ok(row.is_none_or(|row| {
            row.status != Status::Completed.as_str()
                || row.delete_requested_at.is_some()
                || row.expires_at.is_some_and(|at| at <= now)
        }))
    }

    /// Copies one object into the pool; returns `None` if the file store does not have the object.
    async fn copy_object(&self, object: &FileObject) -> Result<Option<StoredObject>, BackupError> {
        let FileObject { path, digest: known, version } = object;
        let key = pool::object_key(path, version);
        if let Some(pool) = self.known.find(self.destination, &key).await? {
            let file = FileEntry { path: path.clone(), plain: known.clone(), pool: pool.name.clone() };
            return Ok(Some(StoredObject { file, pool: pool.clone(), new: false }));
        }
        let reading = match self.source.store.read(path, None).await {
            Ok(reading) => reading,
            Err(e) if e.is_not_found() => return Ok(None),
            Err(e) => return Err(e.into()),
        };
        let expected = known.as_ref().map(|(size, sha256)| Digest { size: *size, sha256: sha256.clone() });
        let name = pool::object_name(&key, self.id, self.encoder.suffix());
        let bytes = reading.stream.map(|chunk| chunk.map_err(|e| source_error(e.into())));
        let bytes = match expected {
            Some(expected) => verify_stream(bytes, expected, self.source.config.stall_timeout()),
            None => bytes.boxed(),
        };
        let encoded = match self.encoder.write(self.destination, &name, bytes).await {
            Ok(encoded) => encoded,
            // the object was deleted during the read
            Err(BackupError::Files(FileStoreError::Source(e))) if e.kind() == io::ErrorKind::NotFound => {
                return Ok(None);
            }
            Err(e) => return Err(e),
        };
        let plain = Some((encoded.plain.size, encoded.plain.sha256));
        let file = FileEntry { path: path.clone(), plain, pool: name.clone() };
        let pool = PoolEntry { name, size: encoded.stored.size, sha256: encoded.stored.sha256 };
        Ok(Some(StoredObject { file, pool, new: true }))
    }
}

fn source_error(e: FileStoreError) -> io::Error {
    io::Error::new(if e.is_not_found() { io::ErrorKind::NotFound } else { io::ErrorKind::Other }, e)
}
