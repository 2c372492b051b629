//! SQL expressions for the columns of a source.

use protocol::catalog::{Column, ColumnType};
use sea_orm::{
    DbBackend,
    sea_query::{Alias, Expr, ExprTrait},
};

use super::super::DatasetError;

/// The alias that every select gives to its table or query.
pub(in crate::dataset) const SOURCE: &str = "source";

/// Returns the column with this name, or [`DatasetError::NoColumn`].
pub(in crate::dataset) fn find(columns: &[Column], name: &str) -> Result<Column, DatasetError> {
    columns.iter().find(|c| c.name == name).cloned().ok_or_else(|| DatasetError::NoColumn(name.to_owned()))
}

/// Returns a reference to a column of the source.
pub(in crate::dataset) fn col(name: &str) -> Expr {
    Expr::col((Alias::new(SOURCE), Alias::new(name)))
}

/// Returns the expression by which a select reads a column: the column, cast where necessary to an SQL type that fits
/// its column type.
pub(super) fn readable(column: &Column) -> Expr {
    let plain = col(&column.name);
    match column.kind {
        ColumnType::Int => plain.cast_as("bigint"),
        ColumnType::Float => plain.cast_as("double precision"),
        // text keeps all digits of a decimal; types without a column type, such as JSON, are text in files
        ColumnType::Decimal | ColumnType::String => plain.cast_as("text"),
        ColumnType::Bool | ColumnType::Date | ColumnType::Datetime | ColumnType::Time => plain,
    }
}

/// Returns a column as an argument for text functions. On PostgreSQL, the column is cast to text, because text
/// functions refuse types such as `uuid`.
pub(super) fn as_text(column: &Column, backend: DbBackend) -> Expr {
    match backend {
        DbBackend::Postgres => col(&column.name).cast_as("text"),
        _ => col(&column.name),
    }
}

/// Returns the expression by which rows are sorted and compared by a column. Text sorts by its bytes, independent of
/// the locale of the database.
pub(in crate::dataset) fn sortable(column: &Column, backend: DbBackend) -> Expr {
    match (column.kind, backend) {
        (ColumnType::String, DbBackend::Postgres) => Expr::cust_with_expr("$1 COLLATE \"C\"", as_text(column, backend)),
        _ => col(&column.name),
    }
}
