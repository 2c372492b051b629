//! What all SQL sources share: the source of a select, its filter and its order. SQLite is read here row by row,
//! PostgreSQL in [`postgres`](super::postgres).

mod columns;
mod dataset;
mod failure;
mod native;
mod predicate;
mod query_text;
mod values;

use std::sync::Arc;

use protocol::catalog::{Column, ColumnType};
use sea_orm::{
    DbBackend,
    sea_query::{Alias, Expr, ExprTrait, Order, Query as Sql, SelectStatement},
};

pub(crate) use self::columns::table_columns;
use self::predicate::Predicate;
pub use self::{
    dataset::SqlRows,
    query_text::{QueryText, QueryTextError},
};
pub(super) use self::{
    failure::{is_transient, log_message, user_message},
    native::{Native, Natives},
};
use super::{DatasetError, Query};

/// The alias of the table or query that a select reads from.
pub(super) const SOURCE: &str = "source";

/// The table or query that a dataset reads from.
#[derive(Clone, Debug)]
pub enum Source {
    /// A table or view, by its name or by its schema and name.
    Table(Vec<String>),
    /// A query that the operator wrote in the catalog.
    Query(Arc<QueryText>),
}

impl Source {
    /// A table or view, written as `name` or `schema.name`.
    #[must_use]
    pub fn table(name: &str) -> Self {
        Self::Table(name.split('.').map(str::to_owned).collect())
    }
}

/// One key of the order of rows, so that two exports of the same data are the same file. NULL comes last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderBy {
    /// The name of the column.
    pub column: String,
    /// Whether the largest value comes first.
    pub descending: bool,
}

impl OrderBy {
    /// Orders by this column, the smallest value first.
    #[must_use]
    pub fn ascending(column: impl Into<String>) -> Self {
        Self { column: column.into(), descending: false }
    }

    pub(super) const fn direction(&self) -> Order {
        if self.descending { Order::Desc } else { Order::Asc }
    }
}

/// A select from the rows of the source that pass the filter of the query; the caller adds the selected expressions.
pub(super) fn filtered(
    source: &Source,
    columns: &[Column],
    query: &Query,
    backend: DbBackend,
) -> Result<SelectStatement, DatasetError> {
    filtered_as(source, columns, query, backend, &Natives::default())
}

/// Like [`filtered`], with the known native types of the columns.
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

/// The column, cast to the one width in which it is fetched.
fn readable(column: &Column) -> Expr {
    let plain = col(&column.name);
    match column.kind {
        ColumnType::Int => plain.cast_as("bigint"),
        ColumnType::Float => plain.cast_as("double precision"),
        // text keeps all digits of a decimal; types without a counterpart, such as JSON, are text in files
        ColumnType::Decimal | ColumnType::String => plain.cast_as("text"),
        ColumnType::Bool | ColumnType::Date | ColumnType::Datetime | ColumnType::Time => plain,
    }
}

/// The column as the text that files show: text functions of PostgreSQL refuse uuids, enums and other types.
pub(super) fn as_text(column: &Column, backend: DbBackend) -> Expr {
    match backend {
        DbBackend::Postgres => col(&column.name).cast_as("text"),
        _ => col(&column.name),
    }
}

/// The column in an order that does not depend on the locale of the database.
pub(super) fn sortable(column: &Column, backend: DbBackend) -> Expr {
    match (column.kind, backend) {
        (ColumnType::String, DbBackend::Postgres) => Expr::cust_with_expr("$1 COLLATE \"C\"", as_text(column, backend)),
        _ => col(&column.name),
    }
}
