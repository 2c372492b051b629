//! Files on their way into the pool: each object is read once, checked against what the database says of it, and stored
//! if no kept backup has it already.

use std::{io, path::PathBuf};

use entity::export;
use futures::{StreamExt, TryStreamExt};
use platform::store::{FileStore, FileStoreError};
use protocol::{export::Status, id::ExportId};
use tokio::io::{AsyncWriteExt, BufWriter};
use tracing::warn;

use super::{
    Source,
    database::{Object, WorkItem, work_items},
    error::BackupError,
    manifest::FileEntry,
    pool::{self, Known, PoolEntry},
    seal::{Digest, Sealer, checked},
};

/// At most this many lost objects are named.
const NAMED: usize = 100;

/// What became of the files.
#[derive(Clone, Debug, Default)]
pub(super) struct Copied {
    /// Exports whose files are in.
    pub(super) files: u64,
    /// Their objects.
    pub(super) objects: u64,
    /// Bytes of the files.
    pub(super) bytes: u64,
    /// Of these objects those that were copied now.
    pub(super) new_objects: u64,
    /// Their bytes.
    pub(super) new_bytes: u64,
    /// Bytes in the pool that the backup needs.
    pub(super) pool_bytes: u64,
    /// Exports that ended while the backup was made.
    pub(super) left_out: u64,
    /// Objects that are missing or damaged in the file store.
    pub(super) lost: Vec<String>,
}

/// Copies files.
pub(super) struct Copier<'a> {
    pub(super) source: &'a Source,
    pub(super) destination: &'a FileStore,
    pub(super) sealer: &'a Sealer,
    pub(super) known: Known,
    pub(super) id: &'a str,
}

/// The objects of one file.
enum Fate {
    /// In the pool: each with whether it was copied now; and the bytes of the file.
    Kept(Vec<(FileEntry, PoolEntry, bool)>, u64),
    /// It ended meanwhile.
    Ended,
    /// This object is missing or damaged.
    Lost(String),
}

impl Copier<'_> {
    /// Copies what the survey found, and writes the list of files and that of the pool.
    pub(super) async fn run(&self, work: &PathBuf, files: &PathBuf, pool: &PathBuf) -> Result<Copied, BackupError> {
        let create = async |path: &PathBuf| {
            tokio::fs::File::create(path).await.map(BufWriter::new).map_err(BackupError::local(path.display()))
        };
        let (mut files_out, mut pool_out) = (create(files).await?, create(pool).await?);
        let mut copied = Copied::default();
        let items = work_items(work).await?;
        let fates = items.map_ok(|item| self.item(item)).try_buffered(self.source.config.concurrency);
        let mut fates = std::pin::pin!(fates);
        while let Some(fate) = fates.try_next().await? {
            match fate {
                Fate::Ended => copied.left_out += 1,
                Fate::Lost(what) => {
                    warn!(backup.object = %what, "an object of a file is lost; the file is not in the backup");
                    if copied.lost.len() < NAMED {
                        copied.lost.push(what);
                    }
                }
                Fate::Kept(entries, size) => {
                    copied.files += 1;
                    copied.bytes += size;
                    for (entry, stored, new) in entries {
                        copied.objects += 1;
                        copied.pool_bytes += stored.size;
                        copied.new_objects += u64::from(new);
                        copied.new_bytes += if new { stored.size } else { 0 };
                        let write = async {
                            files_out.write_all(&pool::line(&entry)?).await?;
                            pool_out.write_all(&pool::line(&stored)?).await
                        };
                        write.await.map_err(BackupError::local("a list of files"))?;
                    }
                }
            }
        }
        let flushed = files_out.flush().await.and(pool_out.flush().await);
        flushed.map_err(BackupError::local("a list of files"))?;
        Ok(copied)
    }

    async fn item(&self, item: WorkItem) -> Result<Fate, BackupError> {
        let mut entries = vec![];
        for object in item.objects() {
            let Object { path, known, .. } = &object;
            match self.object(&object).await {
                Ok(Some((entry, stored, new))) => entries.push((entry, stored, new)),
                // a document that this format does not have
                Ok(None) if known.is_none() => {}
                Ok(None) => return self.gone(&item, format!("{path} is missing")).await,
                Err(BackupError::Files(FileStoreError::Source(e))) if e.kind() == io::ErrorKind::InvalidData => {
                    return self.gone(&item, format!("{path}: {e}")).await;
                }
                Err(e) => return Err(e),
            }
        }
        // deleting begins with any of the objects, so that a document's absence may be its beginning
        let size = item.segments.iter().map(|(_, size, _)| size).sum();
        if self.is_over(&item).await? { Ok(Fate::Ended) } else { Ok(Fate::Kept(entries, size)) }
    }

    async fn gone(&self, item: &WorkItem, what: String) -> Result<Fate, BackupError> {
        Ok(if self.is_over(item).await? { Fate::Ended } else { Fate::Lost(what) })
    }

    /// Whether the file was deleted meanwhile, or is about to be.
    async fn is_over(&self, item: &WorkItem) -> Result<bool, BackupError> {
        let row = export::find(&self.source.db, ExportId(item.export)).await?;
        let now = self.source.clock.now();
        Ok(row.is_none_or(|row| {
            row.status != Status::Completed.as_str()
                || row.delete_requested_at.is_some()
                || row.expires_at.is_some_and(|at| at <= now)
        }))
    }

    /// One object into the pool; None when it is not there.
    async fn object(&self, object: &Object) -> Result<Option<(FileEntry, PoolEntry, bool)>, BackupError> {
        let Object { path, known, version } = object;
        let key = pool::key(path, version);
        if let Some(stored) = self.known.find(self.destination, &key).await? {
            let entry = FileEntry { path: path.clone(), plain: known.clone(), pool: stored.name.clone() };
            return Ok(Some((entry, stored.clone(), false)));
        }
        let reading = match self.source.store.read(path, None).await {
            Ok(reading) => reading,
            Err(e) if e.is_not_found() => return Ok(None),
            Err(e) => return Err(e.into()),
        };
        let expected = known.as_ref().map(|(size, sha256)| Digest { size: *size, sha256: sha256.clone() });
        let name = pool::name(&key, self.id, self.sealer.suffix());
        let stall = self.source.config.stall();
        let pieces = reading.stream.map(|piece| piece.map_err(|e| source_error(e.into())));
        let pieces = match expected {
            Some(expected) => checked(pieces, expected, stall),
            None => pieces.boxed(),
        };
        let sealed = self.sealer.seal(self.destination, &name, pieces).await;
        let sealed = match sealed {
            Ok(sealed) => sealed,
            // deleted while it was read
            Err(BackupError::Files(FileStoreError::Source(e))) if e.kind() == io::ErrorKind::NotFound => {
                return Ok(None);
            }
            Err(e) => return Err(e),
        };
        let plain = Some((sealed.plain.size, sealed.plain.sha256));
        let entry = FileEntry { path: path.clone(), plain, pool: name.clone() };
        Ok(Some((entry, PoolEntry { name, size: sealed.stored.size, sha256: sealed.stored.sha256 }, true)))
    }
}

fn source_error(e: FileStoreError) -> io::Error {
    io::Error::new(if e.is_not_found() { io::ErrorKind::NotFound } else { io::ErrorKind::Other }, e)
}
