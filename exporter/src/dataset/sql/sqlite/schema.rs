//! Reads tables, columns and their declared types from the schema of a SQLite database.

use std::collections::HashMap;

use protocol::catalog::{Column, ColumnType};
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DbBackend, DbErr, QueryResult, RuntimeErr, Statement,
    sqlx::{AssertSqlSafe, Column as _, Executor, SqlSafeStr, Statement as _},
};

use super::super::{super::DatasetError, source::Source};

/// The rule by which a SQLite column converts the values that it stores
/// (<https://www.sqlite.org/datatype3.html#type_affinity>).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Affinity {
    /// Texts that look like numbers are stored as numbers.
    Number,
    /// Numbers are stored as texts.
    Text,
    /// Values are stored unchanged, or the affinity is unknown.
    None,
}

/// The type affinities of the columns of a source, by the names of the columns.
pub(super) struct Affinities(HashMap<String, Affinity>);

impl Affinities {
    /// Returns the affinities of the columns of a table. For a query, a view or a virtual table, all affinities are
    /// unknown.
    pub(super) async fn of(db: &DatabaseConnection, source: &Source) -> Result<Self, DatasetError> {
        const IS_TABLE: &str = "SELECT 1 FROM pragma_table_list(?) WHERE type = 'table'";
        let Source::Table(parts) = source else { return Ok(Self(HashMap::new())) };
        let name = match parts.as_slice() {
            [_, table] => table.clone(),
            parts => parts.join("."),
        };
        let is_table = Statement::from_sql_and_values(DbBackend::Sqlite, IS_TABLE, [name.into()]);
        if db.query_one_raw(is_table).await?.is_none() {
            return Ok(Self(HashMap::new()));
        }
        let known = xinfo(db, parts).await?.into_iter().map(|column| (column.name, Affinity::of(&column.declared)));
        Ok(Self(known.collect()))
    }

    pub(super) fn get(&self, column: &str) -> Affinity {
        self.0.get(column).copied().unwrap_or(Affinity::None)
    }
}

impl Affinity {
    fn of(declared: &str) -> Self {
        let declared = declared.to_ascii_lowercase();
        let has = |words: &[&str]| words.iter().any(|word| declared.contains(word));
        if has(&["int"]) {
            Self::Number
        } else if has(&["char", "clob", "text"]) {
            Self::Text
        } else if declared.is_empty() || has(&["blob"]) || declared == "any" {
            // in a STRICT table, a column of the type ANY stores every value unchanged
            Self::None
        } else {
            Self::Number
        }
    }
}

/// Returns the columns of a table or view, including generated columns, with the types that the schema declares.
/// Returns no columns for a query, because the catalog file must declare them.
///
/// # Errors
/// When the database fails, or has no such table.
pub(crate) async fn table_columns(db: &DatabaseConnection, source: &Source) -> Result<Vec<Column>, DatasetError> {
    let Source::Table(parts) = source else { return Ok(Vec::new()) };
    let found = xinfo(db, parts).await?.into_iter();
    let columns: Vec<_> =
        found.map(|c| Column { nullable: c.nullable, ..Column::new(c.name, kind_of(&c.declared)) }).collect();
    if columns.is_empty() { Err(DatasetError::NoTable(parts.join("."))) } else { Ok(columns) }
}

/// Returns the names of the columns of a query, in order. If several columns have the same name, all but the first get
/// a suffix such as `:1`. Returns no names for a table.
///
/// # Errors
/// When the database fails, or refuses the query.
pub(crate) async fn query_columns(db: &DatabaseConnection, source: &Source) -> Result<Vec<String>, DatasetError> {
    let Source::Query(text) = source else { return Ok(Vec::new()) };
    let sql = format!("{}SELECT * FROM \"{}\"", text.described(), text.name());
    let prepared = db.get_sqlite_connection_pool().prepare(AssertSqlSafe(sql).into_sql_str()).await;
    let prepared = prepared.map_err(|e| DbErr::Query(RuntimeErr::SqlxError(e.into())))?;
    Ok(prepared.columns().iter().map(|column| column.name().to_owned()).collect())
}

/// Resolves a table name that contains a dot, and returns the source. The name `a.b` means the table `a.b` if that
/// table exists, and otherwise the table `b` of the schema `a`.
///
/// # Errors
///
/// When the database fails.
pub(crate) async fn named_table(db: &DatabaseConnection, source: Source) -> Result<Source, DatasetError> {
    match &source {
        Source::Table(parts) if parts.len() > 1 => {
            let whole = vec![parts.join(".")];
            Ok(if xinfo(db, &whole).await?.is_empty() { source } else { Source::Table(whole) })
        }
        _ => Ok(source),
    }
}

/// A column as `PRAGMA table_xinfo` describes it.
struct SchemaColumn {
    name: String,
    declared: String,
    nullable: bool,
}

impl SchemaColumn {
    fn of(row: &QueryResult) -> Result<Self, DatasetError> {
        let (name, declared) = (row.try_get_by_index(0)?, row.try_get_by_index(1)?);
        Ok(Self { name, declared, nullable: row.try_get_by_index(2)? })
    }
}

/// Returns the columns of a table or view. `parts` has the name of the table, or the names of its schema and of the
/// table. The result is empty if there is no such table or view.
async fn xinfo(db: &DatabaseConnection, parts: &[String]) -> Result<Vec<SchemaColumn>, DatasetError> {
    // `hidden` is 1 for the hidden columns of a virtual table, and 2 and 3 for generated columns
    const COLUMNS: &str = "SELECT name, type, \"notnull\" = 0 FROM pragma_table_xinfo";
    let statement = match parts {
        // a connection that opens one file for reading has no other schemas
        [schema, _] if !["main", "temp"].iter().any(|known| known.eq_ignore_ascii_case(schema)) => {
            return Ok(Vec::new());
        }
        [schema, table] => {
            let sql = format!("{COLUMNS}(?, ?) WHERE hidden <> 1");
            Statement::from_sql_and_values(DbBackend::Sqlite, sql, [table.as_str().into(), schema.as_str().into()])
        }
        parts => {
            let sql = format!("{COLUMNS}(?) WHERE hidden <> 1");
            Statement::from_sql_and_values(DbBackend::Sqlite, sql, [parts.join(".").into()])
        }
    };
    db.query_all_raw(statement).await?.iter().map(SchemaColumn::of).collect()
}

/// Returns the column type of a declared SQL type. SQLite accepts any text as a declared type. This function recognizes
/// the usual names, and returns `string` for any other name.
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
