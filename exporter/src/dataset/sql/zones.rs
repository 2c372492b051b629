//! Determines whether the timestamps of a SQLite column have a time zone. SQLite has no type for timestamps, so the
//! stored values decide. A column has a time zone if at least one of its values is a number or a text with an offset,
//! `Z` or `UTC`. A number implies a time zone, because it counts seconds or days from an instant in UTC.

use protocol::{
    catalog::{Column, ColumnType},
    filter::Filter,
};
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DbBackend,
    sea_query::{Alias, Expr, Func, SelectStatement},
};
use serde_json::Map;

use super::{
    super::{DatasetError, Query},
    expressions::col,
    select::from_source,
    source::Source,
    sqlite::HAS_ZONE,
};

/// The maximum number of rows that are sampled to decide whether a column has a time zone. Each export also checks all
/// rows that it reads.
const SAMPLE_ROWS: u64 = 100_000;

/// Sets [`Column::local`] for each `datetime` column whose values have no time zone, and returns all columns. A column
/// without values counts as a column with a time zone. For a database other than SQLite, returns the columns unchanged.
///
/// # Errors
///
/// When the database fails.
pub(crate) async fn with_zones(
    db: &DatabaseConnection,
    source: &Source,
    columns: Vec<Column>,
) -> Result<Vec<Column>, DatasetError> {
    let moments = names_of(&columns, false);
    let zones = sampled(db, source, &moments).await?;
    let local = |name: &str| moments.iter().zip(&zones).any(|(moment, zone)| moment == name && *zone == Some(false));
    Ok(columns.into_iter().map(|column| Column { local: column.local || local(&column.name), ..column }).collect())
}

/// Returns the names of those columns that are declared to have no time zone, but have a value with one. For a database
/// other than SQLite, returns no names.
///
/// # Errors
/// When the database fails.
pub(crate) async fn zoned_columns(
    db: &DatabaseConnection,
    source: &Source,
    columns: &[Column],
) -> Result<Vec<String>, DatasetError> {
    let moments = names_of(columns, true);
    let zones = sampled(db, source, &moments).await?;
    Ok(moments.into_iter().zip(zones).filter(|(_, zone)| *zone == Some(true)).map(|(name, _)| name).collect())
}

/// Returns for each of the columns `moments` whether any of its values in a sample of the rows has a time zone. None for
/// a column without values in the sample, and for a database other than SQLite.
async fn sampled(
    db: &DatabaseConnection,
    source: &Source,
    moments: &[String],
) -> Result<Vec<Option<bool>>, DatasetError> {
    if db.get_database_backend() != DbBackend::Sqlite || moments.is_empty() {
        return Ok(vec![None; moments.len()]);
    }
    let all = Query { columns: moments.to_vec(), filter: Filter::all(), params: Map::new(), limit: Some(SAMPLE_ROWS) };
    let mut sample = from_source(source);
    for name in moments {
        sample.expr_as(col(name), Alias::new(name));
    }
    let sample = sample.limit(SAMPLE_ROWS).take();
    let mut select = SelectStatement::new();
    select.from_subquery(sample, Alias::new(super::SOURCE));
    found(db, source, &all, select, moments).await
}

/// Returns for each of `columns` whether one of its values in the sampled rows has a time zone. Returns None for a
/// column without values in these rows.
async fn found(
    db: &DatabaseConnection,
    source: &Source,
    query: &Query,
    mut select: SelectStatement,
    columns: &[String],
) -> Result<Vec<Option<bool>>, DatasetError> {
    for name in columns {
        let has_zone = Expr::cust_with_exprs(HAS_ZONE, std::iter::repeat_n(col(name), HAS_ZONE.matches('?').count()));
        select.expr(Func::max(has_zone));
    }
    let backend = db.get_database_backend();
    let statement = match source {
        Source::Table(_) => backend.build(&select),
        Source::Query(text) => text.before(&select, &query.params, backend)?,
    };
    let Some(row) = db.query_one_raw(statement).await? else { return Ok(vec![None; columns.len()]) };
    (0..columns.len()).map(|at| Ok(row.try_get_by_index::<Option<i64>>(at)?.map(|zone| zone != 0))).collect()
}

/// Returns the names of the `datetime` columns with this value of [`Column::local`].
fn names_of(columns: &[Column], is_local: bool) -> Vec<String> {
    let wanted = columns.iter().filter(|column| column.kind == ColumnType::Datetime && column.local == is_local);
    wanted.map(|column| column.name.clone()).collect()
}
