//! Lists the tables and views of a SQLite file.

use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, Statement};

use super::super::super::DatasetError;

/// The statement that selects the tables, virtual tables and views. It omits the tables of SQLite itself, and the
/// tables in which virtual tables keep their data.
const TABLES: &str = "SELECT name, type FROM pragma_table_list WHERE schema = 'main' \
     AND type IN ('table', 'view', 'virtual') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name";

/// A table or view of a SQLite file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SqliteTable {
    pub(crate) name: String,
    pub(crate) is_view: bool,
}

/// Returns the tables and views of a SQLite file, sorted by name.
///
/// # Errors
/// When the file is not a database, or can't be read.
pub(crate) async fn sqlite_tables(db: &DatabaseConnection) -> Result<Vec<SqliteTable>, DatasetError> {
    let rows = db.query_all_raw(Statement::from_string(DbBackend::Sqlite, TABLES)).await?;
    let table = |row: &sea_orm::QueryResult| {
        let kind: String = row.try_get_by_index(1)?;
        Ok(SqliteTable { name: row.try_get_by_index(0)?, is_view: kind == "view" })
    };
    rows.iter().map(table).collect()
}
