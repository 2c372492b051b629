//! The source of a select, and the order of its rows.

use std::sync::Arc;

use sea_orm::sea_query::Order;

use super::query_text::QueryText;

/// The table or query that a dataset reads from.
#[derive(Clone, Debug)]
pub enum Source {
    /// A table or view, by its name or by its schema and name.
    Table(Vec<String>),
    /// A query that the operator wrote in the catalog.
    Query(Arc<QueryText>),
}

impl Source {
    /// Returns the table or view with this name. `name` has the form `table` or `schema.table`.
    #[must_use]
    pub fn table(name: &str) -> Self {
        Self::Table(name.split('.').map(str::to_owned).collect())
    }

    /// Returns the query with its text and number parameters written as PostgreSQL constants, which do not have the
    /// declared types of the parameters. PostgreSQL then infers the type of a text from the context. None for a table,
    /// for a query of SQLite, for a query without such parameters, and for a query that already has constants.
    pub(in crate::dataset) fn with_constants(&self) -> Option<Self> {
        match self {
            Self::Table(_) => None,
            Self::Query(text) => text.with_constants().map(|text| Self::Query(text.into())),
        }
    }
}

/// A column by which rows are sorted. With a fixed order, two exports of the same data give the same file. NULL comes
/// last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderBy {
    /// The name of the column.
    pub column: String,
    /// Whether the largest value comes first. If false, the smallest value comes first.
    pub descending: bool,
}

impl OrderBy {
    /// Sorts by this column, the smallest value first.
    #[must_use]
    pub fn ascending(column: impl Into<String>) -> Self {
        Self { column: column.into(), descending: false }
    }

    pub(in crate::dataset) const fn direction(&self) -> Order {
        if self.descending { Order::Desc } else { Order::Asc }
    }
}
