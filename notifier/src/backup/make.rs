//! Makes a backup.
//!
//! The order is the point. Streams come before the database: an outcome that is settled in between is in both, and
//! settling it again changes nothing. The other way round it would be in neither, and a wish of somebody would be lost.
//! Files come after the database, as the database says which there are, and an object never changes once it is named
//! there. The manifest is the last: until it is there, there is no backup.

use std::path::PathBuf;

use bytes::Bytes;
use chrono::TimeDelta;
use platform::store::FileStore;
use protocol::time::Timestamp;
use serde::Serialize;
use tokio::time::Instant;
use tracing::{info, warn};

use super::{
    Source,
    database::{self, Taken},
    error::BackupError,
    files::{Copied, Copier},
    keys::Lock,
    manifest::{Contents, Counts, FORMAT, MANIFEST, Manifest, Part, id_of, path},
    pool::{self, Known},
    prune::{Pruned, prune},
    seal::{Digest, Opener, Sealed, Sealer},
    streams,
};

/// What a backup did.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Its outer manifest.
    pub manifest: Manifest,
    /// What is in it.
    pub contents: Contents,
    /// Objects of files that were copied, and not there already.
    pub new_objects: u64,
    /// Their bytes, as stored.
    pub new_bytes: u64,
    /// How long it took, milliseconds.
    pub took_ms: u64,
    /// What was deleted after it.
    pub pruned: Pruned,
}

/// Makes a backup, and deletes what the retention no longer keeps. The caller holds the lease.
///
/// # Errors
/// When a setting can't work, the database, NATS, the file store or the destination fails, or it takes too long. What
/// was written by then is no backup, and is deleted by a later one.
pub async fn make(source: &Source) -> Result<Report, BackupError> {
    source.config.validate()?;
    let began = Instant::now();
    let made = tokio::time::timeout(source.config.deadline(), making(source));
    let mut report = made.await.map_err(|_| BackupError::Timeout("the backup"))??;
    report.took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let Report { manifest, contents, .. } = &report;
    info!(
        backup.id = %manifest.id, backup.exports = contents.counts.exports, backup.objects = contents.counts.objects,
        backup.new_objects = report.new_objects, backup.took_ms = report.took_ms, "backup made"
    );
    Ok(report)
}

async fn making(source: &Source) -> Result<Report, BackupError> {
    let config = &source.config;
    let destination = config.destination()?;
    let lock = Lock::of(config, &destination).await?;
    let id = free_id(source, &destination).await?;
    let sealer = Sealer::new(lock.recipients.clone(), config.compression_level, config.stall());
    let plain = Sealer::new(vec![], config.compression_level, config.stall());
    let at = |name: &str| path(&id, name);
    let mut parts = vec![];

    let mut counts = Counts::default();
    for ((stream, all), count) in streams::STREAMS.into_iter().zip([&mut counts.outcomes, &mut counts.dead]) {
        let counting = Counting::default();
        let lines = counting.over(streams::lines(&source.bus, stream, all).await?);
        let name = format!("streams/{stream}.ndjson{}", sealer.suffix());
        parts.push(part(&name, sealer.seal(&destination, &at(&name), lines).await?));
        *count = counting.count();
    }

    let taken_at = source.clock.now();
    let taken = database::take(&source.db, &source.database, config, &destination, &sealer, at, taken_at).await?;
    parts.push(part(&taken.name, taken.sealed.clone()));

    let (files, pool) = (taken.work.with_file_name("list"), taken.work.with_file_name("pool"));
    let copied = if config.files {
        let known = Known::read(&destination, &lock.name(), &Opener::new(vec![], config.stall())).await?;
        let copier = Copier { source, destination: &destination, sealer: &sealer, known, id: &id };
        copier.run(&taken.work, &files, &pool).await?
    } else {
        for list in [&files, &pool] {
            tokio::fs::write(list, b"").await.map_err(BackupError::local(list.display()))?;
        }
        Copied::default()
    };
    for (name, list, sealer) in [("files.ndjson", &files, &sealer), ("pool.ndjson", &pool, &plain)] {
        let name = format!("{name}{}", sealer.suffix());
        parts.push(part(&name, sealer.seal(&destination, &at(&name), open(list).await?).await?));
    }

    let encrypted = !lock.recipients.is_empty();
    let settings = &source.settings;
    let text = if encrypted { settings.with_secrets.expose() } else { settings.without_secrets.as_str() };
    let name = format!("settings.toml{}", sealer.suffix());
    parts.push(part(&name, sealer.seal(&destination, &at(&name), once(text.as_bytes())).await?));

    let secrets_left_out = if encrypted { vec![] } else { settings.secrets.clone() };
    let contents = contents(taken_at.into(), &taken, counts, &copied, config.files, secrets_left_out);
    let name = format!("contents.json{}", sealer.suffix());
    let json = serde_json::to_vec_pretty(&contents).map_err(|e| BackupError::damaged(&name, e))?;
    parts.push(part(&name, sealer.seal(&destination, &at(&name), once(&json)).await?));

    let manifest = Manifest {
        format: FORMAT,
        id: id.clone(),
        completed_at: source.clock.now().into(),
        sluice: env!("CARGO_PKG_VERSION").to_owned(),
        encrypted,
        lock: lock.name(),
        key: lock.key,
        parts,
        pool_objects: copied.objects,
        pool_bytes: copied.pool_bytes,
    };
    let json = serde_json::to_vec_pretty(&manifest).map_err(|e| BackupError::damaged(MANIFEST, e))?;
    destination.put(&at(MANIFEST), json).await?;

    // the backup is there, whatever becomes of the old ones
    let pruned = prune(&destination, config, source.clock.now()).await.unwrap_or_else(|e| {
        warn!(error = %e, "old backups can't be deleted; the next backup tries again");
        Pruned { failed: Some(e.to_string()), ..Pruned::default() }
    });
    let (new_objects, new_bytes) = (copied.new_objects, copied.new_bytes);
    Ok(Report { manifest, contents, new_objects, new_bytes, took_ms: 0, pruned })
}

/// An id under which there is nothing yet.
async fn free_id(source: &Source, destination: &FileStore) -> Result<String, BackupError> {
    let mut at = source.clock.now();
    loop {
        let id = id_of(at);
        if destination.list(&path(&id, "")).await?.is_empty() {
            return Ok(id);
        }
        at += TimeDelta::milliseconds(1);
    }
}

fn contents(
    taken_at: Timestamp,
    taken: &Taken,
    streams: Counts,
    copied: &Copied,
    files: bool,
    secrets_left_out: Vec<String>,
) -> Contents {
    let counts = Counts {
        files: copied.files,
        objects: copied.objects,
        bytes: copied.bytes,
        outcomes: streams.outcomes,
        dead: streams.dead,
        ..taken.survey.counts
    };
    Contents {
        taken_at,
        engine: taken.engine.to_owned(),
        engine_version: taken.version.clone(),
        steps: taken.survey.steps.clone(),
        counts,
        files,
        left_out: copied.left_out,
        lost: copied.lost.clone(),
        secrets_left_out,
    }
}

fn part(name: &str, sealed: Sealed) -> Part {
    let Digest { size, sha256 } = sealed.stored;
    Part { name: name.to_owned(), size, sha256 }
}

fn once(bytes: &[u8]) -> impl futures::Stream<Item = std::io::Result<Bytes>> + Send + use<> {
    futures::stream::iter([Ok(Bytes::copy_from_slice(bytes))])
}

async fn open(list: &PathBuf) -> Result<impl futures::Stream<Item = std::io::Result<Bytes>> + use<>, BackupError> {
    Ok(pool::file(tokio::fs::File::open(list).await.map_err(BackupError::local(list.display()))?))
}

/// Counts the items of a stream on their way.
#[derive(Clone, Default)]
struct Counting(std::sync::Arc<std::sync::atomic::AtomicU64>);

impl Counting {
    fn over<T>(&self, items: impl futures::Stream<Item = T> + Send) -> impl futures::Stream<Item = T> + Send {
        let count = std::sync::Arc::clone(&self.0);
        futures::StreamExt::inspect(items, move |_| {
            count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        })
    }

    fn count(&self) -> u64 {
        self.0.load(std::sync::atomic::Ordering::Relaxed)
    }
}
