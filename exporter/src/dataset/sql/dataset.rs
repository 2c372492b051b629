//! Reads the rows of a table, view or query one by one. For SQLite, [`sqlite`] reads each value by its storage class.
//! For PostgreSQL, the `SELECT` casts each column to a SQL type that fits the type of the column in the catalog.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use futures::TryStreamExt;
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DbBackend, DbErr, Statement, StreamTrait,
    sea_query::{Alias, Expr, Func, NullOrdering, Query as Sql, SelectStatement},
};

use super::{
    super::{
        Dataset, DatasetError, DatasetInfo, OpenedQuery, Precision, Query, RowCount, frame_builder::FrameBuilder,
        frame_channel,
    },
    expressions::{find, readable, sortable},
    known_columns::KnownColumns,
    select::filtered,
    source::{OrderBy, Source},
    sqlite::{self, SqliteFile},
    values,
};

/// The number of rows at which an estimate stops counting. This is twice the gateway's default
/// `interactive_max_dataset_rows`.
const ESTIMATE_LIMIT: u64 = 200_000;
/// The maximum wait for the database to answer a statement, or to send the next row.
const READ_TIMEOUT: Duration = Duration::from_secs(600);

/// A dataset of the rows of an SQL table, view or query.
#[derive(Clone, Debug)]
pub struct SqlRows {
    pub(super) database: SqlDatabase,
    pub(super) source: Source,
    pub(super) info: DatasetInfo,
    pub(super) order: Vec<OrderBy>,
    /// The columns of the SQLite table at the time when the catalog was loaded. Each export compares these columns with
    /// the current columns of the table. None for a query, because the catalog file declares its columns.
    pub(super) known: Option<KnownColumns>,
}

/// The database that a dataset reads.
#[derive(Clone, Debug)]
pub enum SqlDatabase {
    /// A pool of open connections to a database.
    Open(DatabaseConnection),
    /// A SQLite file. An operator may replace it by renaming another file over it.
    File(Arc<SqliteFile>),
}

impl From<DatabaseConnection> for SqlDatabase {
    fn from(db: DatabaseConnection) -> Self {
        Self::Open(db)
    }
}

impl From<Arc<SqliteFile>> for SqlDatabase {
    fn from(file: Arc<SqliteFile>) -> Self {
        Self::File(file)
    }
}

impl SqlDatabase {
    /// Returns the pool of connections to the database.
    pub(super) async fn connection(&self) -> Result<DatabaseConnection, DatasetError> {
        match self {
            Self::Open(db) => Ok(db.clone()),
            Self::File(file) => file.connection().await,
        }
    }

    fn backend(&self) -> DbBackend {
        match self {
            Self::Open(db) => db.get_database_backend(),
            Self::File(_) => DbBackend::Sqlite,
        }
    }
}

impl SqlRows {
    /// Creates a dataset of the rows of `source`, a table, view or query in `database`. The columns of `info` must be
    /// columns of the source.
    #[must_use]
    pub fn new(database: impl Into<SqlDatabase>, source: Source, info: DatasetInfo) -> Self {
        Self { database: database.into(), source, info, order: Vec::new(), known: None }
    }

    /// Returns this dataset with its rows sorted by the columns `order`. If `order` is empty, the database decides the
    /// order of the rows.
    #[must_use]
    pub fn ordered_by(mut self, order: Vec<OrderBy>) -> Self {
        self.order = order;
        self
    }

    /// Returns this dataset with a check: each export fails if the columns of the source no longer fit the dataset.
    /// `known` are the columns of the source when the catalog was loaded.
    #[must_use]
    pub(crate) fn with_known(mut self, known: KnownColumns) -> Self {
        self.known = Some(known);
        self
    }

    /// Counts the rows of a query. Stops counting at `limit` rows. Without a limit, counts all rows.
    async fn counted(&self, query: &Query, limit: Option<u64>) -> Result<u64, DatasetError> {
        let db = self.database.connection().await?;
        let mut rows = filtered(&self.source, &self.info.columns, query, self.database.backend())?;
        let select = match limit {
            None => rows.expr(Func::count(Expr::val(1))).take(),
            Some(limit) => {
                let some = rows.expr_as(Expr::val(1), Alias::new("one")).limit(limit).take();
                Sql::select().expr(Func::count(Expr::val(1))).from_subquery(some, Alias::new("some")).take()
            }
        };
        let statement = self.statement(&select, query)?;
        let Some(row) = within(db.query_one_raw(statement)).await? else { return Ok(0) };
        Ok(row.try_get_by_index::<i64>(0)?.unsigned_abs())
    }

    /// Returns a `SELECT` as a statement with bound values. If the source is a query, the text of the query becomes a
    /// common table expression before the `SELECT`.
    pub(super) fn statement(&self, select: &SelectStatement, query: &Query) -> Result<Statement, DatasetError> {
        let backend = self.database.backend();
        match &self.source {
            Source::Table(_) => Ok(backend.build(select)),
            Source::Query(text) => text.before(select, &query.params, backend),
        }
    }
}

#[async_trait]
impl Dataset for SqlRows {
    fn info(&self) -> &DatasetInfo {
        &self.info
    }

    fn is_outdated(&self) -> bool {
        self.known.as_ref().is_some_and(KnownColumns::are_outdated)
    }

    async fn open(&self, query: &Query) -> Result<OpenedQuery, DatasetError> {
        let backend = self.database.backend();
        if backend == DbBackend::Sqlite {
            return sqlite::open(self, query).await;
        }
        let columns = query.columns.iter().map(|name| find(&self.info.columns, name)).collect::<Result<Vec<_>, _>>()?;
        let mut select = filtered(&self.source, &self.info.columns, query, backend)?;
        for column in &columns {
            select.expr_as(readable(column), Alias::new(&column.name));
        }
        for key in &self.order {
            let column = find(&self.info.columns, &key.column)?;
            select.order_by_expr_with_nulls(sortable(&column, backend, None), key.direction(), NullOrdering::Last);
        }
        if let Some(limit) = query.limit {
            select.limit(limit);
        }
        let statement = self.statement(&select, query)?;
        let db = self.database.connection().await?;
        let (sender, receiver) = frame_channel::channel();
        let task = tokio::spawn(async move {
            let mut stream = within(db.stream_raw(statement)).await?;
            let mut frame = FrameBuilder::new(columns);
            while let Some(row) = within(stream.try_next()).await? {
                values::push(&mut frame, &row)?;
                if frame.is_full() && sender.send(frame.take()?).await.is_err() {
                    return Ok(());
                }
            }
            if !frame.is_empty() && sender.send(frame.take()?).await.is_err() {
                return Ok(());
            }
            Ok(())
        });
        Ok(frame_channel::frames(receiver, task).into())
    }

    async fn count(&self, query: &Query, precision: Precision) -> Result<Option<RowCount>, DatasetError> {
        if self.database.backend() == DbBackend::Sqlite {
            return sqlite::count(self, query, precision).await.map(Some);
        }
        let limit = match precision {
            Precision::Exact => None,
            Precision::Estimate => Some(ESTIMATE_LIMIT),
        };
        let rows = self.counted(query, limit).await?;
        Ok(Some(RowCount { rows, exact: limit != Some(rows) }))
    }
}

/// Waits for an answer of the database, at most for [`READ_TIMEOUT`].
pub(super) async fn within<T>(answer: impl Future<Output = Result<T, DbErr>>) -> Result<T, DatasetError> {
    match tokio::time::timeout(READ_TIMEOUT, answer).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(DatasetError::Slow(READ_TIMEOUT)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_silent_database_fails_after_the_read_timeout() {
        let silent = within(std::future::pending::<Result<(), DbErr>>()).await;
        assert!(matches!(silent, Err(DatasetError::Slow(time)) if time == READ_TIMEOUT));
        assert!(within(async { Ok(()) }).await.is_ok());
    }
}
