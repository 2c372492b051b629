//! Restores a backup into an empty installation, and proves that everything in it is there.
//!
//! Nothing is touched before every digest of the backup was checked. Then a mark is left at the target, and taken away
//! when the proof is done: an installation with the mark is half of one, and the restore can be begun again on it. The mark
//! says which database and streams it is about, so that no others are emptied that nobody looked at.

mod fixup;
mod proof;
mod target;

use chrono::{DateTime, Utc};
use futures::TryStreamExt;
use migration::{Migrator, MigratorTrait};
use platform::{
    bus::Bus,
    config::{DatabaseConfig, StoreConfig},
    store::FileStore,
};
use sea_orm::DatabaseConnection;
use serde::Serialize;
use tracing::info;

pub use self::target::Target;
use super::{
    config::BackupConfig,
    database,
    error::BackupError,
    keys::Unlock,
    listing::find,
    manifest::{Contents, FileEntry, Manifest},
    pool::{self, Lines, entries_of},
    seal::{Digest, Opener, check, checked},
    streams, verify,
};

/// What to restore.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where backups are; tools and deadlines are those of here.
    pub config: BackupConfig,
    /// An id, or `latest`.
    pub id: String,
    /// What opens it.
    pub unlock: Unlock,
    /// Whether to begin again where a restore did not end.
    pub again: bool,
    /// The time.
    pub now: DateTime<Utc>,
}

/// What a restore did.
#[derive(Clone, Debug, Serialize)]
pub struct Restored {
    /// The backup.
    pub id: String,
    /// What was in it, all of which is there now.
    pub contents: Contents,
    /// Steps of the schema that the backup did not have.
    pub steps_applied: u64,
    /// Exports that wait for their turn again.
    pub queued: u64,
    /// Exports whose work begins again.
    pub revived: u64,
    /// Outcomes that were not restored, as their files are not in the backup: the work is done again.
    pub redone: u64,
    /// Completed exports whose file is not in the backup: it expires now.
    pub expired: u64,
    /// Accounts that do not add up with the ledger, as in the backup: see `sluice credits audit --rebuild`.
    pub unbalanced: u64,
    /// Objects that were read back and had the right digest.
    pub objects_proven: u64,
}

/// Restores.
///
/// # Errors
/// When the backup is damaged, encrypted for others or too new, when the target isn't empty or can't be reached, or when
/// what was restored isn't what the backup held. Only what comes after the check of the target changes it.
pub async fn restore(plan: &Plan, target: &Target) -> Result<Restored, BackupError> {
    plan.config.validate()?;
    let deadline = plan.config.deadline();
    tokio::time::timeout(deadline, restoring(plan, target)).await.map_err(|_| BackupError::Timeout("the restore"))?
}

async fn restoring(plan: &Plan, target: &Target) -> Result<Restored, BackupError> {
    let source = plan.config.destination()?;
    let manifest = find(&source, &plan.id).await?;
    let identities = plan.unlock.identities(&manifest, &source).await?;
    let from = From { source, config: &plan.config, opener: Opener::new(identities, plan.config.stall()), manifest };
    let contents = verify::contents_of(&from.source, &from.manifest, &from.opener).await?;
    fits(&contents, &target.database)?;
    let place = target.place().await?;
    target.admit(&place, plan.again).await?;
    info!(backup.id = %from.manifest.id, "checking every digest of the backup");
    verify::digests(&from.source, &plan.config, &from.manifest).await?;

    target.mark(&from.manifest.id, place).await?;
    if plan.again {
        target.clear().await?;
    }
    info!(backup.id = %from.manifest.id, "restoring the database");
    let db = from.database(&contents, target).await?;
    let restored = from.rest(plan, target, contents, &db).await;
    db.close().await?;
    let restored = restored?;
    target.unmark().await?;
    Ok(restored)
}

/// A restore goes up from an older schema, and never to another engine.
fn fits(contents: &Contents, database: &DatabaseConfig) -> Result<(), BackupError> {
    let known: Vec<_> = Migrator::migrations().iter().map(|step| step.name().to_owned()).collect();
    if let Some(unknown) = contents.steps.iter().find(|step| !known.contains(step)) {
        return Err(BackupError::Newer(format!("its schema has {unknown}")));
    }
    if contents.engine != database::engine(database) {
        let detail = format!("is that of {}, and database.url names another engine", contents.engine);
        return Err(BackupError::damaged("the database in it", detail));
    }
    Ok(())
}

/// A backup that was checked and can be opened.
struct From<'a> {
    source: FileStore,
    config: &'a BackupConfig,
    opener: Opener,
    manifest: Manifest,
}

impl From<'_> {
    async fn open(&self, stem: &str) -> Result<(super::seal::Pieces, String), BackupError> {
        let part = self.manifest.part(stem)?;
        let path = self.manifest.path(&part.name);
        Ok((self.opener.open(&self.source, &path, &Digest::from(part)).await?, path))
    }

    async fn lines<T: serde::de::DeserializeOwned>(&self, stem: &str) -> Result<Lines<T>, BackupError> {
        let (pieces, path) = self.open(stem).await?;
        Ok(Lines::of(pieces, path))
    }

    /// The database as it was; its counts are proven before anything in it changes.
    async fn database(&self, contents: &Contents, target: &Target) -> Result<DatabaseConnection, BackupError> {
        let (pieces, _) = self.open(database::STEM).await?;
        let db = database::put(&target.database, self.config, &contents.engine, pieces).await?;
        let proven = proof::counts(&db, &contents.counts).await;
        if let Err(e) = proven {
            db.close().await?;
            return Err(e);
        }
        Ok(db)
    }

    async fn rest(
        &self,
        plan: &Plan,
        target: &Target,
        contents: Contents,
        db: &DatabaseConnection,
    ) -> Result<Restored, BackupError> {
        let before = contents.steps.len();
        Migrator::up(db, None).await?;
        let steps_applied = (Migrator::migrations().len() - before) as u64;
        let (queued, revived) = fixup::revive(db).await?;
        let expired = fixup::expire_without_file(db, self.lines("files.").await?, plan.now).await?;
        info!(backup.objects = contents.counts.objects, "restoring files");
        let scratch = tempfile::NamedTempFile::new().map_err(BackupError::local("a list of files"))?;
        self.files(&target.store, &contents, scratch.path()).await?;
        let redone = self.streams(&target.bus, db, &contents).await?;
        info!("reading everything back");
        let unbalanced = proof::ledger(db, &contents.counts).await?;
        let objects_proven = proof::objects(&target.store, self.config, scratch.path()).await?;
        let id = self.manifest.id.clone();
        Ok(Restored { id, contents, steps_applied, queued, revived, redone, expired, unbalanced, objects_proven })
    }

    /// Every object of the list to its place; what was written is noted in `written` to be read back.
    async fn files(
        &self,
        store: &FileStore,
        contents: &Contents,
        written: &std::path::Path,
    ) -> Result<(), BackupError> {
        let stored = self.stored().await?;
        let entries = self.lines::<FileEntry>("files.").await?;
        let entries = futures::stream::try_unfold(entries, |mut entries| async move {
            Ok::<_, BackupError>(entries.next().await?.map(|entry| (entry, entries)))
        });
        let copies = entries.map_ok(|entry| self.file(store, &stored, entry)).try_buffered(self.config.concurrency);
        let mut copies = std::pin::pin!(copies);
        let failed = || BackupError::local("a list of files");
        let mut out = tokio::io::BufWriter::new(tokio::fs::File::create(written).await.map_err(failed())?);
        let mut count = 0;
        while let Some(entry) = copies.try_next().await? {
            use tokio::io::AsyncWriteExt;
            out.write_all(&pool::line(&entry).map_err(failed())?).await.map_err(failed())?;
            count += 1;
        }
        tokio::io::AsyncWriteExt::flush(&mut out).await.map_err(failed())?;
        if count != contents.counts.objects {
            return Err(BackupError::Unproven(format!("{count} objects where it held {}", contents.counts.objects)));
        }
        Ok(())
    }

    /// The digests of the objects in the pool as they are stored.
    async fn stored(&self) -> Result<std::collections::HashMap<String, Digest>, BackupError> {
        let plain = Opener::new(vec![], self.config.stall());
        let mut entries = entries_of(&self.source, &self.manifest, &plain).await?;
        let mut stored = std::collections::HashMap::new();
        while let Some(entry) = entries.next().await? {
            stored.insert(entry.name.clone(), entry.digest());
        }
        Ok(stored)
    }

    async fn file(
        &self,
        store: &FileStore,
        stored: &std::collections::HashMap<String, Digest>,
        entry: FileEntry,
    ) -> Result<FileEntry, BackupError> {
        let digest = stored.get(&entry.pool).ok_or_else(|| BackupError::damaged(&entry.pool, "not in its own list"))?;
        let pieces = self.opener.open(&self.source, &entry.pool, digest).await?;
        let hash = std::sync::Arc::new(std::sync::Mutex::new(super::seal::Hash::default()));
        let hashing = std::sync::Arc::clone(&hash);
        let pieces = pieces.inspect_ok(move |piece| {
            hashing.lock().unwrap_or_else(std::sync::PoisonError::into_inner).add(piece);
        });
        let pieces: super::seal::Pieces = match &entry.plain {
            Some((size, sha256)) => {
                let expected = Digest { size: *size, sha256: sha256.clone() };
                checked(pieces, expected, self.config.stall())
            }
            None => Box::pin(pieces),
        };
        store.write(&entry.path, pieces).await.map_err(|e| BackupError::damaged(&entry.pool, e))?;
        let hash = std::mem::take(&mut *hash.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
        let Digest { size, sha256 } = hash.digest();
        Ok(FileEntry { plain: Some((size, sha256)), ..entry })
    }

    /// All messages but those that would complete an export whose file is not there.
    async fn streams(&self, bus: &Bus, db: &DatabaseConnection, contents: &Contents) -> Result<u64, BackupError> {
        let mut redone = 0;
        for ((stream, _), expected) in
            streams::STREAMS.into_iter().zip([contents.counts.outcomes, contents.counts.dead])
        {
            let mut lines = self.lines::<streams::Kept>(&format!("streams/{stream}.")).await?;
            let mut count = 0;
            while let Some(kept) = lines.next().await? {
                count += 1;
                if let Some(id) = kept.completes()
                    && fixup::is_unfinished(db, id).await?
                {
                    redone += 1;
                    continue;
                }
                streams::publish(bus, stream, &kept).await?;
            }
            if count != expected {
                return Err(BackupError::Unproven(format!("{stream}: {count} messages where it held {expected}")));
            }
        }
        Ok(redone)
    }
}

/// What reads an object back.
async fn read_back(store: &FileStore, config: &BackupConfig, entry: &FileEntry) -> Result<(), BackupError> {
    let Some((size, sha256)) = entry.plain.clone() else { return Ok(()) };
    check(store, &entry.path, &Digest { size, sha256 }, config.stall()).await
}

impl Target {
    /// What is restored into, out of its settings.
    ///
    /// # Errors
    /// When the file store can't be opened.
    pub fn new(database: &DatabaseConfig, store: &StoreConfig, bus: Bus) -> Result<Self, BackupError> {
        Ok(Self { database: database.clone(), bus, store: FileStore::open(store)? })
    }
}
