//! Restores a backup into an empty installation, and verifies the restored data.
//!
//! The restore verifies every digest of the backup before it changes the target. Then it writes a marker into the file
//! store of the target, and deletes the marker after the last check. So the marker shows that a restore is incomplete,
//! and the operator can restart it. The marker names the database and the streams, so that a restart with other
//! settings deletes nothing.

mod reset;
mod target;
mod verification;

use std::{
    collections::HashMap,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use chrono::{DateTime, Utc};
use futures::TryStreamExt;
use migration::{Migrator, MigratorTrait};
use platform::{bus::Bus, config::DatabaseConfig, store::FileStore};
use sea_orm::DatabaseConnection;
use serde::Serialize;
use tokio::io::AsyncWriteExt;
use tracing::info;

pub use self::target::Target;
use crate::{
    codec::Decoder,
    config::BackupConfig,
    database,
    digest::{ByteStream, Digest, Hasher, verify_stream},
    error::BackupError,
    keys::KeyFiles,
    listing::find,
    manifest::{Contents, FileEntry, Manifest},
    pool::{self, Lines, entries_of},
    streams, verify,
};

/// The parameters of a restore.
#[derive(Clone, Debug)]
pub struct RestorePlan {
    /// The settings with the destination of the backup, and with the time limit.
    pub config: BackupConfig,
    /// The id of the backup, or `latest`.
    pub id: String,
    /// The files with the keys that decrypt the backup.
    pub key_files: KeyFiles,
    /// Whether to restart an interrupted restore of the same target.
    pub restart: bool,
    /// The current time. If the backup does not contain the file of a completed export, the restore ends the retention
    /// of the export at this time.
    pub now: DateTime<Utc>,
}

/// The result of a restore.
#[derive(Clone, Debug, Serialize)]
pub struct Restored {
    /// The id of the backup.
    pub id: String,
    /// The counts and versions of the contents of the backup.
    pub contents: Contents,
    /// Number of newer migrations that the restore applied to the database.
    pub migrations_applied: u64,
    /// Number of exports that wait for dispatch.
    pub queued: u64,
    /// Number of running exports, which an exporter will run again.
    pub resumed: u64,
    /// Number of outcomes that the restore dropped, because the backup does not contain the file of their export. These
    /// exports run again.
    pub dropped_outcomes: u64,
    /// Number of completed exports whose retention the restore ended, because the backup does not have their files.
    pub expired: u64,
    /// Number of accounts that differ from the ledger, as in the backup. `sluice credits audit --rebuild` corrects
    /// them.
    pub unbalanced: u64,
    /// Number of restored objects that the restore read again and whose digest is right.
    pub objects_verified: u64,
}

/// Restores a backup into the target.
///
/// # Errors
/// When the backup is damaged, encrypted for other keys or of a newer version, when the target is not empty or can't be
/// reached, or when the restored data differs from the backup. The restore changes the target only after it has checked
/// the backup and the target.
pub async fn restore(plan: &RestorePlan, target: &Target) -> Result<Restored, BackupError> {
    plan.config.validate()?;
    let restored =
        tokio::time::timeout(plan.config.backup_or_restore_timeout.get(), check_and_restore(plan, target)).await;
    restored.map_err(|_| BackupError::Timeout("the restore"))?
}

async fn check_and_restore(plan: &RestorePlan, target: &Target) -> Result<Restored, BackupError> {
    let source = plan.config.open_destination()?;
    let manifest = find(&source, &plan.id).await?;
    let identities = plan.key_files.identities(&manifest, &source).await?;
    let decoder = Decoder::new(identities, plan.config.stall_timeout());
    let backup = BackupReader { source, config: &plan.config, decoder, manifest };
    let contents = verify::read_contents(&backup.source, &backup.manifest, &backup.decoder).await?;
    check_compatibility(&contents, &target.database)?;
    let location = target.location().await?;
    target.check(&location, plan.restart).await?;
    info!(backup.id = %backup.manifest.id, "verifying the backup");
    verify::verify_digests(&backup.source, &plan.config, &backup.manifest).await?;

    target.write_marker(&backup.manifest.id, location).await?;
    if plan.restart {
        target.clear().await?;
    }
    info!(backup.id = %backup.manifest.id, "restoring the database");
    let db = backup.restore_database(&contents, target).await?;
    let restored = backup.restore_rest(plan, target, contents, &db).await;
    db.close().await?;
    let restored = restored?;
    target.delete_marker().await?;
    Ok(restored)
}

/// Fails for a backup that has a newer database schema, or comes from another database engine.
fn check_compatibility(contents: &Contents, database: &DatabaseConfig) -> Result<(), BackupError> {
    let known: Vec<_> = Migrator::migrations().iter().map(|migration| migration.name().to_owned()).collect();
    if let Some(unknown) = contents.migrations.iter().find(|name| !known.contains(name)) {
        return Err(BackupError::Newer(format!("its schema has the migration {unknown}")));
    }
    if contents.engine != database::engine(database) {
        let detail = format!("the engine is {}, but database.url names another engine", contents.engine);
        return Err(BackupError::damaged("the database", detail));
    }
    Ok(())
}

/// Reads the parts of one backup.
struct BackupReader<'a> {
    source: FileStore,
    config: &'a BackupConfig,
    decoder: Decoder,
    manifest: Manifest,
}

impl BackupReader<'_> {
    async fn part(&self, stem: &str) -> Result<(ByteStream, String), BackupError> {
        let part = self.manifest.part(stem)?;
        let path = self.manifest.path(&part.name);
        Ok((self.decoder.read(&self.source, &path, &Digest::from(part)).await?, path))
    }

    async fn lines<T: serde::de::DeserializeOwned>(&self, stem: &str) -> Result<Lines<T>, BackupError> {
        let (bytes, path) = self.part(stem).await?;
        Ok(Lines::new(bytes, path))
    }

    /// Loads the database from the backup, and compares its row counts with the counts in the backup.
    async fn restore_database(&self, contents: &Contents, target: &Target) -> Result<DatabaseConnection, BackupError> {
        let (bytes, _) = self.part(database::PART_STEM).await?;
        let db = database::load(&target.database, self.config, &contents.engine, bytes).await?;
        if let Err(e) = verification::verify_counts(&db, &contents.counts).await {
            db.close().await?;
            return Err(e);
        }
        Ok(db)
    }

    async fn restore_rest(
        &self,
        plan: &RestorePlan,
        target: &Target,
        contents: Contents,
        db: &DatabaseConnection,
    ) -> Result<Restored, BackupError> {
        let before = contents.migrations.len();
        Migrator::up(db, None).await?;
        let migrations_applied = (Migrator::migrations().len() - before) as u64;
        let reset::Unfinished { queued, resumed } = reset::reset_unfinished(db).await?;
        let expired = reset::expire_without_file(db, self.lines("files.").await?, plan.now).await?;
        info!(backup.objects = contents.counts.objects, "restoring files");
        let written = tempfile::NamedTempFile::new().map_err(BackupError::local("a list of files"))?;
        self.restore_files(&target.store, &contents, written.path()).await?;
        let dropped_outcomes = self.restore_streams(&target.bus, db, &contents).await?;
        info!("verifying the restored data");
        let unbalanced = verification::verify_ledger(db, &contents.counts).await?;
        let objects_verified = verification::verify_objects(&target.store, self.config, written.path()).await?;
        let id = self.manifest.id.clone();
        Ok(Restored {
            id,
            contents,
            migrations_applied,
            queued,
            resumed,
            dropped_outcomes,
            expired,
            unbalanced,
            objects_verified,
        })
    }

    /// Copies every listed object to its path, and writes the list of the copied objects to the local file `written`.
    async fn restore_files(&self, store: &FileStore, contents: &Contents, written: &Path) -> Result<(), BackupError> {
        let stored = self.pool_digests().await?;
        let entries = self.lines::<FileEntry>("files.").await?;
        let entries = futures::stream::try_unfold(entries, |mut entries| async move {
            Ok::<_, BackupError>(entries.next().await?.map(|entry| (entry, entries)))
        });
        let copies = entries.map_ok(|entry| self.restore_object(store, &stored, entry));
        let copies = copies.try_buffered(self.config.tuning.concurrency);
        let mut copies = std::pin::pin!(copies);
        let failed = || BackupError::local("a list of files");
        let mut out = tokio::io::BufWriter::new(tokio::fs::File::create(written).await.map_err(failed())?);
        let mut count = 0;
        while let Some(entry) = copies.try_next().await? {
            out.write_all(&pool::json_line(&entry).map_err(failed())?).await.map_err(failed())?;
            count += 1;
        }
        out.flush().await.map_err(failed())?;
        let expected = contents.counts.objects;
        if count != expected {
            return Err(BackupError::Mismatch(format!("{count} objects, expected {expected}")));
        }
        Ok(())
    }

    /// Reads the digests of the pool objects that the backup references, by the name of the object.
    async fn pool_digests(&self) -> Result<HashMap<String, Digest>, BackupError> {
        let plain = Decoder::new(vec![], self.config.stall_timeout());
        let mut entries = entries_of(&self.source, &self.manifest, &plain).await?;
        let mut digests = HashMap::new();
        while let Some(entry) = entries.next().await? {
            digests.insert(entry.name.clone(), entry.digest());
        }
        Ok(digests)
    }

    async fn restore_object(
        &self,
        store: &FileStore,
        stored: &HashMap<String, Digest>,
        entry: FileEntry,
    ) -> Result<FileEntry, BackupError> {
        let digest =
            stored.get(&entry.pool).ok_or_else(|| BackupError::damaged(&entry.pool, "not in the pool list"))?;
        let bytes = self.decoder.read(&self.source, &entry.pool, digest).await?;
        let hasher = Arc::new(Mutex::new(Hasher::default()));
        let hashing = Arc::clone(&hasher);
        let bytes = bytes.inspect_ok(move |chunk| {
            hashing.lock().unwrap_or_else(PoisonError::into_inner).update(chunk);
        });
        let bytes: ByteStream = match &entry.plain {
            Some((size, sha256)) => {
                let expected = Digest { size: *size, sha256: sha256.clone() };
                verify_stream(bytes, expected, self.config.stall_timeout())
            }
            None => Box::pin(bytes),
        };
        store.write(&entry.path, bytes).await.map_err(|e| BackupError::damaged(&entry.pool, e))?;
        let hasher = std::mem::take(&mut *hasher.lock().unwrap_or_else(PoisonError::into_inner));
        let Digest { size, sha256 } = hasher.finish();
        Ok(FileEntry { plain: Some((size, sha256)), ..entry })
    }

    /// Publishes the saved messages. Drops an outcome if it completes an export that is unfinished in the database,
    /// because the file of such an export is not in the backup. Returns the number of dropped outcomes.
    async fn restore_streams(
        &self,
        bus: &Bus,
        db: &DatabaseConnection,
        contents: &Contents,
    ) -> Result<u64, BackupError> {
        let mut dropped = 0;
        let counts = [contents.counts.outcomes, contents.counts.dead_letters];
        for ((stream, _), expected) in streams::SAVED_STREAMS.into_iter().zip(counts) {
            let mut lines = self.lines::<streams::SavedMessage>(&format!("streams/{stream}.")).await?;
            let mut count = 0;
            while let Some(saved) = lines.next().await? {
                count += 1;
                if let Some(id) = saved.completed_export()
                    && reset::is_unfinished(db, id).await?
                {
                    dropped += 1;
                    continue;
                }
                streams::publish(bus, stream, &saved).await?;
            }
            if count != expected {
                return Err(BackupError::Mismatch(format!("{stream}: {count} messages, expected {expected}")));
            }
        }
        Ok(dropped)
    }
}
