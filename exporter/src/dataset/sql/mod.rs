//! Reading from the application's database, PostgreSQL or SQLite.
//!
//! Rows are fetched as the reader takes them: the database's own flow control holds the rest back.

mod describe;
mod failure;
mod native;
mod predicate;
mod raw;
mod rows;

use std::{sync::Arc, time::Duration};

use futures::TryStreamExt;
use protocol::catalog::{Column, ColumnType};
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DbBackend, DbErr, Statement, StreamTrait,
    sea_query::{Alias, Expr, ExprTrait, Func, NullOrdering, Order, Query as Sql, SelectStatement},
};

pub use self::describe::sqlite_columns;
pub use self::raw::{Raw, RawError};
pub(super) use self::{
    failure::{is_transient, logged, told},
    native::{Native, Natives},
};
use self::{predicate::Predicate, rows::Rows};
use super::{DatasetError, Frames, Query, feed};

/// The name of the table or sub-select that a query reads from.
pub(super) const SOURCE: &str = "source";

/// How long to wait for the next row.
const READ_TIMEOUT: Duration = Duration::from_secs(600);

/// One table, or a select that stands for one.
#[derive(Clone, Debug)]
pub enum Source {
    /// A table or view; with the name of its schema before it, where it has one.
    Table(Vec<String>),
    /// The rows of a select.
    Select(Box<SelectStatement>),
    /// The rows of a select that somebody wrote by hand.
    Query(Arc<Raw>),
}

impl Source {
    /// A table or view: `name` or `schema.name`.
    #[must_use]
    pub fn table(name: &str) -> Self {
        Self::Table(name.split('.').map(str::to_owned).collect())
    }
}

/// The order of a dataset's rows, so that two exports of the same data are the same file.
pub type OrderBy<'a> = [(&'a str, Order)];

/// Begins to read the rows of a query.
pub(super) fn open(
    db: &DatabaseConnection,
    source: Source,
    columns: &[Column],
    order: &OrderBy<'_>,
    query: &Query,
) -> Result<Frames, DatasetError> {
    let backend = db.get_database_backend();
    let wanted = query.columns.iter().map(|name| find(columns, name)).collect::<Result<Vec<_>, _>>()?;
    let mut select = filtered(&source, columns, query, backend)?;
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
    let statement = statement(&source, &select, query, backend)?;
    let db = db.clone();
    let (sender, receiver) = feed::channel();
    let task = tokio::spawn(async move {
        let mut stream = within(db.stream_raw(statement)).await?;
        let mut rows = Rows::new(&wanted);
        while let Some(row) = within(stream.try_next()).await? {
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
    source: &Source,
    columns: &[Column],
    query: &Query,
) -> Result<u64, DatasetError> {
    let mut select = filtered(source, columns, query, db.get_database_backend())?;
    select.expr(Func::count(Expr::val(1)));
    number(db, source, &select, query).await
}

/// Counts the rows of a query, but stops at `limit`.
pub(super) async fn count_up_to(
    db: &DatabaseConnection,
    source: &Source,
    columns: &[Column],
    query: &Query,
    limit: u64,
) -> Result<u64, DatasetError> {
    let mut some = filtered(source, columns, query, db.get_database_backend())?;
    let some = some.expr_as(Expr::val(1), Alias::new("one")).limit(limit).take();
    let select = Sql::select().expr(Func::count(Expr::val(1))).from_subquery(some, Alias::new("some")).take();
    number(db, source, &select, query).await
}

async fn number(
    db: &DatabaseConnection,
    source: &Source,
    select: &SelectStatement,
    query: &Query,
) -> Result<u64, DatasetError> {
    let statement = statement(source, select, query, db.get_database_backend())?;
    let Some(row) = within(db.query_one_raw(statement)).await? else { return Ok(0) };
    Ok(row.try_get_by_index::<i64>(0)?.unsigned_abs())
}

/// Waits for the database, but not for ever.
async fn within<T>(answer: impl Future<Output = Result<T, DbErr>>) -> Result<T, DatasetError> {
    match tokio::time::timeout(READ_TIMEOUT, answer).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(DatasetError::Slow(READ_TIMEOUT)),
    }
}

/// The select with its values bound; before it, the query that it reads from, where somebody wrote one.
fn statement(
    source: &Source,
    select: &SelectStatement,
    query: &Query,
    backend: DbBackend,
) -> Result<Statement, DatasetError> {
    let Source::Query(raw) = source else { return Ok(backend.build(select)) };
    raw.before(select, &query.params, backend)
}

/// The rows of the source that pass the query's filter; what is selected of them is still to be said.
pub(super) fn filtered(
    source: &Source,
    columns: &[Column],
    query: &Query,
    backend: DbBackend,
) -> Result<SelectStatement, DatasetError> {
    filtered_as(source, columns, query, backend, &Natives::default())
}

/// The same where more is known of the columns.
pub(super) fn filtered_as(
    source: &Source,
    columns: &[Column],
    query: &Query,
    backend: DbBackend,
    natives: &Natives,
) -> Result<SelectStatement, DatasetError> {
    let mut select = Sql::select();
    match source {
        Source::Table(parts) => match parts.as_slice() {
            [schema, name] => {
                select.from_as((Alias::new(schema), Alias::new(name)), Alias::new(SOURCE));
            }
            parts => {
                select.from_as(Alias::new(parts.join(".")), Alias::new(SOURCE));
            }
        },
        Source::Select(inner) => {
            select.from_subquery((**inner).clone(), Alias::new(SOURCE));
        }
        Source::Query(_) => {
            select.from(Alias::new(SOURCE));
        }
    }
    if !query.filter.is_all() {
        select.and_where(Predicate { columns, backend, natives }.expr(&query.filter)?);
    }
    Ok(select.take())
}

pub(super) fn find(columns: &[Column], name: &str) -> Result<Column, DatasetError> {
    columns.iter().find(|c| c.name == name).cloned().ok_or_else(|| DatasetError::NoColumn(name.to_owned()))
}

pub(super) fn col(name: &str) -> Expr {
    Expr::col((Alias::new(SOURCE), Alias::new(name)))
}

/// The column in the one width that it is fetched in, whatever the table has.
fn readable(column: &Column) -> Expr {
    let plain = col(&column.name);
    match column.kind {
        ColumnType::Int => plain.cast_as("bigint"),
        ColumnType::Float => plain.cast_as("double precision"),
        // decimals, for text is exact and is what becomes of them in the file; and whatever is shown as text, such as JSON
        ColumnType::Decimal | ColumnType::String => plain.cast_as("text"),
        ColumnType::Bool | ColumnType::Date | ColumnType::Datetime | ColumnType::Time => plain,
    }
}

/// The column as the text that it is shown as: PostgreSQL has uuids, enums and others that text functions don't take.
pub(super) fn shown(column: &Column, backend: DbBackend) -> Expr {
    match backend {
        DbBackend::Postgres => col(&column.name).cast_as("text"),
        _ => col(&column.name),
    }
}

/// The column in an order that does not depend on the locale of the database.
pub(super) fn sortable(column: &Column, backend: DbBackend) -> Expr {
    match (column.kind, backend) {
        (ColumnType::String, DbBackend::Postgres) => Expr::cust_with_expr("$1 COLLATE \"C\"", shown(column, backend)),
        _ => col(&column.name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_database_that_is_silent_is_not_waited_for_for_ever() {
        let silent = within(std::future::pending::<Result<(), DbErr>>()).await;
        assert!(matches!(silent, Err(DatasetError::Slow(time)) if time == READ_TIMEOUT));
        assert!(within(async { Ok(()) }).await.is_ok());
    }
}
