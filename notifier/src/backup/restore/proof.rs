//! Proves that what was restored is what the backup held.

use std::path::Path;

use entity::{account, entry, export, ledger, segment};
use futures::TryStreamExt;
use platform::store::FileStore;
use sea_orm::{ColumnTrait, DatabaseConnection, EntityTrait, PaginatorTrait, QueryFilter};
use tokio::io::{AsyncBufReadExt, BufReader};
use tracing::warn;

use super::{
    super::{config::BackupConfig, error::BackupError, manifest::Counts},
    read_back,
};
use crate::backup::manifest::FileEntry;

/// The rows are as many as were counted at the moment of the backup.
pub(super) async fn counts(db: &DatabaseConnection, expected: &Counts) -> Result<(), BackupError> {
    let of = |statuses: &[&str]| {
        export::Entity::find().filter(export::Column::Status.is_in(statuses.iter().copied())).count(db)
    };
    let found = Counts {
        exports: export::Entity::find().count(db).await?,
        completed: of(&["completed"]).await?,
        unfinished: of(&export::UNFINISHED).await?,
        ledger_entries: entry::Entity::find().count(db).await?,
        accounts: account::Entity::find().count(db).await?,
        segments: segment::Entity::find().count(db).await?,
        ..*expected
    };
    if found == *expected {
        Ok(())
    } else {
        Err(BackupError::Unproven(format!("{found:?} where it held {expected:?}")))
    }
}

/// Every account is what the ledger says, but for as many as were not when the backup was made: those are no fault of
/// the restore, and there may be no other backup. Gives how many.
pub(super) async fn ledger(db: &DatabaseConnection, expected: &Counts) -> Result<u64, BackupError> {
    let findings = ledger::audit(db).await?;
    let Some(first) = findings.first() else { return Ok(0) };
    let unbalanced = findings.len() as u64;
    if unbalanced <= expected.unbalanced {
        warn!(
            unbalanced, tenant = %first.tenant, user = %first.user_id,
            "accounts do not add up, and did not when the backup was made: see `sluice credits audit --rebuild`"
        );
        return Ok(unbalanced);
    }
    Err(BackupError::Unproven(format!(
        "{unbalanced} accounts do not add up, such as {} of {}, where {} did not",
        first.user_id, first.tenant, expected.unbalanced
    )))
}

/// Reads every object back that was written. Gives how many.
pub(super) async fn objects(store: &FileStore, config: &BackupConfig, written: &Path) -> Result<u64, BackupError> {
    let failed = || BackupError::local("a list of files");
    let lines = BufReader::new(tokio::fs::File::open(written).await.map_err(failed())?).lines();
    let entries = futures::stream::try_unfold(lines, |mut lines| async move {
        let Some(line) = lines.next_line().await.map_err(BackupError::local("a list of files"))? else {
            return Ok(None);
        };
        let entry: FileEntry = serde_json::from_str(&line).map_err(|e| BackupError::damaged("a list of files", e))?;
        Ok::<_, BackupError>(Some((entry, lines)))
    });
    let reads = entries.map_ok(async |entry| read_back(store, config, &entry).await);
    reads.try_buffer_unordered(config.concurrency).try_fold(0, async |n, ()| Ok(n + 1)).await
}
