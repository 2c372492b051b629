//! Reads a select by one `COPY`, or by several at once, each for a range of rows.
//!
//! A large table is split into ranges of pages, a source without pages into ranges of a key. Each connection of an
//! export takes the next range. The rows come out range by range, so that the same table gives the same file. Frames of
//! later ranges wait in bounded channels, and a connection waits while its channel is full.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use futures::{FutureExt, TryStreamExt};
use polars::prelude::DataFrame;
use protocol::catalog::Column;
use sea_orm::{
    sea_query::Expr,
    sqlx::{AssertSqlSafe, Executor, PgConnection, Row, SqlSafeStr},
};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;
use tracing::debug;

use super::{
    super::{DatasetError, Frames, OpenedQuery, Snapshot, frame_builder::FrameBuilder, frame_channel},
    binary_values,
    server::{PostgresServer, Session, failed},
    wire::Wire,
};

/// The number of pages in one range: 16 MiB of the table, with the default page size of 8 KiB.
const PAGES: u64 = 2_048;
/// The capacity of the channel of one range, in frames.
const READ_AHEAD: usize = 8;
/// Begins a transaction in which each statement has its own snapshot. The locks of the transaction outlast its
/// statements: the native types of columns stay valid from the statement that looks them up until the statement that
/// reads the rows.
pub(super) const BEGIN_PLAIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY";
/// Begins a transaction with one snapshot for all its statements.
const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// Reads all rows of a select by one `COPY` on one connection.
fn single(server: Arc<PostgresServer>, mut session: Session, select: String, columns: Vec<Column>) -> Frames {
    let (sender, receiver) = frame_channel::channel();
    let task =
        tokio::spawn(async move { copy(&server, &mut session.conn, &select, &columns, &sender).await.map(drop) });
    frame_channel::frames(receiver, task)
}

/// A select that may be split into ranges.
#[async_trait]
pub(super) trait Ranged: Send + Sync + 'static {
    /// Returns the quoted name of the table or view; None if the source is a query.
    fn table(&self) -> Option<String>;

    /// Whether the select may be split into ranges.
    fn may_be_split(&self) -> bool;

    /// Looks up the native types of the columns, and returns the SQL condition of each range, in the order of the rows.
    /// Returns at most one condition if splitting is not worthwhile. Must be called before [`Self::text`].
    ///
    /// # Errors
    /// When the server fails.
    async fn ranges(&mut self, conn: &mut PgConnection) -> Result<Vec<Option<Expr>>, DatasetError>;

    /// Returns the text of the select, restricted to the rows of a range; None for all rows.
    ///
    /// # Errors
    /// When a parameter is missing.
    fn text(&self, range: Option<Expr>) -> Result<String, DatasetError>;
}

/// Opens a select. If the select has several ranges, several connections read them, and `wanted` decides whether these
/// connections share one snapshot.
pub(super) async fn open(
    server: Arc<PostgresServer>,
    wanted: Snapshot,
    mut select: impl Ranged,
    columns: Vec<Column>,
) -> Result<OpenedQuery, DatasetError> {
    let mut leader = server.connect().await?;
    let mut locking = None;
    // a single statement always has one snapshot
    if wanted == Snapshot::Export && select.may_be_split() {
        if let Some(table) = select.table() {
            locking = lock(&server, &mut leader.conn, &table).await?;
        }
        server.within(leader.conn.execute(BEGIN)).await?;
        if let Some(lock) = locking.clone() {
            server.within(leader.conn.execute(AssertSqlSafe(lock).into_sql_str())).await?;
        }
    } else {
        server.within(leader.conn.execute(BEGIN_PLAIN)).await?;
    }
    // the first statement of the transaction takes its snapshot
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
            server.within(leader.conn.execute("COMMIT")).await?;
            None
        }
    };
    let mut sessions = vec![leader];
    while sessions.len() < server.per_export {
        // without another connection the export is only slower
        let Ok(Some(mut session)) = server.connect_another().await else { break };
        if let Some(snapshot) = &snapshot {
            join(&server, &mut session.conn, snapshot).await?;
        }
        if let Some(lock) = &locking {
            let at_once = AssertSqlSafe(format!("{lock} NOWAIT")).into_sql_str();
            if let Err(e) = server.within(session.conn.execute(at_once)).await {
                // waiting could deadlock: another session may wait for the lock of the leader
                debug!(error = %e, "an exclusive lock on the table is pending; no further connection reads it");
                break;
            }
        }
        sessions.push(session);
    }
    let (sender, receiver) = frame_channel::channel();
    let held = Arc::new(AtomicUsize::new(sessions.len()));
    let readers = Readers { server, select, columns: columns.into(), ranges, held };
    let frames = frame_channel::frames(receiver, tokio::spawn(readers.run(sessions, sender)));
    Ok(OpenedQuery { frames, snapshot_at })
}

/// Returns the time of the server at the start of this statement. The statement sees every commit before that time.
async fn now(server: &PostgresServer, conn: &mut PgConnection) -> Result<Option<DateTime<Utc>>, DatasetError> {
    const ASK: &str = "SELECT (extract(epoch FROM statement_timestamp()) * 1000000)::bigint::text";
    let row = server.within(conn.fetch_one(ASK)).await?;
    let micros = row.try_get_unchecked::<String, _>(0).map_err(failed)?;
    Ok(micros.parse().ok().and_then(DateTime::from_timestamp_micros))
}

/// Returns the SQL conditions of all ranges of a table with this many pages.
pub(super) fn of_pages(pages: u64) -> Vec<Option<Expr>> {
    let count = pages.div_ceil(PAGES).max(1);
    (0..count).map(|at| Some(range(at, count))).collect()
}

/// Returns the SQL condition for the rows of one range of pages.
fn range(at: u64, ranges: u64) -> Expr {
    let mut text = format!("\"source\".ctid >= '({},0)'::tid", at * PAGES);
    // the last range has no upper bound: newer pages hold no row of the snapshot, and cost little
    if at + 1 < ranges {
        text.push_str(&format!(" AND \"source\".ctid < '({},0)'::tid", (at + 1) * PAGES));
    }
    Expr::cust(text)
}

/// Returns the statement that locks the table until its rows are read. Without the lock, a `TRUNCATE` after the
/// snapshot would make the table look empty in the snapshot. None for a relation that can't be locked: one that is
/// neither an ordinary nor a partitioned table, or one of which the exporter may read only some columns.
async fn lock(server: &PostgresServer, conn: &mut PgConnection, table: &str) -> Result<Option<String>, DatasetError> {
    let ask = format!(
        "SELECT 'yes' FROM pg_class WHERE oid = '{}'::regclass AND relkind IN ('r', 'p') \
         AND has_table_privilege(oid, 'SELECT')",
        table.replace('\'', "''")
    );
    let found = server.within(conn.fetch_optional(AssertSqlSafe(ask).into_sql_str())).await?;
    Ok(found.map(|_| format!("LOCK TABLE {table} IN ACCESS SHARE MODE")))
}

/// Exports the snapshot of this transaction. The snapshot is valid until the end of the transaction.
async fn export_snapshot(server: &PostgresServer, leader: &mut PgConnection) -> Result<String, DatasetError> {
    let row = server.within(leader.fetch_one("SELECT pg_export_snapshot()")).await?;
    row.try_get_unchecked::<String, _>(0).map_err(failed)
}

/// Begins a transaction that uses the exported snapshot of another connection.
async fn join(server: &PostgresServer, conn: &mut PgConnection, snapshot: &str) -> Result<(), DatasetError> {
    server.within(conn.execute(BEGIN)).await?;
    // this statement can't have bound values; the server itself chose the name
    let set = format!("SET TRANSACTION SNAPSHOT '{}'", snapshot.replace('\'', "''"));
    server.within(conn.execute(AssertSqlSafe(set).into_sql_str())).await?;
    Ok(())
}

/// Returns the number of pages of an ordinary table or a materialized view; None for relations without pages, such as
/// views.
pub(super) async fn pages(
    server: &PostgresServer,
    conn: &mut PgConnection,
    table: &str,
) -> Result<Option<u64>, DatasetError> {
    let ask = format!(
        "SELECT (pg_relation_size(oid) / current_setting('block_size')::bigint)::text FROM pg_class \
         WHERE oid = '{}'::regclass AND relkind IN ('r', 'm')",
        table.replace('\'', "''")
    );
    let row = server.within(conn.fetch_optional(AssertSqlSafe(ask).into_sql_str())).await?;
    let Some(row) = row else { return Ok(None) };
    let pages = row.try_get_unchecked::<String, _>(0).map_err(failed)?;
    Ok(pages.parse().ok())
}

/// A connection that reads ranges, one at a time.
struct Reader {
    session: Session,
    /// Whether this connection holds the locks that protect the rows of the snapshot, including the planner's locks on
    /// the tables of a view or query.
    is_leader: bool,
}

/// Reads the ranges of a select on several connections.
struct Readers<S> {
    server: Arc<PostgresServer>,
    select: S,
    columns: Arc<[Column]>,
    ranges: Vec<Option<Expr>>,
    /// The number of connections that the export has not given up for other exports.
    held: Arc<AtomicUsize>,
}

/// A range that a connection is reading: the channel of its frames, and the task that sends them.
struct Running {
    frames: mpsc::Receiver<DataFrame>,
    task: AbortOnDropHandle<Result<(), DatasetError>>,
}

/// The next event of the loop in [`Readers::run`].
enum Event {
    /// A connection is free for the next range.
    Idle(Reader),
    /// A frame of the first range that is not yet sent completely; None at the end of that range.
    Frame(Option<DataFrame>),
}

impl<S: Ranged> Readers<S> {
    /// Sends the rows of all ranges in order. The first session is the one that opened the select.
    async fn run(self, sessions: Vec<Session>, sender: frame_channel::FrameSender) -> Result<(), DatasetError> {
        let most = sessions.len() + 1;
        let (give_back, mut idle) = mpsc::channel(most);
        for (at, session) in sessions.into_iter().enumerate() {
            // the channel has capacity for all sessions
            let reader = Reader { session, is_leader: at == 0 };
            give_back.try_send(reader).map_err(|_| DatasetError::Garbled("no connection"))?;
        }
        let mut running: VecDeque<Running> = VecDeque::new();
        let mut next = 0;
        while next < self.ranges.len() || !running.is_empty() {
            let may_start = next < self.ranges.len() && running.len() < most;
            let first = async {
                match running.front_mut() {
                    Some(first) => first.frames.recv().await,
                    None => std::future::pending().await,
                }
            };
            let event = tokio::select! {
                Some(reader) = idle.recv(), if may_start => Event::Idle(reader),
                frame = first => Event::Frame(frame),
            };
            match event {
                Event::Idle(reader) => {
                    running.push_back(self.start(next, reader, give_back.clone())?);
                    next += 1;
                }
                Event::Frame(Some(frame)) => {
                    if sender.send(frame).await.is_err() {
                        return Ok(());
                    }
                }
                // a range whose reader failed must not look complete
                Event::Frame(None) => {
                    if let Some(ended) = running.pop_front() {
                        ended.task.await??;
                    }
                }
            }
        }
        Ok(())
    }

    fn start(&self, at: usize, mut reader: Reader, give_back: mpsc::Sender<Reader>) -> Result<Running, DatasetError> {
        let statement = self.select.text(self.ranges[at].clone())?;
        let (server, columns) = (Arc::clone(&self.server), Arc::clone(&self.columns));
        let (sender, frames) = mpsc::channel(READ_AHEAD);
        let held = Arc::clone(&self.held);
        let task = tokio::spawn(async move {
            let is_spare = || {
                let fewer = |held: usize| (held > 1).then(|| held - 1);
                !reader.is_leader
                    && server.is_wanted()
                    && held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fewer).is_ok()
            };
            // a spare connection is closed when another export waits for its first one
            if copy(&server, &mut reader.session.conn, &statement, &columns, &sender).await? && !is_spare() {
                // after the last range the channel is closed, and the connection with it
                drop(give_back.try_send(reader));
            }
            Ok(())
        });
        Ok(Running { frames, task: AbortOnDropHandle::new(task) })
    }
}

/// Runs a select by `COPY`, and sends its rows as frames. Returns false if the receiver is dropped.
async fn copy(
    server: &PostgresServer,
    conn: &mut PgConnection,
    select: &str,
    columns: &[Column],
    sender: &mpsc::Sender<DataFrame>,
) -> Result<bool, DatasetError> {
    let statement = format!("COPY ({select}) TO STDOUT (FORMAT binary)");
    let mut stream = server.within(conn.copy_out_raw(&statement)).await?;
    let (mut wire, mut frame) = (Wire::new(columns.len()), FrameBuilder::new(columns.iter().cloned()));
    let mut scratch = String::new();
    loop {
        // bytes that have arrived need neither a timer nor a check of the receiver
        let bytes = match stream.try_next().now_or_never() {
            Some(bytes) => bytes.map_err(failed)?,
            None => tokio::select! {
                biased;
                () = sender.closed() => return Ok(false),
                bytes = server.within(stream.try_next()) => bytes?,
            },
        };
        let Some(bytes) = bytes else { break };
        wire.push(bytes, |fields| binary_values::push(&mut frame, fields, &mut scratch))?;
        if frame.is_full() && sender.send(frame.take()?).await.is_err() {
            return Ok(false);
        }
    }
    if !wire.is_complete() {
        return Err(DatasetError::Garbled("the stream ends in the middle"));
    }
    if !frame.is_empty() && sender.send(frame.take()?).await.is_err() {
        return Ok(false);
    }
    Ok(true)
}
