//! Tables and queries of a PostgreSQL server, read through binary `COPY`.
//!
//! A table without an order is cut into ranges of pages that several connections read at once, all in one exported
//! snapshot, so that the rows are those of a single moment however much is written meanwhile. Views, queries and
//! partitioned tables, which have no pages, are cut by ranges of a key where one is declared. Everything else is read by
//! one statement on one connection, which is one moment by itself.

mod cells;
mod key;
mod numeric;
mod pieces;
mod server;
#[cfg(test)]
mod tests;
mod wire;

use std::sync::Arc;

use async_trait::async_trait;
use protocol::{
    catalog::{Column, ColumnType},
    filter::Filter,
    params::ParamSpec,
};
use sea_orm::{
    DbBackend,
    sea_query::{Alias, Expr, ExprTrait, Func, NullOrdering, Order, PostgresQueryBuilder, SelectStatement},
    sqlx::{AssertSqlSafe, Column as _, Executor, PgConnection, Row, SqlSafeStr, Statement, TypeInfo},
};
use serde_json::{Map, Value};

pub use self::{
    key::Key,
    server::{PostgresServer, PostgresSettings},
};
use super::{
    Dataset, DatasetError, Frames, Guess, Query, Snapshot,
    sql::{self, Source},
};

/// What the planner takes for more work than this is guessed and not counted: in pages that are read in order, 400 MB.
const COUNT_COST: f64 = 50_000.0;

/// A table, view or query of a PostgreSQL server.
#[derive(Clone, Debug)]
pub struct PostgresRows {
    server: Arc<PostgresServer>,
    source: Source,
    name: String,
    columns: Vec<Column>,
    params: Vec<ParamSpec>,
    /// The column that rows are ordered by; None for the order in which they lie in the table.
    order: Option<String>,
    /// What is cut into ranges where there are no pages.
    key: Option<Key>,
    snapshot: Snapshot,
}

impl PostgresRows {
    /// The rows of `source` with these columns. Whatever type a column has in the server, it is cast to the one given here.
    #[must_use]
    pub fn new(
        server: Arc<PostgresServer>,
        source: Source,
        name: &str,
        columns: Vec<Column>,
        params: Vec<ParamSpec>,
        order: Option<String>,
    ) -> Self {
        let name = name.to_owned();
        Self { server, source, name, columns, params, order, key: None, snapshot: Snapshot::Export }
    }

    /// The same, read by several connections in ranges of this key where it has no pages of its own.
    #[must_use]
    pub fn split_by(mut self, key: Key) -> Self {
        self.key = Some(key);
        self
    }

    /// The same with rows that are of one moment or need not be.
    #[must_use]
    pub const fn of_moment(mut self, snapshot: Snapshot) -> Self {
        self.snapshot = snapshot;
        self
    }

    /// The columns that a source has, as the server describes them; all may be NULL, as far as it tells.
    ///
    /// # Errors
    /// When the server can't be reached, or refuses the source.
    pub async fn describe(server: &PostgresServer, source: &Source) -> Result<Vec<Column>, DatasetError> {
        let statement = AssertSqlSafe(Self::everything(source)?).into_sql_str();
        let mut session = server.connect_briefly().await?;
        let prepared = session.conn.prepare(statement).await.map_err(server::failed)?;
        Ok(prepared.columns().iter().map(|c| Column::new(c.name(), kind(c.type_info().name()))).collect())
    }

    /// A select of all columns, to be described and never run.
    fn everything(source: &Source) -> Result<String, DatasetError> {
        let everything = Query { columns: Vec::new(), filter: Filter::all(), params: Map::new(), limit: Some(0) };
        let mut select = sql::filtered(source, &[], &everything, DbBackend::Postgres)?;
        let body = select.expr(Expr::cust("*")).limit(0).to_string(PostgresQueryBuilder);
        Ok(match source {
            Source::Query(raw) => raw.described() + &body,
            _ => body,
        })
    }

    /// The select of a query's rows.
    fn select(&self, query: &Query) -> Result<SelectStatement, DatasetError> {
        let mut select = sql::filtered(&self.source, &self.columns, query, DbBackend::Postgres)?;
        for name in &query.columns {
            let column = sql::find(&self.columns, name)?;
            select.expr_as(sql::col(name).cast_as(Alias::new(cells::cast(column.kind))), Alias::new(name));
        }
        if let Some(order) = &self.order {
            let column = sql::find(&self.columns, order)?;
            let by = sql::sortable(&column, DbBackend::Postgres);
            select.order_by_expr_with_nulls(by, Order::Asc, NullOrdering::Last);
        }
        if let Some(limit) = query.limit {
            select.limit(limit);
        }
        Ok(select)
    }

    /// A select as text, every value a literal, as `COPY` takes no bound ones. The text comes from one place alone:
    /// sea-query's writer, which the tests feed with whatever clients could send.
    fn text(&self, select: &SelectStatement, query: &Query) -> Result<String, DatasetError> {
        Ok(self.before(query)? + &select.to_string(PostgresQueryBuilder))
    }

    /// What stands before a select: the query that it reads from, where somebody wrote one.
    fn before(&self, query: &Query) -> Result<String, DatasetError> {
        match &self.source {
            Source::Query(raw) => raw.literal(&query.params),
            _ => Ok(String::new()),
        }
    }

    /// How many rows the planner expects, and how much work it takes them for.
    async fn plan(&self, conn: &mut PgConnection, query: &Query) -> Result<Option<(u64, f64)>, DatasetError> {
        let mut select = sql::filtered(&self.source, &self.columns, query, DbBackend::Postgres)?;
        select.expr(Expr::val(1));
        let statement = format!("EXPLAIN (FORMAT JSON) {}", self.text(&select, query)?);
        let Some(plan) = self.number(conn, statement).await? else { return Ok(None) };
        let plan: Value = serde_json::from_str(&plan).unwrap_or_default();
        let number = |name: &str| plan[0]["Plan"][name].as_f64();
        Ok(number("Plan Rows").zip(number("Total Cost")).map(|(rows, cost)| (rows.max(0.0) as u64, cost)))
    }

    /// The first field of the first row of a statement.
    async fn number(&self, conn: &mut PgConnection, statement: String) -> Result<Option<String>, DatasetError> {
        let statement = AssertSqlSafe(statement).into_sql_str();
        let row = self.server.within(conn.fetch_optional(statement)).await?;
        row.map(|row| row.try_get_unchecked::<String, _>(0)).transpose().map_err(server::failed)
    }
}

#[async_trait]
impl Dataset for PostgresRows {
    fn name(&self) -> &str {
        &self.name
    }

    fn columns(&self) -> &[Column] {
        &self.columns
    }

    fn params(&self) -> &[ParamSpec] {
        &self.params
    }

    async fn rows_estimate(&self) -> Option<u64> {
        super::estimated(self, async |all| self.guess(all).await).await
    }

    /// None where the planner takes it for much work, or exports have all connections: then [`Dataset::guess`] says about how
    /// many there are.
    async fn count(&self, query: &Query) -> Result<Option<u64>, DatasetError> {
        let Some(mut session) = self.server.connect_briefly_if_free().await? else { return Ok(None) };
        if self.plan(&mut session.conn, query).await?.is_none_or(|(_, cost)| cost > COUNT_COST) {
            return Ok(None);
        }
        let mut select = sql::filtered(&self.source, &self.columns, query, DbBackend::Postgres)?;
        select.expr(Expr::from(Func::count(Expr::val(1))).cast_as(Alias::new("text")));
        let counted = self.number(&mut session.conn, self.text(&select, query)?).await?;
        Ok(counted.and_then(|count| count.parse().ok()))
    }

    /// What the planner thinks.
    async fn guess(&self, query: &Query) -> Result<Option<Guess>, DatasetError> {
        let mut session = self.server.connect_briefly().await?;
        Ok(self.plan(&mut session.conn, query).await?.map(|(rows, _)| Guess { rows, exact: false }))
    }

    fn guesses_from_all_rows(&self) -> bool {
        true
    }

    fn snapshot(&self) -> Snapshot {
        self.snapshot
    }

    async fn open(&self, query: &Query) -> Result<Frames, DatasetError> {
        let columns = query.columns.iter().map(|name| sql::find(&self.columns, name)).collect::<Result<Vec<_>, _>>()?;
        let select = self.select(query)?;
        let plain = self.order.is_none() && query.limit.is_none();
        if !plain || (self.table().is_none() && self.key.is_none()) {
            return Ok(pieces::single(Arc::clone(&self.server), self.text(&select, query)?, columns));
        }
        let cut = TableSelect { rows: self.clone(), query: query.clone(), select };
        pieces::open(Arc::clone(&self.server), self.snapshot, cut, columns).await
    }
}

impl PostgresRows {
    /// The table's name as SQL has it.
    fn table(&self) -> Option<String> {
        let Source::Table(parts) = &self.source else { return None };
        let quoted: Vec<_> = parts.iter().map(|part| format!("\"{}\"", part.replace('"', "\"\""))).collect();
        Some(quoted.join("."))
    }
}

/// A select that is to be cut into ranges.
struct TableSelect {
    rows: PostgresRows,
    query: Query,
    select: SelectStatement,
}

#[async_trait]
impl pieces::Ranged for TableSelect {
    fn table(&self) -> Option<String> {
        self.rows.table()
    }

    async fn ranges(&self, conn: &mut PgConnection) -> Result<Vec<Option<Expr>>, DatasetError> {
        let rows = &self.rows;
        if let Some(table) = rows.table()
            && let Some(pages) = pieces::pages(&rows.server, conn, &table).await?
        {
            return Ok(pieces::ranges(pages));
        }
        let Some(key) = &rows.key else { return Ok(Vec::new()) };
        let expected = rows.plan(conn, &self.query).await?.map_or(0, |(rows, _)| rows);
        key.ranges(&rows.server, conn, rows, &self.query, expected).await
    }

    fn text(&self, range: Option<Expr>) -> Result<String, DatasetError> {
        let mut select = self.select.clone();
        if let Some(range) = range {
            select.and_where(range);
        }
        self.rows.text(&select, &self.query)
    }
}

/// What a type of the server is to filters and files; those without a counterpart are text.
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
