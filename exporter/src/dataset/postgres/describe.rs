//! Describes the columns of a table, view or query: their names, types and collations, and the right to read them.

use protocol::catalog::{Column, ColumnType};
use sea_orm::sqlx::{
    AssertSqlSafe, Column as _, Executor, PgConnection, Row, SqlSafeStr, TypeInfo,
    postgres::{PgColumn, PgRow},
};

use super::{
    super::{DatasetError, Query, TextMeaning, sql::Source},
    server::{PostgresServer, failed},
};

/// The beginning of a statement that describes the columns of a table or view. The caller adds the OID of the relation.
/// For each column, the statement selects the name, the OID of the type (for a domain, of its base type), whether the
/// exporter may read the column, whether equal texts have equal bytes, and the name of the type. Under a
/// nondeterministic collation, which PostgreSQL supports since version 12, equal texts may have different bytes.
const OF_A_RELATION: &str = "SELECT a.attname::text, \
     (WITH RECURSIVE base AS (SELECT t.oid, t.typbasetype FROM pg_catalog.pg_type AS t WHERE t.oid = a.atttypid \
      UNION ALL SELECT t.oid, t.typbasetype FROM base JOIN pg_catalog.pg_type AS t ON t.oid = base.typbasetype) \
      SELECT base.oid FROM base WHERE base.typbasetype = 0)::bigint::text, \
     pg_catalog.has_column_privilege(a.attrelid, a.attnum, 'SELECT')::text, \
     (to_jsonb(c) ->> 'collisdeterministic' IS DISTINCT FROM 'false')::text, \
     pg_catalog.format_type(a.atttypid, NULL) \
     FROM pg_catalog.pg_attribute AS a LEFT JOIN pg_catalog.pg_collation AS c ON c.oid = a.attcollation \
     WHERE a.attnum > 0 AND NOT a.attisdropped AND a.attrelid = ";
/// Selects a row if the database has a nondeterministic collation. PostgreSQL does not report the collations of a
/// query's columns, so any column of a query in the catalog file may use such a collation.
const NONDETERMINISTIC_COLLATIONS: &str = "SELECT 'yes' FROM pg_catalog.pg_collation AS c \
     WHERE to_jsonb(c) ->> 'collisdeterministic' = 'false' LIMIT 1";

/// The object identifiers (OIDs) of PostgreSQL's built-in types, which are the same on every server.
pub(super) mod oid {
    pub(in super::super) const BOOL: u32 = 16;
    pub(in super::super) const INT8: u32 = 20;
    pub(in super::super) const INT2: u32 = 21;
    pub(in super::super) const INT4: u32 = 23;
    pub(in super::super) const TEXT: u32 = 25;
    pub(in super::super) const FLOAT4: u32 = 700;
    pub(in super::super) const FLOAT8: u32 = 701;
    pub(in super::super) const VARCHAR: u32 = 1043;
    pub(in super::super) const DATE: u32 = 1082;
    pub(in super::super) const TIME: u32 = 1083;
    pub(in super::super) const TIMESTAMP: u32 = 1114;
    pub(in super::super) const TIMESTAMPTZ: u32 = 1184;
    pub(in super::super) const NUMERIC: u32 = 1700;
    pub(in super::super) const UUID: u32 = 2950;
    pub(in super::super) const BPCHAR: u32 = 1042;
    /// The types whose values are bytes, JSON or other composed values: `bytea`, `json`, `point`, `xml` and `jsonb`.
    pub(in super::super) const NOTATIONS: [u32; 5] = [17, 114, 600, 142, 3802];
}

/// A column of a source, as the server describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Described {
    pub(super) name: String,
    /// The object identifier (OID) of the type; for a domain, the OID of its base type.
    pub(super) oid: u32,
    /// The name of the type, for messages; `?` for a column of a query whose type is not built in.
    pub(super) type_name: String,
    /// Whether the exporter may read the column.
    pub(super) is_readable: bool,
    /// Whether equal texts of the column have equal bytes. False if the column has, or may have, a nondeterministic
    /// collation.
    pub(super) is_bytewise: bool,
}

impl Described {
    /// Returns the column that a dataset offers: its name, and the column type of its PostgreSQL type. The column is
    /// always nullable.
    pub(super) fn column(&self) -> Column {
        let kind = kind(self.oid);
        Column::new(&self.name, kind).typed(kind, self.oid == oid::TIMESTAMP)
    }
}

impl Described {
    /// Returns the meaning of the texts in the column, for comparisons with claims. Returns None for ordinary texts,
    /// and for columns of other types.
    pub(super) fn text_meaning(&self) -> Option<TextMeaning> {
        match self.oid {
            oid::UUID => Some(TextMeaning::Uuid),
            oid::BPCHAR => Some(TextMeaning::Padded),
            other if oid::NOTATIONS.contains(&other) || self.type_name.ends_with("[]") => Some(TextMeaning::Notation),
            _ => None,
        }
    }
}

/// Returns the catalog's column type for the PostgreSQL type with the object identifier `oid`. A type without a
/// counterpart becomes text.
fn kind(oid: u32) -> ColumnType {
    match oid {
        oid::BOOL => ColumnType::Bool,
        oid::INT2 | oid::INT4 | oid::INT8 => ColumnType::Int,
        oid::FLOAT4 | oid::FLOAT8 => ColumnType::Float,
        oid::NUMERIC => ColumnType::Decimal,
        oid::DATE => ColumnType::Date,
        oid::TIMESTAMP | oid::TIMESTAMPTZ => ColumnType::Datetime,
        oid::TIME => ColumnType::Time,
        _ => ColumnType::String,
    }
}

/// Returns the columns of a source. If the source is a query of the catalog file, its parameters have the values in
/// `query`; if `query` is None, the parameters are NULL. Locks keep the columns unchanged until the end of the
/// transaction.
pub(super) async fn describe(
    server: &PostgresServer,
    conn: &mut PgConnection,
    source: &Source,
    query: Option<&Query>,
) -> Result<Vec<Described>, DatasetError> {
    match source {
        Source::Table(parts) => of_a_relation(server, conn, &quoted(parts)).await,
        Source::Query(text) => {
            let before = match query {
                Some(query) => text.literal(&query.params)?,
                None => text.described(),
            };
            of_a_query(server, conn, &before, text.name()).await
        }
    }
}

/// Returns the quoted name of a table or view. `parts` has its name, or its schema and its name.
pub(super) fn quoted(parts: &[String]) -> String {
    let quoted: Vec<_> = parts.iter().map(|part| format!("\"{}\"", part.replace('"', "\"\""))).collect();
    quoted.join(".")
}

async fn of_a_relation(
    server: &PostgresServer,
    conn: &mut PgConnection,
    table: &str,
) -> Result<Vec<Described>, DatasetError> {
    // the lock of this statement blocks changes of the columns until the end of the transaction
    let lock = format!("SELECT FROM {table} LIMIT 0");
    server.within(conn.execute(AssertSqlSafe(lock).into_sql_str())).await?;
    let ask = format!("{OF_A_RELATION}'{}'::regclass ORDER BY a.attnum", table.replace('\'', "''"));
    let found = server.within(conn.fetch_all(AssertSqlSafe(ask).into_sql_str())).await?;
    found.iter().map(of_a_row).collect()
}

fn of_a_row(row: &PgRow) -> Result<Described, DatasetError> {
    let text = |index: usize| row.try_get_unchecked::<String, _>(index).map_err(failed);
    let oid = text(1)?.parse().map_err(|_| DatasetError::Garbled("the identifier of a type is no number"))?;
    let (is_readable, is_bytewise) = (text(2)? == "true", text(3)? == "true");
    Ok(Described { name: text(0)?, oid, type_name: text(4)?, is_readable, is_bytewise })
}

async fn of_a_query(
    server: &PostgresServer,
    conn: &mut PgConnection,
    before: &str,
    name: &str,
) -> Result<Vec<Described>, DatasetError> {
    let nondeterministic = server.within(conn.fetch_optional(NONDETERMINISTIC_COLLATIONS)).await?.is_some();
    // the answer is one row of NULLs, which has the description of all columns; no row of the source is read
    let ask = format!(
        "{before}SELECT described.* FROM (SELECT 1) AS one LEFT JOIN (SELECT * FROM \"{name}\" LIMIT 0) AS described ON true"
    );
    let row = server.within(conn.fetch_one(AssertSqlSafe(ask).into_sql_str())).await?;
    let of = |column: &PgColumn| {
        let (name, info) = (column.name().to_owned(), column.type_info());
        let oid = info.oid().ok_or(DatasetError::Garbled("a column has no type"))?.0;
        let type_name = info.name().to_lowercase();
        Ok(Described { name, oid, type_name, is_readable: true, is_bytewise: !nondeterministic })
    };
    row.columns().iter().map(of).collect()
}
