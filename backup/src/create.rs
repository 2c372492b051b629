//! Creates a backup.
//!
//! The order of the parts makes the backup consistent:
//! - Streams come before the database. If a notifier settles an outcome after the copy of the streams and before the
//!   copy of the database, the backup contains both the outcome and its effect. Settling the outcome again after a
//!   restore changes nothing. In the other order, the backup could contain neither the outcome nor its effect.
//! - Files come after the database, because the database lists the files. A listed object never changes.
//! - The manifest comes last: a folder without a manifest is not a backup.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use chrono::TimeDelta;
use futures::{Stream, StreamExt};
use platform::store::FileStore;
use protocol::time::Timestamp;
use serde::Serialize;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::{
    Source,
    codec::{Decoder, Encoded, Encoder},
    database::{self, Dump},
    digest::Digest,
    error::BackupError,
    files::{Copier, CopyReport},
    keys::Encryption,
    manifest::{Contents, Counts, FORMAT_VERSION, MANIFEST_NAME, Manifest, Part, id_at, path},
    pool::{self, KnownObjects},
    prune::{Pruned, prune},
    streams,
};

/// The result of a backup.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The manifest of the backup.
    pub manifest: Manifest,
    /// The counts and versions of the contents.
    pub contents: Contents,
    /// Number of objects that this backup added to the pool, which stores the files of all backups.
    pub new_objects: u64,
    /// Stored size of the added objects in bytes.
    pub new_bytes: u64,
    /// Duration of the backup in milliseconds.
    pub duration_ms: u64,
    /// The old backups and pool objects that the retention policy deleted after the backup.
    pub pruned: Pruned,
}

/// Creates a backup, then deletes old backups by the retention policy. The caller ensures that no other process creates
/// a backup at the same destination at the same time.
///
/// # Errors
/// When a setting is invalid, the database, NATS, a file store or the destination fails, or the time limit is exceeded.
/// The incomplete backup stays at the destination; a later backup deletes it.
pub async fn create(source: &Source) -> Result<Report, BackupError> {
    source.config.validate()?;
    let start = Instant::now();
    let created = tokio::time::timeout(source.config.backup_or_restore_timeout.get(), create_parts(source)).await;
    let mut report = created.map_err(|_| BackupError::Timeout("the backup"))??;
    report.duration_ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
    let Report { manifest, contents, .. } = &report;
    info!(
        backup.id = %manifest.id, backup.exports = contents.counts.exports, backup.objects = contents.counts.objects,
        backup.new_objects = report.new_objects, backup.duration_ms = report.duration_ms, "backup created"
    );
    Ok(report)
}

async fn create_parts(source: &Source) -> Result<Report, BackupError> {
    let config = &source.config;
    let (level, stall_timeout) = (config.tuning.compression_level, config.stall_timeout());
    let destination = config.open_destination()?;
    let encryption = Encryption::load(config, &destination).await?;
    let id = unused_id(source, &destination).await?;
    let encoder = Encoder::new(encryption.recipients.clone(), level, stall_timeout);
    let plain = Encoder::new(vec![], level, stall_timeout);
    let at = |name: &str| path(&id, name);
    let mut parts = vec![];

    let mut counts = Counts::default();
    for ((stream, all), count) in
        streams::SAVED_STREAMS.into_iter().zip([&mut counts.outcomes, &mut counts.dead_letters])
    {
        let counter = Counter::default();
        let lines = counter.count_items(streams::saved_messages(&source.bus, stream, all).await?);
        let name = format!("streams/{stream}.ndjson{}", encoder.suffix());
        parts.push(to_part(&name, encoder.write(&destination, &at(&name), lines).await?));
        *count = counter.total();
    }

    let snapshot_at = source.clock.now();
    let dump = database::dump(&source.db, &source.database, config, &destination, &encoder, at, snapshot_at).await?;
    parts.push(to_part(&dump.name, dump.encoded.clone()));

    let (files, pool) = (dump.export_files.with_file_name("list"), dump.export_files.with_file_name("pool"));
    let copied = if config.include_files {
        let decoder = Decoder::new(vec![], stall_timeout);
        let known = KnownObjects::read(&destination, &encryption.key_set(), &decoder).await?;
        let copier = Copier { source, destination: &destination, encoder: &encoder, known, id: &id };
        copier.copy_all(&dump.export_files, &files, &pool).await?
    } else {
        for list in [&files, &pool] {
            tokio::fs::write(list, b"").await.map_err(BackupError::local(list.display()))?;
        }
        CopyReport::default()
    };
    for (name, list, encoder) in [("files.ndjson", &files, &encoder), ("pool.ndjson", &pool, &plain)] {
        let name = format!("{name}{}", encoder.suffix());
        parts.push(to_part(&name, encoder.write(&destination, &at(&name), open_list(list).await?).await?));
    }

    let encrypted = !encryption.recipients.is_empty();
    let settings = &source.settings;
    let text = if encrypted { settings.with_secrets.expose() } else { settings.without_secrets.as_str() };
    let name = format!("settings.toml{}", encoder.suffix());
    parts.push(to_part(&name, encoder.write(&destination, &at(&name), single_chunk(text.as_bytes())).await?));

    let omitted_secrets = if encrypted { vec![] } else { settings.secrets.clone() };
    let contents = contents(snapshot_at.into(), &dump, counts, &copied, config.include_files, omitted_secrets);
    let name = format!("contents.json{}", encoder.suffix());
    let json = serde_json::to_vec_pretty(&contents).map_err(|e| BackupError::damaged(&name, e))?;
    parts.push(to_part(&name, encoder.write(&destination, &at(&name), single_chunk(&json)).await?));

    let manifest = Manifest {
        format: FORMAT_VERSION,
        id: id.clone(),
        completed_at: source.clock.now().into(),
        sluice_version: env!("CARGO_PKG_VERSION").to_owned(),
        encrypted,
        key_set: encryption.key_set(),
        key_object: encryption.key_object,
        parts,
        pool_objects: copied.objects,
        pool_bytes: copied.pool_bytes,
    };
    let json = serde_json::to_vec_pretty(&manifest).map_err(|e| BackupError::damaged(MANIFEST_NAME, e))?;
    destination.put(&at(MANIFEST_NAME), json).await?;

    // the backup is complete, so a failure to delete old backups must not make it fail
    let pruned = prune(&destination, config, source.clock.now()).await.unwrap_or_else(|e| {
        warn!(error = %e, "failed to delete old backups; the next backup tries again");
        Pruned { error: Some(e.to_string()), ..Pruned::default() }
    });
    let (new_objects, new_bytes) = (copied.new_objects, copied.new_bytes);
    Ok(Report { manifest, contents, new_objects, new_bytes, duration_ms: 0, pruned })
}

/// Returns the id for the current time. If the destination has a backup with this id, returns the next free id.
async fn unused_id(source: &Source, destination: &FileStore) -> Result<String, BackupError> {
    let mut start = source.clock.now();
    loop {
        let id = id_at(start);
        if destination.list(&path(&id, "")).await?.is_empty() {
            return Ok(id);
        }
        start += TimeDelta::milliseconds(1);
    }
}

fn contents(
    snapshot_at: Timestamp,
    dump: &Dump,
    streams: Counts,
    copied: &CopyReport,
    files: bool,
    omitted_secrets: Vec<String>,
) -> Contents {
    let counts = Counts {
        files: copied.files,
        objects: copied.objects,
        bytes: copied.bytes,
        outcomes: streams.outcomes,
        dead_letters: streams.dead_letters,
        ..dump.inventory.counts
    };
    Contents {
        snapshot_at,
        engine: dump.engine.to_owned(),
        engine_version: dump.version.clone(),
        migrations: dump.inventory.migrations.clone(),
        counts,
        files,
        ended_exports: copied.ended_exports,
        lost_objects: copied.lost_objects.clone(),
        omitted_secrets,
    }
}

fn to_part(name: &str, encoded: Encoded) -> Part {
    let Digest { size, sha256 } = encoded.stored;
    Part { name: name.to_owned(), size, sha256 }
}

fn single_chunk(bytes: &[u8]) -> impl Stream<Item = std::io::Result<Bytes>> + Send + use<> {
    futures::stream::iter([Ok(Bytes::copy_from_slice(bytes))])
}

async fn open_list(list: &Path) -> Result<impl Stream<Item = std::io::Result<Bytes>> + use<>, BackupError> {
    Ok(pool::stream_file(tokio::fs::File::open(list).await.map_err(BackupError::local(list.display()))?))
}

/// Counts the items that pass through a stream.
#[derive(Clone, Default)]
struct Counter(Arc<AtomicU64>);

impl Counter {
    fn count_items<T>(&self, items: impl Stream<Item = T> + Send) -> impl Stream<Item = T> + Send {
        let count = Arc::clone(&self.0);
        items.inspect(move |_| {
            count.fetch_add(1, Ordering::Relaxed);
        })
    }

    fn total(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
