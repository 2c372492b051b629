//! Verifies a backup: reads all its bytes and compares them with the recorded digests.

use futures::TryStreamExt;
use platform::store::FileStore;
use serde::Serialize;

use crate::{
    codec::Decoder,
    config::BackupConfig,
    digest::{Digest, verify_object},
    error::BackupError,
    keys::KeyFiles,
    listing::find,
    manifest::{Contents, Manifest},
    pool::entries_of,
};

/// The result of a verification that found no damage.
#[derive(Clone, Debug, Serialize)]
pub struct Verified {
    /// The id of the backup.
    pub id: String,
    /// Number of verified parts.
    pub parts: u64,
    /// Number of verified pool objects.
    pub objects: u64,
    /// Number of verified bytes.
    pub bytes: u64,
    /// The counts and versions of the contents; `None` for an encrypted backup without a key.
    pub contents: Option<Contents>,
}

/// Verifies the backup with this id, or the newest one for `latest`. Comparing digests needs no key. The contents are
/// read if the backup is not encrypted, or if `key_files` are given.
///
/// # Errors
/// When the backup does not exist or is damaged, or the destination fails.
pub async fn verify(
    destination: &FileStore,
    config: &BackupConfig,
    id: &str,
    key_files: Option<&KeyFiles>,
) -> Result<Verified, BackupError> {
    let manifest = find(destination, id).await?;
    let mut verified = verify_digests(destination, config, &manifest).await?;
    let identities = match key_files {
        Some(key_files) => key_files.identities(&manifest, destination).await?,
        None if manifest.encrypted => return Ok(verified),
        None => vec![],
    };
    let decoder = Decoder::new(identities, config.stall_timeout());
    verified.contents = Some(read_contents(destination, &manifest, &decoder).await?);
    Ok(verified)
}

/// Compares all parts and all referenced pool objects with their digests.
pub(crate) async fn verify_digests(
    destination: &FileStore,
    config: &BackupConfig,
    manifest: &Manifest,
) -> Result<Verified, BackupError> {
    let stall_timeout = config.stall_timeout();
    let mut part_bytes = 0;
    for part in &manifest.parts {
        verify_object(destination, &manifest.path(&part.name), &Digest::from(part), stall_timeout).await?;
        part_bytes += part.size;
    }
    let entries = entries_of(destination, manifest, &Decoder::new(vec![], stall_timeout)).await?;
    let entries = futures::stream::try_unfold(entries, |mut entries| async move {
        Ok::<_, BackupError>(entries.next().await?.map(|entry| (entry, entries)))
    });
    let checks = entries.map_ok(async |entry| {
        verify_object(destination, &entry.name, &entry.digest(), stall_timeout).await?;
        Ok(entry.size)
    });
    let sizes = checks.try_buffer_unordered(config.tuning.concurrency);
    let (objects, pool_bytes) = sizes.try_fold((0, 0), async |(n, sum), size| Ok((n + 1, sum + size))).await?;
    if objects != manifest.pool_objects {
        let detail = format!("the list has {objects} objects, the manifest {}", manifest.pool_objects);
        return Err(BackupError::damaged(&manifest.path("pool.ndjson"), detail));
    }
    let parts = manifest.parts.len() as u64;
    Ok(Verified { id: manifest.id.clone(), parts, objects, bytes: part_bytes + pool_bytes, contents: None })
}

/// Reads the document with the counts and versions of the backup's contents.
pub(crate) async fn read_contents(
    destination: &FileStore,
    manifest: &Manifest,
    decoder: &Decoder,
) -> Result<Contents, BackupError> {
    let part = manifest.part("contents.")?;
    let path = manifest.path(&part.name);
    let decoded = decoder.read(destination, &path, &Digest::from(part)).await?;
    let chunks: Vec<_> = match decoded.try_collect().await {
        Ok(chunks) => chunks,
        // a wrong key is more likely than damage here, because damage fails the digest check first
        Err(e) if manifest.encrypted => {
            return Err(BackupError::Locked(format!("no given key decrypts the backup ({e})")));
        }
        Err(e) => return Err(BackupError::damaged(&path, e)),
    };
    serde_json::from_slice(&chunks.concat()).map_err(|e| BackupError::damaged(&path, e))
}
