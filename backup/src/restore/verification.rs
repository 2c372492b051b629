//! Verifies that the restored data equals the data in the backup.

use std::path::Path;

use entity::{account, entry, export, ledger, segment};
use futures::TryStreamExt;
use platform::store::FileStore;
use sea_orm::{ColumnTrait, DatabaseConnection, EntityTrait, PaginatorTrait, QueryFilter};
use tokio::io::{AsyncBufReadExt, BufReader};
use tracing::warn;

use crate::{
    config::BackupConfig,
    digest::{Digest, verify_object},
    error::BackupError,
    manifest::{Counts, FileEntry},
};

/// Compares the counts of the restored rows with the counts in the backup.
pub(crate) async fn verify_counts(db: &DatabaseConnection, expected: &Counts) -> Result<(), BackupError> {
    let with_status = |statuses: &[&str]| {
        export::Entity::find().filter(export::Column::Status.is_in(statuses.iter().copied())).count(db)
    };
    let found = Counts {
        exports: export::Entity::find().count(db).await?,
        completed: with_status(&["completed"]).await?,
        unfinished: with_status(&export::UNFINISHED).await?,
        ledger_entries: entry::Entity::find().count(db).await?,
        accounts: account::Entity::find().count(db).await?,
        segments: segment::Entity::find().count(db).await?,
        ..*expected
    };
    if found == *expected {
        Ok(())
    } else {
        Err(BackupError::Mismatch(format!("found {found:?}, expected {expected:?}")))
    }
}

/// Compares all accounts with the ledger, and returns the number of accounts that differ. Accepts as many differing
/// accounts as the backup recorded, because the restore did not cause these differences.
///
/// Fails if more accounts differ.
pub(crate) async fn verify_ledger(db: &DatabaseConnection, expected: &Counts) -> Result<u64, BackupError> {
    let findings = ledger::audit(db).await?;
    let Some(first) = findings.first() else { return Ok(0) };
    let unbalanced = findings.len() as u64;
    if unbalanced <= expected.unbalanced {
        warn!(
            unbalanced, tenant = %first.tenant, user = %first.user_id,
            "accounts differ from the ledger, as in the backup: run `sluice credits audit --rebuild`"
        );
        return Ok(unbalanced);
    }
    Err(BackupError::Mismatch(format!(
        "{unbalanced} accounts differ from the ledger, such as {} of {}; in the backup {} did",
        first.user_id, first.tenant, expected.unbalanced
    )))
}

/// Reads every restored object, compares its digest with the backup, and returns the number of objects.
pub(crate) async fn verify_objects(
    store: &FileStore,
    config: &BackupConfig,
    written: &Path,
) -> Result<u64, BackupError> {
    let failed = || BackupError::local("a list of files");
    let lines = BufReader::new(tokio::fs::File::open(written).await.map_err(failed())?).lines();
    let entries = futures::stream::try_unfold(lines, |mut lines| async move {
        let Some(line) = lines.next_line().await.map_err(BackupError::local("a list of files"))? else {
            return Ok(None);
        };
        let entry: FileEntry = serde_json::from_str(&line).map_err(|e| BackupError::damaged("a list of files", e))?;
        Ok::<_, BackupError>(Some((entry, lines)))
    });
    let reads = entries.map_ok(async |entry| verify_entry(store, config, &entry).await);
    reads.try_buffer_unordered(config.tuning.concurrency).try_fold(0, async |n, ()| Ok(n + 1)).await
}

async fn verify_entry(store: &FileStore, config: &BackupConfig, entry: &FileEntry) -> Result<(), BackupError> {
    let Some((size, sha256)) = entry.plain.clone() else { return Ok(()) };
    verify_object(store, &entry.path, &Digest { size, sha256 }, config.stall_timeout()).await
}
