//! The outbox of a session: one task writes the messages of the session and the frames of its pumps, each under a
//! deadline.
//!
//! Messages have priority over file bytes. A slow client fills the frame queue first, so its pumps wait and fetch no
//! further bytes; heartbeats and the close frame do not wait behind file bytes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures::{Sink, SinkExt};
use protocol::{close::CloseCode, server::ServerMessage};
use tokio::sync::{mpsc, oneshot};
use tokio_tungstenite::tungstenite::{
    self, Message,
    protocol::{CloseFrame, frame::coding::CloseCode as WireCode},
};

/// The most queued messages. With a full queue the session ends with 4408; progress messages are dropped earlier.
const MAX_MESSAGES: usize = 256;
/// The most bytes of queued messages. Above it the session ends with 4408.
const MAX_MESSAGE_BYTES: usize = 4 * 1024 * 1024;
/// Progress messages are dropped while this many messages wait, so that no client receives outdated progress.
const PROGRESS_LIMIT: usize = 4;
/// The number of free places that a replay leaves for messages that cannot wait.
const REPLAY_RESERVE: usize = 64;
/// The most queued frames of at most 256 KiB: all file bytes that a session buffers. With a full queue the pumps wait.
const MAX_FRAMES: usize = 2;
/// The write deadline of the close frame.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);

/// One WebSocket message to write.
#[derive(Debug)]
pub(super) enum Out {
    Text(Arc<str>),
    /// A replayed event. Its bytes do not count against the limit, because the session holds them already.
    Replayed(Arc<str>),
    Frame(Bytes),
    Ping,
}

impl Out {
    fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Frame(bytes) => bytes.len(),
            Self::Replayed(_) | Self::Ping => 0,
        }
    }
}

/// The sending half, held by the session.
#[derive(Debug)]
pub(super) struct Outbox {
    messages: mpsc::Sender<Out>,
    queued_bytes: Arc<AtomicUsize>,
    frames: mpsc::Sender<Out>,
}

/// The client reads slower than the session sends; the session must close with 4408.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooSlow;

impl Outbox {
    /// Queues a message without waiting.
    ///
    /// # Errors
    /// When the queue is full.
    pub(super) fn send(&self, out: Out) -> Result<(), TooSlow> {
        let bytes = out.len();
        if self.queued_bytes.fetch_add(bytes, Ordering::AcqRel) + bytes > MAX_MESSAGE_BYTES {
            return Err(TooSlow);
        }
        self.messages.try_send(out).map_err(|_| TooSlow)
    }

    /// Queues a progress message, or drops it while other messages wait.
    pub(super) fn send_lossy(&self, message: &ServerMessage) {
        if self.messages.capacity() + PROGRESS_LIMIT > MAX_MESSAGES {
            // the queue has room, so this never fails
            let _ = self.send(Out::Text(message.to_text().into()));
        }
    }

    /// Queues a missed event as soon as the queue keeps [`REPLAY_RESERVE`] places free. Cancel safe: a dropped future
    /// has queued nothing.
    ///
    /// # Errors
    /// When the writer has ended.
    pub(super) async fn replay(&self, text: &Arc<str>) -> Result<(), TooSlow> {
        let permits = self.messages.reserve_many(REPLAY_RESERVE).await;
        permits.map_err(|_| TooSlow)?.next().ok_or(TooSlow)?.send(Out::Replayed(Arc::clone(text)));
        Ok(())
    }

    /// The frame queue for a pump; frames and messages in this queue keep their order.
    pub(super) fn frames(&self) -> mpsc::Sender<Out> {
        self.frames.clone()
    }
}

/// The receiving half, which writes to the socket.
pub(super) struct Writer {
    messages: mpsc::Receiver<Out>,
    queued_bytes: Arc<AtomicUsize>,
    frames: mpsc::Receiver<Out>,
    timeout: Duration,
}

/// Creates both halves; `timeout` is the deadline of one write.
pub(super) fn outbox(timeout: Duration) -> (Outbox, Writer) {
    let (messages, from_session) = mpsc::channel(MAX_MESSAGES);
    let (frames, from_pumps) = mpsc::channel(MAX_FRAMES);
    let queued_bytes = Arc::new(AtomicUsize::new(0));
    let writer =
        Writer { messages: from_session, queued_bytes: Arc::clone(&queued_bytes), frames: from_pumps, timeout };
    (Outbox { messages, queued_bytes, frames }, writer)
}

impl Writer {
    /// Writes until `closing` resolves, or a write fails or exceeds its deadline; then reports the close code to
    /// `failed`. Returns the sink for the closing handshake.
    pub(super) async fn run<S>(
        mut self,
        mut sink: S,
        closing: oneshot::Receiver<CloseCode>,
        failed: oneshot::Sender<CloseCode>,
    ) -> S
    where
        S: Sink<Message, Error = tungstenite::Error> + Unpin,
    {
        let mut closing = closing;
        let failure = loop {
            let out = tokio::select! {
                biased;
                code = &mut closing => return send_close(sink, code.ok()).await,
                Some(out) = self.messages.recv() => {
                    self.queued_bytes.fetch_sub(out.len(), Ordering::AcqRel);
                    out
                }
                Some(out) = self.frames.recv() => out,
            };
            let message = match out {
                Out::Text(text) | Out::Replayed(text) => Message::text(text.as_ref()),
                Out::Frame(bytes) => {
                    metrics::counter!("sluice_gateway_file_bytes_total", "over" => "socket")
                        .increment(bytes.len() as u64);
                    Message::Binary(bytes)
                }
                Out::Ping => Message::Ping(Bytes::new()),
            };
            tokio::select! {
                biased;
                code = &mut closing => return send_close(sink, code.ok()).await,
                result = tokio::time::timeout(self.timeout, sink.send(message)) => match result {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) => break CloseCode::GoingAway,
                    Err(_) => break CloseCode::TooSlow,
                }
            }
        };
        // an error means that the session has ended already
        let _ = failed.send(failure);
        send_close(sink, closing.await.ok()).await
    }
}

async fn send_close<S>(mut sink: S, code: Option<CloseCode>) -> S
where
    S: Sink<Message, Error = tungstenite::Error> + Unpin,
{
    if let Some(code) = code {
        let frame = CloseFrame { code: WireCode::from(code.code()), reason: code.reason().into() };
        // a disconnected or stuck client does not receive the frame; the session ends either way
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, sink.send(Message::Close(Some(frame)))).await;
    }
    sink
}
