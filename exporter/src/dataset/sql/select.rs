//! Builds the `SELECT` statement for the rows of a source that pass a filter.

use protocol::catalog::Column;
use sea_orm::{
    DbBackend,
    sea_query::{Alias, Query as Sql, SelectStatement},
};

use super::{
    super::{DatasetError, Query},
    expressions::SOURCE,
    native::Natives,
    predicate::Predicate,
    source::Source,
};

/// Returns a `SELECT` for the rows of `source` that pass the filter of a query. `columns` are the columns of the
/// source. The caller adds the selected expressions.
pub(in crate::dataset) fn filtered(
    source: &Source,
    columns: &[Column],
    query: &Query,
    backend: DbBackend,
) -> Result<SelectStatement, DatasetError> {
    filtered_as(source, columns, query, backend, &Natives::default())
}

/// Returns a `SELECT` like [`filtered`], but writes the filter for the native types of the columns, so that PostgreSQL
/// can use indexes.
pub(in crate::dataset) fn filtered_as(
    source: &Source,
    columns: &[Column],
    query: &Query,
    backend: DbBackend,
    natives: &Natives,
) -> Result<SelectStatement, DatasetError> {
    let mut select = from_source(source);
    if !query.filter.is_all() {
        select.and_where(Predicate { columns, backend, natives }.expr(&query.filter)?);
    }
    Ok(select)
}

/// Returns a `SELECT` for all rows of a source. The caller adds the selected expressions.
pub(super) fn from_source(source: &Source) -> SelectStatement {
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
        Source::Query(text) => {
            select.from_as(Alias::new(text.name()), Alias::new(SOURCE));
        }
    }
    select
}
