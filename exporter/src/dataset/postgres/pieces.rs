//! One `COPY`, or many at once in one snapshot.
//!
//! A large table is cut into ranges of pages, what has no pages into ranges of a key. As many connections as an export may have take the next range each, and the
//! rows come out range by range, so that the same table gives the same file. What is read ahead waits in channels that hold
//! a few frames: the connection behind a full one waits.

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
    super::{Begun, DatasetError, Frames, Snapshot, feed},
    cells::Cells,
    server::{PostgresServer, Session, failed},
    wire::Wire,
};

/// Pages of one range: 16 MiB of table.
const PAGES: u64 = 2_048;
/// Frames of one range that wait for their turn.
const AHEAD: usize = 8;
/// A transaction of which each statement sees its own moment. What is locked in it stays locked: what the server was asked
/// about a column holds until the statement that reads it.
pub(super) const BEGIN_PLAIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY";
/// A transaction that sees one moment.
const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// The rows of one statement, on one connection.
fn single(server: Arc<PostgresServer>, mut session: Session, select: String, columns: Vec<Column>) -> Frames {
    let (sender, receiver) = feed::channel();
    let task =
        tokio::spawn(async move { copy(&server, &mut session.conn, &select, &columns, &sender).await.map(drop) });
    feed::frames(receiver, task)
}

/// A select of a range, or of everything, as text.
#[async_trait]
pub(super) trait Ranged: Send + Sync + 'static {
    /// The table's name as SQL has it; None for a query.
    fn table(&self) -> Option<String>;

    /// Whether there may be ranges.
    fn may_be_cut(&self) -> bool;

    /// Looks at what the server has, which the text depends on. Gives the condition of each range, in the order of their rows;
    /// one or none when it is not worth to cut it.
    ///
    /// # Errors
    /// When the server fails.
    async fn ranges(&mut self, conn: &mut PgConnection) -> Result<Vec<Option<Expr>>, DatasetError>;

    /// The text; `range` holds for the rows of the range.
    ///
    /// # Errors
    /// When a parameter is missing.
    fn text(&self, range: Option<Expr>) -> Result<String, DatasetError>;
}

/// The rows of a select, on several connections where it is worth it, of one moment unless nobody asks for that.
pub(super) async fn open(
    server: Arc<PostgresServer>,
    moment: Snapshot,
    mut select: impl Ranged,
    columns: Vec<Column>,
) -> Result<Begun, DatasetError> {
    let mut leader = server.connect().await?;
    let mut locking = None;
    // one statement is one moment by itself
    if moment == Snapshot::Export && select.may_be_cut() {
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
    // the first statement of a transaction takes its snapshot
    let at = now(&server, &mut leader.conn).await?;
    let ranges = select.ranges(&mut leader.conn).await?;
    if ranges.len() < 2 {
        let frames = single(server, leader, select.text(None)?, columns);
        return Ok(Begun { frames, moment: at });
    }
    let snapshot = match moment {
        Snapshot::Export => Some(snapshot(&server, &mut leader.conn).await?),
        // each range is a statement and a moment of its own, and nothing stays open from one to the next
        Snapshot::None => {
            server.within(leader.conn.execute("COMMIT")).await?;
            None
        }
    };
    let mut sessions = vec![leader];
    while sessions.len() < server.per_export {
        // one that can't be had only makes it slower
        let Ok(Some(mut session)) = server.connect_another().await else { break };
        if let Some(snapshot) = &snapshot {
            join(&server, &mut session.conn, snapshot).await?;
        }
        if let Some(lock) = &locking {
            let at_once = AssertSqlSafe(format!("{lock} NOWAIT")).into_sql_str();
            if let Err(e) = server.within(session.conn.execute(at_once)).await {
                // it would wait for somebody who waits for the leader
                debug!(error = %e, "somebody wants the table alone; no further connection reads it");
                break;
            }
        }
        sessions.push(session);
    }
    let (sender, receiver) = feed::channel();
    let held = Arc::new(AtomicUsize::new(sessions.len()));
    let readers = Readers { server, select, columns: columns.into(), ranges, held };
    let frames = feed::frames(receiver, tokio::spawn(readers.run(sessions, sender)));
    Ok(Begun { frames, moment: at })
}

/// The server's clock when it took up this statement: all that was committed before is seen by it.
async fn now(server: &PostgresServer, conn: &mut PgConnection) -> Result<Option<DateTime<Utc>>, DatasetError> {
    const ASK: &str = "SELECT (extract(epoch FROM statement_timestamp()) * 1000000)::bigint::text";
    let row = server.within(conn.fetch_one(ASK)).await?;
    let micros = row.try_get_unchecked::<String, _>(0).map_err(failed)?;
    Ok(micros.parse().ok().and_then(DateTime::from_timestamp_micros))
}

/// The conditions of all ranges of a table with so many pages.
pub(super) fn ranges(pages: u64) -> Vec<Option<Expr>> {
    let count = pages.div_ceil(PAGES).max(1);
    (0..count).map(|at| Some(range(at, count))).collect()
}

/// The condition that holds for the rows of a range of pages.
fn range(at: u64, ranges: u64) -> Expr {
    let mut text = format!("\"source\".ctid >= '({},0)'::tid", at * PAGES);
    // the last range has no end: what was added meanwhile holds no row of this moment, and costs little
    if at + 1 < ranges {
        text.push_str(&format!(" AND \"source\".ctid < '({},0)'::tid", (at + 1) * PAGES));
    }
    Expr::cust(text)
}

/// What keeps others from emptying the table until the rows are read. `TRUNCATE` takes rows from those too who began before
/// it; a lock that is had before the snapshot is the one way to be sure of either all rows of before or all of after. None
/// for what can't be locked: other kinds of relations, and tables of which only some columns may be read.
async fn lock(server: &PostgresServer, conn: &mut PgConnection, table: &str) -> Result<Option<String>, DatasetError> {
    let ask = format!(
        "SELECT 'yes' FROM pg_class WHERE oid = '{}'::regclass AND relkind IN ('r', 'p') \
         AND has_table_privilege(oid, 'SELECT')",
        table.replace('\'', "''")
    );
    let found = server.within(conn.fetch_optional(AssertSqlSafe(ask).into_sql_str())).await?;
    Ok(found.map(|_| format!("LOCK TABLE {table} IN ACCESS SHARE MODE")))
}

/// The exported snapshot of this transaction, which lives as long as it.
async fn snapshot(server: &PostgresServer, leader: &mut PgConnection) -> Result<String, DatasetError> {
    let row = server.within(leader.fetch_one("SELECT pg_export_snapshot()")).await?;
    row.try_get_unchecked::<String, _>(0).map_err(failed)
}

/// Begins a transaction that sees the same moment.
async fn join(server: &PostgresServer, conn: &mut PgConnection, snapshot: &str) -> Result<(), DatasetError> {
    server.within(conn.execute(BEGIN)).await?;
    // the name is the server's own; it can't be bound
    let set = format!("SET TRANSACTION SNAPSHOT '{}'", snapshot.replace('\'', "''"));
    server.within(conn.execute(AssertSqlSafe(set).into_sql_str())).await?;
    Ok(())
}

/// How many pages an ordinary table has now; None for what has none of its own, such as a view.
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

/// A connection that reads ranges.
struct Reader {
    session: Session,
    /// Whether it has the locks that keep the rows of the moment where they are: those that the planner took for it, too,
    /// for a view's or a query's tables.
    is_leader: bool,
}

/// Reads all ranges.
struct Readers<S> {
    server: Arc<PostgresServer>,
    select: S,
    columns: Arc<[Column]>,
    ranges: Vec<Option<Expr>>,
    /// Connections that it has.
    held: Arc<AtomicUsize>,
}

/// A range that is being read.
struct Running {
    frames: mpsc::Receiver<DataFrame>,
    task: AbortOnDropHandle<Result<(), DatasetError>>,
}

/// What comes next.
enum Event {
    /// A connection has nothing to do.
    Idle(Reader),
    /// Of the first range that runs; None at its end.
    Frame(Option<DataFrame>),
}

impl<S: Ranged> Readers<S> {
    /// Gives the rows of all ranges in order. The first session is the leader's.
    async fn run(self, sessions: Vec<Session>, sender: feed::Feed) -> Result<(), DatasetError> {
        let most = sessions.len() + 1;
        let (give_back, mut idle) = mpsc::channel(most);
        for (at, session) in sessions.into_iter().enumerate() {
            // there is room for all of them
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
                // a range that ended because its reader failed must not look whole
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
        let (sender, frames) = mpsc::channel(AHEAD);
        let held = Arc::clone(&self.held);
        let task = tokio::spawn(async move {
            let is_spare = || {
                let fewer = |held: usize| (held > 1).then(|| held - 1);
                !reader.is_leader
                    && server.is_wanted()
                    && held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fewer).is_ok()
            };
            // another export waits for its first connection, and this one has others
            if copy(&server, &mut reader.session.conn, &statement, &columns, &sender).await? && !is_spare() {
                // when nobody waits for it, the connection closes
                drop(give_back.try_send(reader));
            }
            Ok(())
        });
        Ok(Running { frames, task: AbortOnDropHandle::new(task) })
    }
}

/// Sends the rows of a statement. False: nobody wants more.
async fn copy(
    server: &PostgresServer,
    conn: &mut PgConnection,
    select: &str,
    columns: &[Column],
    sender: &mpsc::Sender<DataFrame>,
) -> Result<bool, DatasetError> {
    let statement = format!("COPY ({select}) TO STDOUT (FORMAT binary)");
    let mut stream = server.within(conn.copy_out_raw(&statement)).await?;
    let (mut wire, mut cells) = (Wire::new(columns.len()), Cells::new(columns));
    loop {
        // a row that is here already costs neither a timer nor a look at who reads; the server sends each by itself
        let bytes = match stream.try_next().now_or_never() {
            Some(bytes) => bytes.map_err(failed)?,
            None => tokio::select! {
                biased;
                () = sender.closed() => return Ok(false),
                bytes = server.within(stream.try_next()) => bytes?,
            },
        };
        let Some(bytes) = bytes else { break };
        wire.push(bytes, |fields| cells.push(fields))?;
        if cells.is_full() && sender.send(cells.take()?).await.is_err() {
            return Ok(false);
        }
    }
    if !wire.is_complete() {
        return Err(DatasetError::Garbled("it ends in the middle"));
    }
    if !cells.is_empty() && sender.send(cells.take()?).await.is_err() {
        return Ok(false);
    }
    Ok(true)
}
