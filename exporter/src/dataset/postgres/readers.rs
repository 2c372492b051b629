//! Reads ranges of rows over several connections at once, and sends the data frames in the order of the ranges.
//!
//! Each free connection of an export takes the next range. Frames of later ranges wait in bounded channels, and a
//! connection waits while its channel is full.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use futures::{FutureExt, TryStreamExt, future::join_all};
use polars::prelude::DataFrame;
use protocol::catalog::Column;
use sea_orm::{
    sea_query::Expr,
    sqlx::{AssertSqlSafe, Executor, PgConnection, SqlSafeStr},
};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio_util::task::AbortOnDropHandle;
use tracing::debug;

use super::{
    super::{DatasetError, frame_builder::FrameBuilder, frame_channel},
    binary_values,
    ranges::Ranged,
    server::{PostgresServer, failed},
    transaction::{Session, View},
    wire::Wire,
};

/// The capacity of the channel of one range, in data frames.
const READ_AHEAD: usize = 8;

/// A connection that reads ranges, one at a time.
struct Reader {
    session: Session,
    /// Whether this is the first connection of the export. The first connection is never closed in favor of another
    /// export. With a shared snapshot, its transaction holds the locks that protect the rows of the snapshot.
    is_leader: bool,
}

impl Reader {
    /// Reads a range of rows with `statement`, which selects `columns`. If `turn` is Some, waits until the preceding
    /// range has begun its transaction, and reads in a new transaction. If `turn` is None, reads in the open
    /// transaction of the connection, which has the shared snapshot. Returns false if the receiver of the data frames
    /// is dropped.
    async fn read(
        &mut self,
        server: &PostgresServer,
        turn: Option<Turn>,
        statement: &str,
        columns: &[Column],
        sender: &mpsc::Sender<DataFrame>,
    ) -> Result<bool, DatasetError> {
        let Some(turn) = turn else {
            return copy(server, &mut self.session.conn, statement, columns, sender, Rows::OfRange).await;
        };
        turn.begin(&mut self.session, server).await?;
        let is_wanted = copy(server, &mut self.session.conn, statement, columns, sender, Rows::OfRange).await?;
        if is_wanted {
            self.session.end(server).await?;
        }
        Ok(is_wanted)
    }
}

/// Makes the ranges of an export begin their transactions in order.
///
/// A pooler may have fewer server connections than the export has connections. If a later range got the last server
/// connection first, the export would be deadlocked: the frames of the later range would wait for the earlier range,
/// and the earlier range would wait for the server connection.
struct Turn {
    /// Receives a message when the preceding range has begun its transaction. None for the first range.
    previous: Option<oneshot::Receiver<()>>,
    /// Sends a message to the following range when this range has begun its transaction.
    begun: oneshot::Sender<()>,
}

impl Turn {
    async fn begin(self, session: &mut Session, server: &PostgresServer) -> Result<(), DatasetError> {
        if let Some(previous) = self.previous {
            // an error means that the preceding range has failed, which ends the export
            drop(previous.await);
        }
        session.begin(server, View::EachStatement).await?;
        // the send fails if no later range waits for its turn, which is no error
        let _ = self.begun.send(());
        Ok(())
    }
}

/// The connections that an export opens in addition to its first one. The first connection reads while the others are
/// opened, because a pooler may have no free server connection for them.
pub(super) struct Further {
    /// The exported snapshot that all connections share; None if each range has its own snapshot.
    pub(super) snapshot: Option<String>,
    /// The statement with which each connection locks the table; None if the table is not locked.
    pub(super) locking: Option<String>,
    /// One permit of [`PostgresServer::reserve_another`] for each connection.
    pub(super) permits: Vec<OwnedSemaphorePermit>,
}

/// Opens a further connection of an export. Begins a transaction with the shared snapshot, if there is one, and runs
/// `locking`, the statement that locks the table, if there is one. If this fails, the export continues with fewer
/// connections.
async fn join(
    server: &PostgresServer,
    permit: OwnedSemaphorePermit,
    snapshot: Option<&str>,
    locking: Option<&str>,
) -> Result<Session, DatasetError> {
    let mut session = server.connect_another(permit).await?;
    if let Some(snapshot) = snapshot {
        session.begin(server, View::Exported(snapshot)).await?;
    }
    if let Some(lock) = locking {
        // waiting could cause a deadlock, because this lock would queue behind a session that itself waits for the lock
        // of the leader
        let at_once = AssertSqlSafe(format!("{lock} NOWAIT")).into_sql_str();
        server.within(session.conn.execute(at_once)).await?;
    }
    Ok(session)
}

/// Reads the ranges of a `SELECT` on several connections.
pub(super) struct Readers<S> {
    server: Arc<PostgresServer>,
    select: S,
    columns: Arc<[Column]>,
    ranges: Vec<Option<Expr>>,
    /// The number of connections that the export has opened, minus those that it has closed in favor of other exports.
    held: Arc<AtomicUsize>,
}

/// A range that a connection is reading, with the channel of its data frames, and the task that sends them.
struct Running {
    frames: mpsc::Receiver<DataFrame>,
    task: AbortOnDropHandle<Result<(), DatasetError>>,
}

/// The next event of the loop in [`Readers::run`].
enum Event {
    /// The connection of this reader is free for the next range.
    Idle(Reader),
    /// The next data frame of the range whose rows are being sent; None at the end of that range.
    Frame(Option<DataFrame>),
}

impl<S: Ranged> Readers<S> {
    /// Creates the readers of a `SELECT`, whose selected columns are `columns`. Each item of `ranges` is the SQL
    /// condition of a range of its rows.
    pub(super) fn new(server: Arc<PostgresServer>, select: S, columns: Vec<Column>, ranges: Vec<Option<Expr>>) -> Self {
        Self { server, select, columns: columns.into(), ranges, held: Arc::new(AtomicUsize::new(1)) }
    }

    /// Sends the rows of all ranges in order. `leader` is the first connection of the export, which opened the
    /// `SELECT`. `further` describes the connections to open in addition.
    pub(super) async fn run(
        self,
        leader: Session,
        further: Further,
        sender: frame_channel::FrameSender,
    ) -> Result<(), DatasetError> {
        let most = further.permits.len() + 2;
        // the channel has capacity for all sessions
        let (give_back, mut idle) = mpsc::channel(most);
        let shares_snapshot = further.snapshot.is_some();
        let mut joining = self.open_further(further, &give_back);
        let leader = Reader { session: leader, is_leader: true };
        let mut begun = None;
        let mut turn = || {
            let (sender, receiver) = oneshot::channel();
            let previous = begun.replace(receiver);
            (!shares_snapshot).then_some(Turn { previous, begun: sender })
        };
        let mut running = VecDeque::from([self.start(0, leader, turn(), give_back.clone())?]);
        let mut next = 1;
        // wait for the further connections, so that each of them reads some ranges; the timeout limits the wait for a
        // pooler
        drop(tokio::time::timeout(self.server.join_timeout, join_all(&mut joining)).await);
        joining.retain(|opening| !opening.is_finished());
        while next < self.ranges.len() || !running.is_empty() {
            let may_start = next < self.ranges.len() && running.len() < most;
            let first = async {
                match running.front_mut() {
                    Some(first) => first.frames.recv().await,
                    None => std::future::pending().await,
                }
            };
            let event = tokio::select! {
                // ranges start before the receiver of the frames may block this loop
                biased;
                Some(reader) = idle.recv(), if may_start => Event::Idle(reader),
                frame = first => Event::Frame(frame),
            };
            match event {
                Event::Idle(reader) => {
                    running.push_back(self.start(next, reader, turn(), give_back.clone())?);
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
        // a connection that still waits for a snapshot must not get the server connection of the leader
        for opening in joining {
            opening.abort();
            drop(opening.await);
        }
        idle.close();
        while let Some(reader) = idle.recv().await {
            reader.session.close(&self.server).await;
        }
        Ok(())
    }

    /// Opens the further connections in background tasks. Each task passes its open connection to `give_back`. Dropping
    /// a task cancels a connection that is not open yet.
    fn open_further(&self, further: Further, give_back: &mpsc::Sender<Reader>) -> Vec<AbortOnDropHandle<()>> {
        let Further { snapshot, locking, permits } = further;
        let open = |permit| {
            let (server, held, give_back) = (Arc::clone(&self.server), Arc::clone(&self.held), give_back.clone());
            let (snapshot, locking) = (snapshot.clone(), locking.clone());
            AbortOnDropHandle::new(tokio::spawn(async move {
                match join(&server, permit, snapshot.as_deref(), locking.as_deref()).await {
                    Ok(session) => {
                        held.fetch_add(1, Ordering::Relaxed);
                        // after the last range, the channel is closed, and the connection is dropped
                        drop(give_back.try_send(Reader { session, is_leader: false }));
                    }
                    Err(e) => debug!(error = %e, "failed to open a further connection; the others read its ranges"),
                }
            }))
        };
        permits.into_iter().map(open).collect()
    }

    fn start(
        &self,
        at: usize,
        mut reader: Reader,
        turn: Option<Turn>,
        give_back: mpsc::Sender<Reader>,
    ) -> Result<Running, DatasetError> {
        let statement = self.select.text(self.ranges[at].clone())?;
        let (server, columns) = (Arc::clone(&self.server), Arc::clone(&self.columns));
        let (sender, frames) = mpsc::channel(READ_AHEAD);
        let held = Arc::clone(&self.held);
        let task = tokio::spawn(async move {
            let is_spare = |reader: &Reader| {
                let fewer = |held: usize| (held > 1).then(|| held - 1);
                !reader.is_leader
                    && server.is_wanted()
                    && held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fewer).is_ok()
            };
            let is_wanted = reader.read(&server, turn, &statement, &columns, &sender).await?;
            drop(sender);
            if is_wanted && is_spare(&reader) {
                // a spare connection is closed when another export waits for its first one
                reader.session.close(&server).await;
            } else if is_wanted {
                // after the last range, the channel is closed, and the connection is dropped
                drop(give_back.try_send(reader));
            }
            Ok(())
        });
        Ok(Running { frames, task: AbortOnDropHandle::new(task) })
    }
}

/// Which rows of the export one statement reads.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Rows {
    /// All rows of the export. The number of a row in the result of the statement is also its number in the export.
    OfExport,
    /// The rows of one range. Their numbers in the export are unknown, because the number of rows in the earlier ranges
    /// is unknown.
    OfRange,
}

/// Runs a `SELECT` of `columns` by `COPY`, and sends its rows as data frames. `rows` says which rows these are, for the
/// row numbers in errors. Returns false if the receiver is dropped.
pub(super) async fn copy(
    server: &PostgresServer,
    conn: &mut PgConnection,
    select: &str,
    columns: &[Column],
    sender: &mpsc::Sender<DataFrame>,
    rows: Rows,
) -> Result<bool, DatasetError> {
    let statement = format!("COPY ({select}) TO STDOUT (FORMAT binary)");
    let mut stream = server.within(conn.copy_out_raw(&statement)).await?;
    let (mut wire, mut frame) = (Wire::new(columns.len()), FrameBuilder::new(columns.iter().cloned()));
    let mut scratch = String::new();
    let mut row = 0;
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
        wire.push(bytes, |fields| {
            row += 1;
            let pushed = binary_values::push(&mut frame, fields, &mut scratch);
            if rows == Rows::OfExport { pushed.map_err(|e| e.at_row(row)) } else { pushed }
        })?;
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
