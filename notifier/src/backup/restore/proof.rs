//! Proves that what was restored is what the backup held.

use std::path::Path;

use entity::{account, entry, export, ledger, segment};
use futures::TryStreamExt;
use platform::store::FileStore;
use sea_orm::{ColumnTrait, DatabaseConnection, EntityTrait, PaginatorTrait, QueryFilter};
use tokio::io::{AsyncBufReadExt, BufReader};

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

/// Every account is what the ledger says.
pub(super) async fn ledger(db: &DatabaseConnection) -> Result<(), BackupError> {
    let findings = ledger::audit(db).await?;
    let Some(first) = findings.first() else { return Ok(()) };
    Err(BackupError::Unproven(format!(
        "{} accounts do not add up, such as {} of {}",
        findings.len(),
        first.user_id,
        first.tenant
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
