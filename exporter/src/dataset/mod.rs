//! Datasets: where rows come from.
//!
//! A [`Dataset`] says what it has and opens a stream of polars frames for a query. Filters and column choice work on
//! each of them: over Parquet they become polars expressions, over SQL bound parameters, never text pasted into SQL.

mod decimals;
pub mod declared;
pub(crate) mod discreet;
mod feed;
pub mod files;
pub mod menu_category_counts;
#[cfg(test)]
mod parity_tests;
pub mod parquet;
pub mod postgres;
pub(crate) mod reals;
pub mod seen;
mod sift;
pub mod sql;
pub mod table;
#[cfg(test)]
mod tests;

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use futures::stream::BoxStream;
use polars::prelude::{DataFrame, PolarsError};
use protocol::{access::Access, catalog::Column, filter::Filter, params::ParamSpec};
use sea_orm::DbErr;
use serde_json::{Map, Value};
use tracing::warn;

pub use files::{FileKind, Files, Place, Spool};
pub use menu_category_counts::MenuCategoryCounts;
pub use parquet::ParquetFile;
pub use postgres::{Key, PostgresRows, PostgresServer, PostgresSettings};
pub use seen::Seen;
pub use sift::sift;
pub use table::Table;

/// How long finished files are kept, unless a dataset says otherwise.
const RETENTION: Duration = Duration::from_secs(24 * 60 * 60);

/// Columns that say whose a row is, unless a dataset says otherwise.
pub(crate) const TENANT_COLUMNS: [&str; 2] = ["tenant", "tenant_id"];

/// The rows of a query, in the dataset's order, with the columns of the query in its order. Memory is bounded: the
/// source waits until a frame is taken. Dropping the stream stops the source.
pub type Frames = BoxStream<'static, Result<DataFrame, DatasetError>>;

/// What to read.
#[derive(Clone, Debug)]
pub struct Query {
    /// At least one of the dataset's columns, in the order wanted.
    pub columns: Vec<String>,
    /// Checked against the dataset's columns; holds the row policy too.
    pub filter: Filter,
    /// Checked against the dataset's parameters, with defaults filled in.
    pub params: Map<String, Value>,
    /// Only so many rows, the first ones; None for all.
    pub limit: Option<u64>,
}

/// How many rows a query has, as far as statistics tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guess {
    /// About so many.
    pub rows: u64,
    /// Whether it is just as many.
    pub exact: bool,
}

/// Whether all rows of an export are of one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Snapshot {
    /// They are: what is written meanwhile is not seen.
    #[default]
    Export,
    /// They need not be: each part of the source is read as it is by then, and nothing is held open in the source.
    None,
}

/// A source of rows that people may export.
#[async_trait]
pub trait Dataset: Send + Sync {
    /// The name in requests and scopes.
    fn name(&self) -> &str;

    /// For people; the name by default.
    fn title(&self) -> &str {
        self.name()
    }

    /// For people; nothing by default.
    fn description(&self) -> &str {
        ""
    }

    /// What files say that made them, beside the name: to be changed whenever the same source would give other rows or
    /// columns.
    fn version(&self) -> &str {
        "1"
    }

    /// Whether all rows of an export are of one moment.
    fn snapshot(&self) -> Snapshot {
        Snapshot::Export
    }

    /// The columns in their own order.
    fn columns(&self) -> &[Column];

    /// Columns that it has, but that the one who asks must not see; none but in a [`Seen`].
    fn hidden(&self) -> &[Column] {
        &[]
    }

    /// The parameters; none by default.
    fn params(&self) -> &[ParamSpec] {
        &[]
    }

    /// A filter that always holds, with `{"claim": "<name>"}` for values of the caller's token; none by default.
    fn row_policy(&self) -> Option<&Value> {
        None
    }

    /// The columns that say whose a row is, more than one where tables are joined: a dataset that has any is not offered
    /// without a row policy that asks for each of them in every row. By default those called `tenant` or `tenant_id`.
    fn tenant_columns(&self) -> Vec<&str> {
        self.columns().iter().map(|column| column.name.as_str()).filter(|name| TENANT_COLUMNS.contains(name)).collect()
    }

    /// Who may see what of it; everybody everything by default.
    fn access(&self) -> Access {
        Access::default()
    }

    /// How long a finished file is kept.
    fn retention(&self) -> Duration {
        RETENTION
    }

    /// What one export costs.
    fn credits(&self) -> u32 {
        1
    }

    /// About how many rows there are, where that is cheap to know. It decides the lane of an export.
    async fn rows_estimate(&self) -> Option<u64>;

    /// How many rows a query has, where that can be counted much faster than read.
    ///
    /// # Errors
    /// When the source fails.
    async fn count(&self, query: &Query) -> Result<Option<u64>, DatasetError>;

    /// How many rows a query has, from statistics: much faster than [`Dataset::count`], and rarely exact.
    ///
    /// # Errors
    /// When the source fails.
    async fn guess(&self, query: &Query) -> Result<Option<Guess>, DatasetError> {
        if !query.filter.is_all() {
            return Ok(None);
        }
        Ok(self.rows_estimate().await.map(|rows| Guess { rows, exact: false }))
    }

    /// Whether [`Dataset::guess`] is made of what is known of all rows, and not of those alone that pass the filter. Then it
    /// tells of rows that a row policy holds back, and nobody who has one is told.
    fn guesses_from_all_rows(&self) -> bool {
        false
    }

    /// Begins to read.
    ///
    /// # Errors
    /// When the source can't be opened; later failures come through the stream.
    async fn open(&self, query: &Query) -> Result<Frames, DatasetError>;

    /// Begins to read, and says of which moment the rows are where the source itself tells; by default it does not.
    ///
    /// # Errors
    /// As [`Dataset::open`].
    async fn begin(&self, query: &Query) -> Result<Begun, DatasetError> {
        Ok(Begun { frames: self.open(query).await?, moment: None })
    }
}

/// A query that is being read.
pub struct Begun {
    /// Its rows.
    pub frames: Frames,
    /// By the source's own clock: all that was written before it is in the rows. None where the source doesn't tell.
    pub moment: Option<DateTime<Utc>>,
}

/// Why rows can't be read. What is displayed stands in logs and dead letters, and so holds no value of any row.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    /// The query names a column that the data no longer has.
    #[error("there is no column `{0}` any more")]
    NoColumn(String),
    /// The table is not there.
    #[error("there is no table `{0}`")]
    NoTable(String),
    /// A column is of a type that filters and files have no counterpart for.
    #[error("column `{column}` is of the unsupported type {dtype}")]
    Unsupported {
        /// The column.
        column: String,
        /// Its type, as polars names it.
        dtype: String,
    },
    /// A parameter is missing or of another type than declared.
    #[error("parameter `{0}` does not fit its declaration")]
    Param(String),
    /// A value that no column can hold.
    #[error("column `{column}`: {detail}")]
    Value {
        /// The column.
        column: String,
        /// What is wrong with it.
        detail: &'static str,
    },
    /// What the source sent is not what was asked for.
    #[error("the source sent something else than rows: {0}")]
    Garbled(&'static str),
    /// The source did not answer in time.
    #[error("the source did not answer within {} s", .0.as_secs())]
    Slow(Duration),
    /// The database refused, or was lost on the way.
    #[error("database: {}", sql::logged(.0))]
    Db(#[from] DbErr),
    /// polars could not read or compute.
    #[error("{}", discreet::polars(.0))]
    Polars(#[from] PolarsError),
    /// There is no file there.
    #[error("there is no file at {0}")]
    NoFile(String),
    /// A file was written while it was read, so that its rows are of two versions.
    #[error("its file was written while it was read: files are replaced by renaming others over them")]
    Rewritten,
    /// A column is of another type in one file than in the others.
    #[error("column `{0}` has changed its type")]
    Changed(String),
    /// A file is larger than may be copied.
    #[error("a file has more than {0} bytes, which is the most that is copied")]
    TooLarge(u64),
    /// Something about one file of several.
    #[error("{file}: {source}")]
    InFile {
        /// Which.
        file: String,
        /// What.
        source: Box<DatasetError>,
    },
    /// A CSV file is none.
    #[error("{0}")]
    Csv(#[from] ::csv::Error),
    /// An object can't be read.
    #[error("{0}")]
    Objects(#[from] object_store::Error),
    /// An endpoint does not answer as it should.
    #[error("{0}")]
    Http(#[source] Box<reqwest::Error>),
    /// The file can't be opened.
    #[error("file: {0}")]
    Io(#[from] std::io::Error),
    /// The reading task died.
    #[error("the source stopped in the middle: {}", discreet::died(.0))]
    Died(#[from] tokio::task::JoinError),
}

/// What is said of a file that was there.
const GONE: &str = "its file is no longer there";

impl DatasetError {
    /// The same, with the name of the file.
    pub(crate) fn in_file(self, file: &str) -> Self {
        // neither where it lies, nor what a URL says after its path
        let path = file.split('?').next().unwrap_or(file);
        Self::InFile { file: path.rsplit('/').next().unwrap_or(path).to_owned(), source: Box::new(self) }
    }

    /// What the owner of an export is told: what became of the data, but neither where it lies nor what is in it.
    #[must_use]
    pub fn told(&self) -> String {
        let words = match self {
            Self::InFile { file, source } => return format!("{file}: {}", source.told()),
            Self::NoTable(_) => "its table is no longer there",
            Self::Db(e) => sql::told(e),
            Self::NoFile(_) | Self::Objects(object_store::Error::NotFound { .. }) => GONE,
            Self::Io(e) if e.kind() == std::io::ErrorKind::NotFound => GONE,
            Self::Http(e) if e.status().is_some_and(|status| matches!(status.as_u16(), 404 | 410)) => GONE,
            Self::Io(_) => "its file can't be read",
            Self::Objects(_) | Self::Http(_) => "the place where its files are does not answer as it should",
            Self::Csv(e) if e.is_io_error() => "its file can't be read",
            Self::Polars(PolarsError::IO { .. }) => "its file can't be read",
            Self::Polars(_) => "its source is damaged, or holds something else than it did",
            Self::Died(_) => "its source stopped in the middle",
            Self::NoColumn(_)
            | Self::Unsupported { .. }
            | Self::Param(_)
            | Self::Value { .. }
            | Self::Garbled(_)
            | Self::Slow(_)
            | Self::Changed(_)
            | Self::Rewritten
            | Self::TooLarge(_)
            | Self::Csv(_) => return self.to_string(),
        };
        words.to_owned()
    }

    /// Whether the same query may work a little later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::InFile { source, .. } => source.is_transient(),
            Self::NoTable(_) | Self::NoFile(_) | Self::Changed(_) | Self::TooLarge(_) => false,
            Self::Csv(e) => e.is_io_error(),
            Self::Objects(e) => !matches!(e, object_store::Error::NotFound { .. }),
            Self::Http(e) => !e.is_status() || e.status().is_some_and(|s| s.is_server_error()),

            Self::NoColumn(_) | Self::Unsupported { .. } | Self::Param(_) | Self::Value { .. } => false,
            Self::Db(e) => sql::is_transient(e),
            Self::Garbled(_) | Self::Rewritten | Self::Slow(_) | Self::Polars(_) | Self::Io(_) | Self::Died(_) => true,
        }
    }
}

/// All rows of a dataset without parameters, for an estimate of how many there are; None where they are not known without
/// parameters. A source that can't say so is no error, as nothing depends on it.
async fn estimated(
    dataset: &dyn Dataset,
    guess: impl AsyncFnOnce(&Query) -> Result<Option<Guess>, DatasetError>,
) -> Option<u64> {
    if !dataset.params().is_empty() {
        return None;
    }
    let all = Query { columns: Vec::new(), filter: Filter::all(), params: Map::new(), limit: None };
    guess(&all).await.map(|guess| guess.map(|guess| guess.rows)).unwrap_or_else(|e| {
        warn!(dataset.name = dataset.name(), error = %e, "can't estimate the rows of a dataset");
        None
    })
}

/// Joins all parts by an associative operation, as a tree of logarithmic depth: what walks it, here and in a database,
/// does so recursively, and a chain would be as deep as the list is long. None for an empty list.
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
