//! Reads the columns of a table from the schema of its database.

use protocol::catalog::{Column, ColumnType};
use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, Statement};

use super::{super::DatasetError, source::Source};

/// Returns the columns of a table or view, with the types that the database schema declares. Returns no columns for a
/// query: the catalog file must declare them.
///
/// # Errors
/// When the database fails, or has no such table.
pub(crate) async fn table_columns(db: &DatabaseConnection, source: &Source) -> Result<Vec<Column>, DatasetError> {
    let (table, schema) = match source {
        Source::Table(parts) => match parts.as_slice() {
            [schema, table] => (table.clone(), schema.clone()),
            parts => (parts.join("."), String::new()),
        },
        _ => return Ok(Vec::new()),
    };
    let backend = db.get_database_backend();
    let statement = if backend == DbBackend::Sqlite {
        let sql = "SELECT name, type, \"notnull\" = 0 FROM pragma_table_info(?)";
        Statement::from_sql_and_values(backend, sql, [table.as_str().into()])
    } else {
        let sql = "SELECT column_name::text, data_type::text, is_nullable = 'YES' FROM information_schema.columns \
                   WHERE table_name = $1 AND table_schema = CASE $2 WHEN '' THEN current_schema() ELSE $2 END \
                   ORDER BY ordinal_position";
        Statement::from_sql_and_values(backend, sql, [table.as_str().into(), schema.into()])
    };
    let rows = db.query_all_raw(statement).await?;
    let columns = rows.iter().map(|row| {
        let (name, kind): (String, String) = (row.try_get_by_index(0)?, row.try_get_by_index(1)?);
        Ok(Column { nullable: row.try_get_by_index(2)?, ..Column::new(name, kind_of(&kind)) })
    });
    let columns = columns.collect::<Result<Vec<_>, DatasetError>>()?;
    if columns.is_empty() { Err(DatasetError::NoTable(table)) } else { Ok(columns) }
}

/// Returns the column type of a declared SQL type. SQLite accepts any text as a declared type; this function recognizes
/// the usual names.
fn kind_of(declared: &str) -> ColumnType {
    let declared = declared.to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| declared.contains(word));
    if has(&["timestamp", "datetime"]) {
        ColumnType::Datetime
    } else if has(&["bool"]) {
        ColumnType::Bool
    } else if declared.starts_with("date") {
        ColumnType::Date
    } else if declared.starts_with("time") {
        ColumnType::Time
    } else if has(&["int"]) && !has(&["interval", "point"]) {
        ColumnType::Int
    } else if has(&["real", "floa", "doub"]) {
        ColumnType::Float
    } else if has(&["dec", "numeric"]) {
        ColumnType::Decimal
    } else {
        ColumnType::String
    }
}
