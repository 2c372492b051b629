//! Builds SQL expressions for the columns of a source.

use protocol::catalog::{Column, ColumnType};
use sea_orm::{
    DbBackend,
    sea_query::{Alias, Expr, ExprTrait},
};

use super::{super::DatasetError, native::Native};

/// The SQL alias of a dataset's source in every `SELECT`: of its table, or of the common table expression that holds
/// its query.
pub(in crate::dataset) const SOURCE: &str = "source";

/// Returns the column with this name, or [`DatasetError::NoColumn`].
pub(in crate::dataset) fn find(columns: &[Column], name: &str) -> Result<Column, DatasetError> {
    columns.iter().find(|c| c.name == name).cloned().ok_or_else(|| DatasetError::NoColumn(name.to_owned()))
}

/// Returns a reference to a column of the source.
pub(in crate::dataset) fn col(name: &str) -> Expr {
    Expr::col((Alias::new(SOURCE), Alias::new(name)))
}

/// Returns the expression with which a `SELECT` reads a column. The expression casts integers, floats, decimals and
/// texts to SQL types that fit the column types.
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

/// Returns a column as a text expression. On PostgreSQL, the result is the text that the output function of the
/// column's type prints, because text functions refuse types such as `uuid`. `native` is the known type of the column
/// in PostgreSQL: for a text, a simple cast gives the same result. On other databases, the result is the column itself.
pub(in crate::dataset) fn as_text(column: &Column, backend: DbBackend, native: Option<Native>) -> Expr {
    match (backend, native) {
        (DbBackend::Postgres, Some(Native::Text)) => col(&column.name).cast_as("text"),
        (DbBackend::Postgres, _) => printed(&col(&column.name)),
        _ => col(&column.name),
    }
}

/// Returns a PostgreSQL expression for the text that the output function of a value's type prints. A cast to `text`
/// would give another text for some types: it removes the padding of `char(n)`, keeps the encoding that an `xml`
/// declares, and adds the mask of an `inet`.
fn printed(value: &Expr) -> Expr {
    // format() prints NULL as an empty text; `IS NULL` is true also for a row of NULLs, unlike IS NOT DISTINCT FROM
    // NULL
    let text = "CASE WHEN $1 IS NOT DISTINCT FROM NULL THEN NULL ELSE pg_catalog.format('%s', $2) END";
    Expr::cust_with_exprs(text, [value.clone(), value.clone()])
}

/// Returns the expression of a column for a search by `LIKE` and `strpos`. Before version 18, PostgreSQL can't search a
/// text with a nondeterministic collation. Therefore, a column is searched under the collation `C`, unless `native`
/// says that its collation is deterministic. Without a collation in the expression, PostgreSQL can use an index of the
/// column.
pub(in crate::dataset) fn searchable(column: &Column, backend: DbBackend, native: Option<Native>) -> Expr {
    match (backend, native) {
        (DbBackend::Postgres, Some(Native::Text)) => as_text(column, backend, native),
        _ => sortable(column, backend, native),
    }
}

/// Returns the expression that sorts rows by a column, and with which filters compare the column. On PostgreSQL, text
/// sorts by its bytes, no matter which locale the database has.
pub(in crate::dataset) fn sortable(column: &Column, backend: DbBackend, native: Option<Native>) -> Expr {
    match (column.kind, backend) {
        (ColumnType::String, DbBackend::Postgres) => {
            Expr::cust_with_expr("$1 COLLATE \"C\"", as_text(column, backend, native))
        }
        _ => col(&column.name),
    }
}
