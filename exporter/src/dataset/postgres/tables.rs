//! Lists the tables and views of a PostgreSQL database, with their comments, keys and rights.

use std::collections::{BTreeMap, HashMap};

use sea_orm::sqlx::{Executor, Row, postgres::PgRow};

use super::{
    super::{DatasetError, sql::Source},
    PostgresRows, describe,
    key::Key,
    server::{PostgresServer, failed},
};

/// The statement that selects the tables and views that a user may want to export, one row for each. It omits system
/// tables, temporary tables, and partitions, because the rows of a partition also belong to its partitioned table. All
/// selected fields are texts.
const RELATIONS: &str = "SELECT n.nspname::text, c.relname::text, c.relkind::text, \
     coalesce(pg_catalog.obj_description(c.oid, 'pg_class'), ''), \
     pg_catalog.has_schema_privilege(n.oid, 'USAGE')::text, \
     (pg_catalog.has_table_privilege(c.oid, 'SELECT') OR pg_catalog.has_any_column_privilege(c.oid, 'SELECT'))::text, \
     c.relispopulated::text, c.relrowsecurity::text, \
     coalesce((SELECT e.extname::text FROM pg_catalog.pg_depend AS d JOIN pg_catalog.pg_extension AS e ON e.oid = d.refobjid \
      WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e' LIMIT 1), ''), \
     coalesce((SELECT a.attname::text FROM pg_catalog.pg_index AS i JOIN pg_catalog.pg_attribute AS a \
      ON a.attrelid = c.oid AND a.attnum = i.indkey[0] \
      WHERE i.indrelid = c.oid AND i.indisvalid ORDER BY i.indisprimary DESC, i.indisunique DESC, i.indexrelid LIMIT 1), ''), \
     (SELECT count(*) FROM pg_catalog.pg_inherits AS h WHERE h.inhparent = c.oid)::text \
     FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace \
     WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition AND c.relpersistence <> 't' \
     AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' \
     ORDER BY n.nspname::text COLLATE \"C\", c.relname::text COLLATE \"C\"";
/// The statement that selects the comments on the columns of the tables and views that [`RELATIONS`] may select:
/// schema, table, column and comment.
const COMMENTS: &str = "SELECT n.nspname::text, c.relname::text, a.attname::text, d.description \
     FROM pg_catalog.pg_description AS d JOIN pg_catalog.pg_class AS c ON c.oid = d.objoid \
     JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace \
     JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = d.objsubid \
     WHERE d.classoid = 'pg_catalog.pg_class'::regclass AND d.objsubid > 0 AND NOT a.attisdropped \
     AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'";

/// The kind of a table or view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RelationKind {
    Table,
    Partitioned,
    View,
    MaterializedView,
    ForeignTable,
}

/// A table or view of a PostgreSQL database (a relation).
#[derive(Clone, Debug)]
pub(crate) struct Relation {
    pub(crate) schema: String,
    pub(crate) name: String,
    pub(crate) kind: RelationKind,
    /// The comment on the table or view; empty if it has none.
    pub(crate) comment: String,
    /// Whether the exporter has the right to use the schema of the table or view.
    pub(crate) is_reachable: bool,
    /// Whether the exporter has the right to read at least one column.
    pub(crate) is_readable: bool,
    /// Whether a materialized view has rows; always true for other relations.
    pub(crate) is_populated: bool,
    /// Whether row-level security decides which rows the exporter can read.
    pub(crate) has_row_security: bool,
    /// The name of the extension that created the table or view; empty if no extension created it.
    pub(crate) extension: String,
    /// The first column of the primary key. Without a primary key, the first column of another index. Empty if there is
    /// no index.
    pub(crate) key: String,
    /// The number of partitions of the table, or of tables that inherit from it.
    pub(crate) parts: u64,
    /// The comments on the columns, by the name of the column.
    pub(crate) column_comments: BTreeMap<String, String>,
}

impl Relation {
    /// Returns the table or view as the [`Source`] of a dataset.
    pub(crate) fn source(&self) -> Source {
        Source::Table(vec![self.schema.clone(), self.name.clone()])
    }

    /// Returns the name of the table or view, with its schema, as quoted SQL text.
    pub(crate) fn quoted(&self) -> String {
        describe::quoted(&[self.schema.clone(), self.name.clone()])
    }

    fn of(row: &PgRow) -> Result<Self, DatasetError> {
        let text = |index: usize| field(row, index);
        let is = |index: usize| text(index).map(|text| text == "true");
        let kind = match text(2)?.as_str() {
            "p" => RelationKind::Partitioned,
            "v" => RelationKind::View,
            "m" => RelationKind::MaterializedView,
            "f" => RelationKind::ForeignTable,
            _ => RelationKind::Table,
        };
        Ok(Self {
            schema: text(0)?,
            name: text(1)?,
            kind,
            comment: text(3)?,
            is_reachable: is(4)?,
            is_readable: is(5)?,
            is_populated: is(6)?,
            has_row_security: is(7)?,
            extension: text(8)?,
            key: text(9)?,
            parts: text(10)?.parse().unwrap_or(0),
            column_comments: BTreeMap::new(),
        })
    }
}

fn field(row: &PgRow, index: usize) -> Result<String, DatasetError> {
    row.try_get_unchecked::<String, _>(index).map_err(failed)
}

/// Returns the tables and views of the database, sorted by schema and name.
///
/// # Errors
/// When the server can't be reached, or does not answer in time.
pub(crate) async fn relations(server: &PostgresServer) -> Result<Vec<Relation>, DatasetError> {
    let mut session = server.connect_briefly().await?;
    let rows = server.within(session.conn.fetch_all(RELATIONS)).await?;
    let comments = server.within(session.conn.fetch_all(COMMENTS)).await?;
    session.close(server).await;
    let mut relations = rows.iter().map(Relation::of).collect::<Result<Vec<_>, _>>()?;
    let places = relations.iter().enumerate().map(|(place, one)| ((one.schema.clone(), one.name.clone()), place));
    let places: HashMap<_, _> = places.collect();
    for row in &comments {
        if let Some(place) = places.get(&(field(row, 0)?, field(row, 1)?)) {
            relations[*place].column_comments.insert(field(row, 2)?, field(row, 3)?);
        }
    }
    Ok(relations)
}

/// Whether the exporter can split the rows of a source into ranges of the values in `column`. Each range must have the
/// same rows at every read.
///
/// # Errors
///
/// When the server can't be reached, or refuses the source.
pub(crate) async fn can_split(
    server: &PostgresServer,
    rows: &PostgresRows,
    column: &str,
) -> Result<bool, DatasetError> {
    if Key::find(server, &rows.source, column).await?.is_err() {
        return Ok(false);
    }
    Ok(rows.split_doubt().await?.is_none())
}
