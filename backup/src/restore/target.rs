//! The target of a restore: the check that the target is empty, and the marker of a restore in progress.

use std::fmt;

use futures::{StreamExt, TryStreamExt};
use platform::{
    bus::Bus,
    config::{DatabaseConfig, StoreConfig},
    store::FileStore,
};
use serde::{Deserialize, Serialize};

use super::database;
use crate::{error::BackupError, streams};

/// The path of the marker in the target's file store. The marker exists from the start of a restore to its end.
const MARKER_PATH: &str = "restore/begun";

/// The content of the marker of a restore in progress.
#[derive(Debug, Serialize, Deserialize)]
struct Marker {
    /// The id of the backup that is being restored.
    id: String,
    /// The database and the streams that were empty when the restore started. A restart deletes only their data.
    #[serde(flatten)]
    location: Location,
}

/// Identifies the target of a restore by the address of its database, without credentials, and by its streams.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Location {
    /// The host or path of the database.
    database: String,
    /// The name and creation time of each stream.
    streams: Vec<String>,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.database.is_empty() {
            return f.write_str("an unknown database");
        }
        write!(f, "{} with {}", self.database, self.streams.join(", "))
    }
}

impl Marker {
    /// Parses a marker. An invalid marker has an empty location, which never equals the location of a target.
    fn parse(bytes: &[u8]) -> Self {
        serde_json::from_slice(bytes)
            .unwrap_or_else(|_| Self { id: String::from_utf8_lossy(bytes).into_owned(), location: Location::default() })
    }
}

/// An installation into which a backup is restored. None of its services may run during the restore.
#[derive(Clone, Debug)]
pub struct Target {
    /// The address and credentials of the target database.
    pub database: DatabaseConfig,
    /// The connection to the NATS server of the target, with all streams created.
    pub bus: Bus,
    /// The file store that receives the restored files.
    pub store: FileStore,
}

impl Target {
    /// Creates a target and opens its file store.
    ///
    /// # Errors
    /// When the file store can't be opened.
    pub fn new(database: &DatabaseConfig, store: &StoreConfig, bus: Bus) -> Result<Self, BackupError> {
        Ok(Self { database: database.clone(), bus, store: FileStore::open(store)? })
    }

    /// Returns the location of the target's database and streams.
    pub(crate) async fn location(&self) -> Result<Location, BackupError> {
        let database = database::location(&self.database)?;
        Ok(Location { database, streams: streams::creation_times(&self.bus).await? })
    }

    /// Fails for a target that holds data. If `restart` is true, accepts a target with the marker of an interrupted
    /// restore into the same `location`.
    pub(crate) async fn check(&self, location: &Location, restart: bool) -> Result<(), BackupError> {
        match self.store.get(MARKER_PATH).await.map(|bytes| Marker::parse(&bytes)) {
            Ok(marker) if !restart => return Err(BackupError::Interrupted(marker.id)),
            Ok(marker) if marker.location == *location => return Ok(()),
            Ok(Marker { id, location: marked }) => {
                return Err(BackupError::OtherTarget {
                    id,
                    marked: marked.to_string(),
                    configured: location.to_string(),
                });
            }
            Err(e) if e.is_not_found() => {}
            Err(e) => return Err(e.into()),
        }
        let mut found = database::non_empty_tables(&self.database).await?;
        found.extend(streams::non_empty(&self.bus).await?);
        if let Some(object) = self.store.list_stream("").next().await.transpose()? {
            found.push(format!("the file store has {}", object.path));
        }
        if found.is_empty() { Ok(()) } else { Err(BackupError::NotEmpty(found.join(", "))) }
    }

    pub(crate) async fn write_marker(&self, id: &str, location: Location) -> Result<(), BackupError> {
        let marker = serde_json::to_vec(&Marker { id: id.to_owned(), location });
        let marker = marker.map_err(|e| BackupError::local(MARKER_PATH)(e.into()))?;
        Ok(self.store.put(MARKER_PATH, marker).await?)
    }

    pub(crate) async fn delete_marker(&self) -> Result<(), BackupError> {
        self.store.delete([MARKER_PATH.to_owned()]).await?;
        Ok(())
    }

    /// Deletes the objects and messages of an interrupted restore. The restore replaces the database later.
    pub(crate) async fn clear(&self) -> Result<(), BackupError> {
        streams::purge_all(&self.bus).await?;
        let mut objects = self.store.list_stream("");
        while let Some(object) = objects.try_next().await? {
            if object.path != MARKER_PATH {
                self.store.delete([object.path]).await?;
            }
        }
        Ok(())
    }
}
