//! Reads SQL sources. All of them share the source, the filter and the order of a select. SQLite is read here row by row,
//! and PostgreSQL in [`postgres`](super::postgres).

mod columns;
mod dataset;
mod expressions;
mod failure;
mod native;
mod predicate;
mod query_text;
mod select;
mod source;
mod values;

pub(crate) use self::columns::table_columns;
pub use self::{
    dataset::SqlRows,
    query_text::{QueryText, QueryTextError},
    source::{OrderBy, Source},
};
pub(super) use self::{
    expressions::{SOURCE, col, find, sortable},
    failure::{is_transient, log_message, user_message},
    native::{Native, Natives},
    select::{filtered, filtered_as},
};
