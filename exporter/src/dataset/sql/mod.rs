//! Implements datasets of SQL databases. This module builds the `SELECT` statements for all databases. [`sqlite`] reads
//! SQLite row by row, and [`postgres`](super::postgres) reads PostgreSQL through `COPY`.

mod dataset;
mod expressions;
mod failure;
mod known_columns;
mod load_failure;
mod native;
mod predicate;
mod query_text;
mod select;
mod source;
mod spelling;
mod sqlite;
mod values;
mod zones;

pub use self::{
    dataset::{SqlDatabase, SqlRows},
    query_text::{QueryFault, QueryText, QueryTextError},
    source::{OrderBy, Source},
    sqlite::SqliteFile,
};
pub(super) use self::{
    expressions::{SOURCE, as_text, col, find, sortable},
    failure::{is_transient, log_message, user_message},
    native::{Native, Natives},
    select::{filtered, filtered_as},
};
pub(crate) use self::{
    known_columns::KnownColumns,
    load_failure::{is_refused_by_postgres, is_refused_by_sqlite, operator_message},
    query_text::SqlDialect,
    sqlite::{SqliteTable, named_table, query_columns, sqlite_tables, table_columns},
    zones::{with_zones, zoned_columns},
};
