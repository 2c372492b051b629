//! Tables and queries of a PostgreSQL server, read through binary `COPY`.
//!
//! A table without an order is cut into ranges of pages that several connections read at once, all in one exported
//! snapshot, so that the rows are those of a single moment however much is written meanwhile. Views, queries and
//! partitioned tables, which have no pages, are cut by ranges of a key where one is declared. Everything else is read by
//! one statement on one connection, which is one moment by itself.

mod cells;
mod key;
mod native;
mod numeric;
mod pieces;
mod plan;
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
use serde_json::Map;
use tracing::{debug, warn};

pub use self::{
    key::Key,
    plan::Doubt,
    server::{PostgresServer, PostgresSettings},
};
use self::{pieces::Ranged, plan::Plan};
use super::{
    Begun, Dataset, DatasetError, Frames, Guess, Query, Snapshot,
    sql::{self, Natives, Source},
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
    fn select(&self, query: &Query, natives: &Natives) -> Result<SelectStatement, DatasetError> {
        let mut select = self.filtered(query, natives)?;
        for name in &query.columns {
            let column = sql::find(&self.columns, name)?;
            let cast = Alias::new(cells::cast(column.kind, natives.of(name)));
            select.expr_as(sql::col(name).cast_as(cast), Alias::new(name));
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

    /// The rows that pass, of which nothing is selected yet.
    fn filtered(&self, query: &Query, natives: &Natives) -> Result<SelectStatement, DatasetError> {
        sql::filtered_as(&self.source, &self.columns, query, DbBackend::Postgres, natives)
    }

    /// What the planner thinks of a statement.
    async fn plan(&self, conn: &mut PgConnection, statement: &str) -> Result<Plan, DatasetError> {
        let plan = self.number(conn, format!("EXPLAIN (VERBOSE, FORMAT JSON) {statement}")).await?;
        Ok(Plan::parse(&plan.unwrap_or_default()))
    }

    /// How many rows of a query the planner expects, and how much work it takes them for.
    async fn expected(&self, conn: &mut PgConnection, query: &Query) -> Result<Option<(u64, f64)>, DatasetError> {
        let natives = native::natives(&self.server, conn, self, query).await?;
        let mut select = self.filtered(query, &natives)?;
        select.expr(Expr::val(1));
        Ok(self.plan(conn, &self.text(&select, query)?).await?.expected())
    }

    /// What in the rows may be other ones in each range of a key; None where nothing is found. Parameters have no values
    /// yet, so that each read looks again, and takes one statement where this was blind.
    ///
    /// # Errors
    /// When the server can't be reached.
    pub async fn undivided(&self) -> Result<Option<Doubt>, DatasetError> {
        let columns = self.columns.iter().map(|column| column.name.clone()).collect();
        let all = Query { columns, filter: Filter::all(), params: Map::new(), limit: None };
        let select = self.select(&all, &Natives::default())?.to_string(PostgresQueryBuilder);
        let mut session = self.server.connect_briefly().await?;
        let (statement, plan) = match &self.source {
            Source::Query(raw) if !self.params.is_empty() => {
                let statement = raw.numbered() + &select;
                match self.generic(&mut session.conn, &statement, raw.places()).await? {
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
        plan.undivided(&self.server, &mut session.conn, &statement).await
    }

    /// The plan of a statement for whatever values its `$1` and so on may have; None where the server can't tell their types.
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
                debug!(error = %e, "a query can't be looked at before its parameters have values");
                return Ok(None);
            }
        }
        let nulls = vec!["NULL"; places].join(", ");
        Ok(Some(self.plan(conn, &format!("EXECUTE generic ({nulls})")).await?.generic()))
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
        self.server.within(session.conn.execute(pieces::BEGIN_PLAIN)).await?;
        if self.expected(&mut session.conn, query).await?.is_none_or(|(_, cost)| cost > COUNT_COST) {
            return Ok(None);
        }
        let natives = native::natives(&self.server, &mut session.conn, self, query).await?;
        let mut select = self.filtered(query, &natives)?;
        select.expr(Expr::from(Func::count(Expr::val(1))).cast_as(Alias::new("text")));
        let counted = self.number(&mut session.conn, self.text(&select, query)?).await?;
        Ok(counted.and_then(|count| count.parse().ok()))
    }

    /// What the planner thinks.
    async fn guess(&self, query: &Query) -> Result<Option<Guess>, DatasetError> {
        let mut session = self.server.connect_briefly().await?;
        Ok(self.expected(&mut session.conn, query).await?.map(|(rows, _)| Guess { rows, exact: false }))
    }

    fn guesses_from_all_rows(&self) -> bool {
        true
    }

    fn snapshot(&self) -> Snapshot {
        self.snapshot
    }

    async fn open(&self, query: &Query) -> Result<Frames, DatasetError> {
        Ok(self.begin(query).await?.frames)
    }

    async fn begin(&self, query: &Query) -> Result<Begun, DatasetError> {
        let columns = query.columns.iter().map(|name| sql::find(&self.columns, name)).collect::<Result<Vec<_>, _>>()?;
        let cut = TableSelect { rows: self.clone(), query: query.clone(), select: None };
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

/// A select that may be cut into ranges.
struct TableSelect {
    rows: PostgresRows,
    query: Query,
    /// As it is written for what the server has now; nobody asks for its text before that is known.
    select: Option<SelectStatement>,
}

#[async_trait]
impl Ranged for TableSelect {
    fn table(&self) -> Option<String> {
        self.rows.table()
    }

    fn may_be_cut(&self) -> bool {
        let plain = self.rows.order.is_none() && self.query.limit.is_none();
        plain && (self.rows.table().is_some() || self.rows.key.is_some())
    }

    async fn ranges(&mut self, conn: &mut PgConnection) -> Result<Vec<Option<Expr>>, DatasetError> {
        let natives = native::natives(&self.rows.server, conn, &self.rows, &self.query).await?;
        self.select = Some(self.rows.select(&self.query, &natives)?);
        if !self.may_be_cut() {
            return Ok(Vec::new());
        }
        let ranges = self.cut(conn).await?;
        if ranges.len() > 1 && self.rows.snapshot == Snapshot::None {
            // no lock holds from one range to the next, and a text may become one of another collation meanwhile
            self.select = Some(self.rows.select(&self.query, &natives.reals())?);
        }
        Ok(ranges)
    }

    fn text(&self, range: Option<Expr>) -> Result<String, DatasetError> {
        let select = self.select.as_ref().ok_or(DatasetError::Garbled("nobody has looked at it yet"))?;
        let mut select = select.clone();
        if let Some(range) = range {
            select.and_where(range);
        }
        self.rows.text(&select, &self.query)
    }
}

impl TableSelect {
    /// The condition of each range.
    async fn cut(&self, conn: &mut PgConnection) -> Result<Vec<Option<Expr>>, DatasetError> {
        let rows = &self.rows;
        let statement = self.text(None)?;
        if let Some(table) = rows.table()
            && let Some(pages) = pieces::pages(&rows.server, conn, &table).await?
        {
            let ranges = pieces::ranges(pages);
            if ranges.len() < 2 || self.query.filter.is_all() {
                return Ok(ranges);
            }
            // ranges of pages look at each page; few rows may be had by an index
            let few = |(expected, _)| expected <= rows.server.few_rows;
            let by_index = rows.plan(conn, &statement).await?.expected().is_some_and(few);
            return Ok(if by_index { Vec::new() } else { ranges });
        }
        let Some(key) = &rows.key else { return Ok(Vec::new()) };
        let plan = rows.plan(conn, &statement).await?;
        let expected = plan.expected().map_or(0, |(expected, _)| expected);
        let ranges = key.ranges(&rows.server, conn, rows, &self.query, expected).await?;
        if ranges.len() > 1
            && let Some(doubt) = plan.undivided(&rows.server, conn, &statement).await?
        {
            warn!(
                dataset.name = rows.name,
                doubt.reason, "it can't be read in ranges of its key; one statement reads it"
            );
            return Ok(Vec::new());
        }
        Ok(ranges)
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
