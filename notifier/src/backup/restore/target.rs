//! What is restored into: that it is empty, and the mark of a restore that has begun.

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use platform::{bus::Bus, config::DatabaseConfig, store::FileStore};

use super::{
    super::{database, error::BackupError},
    streams,
};

/// The object in the target's file store that says that a restore has begun and did not end.
const MARK: &str = "restore/begun";

/// An installation, none of whose services may run.
#[derive(Clone, Debug)]
pub struct Target {
    /// Its database.
    pub database: DatabaseConfig,
    /// Its NATS, with the streams in place.
    pub bus: Bus,
    /// Its file store.
    pub store: FileStore,
}

impl Target {
    /// Refuses one that holds anything. One with the mark of a restore is admitted when it is to be begun `again`.
    pub(super) async fn admit(&self, again: bool) -> Result<(), BackupError> {
        match (self.store.get(MARK).await, again) {
            (Ok(_), true) => return Ok(()),
            (Ok(id), false) => return Err(BackupError::HalfDone(String::from_utf8_lossy(&id).into_owned())),
            (Err(e), _) if e.is_not_found() => {}
            (Err(e), _) => return Err(e.into()),
        }
        let mut found = database::occupied(&self.database).await?;
        found.extend(streams::occupied(&self.bus).await?);
        if let Some(object) = self.store.listed("").next().await.transpose()? {
            found.push(format!("the file store has {}", object.path));
        }
        if found.is_empty() { Ok(()) } else { Err(BackupError::NotEmpty(found.join(", "))) }
    }

    pub(super) async fn mark(&self, id: &str) -> Result<(), BackupError> {
        Ok(self.store.put(MARK, Bytes::copy_from_slice(id.as_bytes())).await?)
    }

    pub(super) async fn unmark(&self) -> Result<(), BackupError> {
        self.store.delete([MARK.to_owned()]).await?;
        Ok(())
    }

    /// Takes away what a restore left that did not end: objects and messages. The database is replaced anyway.
    pub(super) async fn clear(&self) -> Result<(), BackupError> {
        streams::empty(&self.bus).await?;
        let mut objects = self.store.listed("");
        while let Some(object) = objects.try_next().await? {
            if object.path != MARK {
                self.store.delete([object.path]).await?;
            }
        }
        Ok(())
    }
}
