//! Looks up the native types of columns before each read. The native type is the type in PostgreSQL, with its
//! collation. The lookup is repeated because the columns and their collations may have changed since the catalog was
//! loaded.
//!
//! A filter may compare a text column with `=`, without a cast to the collation `C`, only if the collation of the
//! column is deterministic. Under a nondeterministic collation, different texts can be equal, and rows of other tenants
//! could pass the row policy.
//!
//! The lookup runs in the transaction that reads the rows. The locks of this transaction keep the columns unchanged.

use protocol::catalog::{Column, ColumnType};
use sea_orm::sqlx::PgConnection;

use super::{
    super::{
        DatasetError, Query,
        sql::{Native, Natives},
    },
    PostgresRows,
    describe::{self, Described, oid},
    server::PostgresServer,
};

/// Returns the native types of the columns of a source, that is, their types in PostgreSQL; empty if the query needs
/// none of them. Locks keep the types unchanged until the transaction ends.
///
/// # Errors
/// When the server fails, or when the columns have changed since the catalog was loaded.
pub(super) async fn natives(
    server: &PostgresServer,
    conn: &mut PgConnection,
    rows: &PostgresRows,
    query: &Query,
) -> Result<Natives, DatasetError> {
    if rows.known.is_none() && !is_useful(rows, query) {
        return Ok(Natives::default());
    }
    let found = describe::describe(server, conn, &rows.source, Some(query)).await?;
    if let Some(known) = &rows.known {
        known.check(&rows.info, &found.iter().map(Described::column).collect::<Vec<_>>())?;
    }
    Ok(found.into_iter().filter_map(native).collect())
}

/// Whether native types may change the SQL of a query. This is so if the query filters by, sorts by or selects a text
/// or float column.
fn is_useful(rows: &PostgresRows, query: &Query) -> bool {
    let is = |column: &Column| matches!(column.kind, ColumnType::String | ColumnType::Float);
    let named = query.filter.columns().into_iter().chain(query.columns.iter().map(String::as_str));
    let mut used = named.chain(rows.order.iter().map(|key| key.column.as_str()));
    used.any(|name| rows.info.columns.iter().any(|column| column.name == name && is(column)))
}

/// Returns the name and native type of a column; None if the type does not change the SQL of a query.
fn native(column: Described) -> Option<(String, Native)> {
    let native = match column.oid {
        oid::TEXT | oid::VARCHAR if column.is_bytewise => Native::Text,
        oid::UUID => Native::Uuid,
        oid::FLOAT4 => Native::Real,
        _ => return None,
    };
    Some((column.name, native))
}
