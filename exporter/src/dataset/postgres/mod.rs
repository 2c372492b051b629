//! Reads tables and queries of a PostgreSQL server through binary `COPY`.
//!
//! A table without a declared order is split into ranges of disk pages. Several connections read the ranges in one
//! exported snapshot, so that concurrent writes don't change the result. Views, queries and partitioned tables have no
//! pages. They are split into ranges of a key if the catalog file declares one. All other sources are read by one
//! statement, which has one snapshot.

mod binary_values;
mod describe;
mod doubt;
mod key;
mod native;
mod numeric;
mod plan;
mod ranges;
mod readers;
mod server;
mod tables;
#[cfg(test)]
mod tests;
mod transaction;
mod wire;

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use protocol::catalog::{Column, ColumnType};
use sea_orm::{
    DbBackend, DbErr, RuntimeErr,
    sea_query::{Alias, Expr, ExprTrait, Func, NullOrdering, PostgresQueryBuilder, SelectStatement},
    sqlx::{AssertSqlSafe, Executor, PgConnection, Row, SqlSafeStr},
};
use tracing::warn;

pub use self::server::{PostgresServer, PostgresSettings};
use self::{describe::Described, plan::Plan, ranges::Ranged};
pub(crate) use self::{
    key::Key,
    tables::{Relation, RelationKind, can_split, relations},
};
use super::{
    Dataset, DatasetError, DatasetInfo, OpenedQuery, Precision, Query, RowCount, Snapshot, TextMeaning,
    sql::{self, KnownColumns, Natives, OrderBy, Source},
};

/// The planner's cost of a query above which its rows are not counted exactly. Reading 400 MB of pages sequentially has
/// this cost.
const COUNT_COST: f64 = 50_000.0;

/// A table, view or query, as the server describes it.
pub(crate) struct Resolved {
    /// The source in a form that the server accepts.
    pub(crate) source: Source,
    /// All columns of the source.
    pub(crate) columns: Vec<Column>,
    /// The names of the columns that the exporter has no right to read.
    pub(crate) unreadable: Vec<String>,
    /// The meaning of the texts in a column, by the name of the column. Columns of ordinary texts have no entry.
    pub(crate) text_meanings: BTreeMap<String, TextMeaning>,
}

impl Resolved {
    fn new(source: Source, found: &[Described]) -> Self {
        let unreadable = found.iter().filter(|column| !column.is_readable).map(|column| column.name.clone());
        let meanings = found.iter().filter_map(|column| Some((column.name.clone(), column.text_meaning()?)));
        Self {
            source,
            columns: found.iter().map(Described::column).collect(),
            unreadable: unreadable.collect(),
            text_meanings: meanings.collect(),
        }
    }
}

/// A dataset of the rows of a table, view or query of a PostgreSQL server.
#[derive(Clone, Debug)]
pub struct PostgresRows {
    server: Arc<PostgresServer>,
    source: Source,
    info: DatasetInfo,
    /// The columns by which the rows are sorted. If the list is empty, the server decides the order.
    order: Vec<OrderBy>,
    /// The column whose values split a source without pages into ranges for several connections. If it is None, one
    /// statement reads such a source.
    key: Option<Key>,
    /// The columns of the source when the catalog was loaded. For a query with parameters, only the time zones of its
    /// columns are compared, because their types may depend on the values of the parameters. None if it has no column
    /// of timestamps.
    known: Option<KnownColumns>,
}

impl PostgresRows {
    /// Creates a dataset of the rows of `source`. The server casts each column to the type that `info` gives it.
    #[must_use]
    pub fn new(server: Arc<PostgresServer>, source: Source, info: DatasetInfo) -> Self {
        // the planner's statistics are about all rows of a table
        let info = DatasetInfo { estimates_from_all_rows: true, ..info };
        Self { server, source, info, order: Vec::new(), key: None, known: None }
    }

    /// Returns this dataset with its rows sorted by the columns `order`. A single statement reads a sorted dataset,
    /// which is never split into ranges.
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

    /// Returns this dataset with a key, by whose ranges several connections read a source without disk pages.
    #[must_use]
    pub(crate) fn split_by(mut self, key: Key) -> Self {
        self.key = Some(key);
        self
    }

    /// Returns the columns of a source, as the server describes them. The description counts every column as nullable.
    ///
    /// # Errors
    /// When the server can't be reached, or refuses the source.
    pub async fn describe(server: &PostgresServer, source: &Source) -> Result<Vec<Column>, DatasetError> {
        let found = Self::described(server, source).await?;
        Ok(found.iter().map(Described::column).collect())
    }

    /// Describes a source in a form that the server accepts. If the server refuses the declared types of a query's
    /// parameters, the returned source has the parameters as constants without these types.
    ///
    /// # Errors
    /// When the server can't be reached, or refuses the source both with the declared types and with constants.
    pub(crate) async fn resolve(server: &PostgresServer, source: Source) -> Result<Resolved, DatasetError> {
        let refused = match Self::described(server, &source).await {
            Ok(found) => return Ok(Resolved::new(source, &found)),
            Err(e) => e,
        };
        let Some(constant) = source.with_constants().filter(|_| is_about_types(&refused)) else { return Err(refused) };
        match Self::described(server, &constant).await {
            Ok(found) => Ok(Resolved::new(constant, &found)),
            Err(e) if e.is_transient() => Err(e),
            // the first error is about the types that the catalog declares, which the operator can correct
            Err(_) => Err(refused),
        }
    }

    async fn described(server: &PostgresServer, source: &Source) -> Result<Vec<Described>, DatasetError> {
        let mut session = server.connect_briefly().await?;
        let found = describe::describe(server, &mut session.conn, source, None).await;
        session.close(server).await;
        found
    }

    /// Returns a `SELECT` statement for the rows and columns of a query, with the order of the dataset and the limit of
    /// the query. `natives` has the known native types of the columns.
    fn select(&self, query: &Query, natives: &Natives) -> Result<SelectStatement, DatasetError> {
        let mut select = self.filtered(query, natives)?;
        for name in &query.columns {
            let column = sql::find(&self.info.columns, name)?;
            let native = natives.of(name);
            let read = match column.kind {
                ColumnType::String => sql::as_text(&column, DbBackend::Postgres, native),
                // a timestamp without a time zone has the same binary form as one with a time zone
                _ if column.local => sql::col(name).cast_as(Alias::new("timestamp")),
                kind => sql::col(name).cast_as(Alias::new(binary_values::cast(kind, native))),
            };
            select.expr_as(read, Alias::new(name));
        }
        for key in &self.order {
            let column = sql::find(&self.info.columns, &key.column)?;
            let by = sql::sortable(&column, DbBackend::Postgres, natives.of(&key.column));
            select.order_by_expr_with_nulls(by, key.direction(), NullOrdering::Last);
        }
        if let Some(limit) = query.limit {
            select.limit(limit);
        }
        Ok(select)
    }

    /// Returns the SQL text of a `SELECT` statement. Every value in the text is a literal, because `COPY` accepts no
    /// bound values. The library sea-query escapes the values.
    fn text(&self, select: &SelectStatement, query: &Query) -> Result<String, DatasetError> {
        Ok(self.before(query)? + &select.to_string(PostgresQueryBuilder))
    }

    /// Returns the text that precedes a `SELECT`. If the source is a query of the catalog file, this is a common table
    /// expression with the query. For a table, the text is empty.
    fn before(&self, query: &Query) -> Result<String, DatasetError> {
        match &self.source {
            Source::Query(text) => text.literal(&query.params),
            Source::Table(_) => Ok(String::new()),
        }
    }

    /// Returns a `SELECT` from the rows that pass the filter. The selected expressions are still empty, and the caller
    /// adds them.
    fn filtered(&self, query: &Query, natives: &Natives) -> Result<SelectStatement, DatasetError> {
        sql::filtered_as(&self.source, &self.info.columns, query, DbBackend::Postgres, natives)
    }

    /// Returns the plan that the server makes for a statement, without running the statement.
    async fn plan(&self, conn: &mut PgConnection, statement: &str) -> Result<Plan, DatasetError> {
        let plan = self.number(conn, format!("EXPLAIN (VERBOSE, FORMAT JSON) {statement}")).await?;
        Ok(Plan::parse(&plan.unwrap_or_default()))
    }

    /// Returns the number of rows that the planner expects of a query, and the cost in the planner's units. Returns
    /// None if the plan does not state them.
    async fn expected(&self, conn: &mut PgConnection, query: &Query) -> Result<Option<(u64, f64)>, DatasetError> {
        let natives = native::natives(&self.server, conn, self, query).await?;
        let mut select = self.filtered(query, &natives)?;
        select.expr(Expr::val(1));
        Ok(self.plan(conn, &self.text(&select, query)?).await?.expected())
    }

    /// Returns the first field of the first row of a statement, as text; None if the statement returns no row.
    async fn number(&self, conn: &mut PgConnection, statement: String) -> Result<Option<String>, DatasetError> {
        let statement = AssertSqlSafe(statement).into_sql_str();
        let row = self.server.within(conn.fetch_optional(statement)).await?;
        row.map(|row| row.try_get_unchecked::<String, _>(0)).transpose().map_err(server::failed)
    }
}

#[async_trait]
impl Dataset for PostgresRows {
    fn info(&self) -> &DatasetInfo {
        &self.info
    }

    fn is_outdated(&self) -> bool {
        self.known.as_ref().is_some_and(KnownColumns::are_outdated)
    }

    async fn open(&self, query: &Query) -> Result<OpenedQuery, DatasetError> {
        let columns =
            query.columns.iter().map(|name| sql::find(&self.info.columns, name)).collect::<Result<Vec<_>, _>>()?;
        let select = TableSelect { rows: self.clone(), query: query.clone(), select: None };
        ranges::open(Arc::clone(&self.server), self.info.snapshot, select, columns).await
    }

    /// Returns the planner's estimate for [`Precision::Estimate`], and counts the rows for [`Precision::Exact`].
    /// Returns None instead of a count if the query costs more than `COUNT_COST`, or if no connection is free. Also
    /// returns None if the plan states no number of rows.
    async fn count(&self, query: &Query, precision: Precision) -> Result<Option<RowCount>, DatasetError> {
        if precision == Precision::Estimate {
            let mut session = self.server.connect_briefly().await?;
            let expected = self.expected(&mut session.conn, query).await;
            session.close(&self.server).await;
            return Ok(expected?.map(|(rows, _)| RowCount::estimate(rows)));
        }
        let Some(mut session) = self.server.connect_briefly_if_free().await? else { return Ok(None) };
        let counted = self.counted(&mut session.conn, query).await;
        session.close(&self.server).await;
        counted
    }
}

impl PostgresRows {
    /// Returns the quoted name of the table or view; None if the source is a query.
    fn table(&self) -> Option<String> {
        let Source::Table(parts) = &self.source else { return None };
        Some(describe::quoted(parts))
    }

    /// Counts the rows of a query exactly. Returns None if the query costs more than [`COUNT_COST`], or if the plan
    /// states no cost.
    async fn counted(&self, conn: &mut PgConnection, query: &Query) -> Result<Option<RowCount>, DatasetError> {
        if self.expected(conn, query).await?.is_none_or(|(_, cost)| cost > COUNT_COST) {
            return Ok(None);
        }
        let natives = native::natives(&self.server, conn, self, query).await?;
        let mut select = self.filtered(query, &natives)?;
        select.expr(Expr::from(Func::count(Expr::val(1))).cast_as(Alias::new("text")));
        let counted = self.number(conn, self.text(&select, query)?).await?;
        Ok(counted.and_then(|count| count.parse().ok()).map(RowCount::exact))
    }
}

/// The `SELECT` statement of a query, which may be split into ranges of rows.
struct TableSelect {
    rows: PostgresRows,
    query: Query,
    /// The statement for the current native types of the columns. None until [`Ranged::ranges`] has looked up these
    /// types.
    select: Option<SelectStatement>,
}

#[async_trait]
impl Ranged for TableSelect {
    fn table(&self) -> Option<String> {
        self.rows.table()
    }

    fn may_be_split(&self) -> bool {
        let plain = self.rows.order.is_empty() && self.query.limit.is_none();
        plain && (self.rows.table().is_some() || self.rows.key.is_some())
    }

    async fn ranges(&mut self, conn: &mut PgConnection) -> Result<Vec<Option<Expr>>, DatasetError> {
        let natives = native::natives(&self.rows.server, conn, &self.rows, &self.query).await?;
        self.select = Some(self.rows.select(&self.query, &natives)?);
        if !self.may_be_split() {
            return Ok(Vec::new());
        }
        let ranges = self.split(conn).await?;
        if ranges.len() > 1 && self.rows.info.snapshot == Snapshot::None {
            // no lock is held between ranges, so a collation may change between them
            self.select = Some(self.rows.select(&self.query, &natives.reals())?);
        }
        Ok(ranges)
    }

    fn text(&self, range: Option<Expr>) -> Result<String, DatasetError> {
        let select = self.select.as_ref().ok_or(DatasetError::Garbled("the ranges are not known yet"))?;
        let mut select = select.clone();
        if let Some(range) = range {
            select.and_where(range);
        }
        self.rows.text(&select, &self.query)
    }
}

impl TableSelect {
    /// Splits the statement into ranges of pages or of the key, and returns the SQL condition of each range. An empty
    /// list or a single condition means that one statement should read all rows.
    async fn split(&self, conn: &mut PgConnection) -> Result<Vec<Option<Expr>>, DatasetError> {
        let rows = &self.rows;
        let statement = self.text(None)?;
        if let Some(table) = rows.table()
            && let Some(pages) = ranges::pages(&rows.server, conn, &table).await?
        {
            let ranges = ranges::of_pages(pages);
            if ranges.len() < 2 || self.query.filter.is_all() {
                return Ok(ranges);
            }
            // ranges of pages read every page; an index may find few rows faster
            let few = |(expected, _)| expected <= rows.server.few_rows;
            let by_index = rows.plan(conn, &statement).await?.expected().is_some_and(few);
            return Ok(if by_index { Vec::new() } else { ranges });
        }
        let Some(key) = &rows.key else { return Ok(Vec::new()) };
        let plan = rows.plan(conn, &statement).await?;
        let expected = plan.expected().map_or(0, |(expected, _)| expected);
        let ranges = key.ranges(&rows.server, conn, rows, &self.query, expected).await?;
        if ranges.len() > 1
            && let Some(doubt) = plan.split_doubt(&rows.server, conn, &statement).await?
        {
            warn!(
                dataset.name = rows.info.name,
                doubt.reason, "a dataset can't be split by its key; one statement reads it"
            );
            return Ok(Vec::new());
        }
        Ok(ranges)
    }
}

/// Whether the server refused a statement because of the types of its expressions: the server found no matching
/// operator or function, found several, or can't determine or convert a type.
fn is_about_types(error: &DatasetError) -> bool {
    const CODES: [&str; 5] = ["42883", "42725", "42804", "42846", "42P18"];
    let DatasetError::Db(DbErr::Query(RuntimeErr::SqlxError(e))) = error else { return false };
    e.as_database_error().and_then(|e| e.code()).is_some_and(|code| CODES.contains(&code.as_ref()))
}
