//! Reads a `SELECT` by one `COPY`, or by several concurrent `COPY` statements, each of which reads a range of rows.
//!
//! A large table is split into ranges of disk pages. A source without pages is split into ranges of a key. The data
//! frames are sent in the order of the ranges, so that the same table always results in the same file.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use protocol::catalog::Column;
use sea_orm::{
    sea_query::Expr,
    sqlx::{AssertSqlSafe, Executor, PgConnection, Row, SqlSafeStr},
};

use super::{
    super::{DatasetError, Frames, OpenedQuery, Snapshot, frame_channel},
    readers::{Further, Readers, Rows, copy},
    server::{PostgresServer, failed},
    transaction::{Session, View},
};

/// The number of pages in one range: 16 MiB of the table, with the default page size of 8 KiB.
const PAGES: u64 = 2_048;

/// Reads all rows of a `SELECT` by one `COPY`, in the open transaction of the connection `session`. `columns` are the
/// selected columns.
fn single(server: Arc<PostgresServer>, mut session: Session, select: String, columns: Vec<Column>) -> Frames {
    let (sender, receiver) = frame_channel::channel();
    let task = tokio::spawn(async move {
        if copy(&server, &mut session.conn, &select, &columns, &sender, Rows::OfExport).await? {
            session.close(&server).await;
        }
        Ok(())
    });
    frame_channel::frames(receiver, task)
}

/// A `SELECT` statement that may be split into ranges of rows.
#[async_trait]
pub(super) trait Ranged: Send + Sync + 'static {
    /// Returns the quoted name of the table or view; None if the source is a query.
    fn table(&self) -> Option<String>;

    /// Whether the statement may be split into ranges. False for a statement that one connection must read, such as one
    /// with an order or a limit.
    fn may_be_split(&self) -> bool;

    /// Looks up the native types of the columns, and returns the SQL condition of each range, in the order of the rows.
    /// A condition of None means all rows. Returns at most one condition if splitting is not worthwhile. The caller
    /// must call this method before [`Self::text`].
    ///
    /// # Errors
    ///
    /// When the server fails.
    async fn ranges(&mut self, conn: &mut PgConnection) -> Result<Vec<Option<Expr>>, DatasetError>;

    /// Returns the SQL text of the statement for the rows of `range`. If `range` is None, the statement returns all
    /// rows.
    ///
    /// # Errors
    ///
    /// When a parameter has no value.
    fn text(&self, range: Option<Expr>) -> Result<String, DatasetError>;
}

/// Opens a `SELECT`, whose selected columns are `columns`. If it has several ranges, several connections read the
/// ranges. With [`Snapshot::Export`], these connections share one snapshot. With [`Snapshot::None`], each range has a
/// separate snapshot.
pub(super) async fn open(
    server: Arc<PostgresServer>,
    wanted: Snapshot,
    mut select: impl Ranged,
    columns: Vec<Column>,
) -> Result<OpenedQuery, DatasetError> {
    let mut leader = server.connect().await?;
    let mut locking = None;
    // a select that is not split needs no shared snapshot, because its single statement always has one snapshot
    if wanted == Snapshot::Export && select.may_be_split() {
        if let Some(table) = select.table() {
            // `lock` queries PostgreSQL's system catalog, which takes a snapshot. The export must take its snapshot
            // after it has locked the table. So `lock` runs in another transaction than the export.
            leader.begin(&server, View::EachStatement).await?;
            locking = lock(&server, &mut leader.conn, &table).await?;
            leader.end(&server).await?;
        }
        leader.begin(&server, View::OneSnapshot).await?;
        if let Some(lock) = locking.clone() {
            server.within(leader.conn.execute(AssertSqlSafe(lock).into_sql_str())).await?;
        }
    } else {
        leader.begin(&server, View::EachStatement).await?;
    }
    // if the transaction has a single snapshot, this first query takes it
    let snapshot_at = now(&server, &mut leader.conn).await?;
    let ranges = select.ranges(&mut leader.conn).await?;
    if ranges.len() < 2 {
        let frames = single(server, leader, select.text(None)?, columns);
        return Ok(OpenedQuery { frames, snapshot_at });
    }
    let snapshot = match wanted {
        Snapshot::Export => Some(export_snapshot(&server, &mut leader.conn).await?),
        // each range is one statement with its own snapshot, and no transaction stays open between them
        Snapshot::None => {
            leader.end(&server).await?;
            None
        }
    };
    let permits: Vec<_> =
        std::iter::from_fn(|| server.reserve_another()).take(server.per_export.min(ranges.len()) - 1).collect();
    let (sender, receiver) = frame_channel::channel();
    let further = Further { snapshot, locking, permits };
    let readers = Readers::new(server, select, columns, ranges);
    let frames = frame_channel::frames(receiver, tokio::spawn(readers.run(leader, further, sender)));
    Ok(OpenedQuery { frames, snapshot_at })
}

/// Runs a query that returns the time of the server's clock. A snapshot that is taken by this query or later contains
/// all transactions that were committed before that time. Returns None if `DateTime` can't express the time.
async fn now(server: &PostgresServer, conn: &mut PgConnection) -> Result<Option<DateTime<Utc>>, DatasetError> {
    const ASK: &str = "SELECT (extract(epoch FROM statement_timestamp()) * 1000000)::bigint::text";
    let row = server.within(conn.fetch_one(ASK)).await?;
    let micros = row.try_get_unchecked::<String, _>(0).map_err(failed)?;
    Ok(micros.parse().ok().and_then(DateTime::from_timestamp_micros))
}

/// Splits a table of `pages` disk pages into ranges of [`PAGES`] pages. Returns the SQL condition of each range. Every
/// item is Some.
pub(super) fn of_pages(pages: u64) -> Vec<Option<Expr>> {
    let count = pages.div_ceil(PAGES).max(1);
    (0..count).map(|at| Some(range(at, count))).collect()
}

/// Returns the SQL condition for the rows of one range of pages. `at` is the number of the range, from 0, and `ranges`
/// the number of all ranges of the table.
fn range(at: u64, ranges: u64) -> Expr {
    let mut text = format!("\"source\".ctid >= '({},0)'::tid", at * PAGES);
    // the last range has no upper bound, because newer pages hold no row of the snapshot and cost little
    if at + 1 < ranges {
        text.push_str(&format!(" AND \"source\".ctid < '({},0)'::tid", (at + 1) * PAGES));
    }
    Expr::cust(text)
}

/// Returns the statement that locks the table until the end of the transaction. Without the lock, a `TRUNCATE` after
/// the snapshot could make the table look empty. Returns None for a relation that is not an ordinary or partitioned
/// table, and if the exporter may not read all columns.
async fn lock(server: &PostgresServer, conn: &mut PgConnection, table: &str) -> Result<Option<String>, DatasetError> {
    let ask = format!(
        "SELECT 'yes' FROM pg_class WHERE oid = '{}'::regclass AND relkind IN ('r', 'p') \
         AND has_table_privilege(oid, 'SELECT')",
        table.replace('\'', "''")
    );
    let found = server.within(conn.fetch_optional(AssertSqlSafe(ask).into_sql_str())).await?;
    Ok(found.map(|_| format!("LOCK TABLE {table} IN ACCESS SHARE MODE")))
}

/// Exports the snapshot of the transaction on `leader`, which is the first connection of an export. Returns the name of
/// the snapshot, which is valid until the end of this transaction.
async fn export_snapshot(server: &PostgresServer, leader: &mut PgConnection) -> Result<String, DatasetError> {
    let row = server.within(leader.fetch_one("SELECT pg_export_snapshot()")).await?;
    row.try_get_unchecked::<String, _>(0).map_err(failed)
}

/// Returns the number of disk pages of an ordinary table or a materialized view. Returns None for a relation without
/// pages, such as a view. Also returns None for a table whose column `ctid` the exporter has no right to read.
pub(super) async fn pages(
    server: &PostgresServer,
    conn: &mut PgConnection,
    table: &str,
) -> Result<Option<u64>, DatasetError> {
    let ask = format!(
        "SELECT (pg_relation_size(oid) / current_setting('block_size')::bigint)::text FROM pg_class \
         WHERE oid = '{}'::regclass AND relkind IN ('r', 'm') AND has_column_privilege(oid, 'ctid', 'SELECT')",
        table.replace('\'', "''")
    );
    let row = server.within(conn.fetch_optional(AssertSqlSafe(ask).into_sql_str())).await?;
    let Some(row) = row else { return Ok(None) };
    let pages = row.try_get_unchecked::<String, _>(0).map_err(failed)?;
    Ok(pages.parse().ok())
}
