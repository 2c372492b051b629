//! Finds the native types of columns, that is, their types in PostgreSQL, before each read. A column may have changed
//! its type or collation since the catalog was loaded. Plain equality under another collation could let rows of other
//! tenants pass. The lookup runs in the transaction that reads the rows: the locks of this transaction keep the columns
//! unchanged.

use protocol::{
    catalog::{Column, ColumnType},
    filter::Filter,
};
use sea_orm::sqlx::{
    AssertSqlSafe, Column as _, Executor, PgConnection, Row, SqlSafeStr, Statement, TypeInfo, postgres::PgStatement,
};

use super::{
    super::{
        DatasetError, Query,
        sql::{Native, Natives},
    },
    PostgresRows,
    server::{PostgresServer, failed},
};

/// Selects the columns of a table or view whose type is `text`, `varchar`, `uuid` or `real`, by the fixed object
/// identifiers of these types. Leaves out text columns under a nondeterministic collation.
const OF_A_RELATION: &str = "SELECT a.attname::text, a.atttypid::bigint::text FROM pg_catalog.pg_attribute AS a \
     LEFT JOIN pg_catalog.pg_collation AS c ON c.oid = a.attcollation \
     WHERE a.attnum > 0 AND NOT a.attisdropped AND a.atttypid IN (25, 1043, 2950, 700) \
     AND to_jsonb(c) ->> 'collisdeterministic' IS DISTINCT FROM 'false' AND a.attrelid = ";
/// Selects a row if the database has a nondeterministic collation. The check is for queries, because PostgreSQL does
/// not report the collations of their columns.
const NONDETERMINISTIC_COLLATIONS: &str = "SELECT 'yes' FROM pg_catalog.pg_collation AS c \
     WHERE to_jsonb(c) ->> 'collisdeterministic' = 'false' LIMIT 1";

/// Returns the PostgreSQL types of the columns of a source; empty if the query needs none of them. The transaction
/// locks the table, so that the types stay the same until it ends.
pub(super) async fn natives(
    server: &PostgresServer,
    conn: &mut PgConnection,
    rows: &PostgresRows,
    query: &Query,
) -> Result<Natives, DatasetError> {
    if !is_useful(&rows.info.columns, query) {
        return Ok(Natives::default());
    }
    match rows.table() {
        Some(table) => {
            prepare(server, conn, format!("SELECT FROM {table}")).await?;
            of_a_relation(server, conn, &table).await
        }
        None => {
            let prepared = prepare(server, conn, PostgresRows::everything(&rows.source)?).await?;
            of_a_query(server, conn, &prepared).await
        }
    }
}

/// Prepares a statement without running it. The locks of the statement make changes of the columns wait for the end of
/// the transaction.
async fn prepare(
    server: &PostgresServer,
    conn: &mut PgConnection,
    statement: String,
) -> Result<PgStatement, DatasetError> {
    server.within(conn.prepare(AssertSqlSafe(statement).into_sql_str())).await
}

/// Whether native types may change the SQL of a query: if it filters by a text column, or filters by or selects a float
/// column.
fn is_useful(columns: &[Column], query: &Query) -> bool {
    let is = |name: &str, kinds: &[ColumnType]| columns.iter().any(|c| c.name == name && kinds.contains(&c.kind));
    let compared =
        |filter: &Filter| filter.columns().into_iter().any(|name| is(name, &[ColumnType::String, ColumnType::Float]));
    compared(&query.filter) || query.columns.iter().any(|name| is(name, &[ColumnType::Float]))
}

async fn of_a_relation(server: &PostgresServer, conn: &mut PgConnection, table: &str) -> Result<Natives, DatasetError> {
    let ask = format!("{OF_A_RELATION}'{}'::regclass", table.replace('\'', "''"));
    let found = server.within(conn.fetch_all(AssertSqlSafe(ask).into_sql_str())).await?;
    let known = found.iter().map(|row| {
        let (name, kind): (String, String) = (row.try_get_unchecked(0)?, row.try_get_unchecked(1)?);
        let native = match kind.as_str() {
            "25" | "1043" => Native::Text,
            "2950" => Native::Uuid,
            _ => Native::Real,
        };
        Ok((name, native))
    });
    known.collect::<Result<_, _>>().map_err(failed)
}

async fn of_a_query(
    server: &PostgresServer,
    conn: &mut PgConnection,
    prepared: &PgStatement,
) -> Result<Natives, DatasetError> {
    let nondeterministic = server.within(conn.fetch_optional(NONDETERMINISTIC_COLLATIONS)).await?.is_some();
    let known = prepared.columns().iter().filter_map(|column| {
        let native = match column.type_info().name() {
            "TEXT" | "VARCHAR" if !nondeterministic => Native::Text,
            "UUID" => Native::Uuid,
            "FLOAT4" => Native::Real,
            _ => return None,
        };
        Some((column.name().to_owned(), native))
    });
    Ok(known.collect())
}
