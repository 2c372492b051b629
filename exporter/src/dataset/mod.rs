//! Datasets: the named sets of rows and columns that users may export.
//!
//! A [`Dataset`] describes itself ([`DatasetInfo`]) and opens a query as a stream of polars data frames. Each dataset
//! applies the filter of the query and selects the columns itself. Datasets of files do so with polars expressions. SQL
//! datasets send a `SELECT` statement, in which values are bound parameters or escaped literals. So no text of a
//! request is ever run as SQL. For SQLite, the statement may return too many rows, and the exporter tests each row with
//! the filter.

mod access_view;
mod apply_query;
mod error;
#[cfg(test)]
mod file_spelling_tests;
mod files;
mod frame_builder;
mod frame_channel;
mod info;
pub(crate) mod numbers;
#[cfg(test)]
mod own_comparison_tests;
#[cfg(test)]
mod parity_tests;
mod postgres;
pub(crate) mod redact;
pub mod sql;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod written_values_tests;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use futures::stream::BoxStream;
use polars::prelude::DataFrame;
use protocol::{filter::Filter, params};
use serde_json::{Map, Value};
use tracing::warn;

pub use self::{
    access_view::{AccessError, AccessView},
    apply_query::apply_query,
    error::DatasetError,
    files::{Comments, CsvDialect, FileKind, Files, Location, SourceDigest, Spool},
    info::{DatasetInfo, Snapshot, TextMeaning},
    postgres::{PostgresRows, PostgresServer, PostgresSettings},
    sql::SqlRows,
};
pub(crate) use self::{
    info::TENANT_COLUMNS,
    postgres::{Key, Relation, RelationKind, Resolved, can_split, relations},
};

/// A stream of data frames. The rows are in the order of the dataset, and the columns in the order of the query. The
/// task that reads the source prepares a bounded number of frames in advance, and stops when the stream is dropped.
pub type Frames = BoxStream<'static, Result<DataFrame, DatasetError>>;

/// A query for rows of a dataset. The code that creates a query must check it against the columns and parameters of the
/// dataset.
#[derive(Clone, Debug)]
pub struct Query {
    /// The columns of the result, in this order. A query that is opened has at least one column; a query that is only
    /// counted may have none.
    pub columns: Vec<String>,
    /// The filter that rows must pass. An [`AccessView`] adds the row policy to this filter.
    pub filter: Filter,
    /// The values of all parameters, including default values.
    pub params: Map<String, Value>,
    /// The maximum number of rows of the result; None for all rows.
    pub limit: Option<u64>,
}

/// The precision with which the rows of a query are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// The exact number. [`Dataset::count`] may return None instead if the source would have to read all rows to count
    /// them.
    Exact,
    /// An estimate from statistics, from a sample or from a count with a limit, within about a second.
    Estimate,
}

/// The number of rows of a query, exact or estimated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowCount {
    /// The number of rows.
    pub rows: u64,
    /// Whether the number is exact; false for an estimate.
    pub exact: bool,
}

impl RowCount {
    /// Returns an exact number of rows.
    #[must_use]
    pub const fn exact(rows: u64) -> Self {
        Self { rows, exact: true }
    }

    /// Returns an estimated number of rows.
    #[must_use]
    pub const fn estimate(rows: u64) -> Self {
        Self { rows, exact: false }
    }
}

/// The result of [`Dataset::open`]: a stream of rows, and the time of the snapshot from which the rows come.
pub struct OpenedQuery {
    /// The rows of the query, as a stream of data frames.
    pub frames: Frames,
    /// The time of the snapshot by the clock of the source. The rows include every write that was committed before that
    /// time. None if the source does not report the time; the exporter then uses the time at which it opened the query.
    pub snapshot_at: Option<DateTime<Utc>>,
}

impl From<Frames> for OpenedQuery {
    fn from(frames: Frames) -> Self {
        Self { frames, snapshot_at: None }
    }
}

/// A dataset that users may export. It describes itself, opens queries and counts rows.
#[async_trait]
pub trait Dataset: Send + Sync {
    /// Returns the description of the dataset.
    fn info(&self) -> &DatasetInfo;

    /// Whether an export has found that the source has changed and no longer fits [`Self::info`]. The exporter then
    /// loads its catalog file again.
    fn is_outdated(&self) -> bool {
        false
    }

    /// Opens a query.
    ///
    /// # Errors
    /// When the source can't be opened. Later errors are items of the stream.
    async fn open(&self, query: &Query) -> Result<OpenedQuery, DatasetError>;

    /// Counts the rows of a query. Returns None if the source can't count at this precision; the default implementation
    /// always returns None.
    ///
    /// # Errors
    /// When the source fails.
    async fn count(&self, query: &Query, precision: Precision) -> Result<Option<RowCount>, DatasetError> {
        let _ = (query, precision);
        Ok(None)
    }
}

/// Estimates the number of rows of a whole dataset, with the default value of each parameter. Exporters advertise this
/// number. Gateways choose the lane of an export by it, that is, the queue `interactive` or `bulk`.
///
/// Returns None if a parameter has no default, or if the source has no estimate. Returns None also if the source fails;
/// the error is logged.
pub async fn estimate_rows(dataset: &dyn Dataset) -> Option<u64> {
    let info = dataset.info();
    let params = params::check(&info.params, &Map::new()).ok()?;
    let all = Query { columns: Vec::new(), filter: Filter::all(), params, limit: None };
    match dataset.count(&all, Precision::Estimate).await {
        Ok(count) => count.map(|count| count.rows),
        Err(e) => {
            warn!(dataset.name = info.name, error = %e, "failed to estimate the rows of a dataset");
            None
        }
    }
}

/// Joins the parts of an expression by the associative operation `join` into a balanced tree, because databases and
/// polars limit the depth of expressions. Returns None if `parts` is empty.
fn balanced<T>(mut parts: Vec<T>, join: fn(T, T) -> T) -> Option<T> {
    while parts.len() > 1 {
        let mut pairs = parts.into_iter();
        let mut joined = Vec::with_capacity(pairs.len().div_ceil(2));
        while let Some(left) = pairs.next() {
            joined.push(match pairs.next() {
                Some(right) => join(left, right),
                None => left,
            });
        }
        parts = joined;
    }
    parts.pop()
}
