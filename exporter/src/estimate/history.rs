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
/// The maximum age of the cached history. When the cache is older, the next estimate reads the history again.
const CACHE_TTL: Duration = Duration::from_secs(60);
/// The minimum number of rows of an export in the history. In smaller exports, fixed costs distort the time per row.
const MIN_ROWS: i64 = 1_000;
/// The timeout of the query that reads the history. After a failure, estimates use no history until the cache expires.
const QUERY_TIMEOUT: Duration = Duration::from_secs(1);

/// The fields of a request that determine the size of a row. [`History`] groups earlier exports by these fields.
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

/// The maximum ratio between the row counts of two comparable exports.
const COMPARABLE: f64 = 8.0;

/// The total size of all earlier exports with the same [`Key`], and the row count and duration of each.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Throughput {
    rows: f64,
    bytes: f64,
    runs: Vec<Run>,
}

/// The row count and the duration, in seconds, of one export.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Run {
    rows: f64,
    seconds: f64,
    /// Whether the export had a filter or parameters, so that the source may have read more rows than it returned.
    is_selective: bool,
}

impl Throughput {
    fn add(&mut self, run: Run, bytes: f64) {
        self.rows += run.rows;
        self.bytes += bytes;
        self.runs.push(run);
    }

    /// Returns the mean size of a row, in bytes.
    pub(super) fn bytes_per_row(&self) -> f64 {
        self.bytes / self.rows
    }

    /// Returns the expected duration of an export with `rows` rows, in seconds: `rows` times the median time per row of
    /// the comparable earlier exports. Returns None if no earlier export is comparable. `is_selective` is true if the
    /// export has a filter or parameters.
    ///
    /// An earlier export is comparable if its row count differs from `rows` by at most the factor [`COMPARABLE`], and
    /// its [`Run::is_selective`] equals `is_selective`. The result never exceeds the duration of an earlier export that
    /// had at least `rows` rows, no filter and no parameters.
    pub(super) fn seconds(&self, rows: u64, is_selective: bool) -> Option<f64> {
        let rows = (rows as f64).max(1.0);
        let is_comparable = |run: &&Run| {
            run.is_selective == is_selective && run.rows <= rows * COMPARABLE && rows <= run.rows * COMPARABLE
        };
        let mut durations: Vec<f64> =
            self.runs.iter().filter(is_comparable).map(|run| run.seconds / run.rows * rows).collect();
        durations.sort_by(f64::total_cmp);
        let median = durations.get(durations.len() / 2).copied();
        let larger = self.runs.iter().filter(|run| !run.is_selective && run.rows >= rows).map(|run| run.seconds);
        let longest = larger.min_by(f64::total_cmp);
        match (median, longest) {
            (Some(median), Some(longest)) => Some(median.min(longest)),
            (Some(median), None) => Some(median),
            (None, _) => None,
        }
    }
}

type Throughputs = Arc<HashMap<Key, Throughput>>;

/// The row sizes and durations of the newest exports, by [`Key`]. The values are cached for [`CACHE_TTL`].
pub(super) struct History {
    db: DatabaseConnection,
    cache: Mutex<Option<(Instant, Throughputs)>>,
}

impl History {
    pub(super) fn new(db: DatabaseConnection) -> Self {
        Self { db, cache: Mutex::new(None) }
    }

    /// Returns the measurements of earlier exports with this key. Returns None if the history contains no such export,
    /// or if the history can't be read.
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
        throughputs.get(key).cloned()
    }
}

async fn read(db: &DatabaseConnection) -> Result<HashMap<Key, Throughput>, DbErr> {
    // ids are ordered by time, so the query reads only the newest rows
    let newest = export::Entity::find().order_by_desc(export::Column::Id).limit(MAX_EXPORTS);
    let rows = newest.filter(export::Column::Status.is_not_in(UNFINISHED.map(Status::as_str))).all(db).await?;
    let mut throughputs: HashMap<Key, Throughput> = HashMap::new();
    for row in rows {
        let (Some(count), Some(size)) = (row.file_rows, row.file_size) else { continue };
        let (Some(started), Some(completed)) = (row.started_at, row.completed_at) else { continue };
        if count < MIN_ROWS {
            continue;
        }
        let is_empty = |value: &Value| value.as_object().is_none_or(serde_json::Map::is_empty);
        let is_selective = !is_empty(&row.filter) || !is_empty(&row.params);
        let key = Key {
            dataset: row.dataset,
            template: row.template,
            format: row.format,
            compression: row.compression,
            columns: row.columns.to_string(),
        };
        // the duration includes retries and the pauses between them
        let seconds = ((completed - started).num_milliseconds() as f64 / 1_000.0).max(0.001);
        throughputs.entry(key).or_default().add(Run { rows: count as f64, seconds, is_selective }, size as f64);
    }
    Ok(throughputs)
}

const UNFINISHED: [Status; 3] = [Status::Queued, Status::Dispatched, Status::Running];

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use platform::clock::{Clock, SystemClock};
    use protocol::id::ExportId;
    use sea_orm::ActiveValue::Set;
    use serde_json::json;

    use super::*;

    fn throughput(runs: &[(f64, f64, bool)]) -> Throughput {
        let mut all = Throughput::default();
        for (rows, seconds, is_selective) in runs.iter().copied() {
            all.add(Run { rows, seconds, is_selective }, rows * 10.0);
        }
        all
    }

    fn seconds(all: &Throughput, rows: u64, is_selective: bool) -> Option<f64> {
        all.seconds(rows, is_selective).map(|seconds| (seconds * 1_000.0).round() / 1_000.0)
    }

    #[test]
    fn a_small_filter_does_not_decide_how_long_a_full_export_takes() {
        // a filter read the whole source and returned few rows
        let all = throughput(&[(1_500.0, 0.9, true), (3_000_000.0, 2.0, false), (3_000_000.0, 2.2, false)]);
        assert_eq!(seconds(&all, 3_000_000, false), Some(2.0));
        assert_eq!(seconds(&all, 1_500, true), Some(0.9));
        // no export takes longer than a full export of more rows
        let slow = throughput(&[(10_000.0, 9.0, true), (3_000_000.0, 2.0, false)]);
        assert_eq!(seconds(&slow, 20_000, true), Some(2.0));
        assert!((all.bytes_per_row() - 10.0).abs() < 1e-9);
    }

    /// Inserts a completed export of the dataset `flights`.
    async fn insert(db: &DatabaseConnection, rows: i64, seconds: i64, filter: Value, params: Value) {
        let now = SystemClock.now();
        let row = export::ActiveModel {
            id: Set(ExportId::generate().0),
            tenant: Set("acme".into()),
            user_id: Set("alice".into()),
            dataset: Set("flights".into()),
            template: Set("default".into()),
            format: Set("csv".into()),
            compression: Set("none".into()),
            filter: Set(filter),
            columns: Set(json!([])),
            params: Set(params),
            claims: Set(json!({})),
            status: Set(Status::Completed.as_str().into()),
            attempt: Set(1),
            pool: Set("default".into()),
            lane: Set("bulk".into()),
            credits: Set(1),
            retention_seconds: Set(60),
            traceparent: Set(String::new()),
            requested_at: Set(now),
            updated_at: Set(now),
            started_at: Set(Some(now)),
            completed_at: Set(Some(now + TimeDelta::seconds(seconds))),
            file_rows: Set(Some(rows)),
            file_size: Set(Some(rows * 10)),
            rows: Set(rows),
            bytes: Set(rows * 10),
            ..export::ActiveModel::default()
        };
        export::Entity::insert(row).exec_without_returning(db).await.unwrap();
    }

    #[tokio::test]
    async fn the_rate_of_a_small_filter_is_not_used_for_a_large_export() {
        let database = testkit::db::sqlite().await;
        // each of these exports read 3,000,000 rows for 30 s, and returned 1,500 of them
        insert(&database.db, 1_500, 30, json!({"origin": {"eq": "SEA"}}), json!({})).await;
        insert(&database.db, 1_500, 30, json!({}), json!({"origin": "SEA"})).await;
        let key = Key {
            dataset: "flights".into(),
            template: "default".into(),
            format: "csv".into(),
            compression: "none".into(),
            columns: "[]".into(),
        };
        // each history has its own cache
        let read = async || History::new(database.db.clone()).throughput(&key).await.unwrap();
        let selective = read().await;
        for (rows, is_selective, expected) in [
            (3_000_000, false, None),
            (3_000_000, true, None),
            // a full export of as few rows reads no others
            (1_500, false, None),
            (1_500, true, Some(30.0)),
        ] {
            assert_eq!(seconds(&selective, rows, is_selective), expected, "{rows} {is_selective}");
        }
        insert(&database.db, 3_000_000, 40, json!({}), json!({})).await;
        let all = read().await;
        assert_eq!(seconds(&all, 3_000_000, false), Some(40.0));
        assert_eq!(seconds(&all, 1_500, true), Some(30.0));
        assert!((all.bytes_per_row() - 10.0).abs() < 1e-9);
    }

    #[test]
    fn without_a_comparable_export_the_history_says_nothing() {
        let all = throughput(&[(2_000.0, 1.0, true), (1_000_000.0, 5.0, false)]);
        for (rows, is_selective) in [(3_000_000, true), (1_000, false), (100_000_000, false)] {
            assert_eq!(all.seconds(rows, is_selective), None, "{rows}");
        }
        assert_eq!(Throughput::default().seconds(1, false), None);
        assert_eq!(seconds(&all, 4_000_000, false), Some(20.0));
    }
}
