//! Reading from the application's database, PostgreSQL or SQLite.
//!
//! Rows are fetched as the reader takes them: the database's own flow control holds the rest back.

mod failure;
mod predicate;
mod rows;

use futures::TryStreamExt;
use protocol::catalog::{Column, ColumnType};
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DbBackend, StreamTrait,
    sea_query::{Alias, Expr, ExprTrait, Func, NullOrdering, Order, Query as Sql, SelectStatement},
};

pub(super) use self::failure::is_transient;
use self::rows::Rows;
use super::{DatasetError, Frames, Query, feed};

/// The name of the table or sub-select that a query reads from.
const SOURCE: &str = "source";

/// One table, or a select that stands for one.
#[derive(Clone, Debug)]
pub enum Source {
    /// A table or view of this name.
    Table(&'static str),
    /// The rows of a select.
    Select(Box<SelectStatement>),
}

/// The order of a dataset's rows, so that two exports of the same data are the same file.
pub type OrderBy = [(&'static str, Order)];

/// Begins to read the rows of a query.
pub(super) fn open(
    db: &DatabaseConnection,
    source: Source,
    columns: &[Column],
    order: &OrderBy,
    query: &Query,
) -> Result<Frames, DatasetError> {
    let backend = db.get_database_backend();
    let wanted = query.columns.iter().map(|name| find(columns, name)).collect::<Result<Vec<_>, _>>()?;
    let mut select = filtered(source, columns, query, backend)?;
    for column in &wanted {
        select.expr_as(readable(column), Alias::new(&column.name));
    }
    for (name, direction) in order {
        let column = find(columns, name)?;
        select.order_by_expr_with_nulls(sortable(&column, backend), direction.clone(), NullOrdering::Last);
    }

    if let Some(limit) = query.limit {
        select.limit(limit);
    }
    let db = db.clone();
    let (sender, receiver) = feed::channel();
    let task = tokio::spawn(async move {
        let mut stream = db.stream(&select).await?;
        let mut rows = Rows::new(&wanted);
        while let Some(row) = stream.try_next().await? {
            rows.push(&row)?;
            if rows.is_full() && sender.send(rows.take()?).await.is_err() {
                return Ok(());
            }
        }
        if !rows.is_empty() && sender.send(rows.take()?).await.is_err() {
            return Ok(());
        }
        Ok(())
    });
    Ok(feed::frames(receiver, task))
}

/// Counts the rows of a query.
pub(super) async fn count(
    db: &DatabaseConnection,
    source: Source,
    columns: &[Column],
    query: &Query,
) -> Result<u64, DatasetError> {
    let mut select = filtered(source, columns, query, db.get_database_backend())?;
    select.expr(Func::count(Expr::val(1)));
    number(db, &select).await
}

/// Counts the rows of a table, but stops at `limit`.
pub(super) async fn count_up_to(db: &DatabaseConnection, table: &'static str, limit: u64) -> Result<u64, DatasetError> {
    let some = Sql::select().expr(Expr::val(1)).from(Alias::new(table)).limit(limit).take();
    let select = Sql::select().expr(Func::count(Expr::val(1))).from_subquery(some, Alias::new(SOURCE)).take();
    number(db, &select).await
}

async fn number(db: &DatabaseConnection, select: &SelectStatement) -> Result<u64, DatasetError> {
    let Some(row) = db.query_one(select).await? else { return Ok(0) };
    Ok(row.try_get_by_index::<i64>(0)?.unsigned_abs())
}

fn filtered(
    source: Source,
    columns: &[Column],
    query: &Query,
    backend: DbBackend,
) -> Result<SelectStatement, DatasetError> {
    let mut select = Sql::select();
    match source {
        Source::Table(name) => select.from_as(Alias::new(name), Alias::new(SOURCE)),
        Source::Select(inner) => select.from_subquery(*inner, Alias::new(SOURCE)),
    };
    select.and_where(predicate::expr(&query.filter, columns, backend)?);
    Ok(select.take())
}

fn find(columns: &[Column], name: &str) -> Result<Column, DatasetError> {
    columns.iter().find(|c| c.name == name).cloned().ok_or_else(|| DatasetError::NoColumn(name.to_owned()))
}

fn col(name: &str) -> Expr {
    Expr::col((Alias::new(SOURCE), Alias::new(name)))
}

/// The column in the one width that it is fetched in, whatever the table has.
fn readable(column: &Column) -> Expr {
    let plain = col(&column.name);
    match column.kind {
        ColumnType::Int => plain.cast_as("bigint"),
        ColumnType::Float => plain.cast_as("double precision"),
        // as text, for that is exact and is what becomes of it in the file
        ColumnType::Decimal => plain.cast_as("text"),
        ColumnType::String | ColumnType::Bool | ColumnType::Date | ColumnType::Datetime | ColumnType::Time => plain,
    }
}

/// The column in an order that does not depend on the locale of the database.
fn sortable(column: &Column, backend: DbBackend) -> Expr {
    match (column.kind, backend) {
        (ColumnType::String, DbBackend::Postgres) => Expr::cust_with_expr("$1 COLLATE \"C\"", col(&column.name)),
        _ => col(&column.name),
    }
}
