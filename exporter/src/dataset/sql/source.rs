//! The table or query that a dataset reads, and the order of its rows.

use std::sync::Arc;

use sea_orm::sea_query::Order;

use super::query_text::QueryText;

/// The table or query that a dataset reads.
#[derive(Clone, Debug)]
pub enum Source {
    /// A table or view. The list has its name, or its schema and its name.
    Table(Vec<String>),
    /// A query that the operator wrote in the catalog file.
    Query(Arc<QueryText>),
}

impl Source {
    /// Returns the table or view with this name. `name` has the form `table` or `schema.table`.
    #[must_use]
    pub fn table(name: &str) -> Self {
        Self::Table(name.split('.').map(str::to_owned).collect())
    }

    /// Returns the query for PostgreSQL, with its text and number parameters as constants without their declared types.
    /// PostgreSQL then infers the type of a text from the context. Returns None for a table, for a query of SQLite, for
    /// a query without such parameters, and for a query that already has constants.
    pub(in crate::dataset) fn with_constants(&self) -> Option<Self> {
        match self {
            Self::Table(_) => None,
            Self::Query(text) => text.with_constants().map(|text| Self::Query(text.into())),
        }
    }
}

/// A column by which rows are sorted. With a fixed order of all rows, two exports of the same rows result in the same
/// file. NULL comes last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderBy {
    /// The name of the column.
    pub column: String,
    /// Whether the largest value comes first. If false, the smallest value comes first.
    pub descending: bool,
}

impl OrderBy {
    /// Returns an order by this column, with the smallest value first.
    #[must_use]
    pub fn ascending(column: impl Into<String>) -> Self {
        Self { column: column.into(), descending: false }
    }

    pub(in crate::dataset) const fn direction(&self) -> Order {
        if self.descending { Order::Desc } else { Order::Asc }
    }
}
