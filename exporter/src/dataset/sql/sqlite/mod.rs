//! Reads SQLite row by row.
//!
//! SQLite stores any value in any column. [`stored`] reads a value by its storage class and never by a `CAST`. [`cell`]
//! converts the value to the column's type, and refuses a value that the type can't hold exactly. Data frames are built
//! from the converted values, and [`row_test`] evaluates filters and row policies on the same values, so that a filter
//! compares exactly what the exported file shows.
//!
//! The SQL statement has a condition that is true for all rows that may pass the filter ([`prefilter`]), so that SQLite
//! can use an index. The statement also sorts the rows, and [`sorting`] checks their order.

mod cell;
mod file;
mod moments;
mod prefilter;
mod reader;
mod row_test;
mod schema;
mod sorting;
mod stored;
mod tables;
#[cfg(test)]
mod tests;

pub use self::file::SqliteFile;
pub(super) use self::{
    moments::HAS_ZONE,
    reader::{count, open},
};
pub(crate) use self::{
    schema::{named_table, query_columns, table_columns},
    tables::{SqliteTable, sqlite_tables},
};

use super::{super::numbers, expressions::SOURCE};

/// Returns a column of the source as a quoted name in SQL text.
fn quoted(column: &str) -> String {
    format!("\"{SOURCE}\".\"{}\"", column.replace('"', "\"\""))
}
