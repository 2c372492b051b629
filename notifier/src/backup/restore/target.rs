//! What is restored into: that it is empty, and the mark of a restore that has begun.

use std::fmt;

use futures::{StreamExt, TryStreamExt};
use platform::{bus::Bus, config::DatabaseConfig, store::FileStore};
use serde::{Deserialize, Serialize};

use super::{
    super::{database, error::BackupError},
    streams,
};

/// The object in the target's file store that says that a restore has begun and did not end.
const MARK: &str = "restore/begun";

/// What the mark says.
#[derive(Debug, Serialize, Deserialize)]
struct Mark {
    /// The backup.
    id: String,
    /// What was found empty before the mark was left: nothing else may be emptied because of it.
    #[serde(flatten)]
    place: Place,
}

/// A database and streams, without credentials.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    /// Where the database is.
    database: String,
    /// When each stream was created.
    streams: Vec<String>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.database.is_empty() {
            return f.write_str("an unknown database");
        }
        write!(f, "{} with {}", self.database, self.streams.join(", "))
    }
}

impl Mark {
    /// One that can't be read is about nothing that is known, and so admits nothing.
    fn read(bytes: &[u8]) -> Self {
        serde_json::from_slice(bytes)
            .unwrap_or_else(|_| Self { id: String::from_utf8_lossy(bytes).into_owned(), place: Place::default() })
    }
}

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
    /// Which database and streams these are.
    pub(super) async fn place(&self) -> Result<Place, BackupError> {
        let database = database::place(&self.database)?;
        Ok(Place { database, streams: streams::created(&self.bus).await? })
    }

    /// Refuses one that holds anything. One with the mark of a restore into this `place` is admitted when it is to be
    /// begun `again`.
    pub(super) async fn admit(&self, place: &Place, again: bool) -> Result<(), BackupError> {
        match self.store.get(MARK).await.map(|bytes| Mark::read(&bytes)) {
            Ok(mark) if !again => return Err(BackupError::HalfDone(mark.id)),
            Ok(mark) if mark.place == *place => return Ok(()),
            Ok(Mark { id, place: began }) => {
                return Err(BackupError::Elsewhere { id, began: began.to_string(), here: place.to_string() });
            }
            Err(e) if e.is_not_found() => {}
            Err(e) => return Err(e.into()),
        }
        let mut found = database::occupied(&self.database).await?;
        found.extend(streams::occupied(&self.bus).await?);
        if let Some(object) = self.store.listed("").next().await.transpose()? {
            found.push(format!("the file store has {}", object.path));
        }
        if found.is_empty() { Ok(()) } else { Err(BackupError::NotEmpty(found.join(", "))) }
    }

    pub(super) async fn mark(&self, id: &str, place: Place) -> Result<(), BackupError> {
        let mark = serde_json::to_vec(&Mark { id: id.to_owned(), place });
        let mark = mark.map_err(|e| BackupError::local(MARK)(e.into()))?;
        Ok(self.store.put(MARK, mark).await?)
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
