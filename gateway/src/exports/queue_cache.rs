//! Computes the queue position of a waiting export. The position is the number of exports that start earlier.
//!
//! All requests share one cached snapshot of the queue. Without the cache, each request would read the whole queue from
//! the database, which is slow when many exports wait.

use std::{sync::Arc, time::Duration};

use entity::{
    dispatch_queue::{QueuePosition, QueueSnapshot},
    export,
};
use platform::catalog::Catalog;
use protocol::subject::Lane;
use sea_orm::DatabaseConnection;
use tokio::{sync::Mutex, time::Instant};

use crate::error::Outcome;

/// If the cached queue snapshot is older than this time, the next request reads a new snapshot.
const MAX_SNAPSHOT_AGE: Duration = Duration::from_millis(500);
/// The maximum number of waiting exports in a queue snapshot. The snapshot has the exports that will be dispatched
/// first. An export that is not in the snapshot counts as the last export of its lane. A lane is one of the two queues
/// of a pool of exporters: `interactive` for small exports, `bulk` for the others.
const MAX_SNAPSHOT_EXPORTS: u64 = 10_000;

/// A cached snapshot of the dispatch queue. Clones share the cache.
#[derive(Clone, Debug)]
pub(crate) struct QueueCache {
    db: DatabaseConnection,
    catalog: Catalog,
    cached: Arc<Mutex<Option<CachedSnapshot>>>,
}

/// The time at which a queue snapshot was read, and the snapshot.
type CachedSnapshot = (Instant, Arc<QueueSnapshot>);

impl QueueCache {
    #[must_use]
    pub(crate) fn new(db: DatabaseConnection, catalog: Catalog) -> Self {
        Self { db, catalog, cached: Arc::default() }
    }

    /// The queue position of a waiting export (the number of exports that start earlier), and the estimated time until
    /// the export completes. None for an export whose owner is paused by an operator.
    ///
    /// # Errors
    /// `unavailable` when the database fails.
    pub(crate) async fn position(&self, row: &export::Model) -> Outcome<Option<QueuePosition>> {
        let snapshot = self.snapshot().await?;
        if snapshot.is_paused(row.export_id()) {
            return Ok(None);
        }
        let slots = self.catalog.slots(&row.pool, Lane::from_name(&row.lane));
        Ok(Some(snapshot.position_of(row.export_id(), &row.pool, &row.lane, slots)))
    }

    async fn snapshot(&self) -> Outcome<Arc<QueueSnapshot>> {
        // the lock is held during the read, so that concurrent requests wait for this read instead of starting their
        // own
        let mut cached = self.cached.lock().await;
        if let Some((at, snapshot)) = &*cached
            && at.elapsed() < MAX_SNAPSHOT_AGE
        {
            return Ok(Arc::clone(snapshot));
        }
        let snapshot = Arc::new(QueueSnapshot::read(&self.db, MAX_SNAPSHOT_EXPORTS).await?);
        *cached = Some((Instant::now(), Arc::clone(&snapshot)));
        Ok(snapshot)
    }
}
