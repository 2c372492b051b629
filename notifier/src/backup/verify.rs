//! Reads a backup whole and compares every byte with the digests that were taken when it was written.

use futures::TryStreamExt;
use platform::store::FileStore;
use serde::Serialize;

use super::{
    config::BackupConfig,
    error::BackupError,
    keys::Unlock,
    listing::find,
    manifest::{Contents, Manifest},
    pool::entries_of,
    seal::{Digest, Opener, check},
};

/// What was read and found to be as it was written.
#[derive(Clone, Debug, Serialize)]
pub struct Verified {
    /// The backup.
    pub id: String,
    /// Its parts.
    pub parts: u64,
    /// Objects of the pool that it needs.
    pub objects: u64,
    /// Bytes read.
    pub bytes: u64,
    /// What is in it, where it could be opened.
    pub contents: Option<Contents>,
}

/// Checks one backup: by its id, or `latest`. Digests need no key; with one, or without encryption, what it says of
/// itself is read too.
///
/// # Errors
/// When there is none, it is damaged, or the destination fails.
pub async fn verify(
    destination: &FileStore,
    config: &BackupConfig,
    id: &str,
    unlock: Option<&Unlock>,
) -> Result<Verified, BackupError> {
    let manifest = find(destination, id).await?;
    let mut verified = digests(destination, config, &manifest).await?;
    let identities = match unlock {
        Some(unlock) => unlock.identities(&manifest, destination).await?,
        None if manifest.encrypted => return Ok(verified),
        None => vec![],
    };
    let opener = Opener::new(identities, config.stall());
    verified.contents = Some(contents_of(destination, &manifest, &opener).await?);
    Ok(verified)
}

/// Compares all parts and all objects of the pool with their digests.
pub(super) async fn digests(
    destination: &FileStore,
    config: &BackupConfig,
    manifest: &Manifest,
) -> Result<Verified, BackupError> {
    let stall = config.stall();
    let mut bytes = 0;
    for part in &manifest.parts {
        check(destination, &manifest.path(&part.name), &Digest::from(part), stall).await?;
        bytes += part.size;
    }
    let entries = entries_of(destination, manifest, &Opener::new(vec![], stall)).await?;
    let entries = futures::stream::try_unfold(entries, |mut entries| async move {
        Ok::<_, BackupError>(entries.next().await?.map(|entry| (entry, entries)))
    });
    let checks = entries.map_ok(async |entry| {
        check(destination, &entry.name, &entry.digest(), stall).await?;
        Ok(entry.size)
    });
    let sum = checks.try_buffer_unordered(config.concurrency);
    let (objects, of_pool) = sum.try_fold((0, 0), async |(n, sum), size| Ok((n + 1, sum + size))).await?;
    if objects != manifest.pool_objects {
        let detail = format!("it names {objects} objects where {} were written", manifest.pool_objects);
        return Err(BackupError::damaged(&manifest.path("pool.ndjson"), detail));
    }
    let parts = manifest.parts.len() as u64;
    Ok(Verified { id: manifest.id.clone(), parts, objects, bytes: bytes + of_pool, contents: None })
}

/// Reads the sealed part of the manifest.
pub(super) async fn contents_of(
    destination: &FileStore,
    manifest: &Manifest,
    opener: &Opener,
) -> Result<Contents, BackupError> {
    let part = manifest.part("contents.")?;
    let path = manifest.path(&part.name);
    let opened = opener.open(destination, &path, &Digest::from(part)).await?;
    let pieces: Vec<_> = match opened.try_collect().await {
        Ok(pieces) => pieces,
        // the stored bytes are as they were written, so that it is the key
        Err(e) if manifest.encrypted => return Err(BackupError::Locked(format!("no key here opens it ({e})"))),
        Err(e) => return Err(BackupError::damaged(&path, e)),
    };
    serde_json::from_slice(&pieces.concat()).map_err(|e| BackupError::damaged(&path, e))
}
