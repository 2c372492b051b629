//! How large and how fast the rows of earlier exports were.

use std::{collections::HashMap, sync::Arc, time::Duration};

use entity::export;
use protocol::export::Status;
use sea_orm::{ColumnTrait, DatabaseConnection, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use serde_json::Value;
use tokio::{sync::Mutex, time::Instant};
use tracing::warn;

use crate::worker::plan::Ask;

/// So many of the newest exports are looked at.
const NEWEST: u64 = 300;
/// And so often at most.
const FRESH: Duration = Duration::from_secs(60);
/// Fewer rows tell too little about the others.
const FEWEST_ROWS: i64 = 1_000;
/// The database may take this long; without it an estimate is only coarser.
const PATIENCE: Duration = Duration::from_secs(1);

/// Exports whose rows are alike.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    dataset: String,
    template: String,
    format: String,
    compression: String,
    columns: String,
}

impl Key {
    pub(super) fn of(ask: &Ask) -> Self {
        Self {
            dataset: ask.dataset.clone(),
            template: ask.template.clone(),
            format: ask.format.clone(),
            compression: ask.compression.clone(),
            columns: Value::from(ask.columns.clone()).to_string(),
        }
    }
}

/// The mean of what is remembered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Pace {
    pub(super) bytes_per_row: f64,
    pub(super) rows_per_second: f64,
}

type Paces = Arc<HashMap<Key, Pace>>;

/// What the newest exports tell. It is read again when it is old and somebody asks.
pub(super) struct History {
    db: DatabaseConnection,
    known: Mutex<Option<(Instant, Paces)>>,
}

impl History {
    pub(super) fn new(db: DatabaseConnection) -> Self {
        Self { db, known: Mutex::new(None) }
    }

    /// The pace of exports like this one, where some were made.
    pub(super) async fn pace(&self, key: &Key) -> Option<Pace> {
        let mut known = self.known.lock().await;
        let paces = match known.as_ref() {
            Some((at, paces)) if at.elapsed() < FRESH => Arc::clone(paces),
            _ => {
                let read = tokio::time::timeout(PATIENCE, read(&self.db)).await;
                let paces = match read {
                    Ok(Ok(paces)) => Arc::new(paces),
                    Ok(Err(e)) => {
                        warn!(error = %e, "what earlier exports took can't be read");
                        Paces::default()
                    }
                    Err(_) => Paces::default(),
                };
                *known = Some((Instant::now(), Arc::clone(&paces)));
                paces
            }
        };
        paces.get(key).copied()
    }
}

#[derive(Default)]
struct Sum {
    rows: f64,
    bytes: f64,
    seconds: f64,
}

async fn read(db: &DatabaseConnection) -> Result<HashMap<Key, Pace>, DbErr> {
    // the newest by their ids, which are in order of time, so that no more than these are looked at
    let newest = export::Entity::find().order_by_desc(export::Column::Id).limit(NEWEST);
    let rows = newest.filter(export::Column::Status.is_not_in(UNFINISHED.map(Status::as_str))).all(db).await?;
    let mut sums: HashMap<Key, Sum> = HashMap::new();
    for row in rows {
        let (Some(count), Some(size)) = (row.file_rows, row.file_size) else { continue };
        let (Some(started), Some(completed)) = (row.started_at, row.completed_at) else { continue };
        if count < FEWEST_ROWS {
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
        // retries and waits in between count too, as they will again
        sum.seconds += ((completed - started).num_milliseconds() as f64 / 1_000.0).max(0.001);
    }
    let paces = sums
        .into_iter()
        .map(|(key, sum)| (key, Pace { bytes_per_row: sum.bytes / sum.rows, rows_per_second: sum.rows / sum.seconds }));
    Ok(paces.collect())
}

const UNFINISHED: [Status; 3] = [Status::Queued, Status::Dispatched, Status::Running];
