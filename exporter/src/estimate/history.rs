//! Measures the row size and the speed of earlier exports.

use std::{collections::HashMap, sync::Arc, time::Duration};

use entity::export;
use protocol::export::Status;
use sea_orm::{ColumnTrait, DatabaseConnection, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use serde_json::Value;
use tokio::{sync::Mutex, time::Instant};
use tracing::warn;

use crate::plan::PlanRequest;

/// The maximum number of finished exports that the history reads from the database, newest first.
const MAX_EXPORTS: u64 = 300;
/// The maximum age of the cached history. After that, the next estimate reads the history again.
const CACHE_TTL: Duration = Duration::from_secs(60);
/// The history contains only exports with at least this number of rows. The fixed costs of smaller exports would
/// distort the mean speed.
const MIN_ROWS: i64 = 1_000;
/// The timeout of the query that reads the history. If the query fails, estimates do without the history.
const QUERY_TIMEOUT: Duration = Duration::from_secs(1);

/// The fields of a request that decide the size of a row. [`History`] averages the measurements of exports with equal
/// keys.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    dataset: String,
    template: String,
    format: String,
    compression: String,
    columns: String,
}

impl Key {
    pub(super) fn of(request: &PlanRequest) -> Self {
        Self {
            dataset: request.dataset.clone(),
            template: request.template.clone(),
            format: request.format.clone(),
            compression: request.compression.clone(),
            columns: Value::from(request.columns.clone()).to_string(),
        }
    }
}

/// The mean row size and speed of exports with the same key.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Throughput {
    pub(super) bytes_per_row: f64,
    pub(super) rows_per_second: f64,
}

type Throughputs = Arc<HashMap<Key, Throughput>>;

/// The row size and speed of the newest exports for each [`Key`], cached for [`CACHE_TTL`].
pub(super) struct History {
    db: DatabaseConnection,
    cache: Mutex<Option<(Instant, Throughputs)>>,
}

impl History {
    pub(super) fn new(db: DatabaseConnection) -> Self {
        Self { db, cache: Mutex::new(None) }
    }

    /// Returns the mean row size and speed of earlier exports with this key; None if the history contains no such
    /// export.
    pub(super) async fn throughput(&self, key: &Key) -> Option<Throughput> {
        let mut cache = self.cache.lock().await;
        let throughputs = match cache.as_ref() {
            Some((at, throughputs)) if at.elapsed() < CACHE_TTL => Arc::clone(throughputs),
            _ => {
                let read = tokio::time::timeout(QUERY_TIMEOUT, read(&self.db)).await;
                let throughputs = match read {
                    Ok(Ok(throughputs)) => Arc::new(throughputs),
                    Ok(Err(e)) => {
                        warn!(error = %e, "failed to read the history of exports");
                        Throughputs::default()
                    }
                    Err(_) => Throughputs::default(),
                };
                *cache = Some((Instant::now(), Arc::clone(&throughputs)));
                throughputs
            }
        };
        throughputs.get(key).copied()
    }
}

#[derive(Default)]
struct Sum {
    rows: f64,
    bytes: f64,
    seconds: f64,
}

async fn read(db: &DatabaseConnection) -> Result<HashMap<Key, Throughput>, DbErr> {
    // ids are ordered by time, so the query reads only the newest rows
    let newest = export::Entity::find().order_by_desc(export::Column::Id).limit(MAX_EXPORTS);
    let rows = newest.filter(export::Column::Status.is_not_in(UNFINISHED.map(Status::as_str))).all(db).await?;
    let mut sums: HashMap<Key, Sum> = HashMap::new();
    for row in rows {
        let (Some(count), Some(size)) = (row.file_rows, row.file_size) else { continue };
        let (Some(started), Some(completed)) = (row.started_at, row.completed_at) else { continue };
        if count < MIN_ROWS {
            continue;
        }
        let key = Key {
            dataset: row.dataset,
            template: row.template,
            format: row.format,
            compression: row.compression,
            columns: row.columns.to_string(),
        };
        let sum = sums.entry(key).or_default();
        sum.rows += count as f64;
        sum.bytes += size as f64;
        // the duration includes retries and the pauses between them
        sum.seconds += ((completed - started).num_milliseconds() as f64 / 1_000.0).max(0.001);
    }
    let throughputs = sums.into_iter().map(|(key, sum)| {
        (key, Throughput { bytes_per_row: sum.bytes / sum.rows, rows_per_second: sum.rows / sum.seconds })
    });
    Ok(throughputs.collect())
}

const UNFINISHED: [Status; 3] = [Status::Queued, Status::Dispatched, Status::Running];
