//! Tables and queries of a PostgreSQL server, read through binary `COPY`.
//!
//! A table without an order is split into ranges of pages. Several connections read the ranges in one exported
//! snapshot, so that concurrent writes don't change the result. Views, queries and partitioned tables have no pages,
//! and are split into ranges of a key if the catalog declares one. Everything else is read by one statement, which sees
//! one snapshot.

mod binary_values;
mod key;
mod native;
mod numeric;
mod plan;
mod ranges;
mod server;
#[cfg(test)]
mod tests;
mod wire;

use std::sync::Arc;

use async_trait::async_trait;
use protocol::{
    catalog::{Column, ColumnType},
    filter::Filter,
};
use sea_orm::{
    DbBackend,
    sea_query::{Alias, Expr, ExprTrait, Func, NullOrdering, PostgresQueryBuilder, SelectStatement},
    sqlx::{AssertSqlSafe, Column as _, Executor, PgConnection, Row, SqlSafeStr, Statement, TypeInfo},
};
use serde_json::Map;
use tracing::{debug, warn};

pub(crate) use self::key::Key;
pub use self::server::{PostgresServer, PostgresSettings};
use self::{
    plan::{Doubt, Plan},
    ranges::Ranged,
};
use super::{
    Dataset, DatasetError, DatasetInfo, OpenedQuery, Precision, Query, RowCount, Snapshot,
    sql::{self, Natives, OrderBy, Source},
};

/// The cost, in the units of the planner, above which a query is not counted exactly. Reading 400 MB of pages
/// sequentially has this cost.
const COUNT_COST: f64 = 50_000.0;

/// A dataset of the rows of a table, view or query of a PostgreSQL server.
#[derive(Clone, Debug)]
pub struct PostgresRows {
    server: Arc<PostgresServer>,
    source: Source,
    info: DatasetInfo,
    /// The columns by which the rows are sorted; without them, the server decides the order.
    order: Vec<OrderBy>,
    /// The column whose values split a source without pages into ranges for several connections. Without a key, one
    /// statement reads such a source.
    key: Option<Key>,
}

impl PostgresRows {
    /// Creates a dataset that reads `source`. The server casts each column to the type that `info` gives it.
    #[must_use]
    pub fn new(server: Arc<PostgresServer>, source: Source, info: DatasetInfo) -> Self {
        // the planner's statistics are about all rows of a table
        let info = DatasetInfo { estimates_from_all_rows: true, ..info };
        Self { server, source, info, order: Vec::new(), key: None }
    }

    /// Sorts the rows by these columns. A single statement reads a sorted dataset, which is never split into ranges.
    #[must_use]
    pub fn ordered_by(mut self, order: Vec<OrderBy>) -> Self {
        self.order = order;
        self
    }

    /// Lets several connections read ranges of this key where the source has no pages.
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
        let statement = AssertSqlSafe(Self::everything(source)?).into_sql_str();
        let mut session = server.connect_briefly().await?;
        let prepared = session.conn.prepare(statement).await.map_err(server::failed)?;
        Ok(prepared.columns().iter().map(|c| Column::new(c.name(), kind(c.type_info().name()))).collect())
    }

    /// Returns a select of all columns of a source. The server describes this select and never runs it.
    fn everything(source: &Source) -> Result<String, DatasetError> {
        let everything = Query { columns: Vec::new(), filter: Filter::all(), params: Map::new(), limit: Some(0) };
        let mut select = sql::filtered(source, &[], &everything, DbBackend::Postgres)?;
        let body = select.expr(Expr::cust("*")).limit(0).to_string(PostgresQueryBuilder);
        Ok(match source {
            Source::Query(text) => text.described() + &body,
            Source::Table(_) => body,
        })
    }

    /// Returns the select of the rows and columns of a query, with its order and limit.
    fn select(&self, query: &Query, natives: &Natives) -> Result<SelectStatement, DatasetError> {
        let mut select = self.filtered(query, natives)?;
        for name in &query.columns {
            let column = sql::find(&self.info.columns, name)?;
            let cast = Alias::new(binary_values::cast(column.kind, natives.of(name)));
            select.expr_as(sql::col(name).cast_as(cast), Alias::new(name));
        }
        for key in &self.order {
            let column = sql::find(&self.info.columns, &key.column)?;
            let by = sql::sortable(&column, DbBackend::Postgres);
            select.order_by_expr_with_nulls(by, key.direction(), NullOrdering::Last);
        }
        if let Some(limit) = query.limit {
            select.limit(limit);
        }
        Ok(select)
    }

    /// Returns a select as text, in which every value is a literal, because `COPY` accepts no bound values. sea-query
    /// alone escapes the values; the tests give it hostile input.
    fn text(&self, select: &SelectStatement, query: &Query) -> Result<String, DatasetError> {
        Ok(self.before(query)? + &select.to_string(PostgresQueryBuilder))
    }

    /// Returns the text before a select: a common table expression if the source is a query of the catalog, or an empty
    /// text for a table.
    fn before(&self, query: &Query) -> Result<String, DatasetError> {
        match &self.source {
            Source::Query(text) => text.literal(&query.params),
            Source::Table(_) => Ok(String::new()),
        }
    }

    /// Returns a select from the rows that pass the filter; the caller adds the selected expressions.
    fn filtered(&self, query: &Query, natives: &Natives) -> Result<SelectStatement, DatasetError> {
        sql::filtered_as(&self.source, &self.info.columns, query, DbBackend::Postgres, natives)
    }

    /// Returns the plan that the server makes for a statement, without running the statement.
    async fn plan(&self, conn: &mut PgConnection, statement: &str) -> Result<Plan, DatasetError> {
        let plan = self.number(conn, format!("EXPLAIN (VERBOSE, FORMAT JSON) {statement}")).await?;
        Ok(Plan::parse(&plan.unwrap_or_default()))
    }

    /// Returns the number of rows and the cost that the planner expects of a query; None if the plan lacks them.
    async fn expected(&self, conn: &mut PgConnection, query: &Query) -> Result<Option<(u64, f64)>, DatasetError> {
        let natives = native::natives(&self.server, conn, self, query).await?;
        let mut select = self.filtered(query, &natives)?;
        select.expr(Expr::val(1));
        Ok(self.plan(conn, &self.text(&select, query)?).await?.expected())
    }

    /// Finds a reason why reading by ranges of a key could return other rows than one statement; None if there is no
    /// reason. Each export repeats this check with the values of its parameters, and reads by one statement if it finds
    /// a reason.
    ///
    /// # Errors
    /// When the server can't be reached.
    pub(crate) async fn split_doubt(&self) -> Result<Option<Doubt>, DatasetError> {
        let columns = self.info.columns.iter().map(|column| column.name.clone()).collect();
        let all = Query { columns, filter: Filter::all(), params: Map::new(), limit: None };
        let select = self.select(&all, &Natives::default())?.to_string(PostgresQueryBuilder);
        let mut session = self.server.connect_briefly().await?;
        let (statement, plan) = match &self.source {
            Source::Query(text) if !self.info.params.is_empty() => {
                let statement = text.numbered() + &select;
                match self.generic(&mut session.conn, &statement, text.places()).await? {
                    Some(plan) => (statement, plan),
                    None => return Ok(None),
                }
            }
            _ => {
                let statement = self.text(&self.select(&all, &Natives::default())?, &all)?;
                let plan = self.plan(&mut session.conn, &statement).await?;
                (statement, plan)
            }
        };
        plan.split_doubt(&self.server, &mut session.conn, &statement).await
    }

    /// Returns the generic plan of a statement with the placeholders `$1`, `$2` and so on; None if the server can't
    /// infer the types of the parameters.
    async fn generic(
        &self,
        conn: &mut PgConnection,
        statement: &str,
        places: usize,
    ) -> Result<Option<Plan>, DatasetError> {
        let prepare = format!("SET plan_cache_mode = force_generic_plan; PREPARE generic AS {statement}");
        match self.server.within(conn.execute(AssertSqlSafe(prepare).into_sql_str())).await {
            Ok(_) => {}
            Err(e) if e.is_transient() => return Err(e),
            Err(e) => {
                debug!(error = %e, "failed to plan a query without the values of its parameters");
                return Ok(None);
            }
        }
        let nulls = vec!["NULL"; places].join(", ");
        Ok(Some(self.plan(conn, &format!("EXECUTE generic ({nulls})")).await?.generic()))
    }

    /// Returns the first field of the first row of a statement, as text.
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

    async fn open(&self, query: &Query) -> Result<OpenedQuery, DatasetError> {
        let columns =
            query.columns.iter().map(|name| sql::find(&self.info.columns, name)).collect::<Result<Vec<_>, _>>()?;
        let select = TableSelect { rows: self.clone(), query: query.clone(), select: None };
        ranges::open(Arc::clone(&self.server), self.info.snapshot, select, columns).await
    }

    /// Estimates come from the planner. Returns no exact count if the planner expects much work, or if exports use all
    /// connections.
    async fn count(&self, query: &Query, precision: Precision) -> Result<Option<RowCount>, DatasetError> {
        if precision == Precision::Estimate {
            let mut session = self.server.connect_briefly().await?;
            return Ok(self.expected(&mut session.conn, query).await?.map(|(rows, _)| RowCount::estimate(rows)));
        }
        let Some(mut session) = self.server.connect_briefly_if_free().await? else { return Ok(None) };
        self.server.within(session.conn.execute(ranges::BEGIN_PLAIN)).await?;
        if self.expected(&mut session.conn, query).await?.is_none_or(|(_, cost)| cost > COUNT_COST) {
            return Ok(None);
        }
        let natives = native::natives(&self.server, &mut session.conn, self, query).await?;
        let mut select = self.filtered(query, &natives)?;
        select.expr(Expr::from(Func::count(Expr::val(1))).cast_as(Alias::new("text")));
        let counted = self.number(&mut session.conn, self.text(&select, query)?).await?;
        Ok(counted.and_then(|count| count.parse().ok()).map(RowCount::exact))
    }
}

impl PostgresRows {
    /// Returns the quoted name of the table or view; None if the source is a query.
    fn table(&self) -> Option<String> {
        let Source::Table(parts) = &self.source else { return None };
        let quoted: Vec<_> = parts.iter().map(|part| format!("\"{}\"", part.replace('"', "\"\""))).collect();
        Some(quoted.join("."))
    }
}

/// The select of a query, which may be split into ranges.
struct TableSelect {
    rows: PostgresRows,
    query: Query,
    /// The select, written for the current native types of the columns; None until [`Ranged::ranges`] has looked these
    /// types up.
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
    /// Returns the SQL condition of each range; at most one if a single statement should read all rows.
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

/// Returns the column type of a PostgreSQL type. Types without a counterpart become text.
fn kind(name: &str) -> ColumnType {
    match name {
        "BOOL" => ColumnType::Bool,
        "INT2" | "INT4" | "INT8" => ColumnType::Int,
        "FLOAT4" | "FLOAT8" => ColumnType::Float,
        "NUMERIC" => ColumnType::Decimal,
        "DATE" => ColumnType::Date,
        "TIMESTAMP" | "TIMESTAMPTZ" => ColumnType::Datetime,
        "TIME" => ColumnType::Time,
        _ => ColumnType::String,
    }
}
