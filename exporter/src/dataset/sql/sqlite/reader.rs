//! Opens queries of SQLite, and counts their rows.

use futures::TryStreamExt;
use protocol::{
    catalog::{Column, ColumnType},
    filter::Filter,
};
use sea_orm::{
    ConnectionTrait, DatabaseConnection, QueryResult, StreamTrait,
    sea_query::{Alias, Expr, Func, NullOrdering, Query as Sql, SelectStatement},
    sqlx::sqlite::SqliteRow,
};

use super::{
    super::{
        super::{
            DatasetError, DatasetInfo, OpenedQuery, Precision, Query, RowCount,
            error::ZONED,
            frame_builder::{AppendError, FrameBuilder},
            frame_channel,
        },
        dataset::{SqlRows, within},
        expressions::{col, find},
        select::from_source,
    },
    cell::Cell,
    prefilter::Prefilter,
    row_test::RowTest,
    schema::{Affinities, table_columns},
    sorting::{OrderCheck, sort_keys},
    stored::Stored,
};

/// The description of a column of timestamps without a time zone, for error texts.
const LOCAL_MOMENTS: &str = "a column of timestamps without a time zone";
/// The maximum number of rows on which an estimate evaluates the filter. This is twice the gateway's default
/// `interactive_max_dataset_rows`.
const ESTIMATE_ROWS: u64 = 200_000;
/// The number of rows at which an estimate stops counting the rows that may pass the filter.
const ESTIMATE_LIMIT: u64 = 10_000_000;

/// Opens a query of the SQLite dataset `rows`.
pub(in crate::dataset::sql) async fn open(rows: &SqlRows, query: &Query) -> Result<OpenedQuery, DatasetError> {
    let columns = &rows.info.columns;
    let shown = query.columns.iter().map(|name| find(columns, name)).collect::<Result<Vec<_>, _>>()?;
    let sorted = rows.order.iter().map(|key| find(columns, &key.column)).collect::<Result<Vec<_>, _>>()?;
    let db = rows.database.connection().await?;
    if let Some(known) = &rows.known {
        known.check(&rows.info, &table_columns(&db, &rows.source).await?)?;
    }
    let affinities = Affinities::of(&db, &rows.source).await?;
    let mut reader = Reader::new(&rows.info, &shown, &query.filter)?;
    let mut select = reader.select(rows, query, &affinities);
    for (column, key) in sorted.iter().zip(&rows.order) {
        for expr in sort_keys(column, &affinities) {
            select.order_by_expr_with_nulls(expr, key.direction(), NullOrdering::Last);
        }
    }
    let keys = sorted.iter().zip(&rows.order).map(|(column, key)| {
        let at = reader.read(column);
        (at, column.name.clone(), key.descending)
    });
    reader.order = OrderCheck::new(keys.collect());
    reader.add_columns(&mut select);
    if let (true, Some(limit)) = (query.filter.is_all(), query.limit) {
        select.limit(limit);
    }
    let statement = rows.statement(&select, query)?;
    let limit = query.limit.unwrap_or(u64::MAX);
    let (sender, receiver) = frame_channel::channel();
    let task = tokio::spawn(async move {
        let mut stream = within(db.stream_raw(statement)).await?;
        let mut frame = FrameBuilder::new(shown);
        while reader.passed < limit
            && let Some(row) = within(stream.try_next()).await?
        {
            reader.push(raw(&row)?, &mut frame)?;
            drop(row);
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

/// Counts the rows of a query of the SQLite dataset `rows`.
///
/// An estimate counts at most [`ESTIMATE_LIMIT`] rows. With a filter, it counts the rows that may pass the filter, and
/// evaluates the filter only on the first [`ESTIMATE_ROWS`] of these rows. The estimate assumes that the same share of
/// the other rows passes. If at most [`ESTIMATE_ROWS`] rows may pass, the estimate is exact.
pub(in crate::dataset::sql) async fn count(
    rows: &SqlRows,
    query: &Query,
    precision: Precision,
) -> Result<RowCount, DatasetError> {
    let db = rows.database.connection().await?;
    let affinities = Affinities::of(&db, &rows.source).await?;
    let most = match precision {
        Precision::Exact => u64::MAX,
        Precision::Estimate => ESTIMATE_ROWS,
    };
    let mut reader = Reader::new(&rows.info, &[], &query.filter)?;
    let select = reader.select(rows, query, &affinities);
    if query.filter.is_all() {
        let limit = (precision == Precision::Estimate).then_some(ESTIMATE_LIMIT);
        let rows = counted(&db, rows, select, query, limit).await?;
        return Ok(RowCount { rows, exact: limit != Some(rows) });
    }
    let mut narrowed = select.clone();
    reader.add_columns(&mut narrowed);
    let statement = rows.statement(&narrowed, query)?;
    let mut seen = 0;
    let mut stream = within(db.stream_raw(statement)).await?;
    while seen < most
        && let Some(row) = within(stream.try_next()).await?
    {
        reader.test(raw(&row)?)?;
        seen += 1;
    }
    drop(stream);
    if seen < most {
        return Ok(RowCount::exact(reader.passed));
    }
    let all = counted(&db, rows, select, query, Some(ESTIMATE_LIMIT)).await?;
    Ok(RowCount::estimate((u128::from(reader.passed) * u128::from(all) / u128::from(seen)) as u64))
}

/// Counts the rows of `select`. Stops counting at `limit` rows. Without a limit, counts all rows. `select` must not
/// have any selected expressions yet.
async fn counted(
    db: &DatabaseConnection,
    rows: &SqlRows,
    mut select: SelectStatement,
    query: &Query,
    limit: Option<u64>,
) -> Result<u64, DatasetError> {
    let select = match limit {
        None => select.expr(Func::count(Expr::val(1))).take(),
        Some(limit) => {
            let some = select.expr_as(Expr::val(1), Alias::new("one")).limit(limit).take();
            Sql::select().expr(Func::count(Expr::val(1))).from_subquery(some, Alias::new("some")).take()
        }
    };
    let Some(row) = within(db.query_one_raw(rows.statement(&select, query)?)).await? else { return Ok(0) };
    Ok(row.try_get_by_index::<i64>(0)?.unsigned_abs())
}

fn raw(row: &QueryResult) -> Result<&SqliteRow, DatasetError> {
    row.try_as_sqlite_row().ok_or(DatasetError::Garbled("a row is not of SQLite"))
}

/// Reads the rows of one statement.
struct Reader {
    /// The name of the dataset, for errors.
    dataset: String,
    /// The columns that the statement selects. The columns of the result come first. The columns that only the filter
    /// or the order needs come after them.
    columns: Vec<Column>,
    test: RowTest,
    order: OrderCheck,
    /// The number of rows so far that passed the filter.
    passed: u64,
}

impl Reader {
    /// Creates a reader of the columns `shown`, for the rows that pass `filter`.
    fn new(dataset: &DatasetInfo, shown: &[Column], filter: &Filter) -> Result<Self, DatasetError> {
        let mut columns = shown.to_vec();
        for name in filter.columns() {
            if columns.iter().all(|column| column.name != name) {
                columns.push(find(&dataset.columns, name)?);
            }
        }
        let test = RowTest::new(filter, &columns)?;
        Ok(Self { dataset: dataset.name.clone(), columns, test, order: OrderCheck::new(Vec::new()), passed: 0 })
    }

    /// Returns the position of a column in the rows of the statement. Adds the column to the statement if necessary.
    fn read(&mut self, column: &Column) -> usize {
        match self.columns.iter().position(|known| known.name == column.name) {
            Some(at) => at,
            None => {
                self.columns.push(column.clone());
                self.columns.len() - 1
            }
        }
    }

    /// Returns a SELECT statement for the rows of `rows` that may pass the filter of `query`. The caller adds the
    /// selected expressions.
    fn select(&self, rows: &SqlRows, query: &Query, affinities: &Affinities) -> SelectStatement {
        let mut select = from_source(&rows.source);
        if let Some(condition) = (Prefilter { columns: &self.columns, affinities }).condition(&query.filter) {
            select.and_where(condition);
        }
        select
    }

    fn add_columns(&self, select: &mut SelectStatement) {
        for column in &self.columns {
            select.expr_as(col(&column.name), Alias::new(&column.name));
        }
        if self.columns.is_empty() {
            select.expr_as(Expr::val(1), Alias::new("one"));
        }
    }

    /// Counts a row if it passes the filter.
    fn test(&mut self, row: &SqliteRow) -> Result<(), DatasetError> {
        let cells = Cells { row, columns: &self.columns, dataset: &self.dataset, passed: self.passed };
        self.passed += u64::from(self.test.passes(|at| cells.get(at))?);
        Ok(())
    }

    /// Appends a row to a data frame if the row passes the filter. Checks that the rows come in the order of the
    /// dataset.
    fn push(&mut self, row: &SqliteRow, frame: &mut FrameBuilder) -> Result<(), DatasetError> {
        let cells = Cells { row, columns: &self.columns, dataset: &self.dataset, passed: self.passed };
        if !self.test.passes(|at| cells.get(at))? {
            return Ok(());
        }
        frame.push(|at, values| cells.get(at).map_err(AppendError::Source)?.append_to(values))?;
        self.order.check(|at| cells.get(at)).map_err(|e| e.at_row(self.passed + 1))?;
        self.passed += 1;
        Ok(())
    }
}

/// The values of one row.
struct Cells<'a> {
    row: &'a SqliteRow,
    columns: &'a [Column],
    dataset: &'a str,
    /// The number of earlier rows that passed the filter, for the row number in errors.
    passed: u64,
}

impl<'a> Cells<'a> {
    /// Returns the value of the column at position `at`, from 0.
    fn get(&self, at: usize) -> Result<Cell<'a>, DatasetError> {
        let column = self.columns.get(at).ok_or(DatasetError::Garbled("a row has too many columns"))?;
        let stored = Stored::read(self.row, at)?;
        let cell = if column.local && stored.has_zone() { Err(ZONED) } else { Cell::new(column.kind, stored) };
        cell.map_err(|found| DatasetError::Stored {
            dataset: self.dataset.to_owned(),
            column: column.name.clone(),
            row: self.passed + 1,
            found,
            expected: if column.local { LOCAL_MOMENTS } else { type_name(column.kind) },
        })
    }
}

/// Returns the description of a column of this type, such as `a column of floats`, for error texts.
const fn type_name(kind: ColumnType) -> &'static str {
    match kind {
        ColumnType::String => "a column of texts",
        ColumnType::Int => "a column of whole numbers",
        ColumnType::Float => "a column of floats",
        ColumnType::Decimal => "a column of decimals",
        ColumnType::Bool => "a column of booleans",
        ColumnType::Date => "a column of dates",
        ColumnType::Datetime => "a column of timestamps",
        ColumnType::Time => "a column of times of day",
    }
}
