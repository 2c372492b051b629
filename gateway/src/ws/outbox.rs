//! The way out of a session: one task writes, under a deadline, what the session and its pumps hand over.
//!
//! Messages come before file bytes. A slow client fills the frame queue first, which makes its pumps wait and fetch
//! nothing more; it can't hold up a heartbeat or the close.

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

/// Messages that may wait. When it is full, the session ends with 4408; progress is dropped instead.
const MESSAGES: usize = 256;
/// Bytes of messages that may wait. When they are too many, the session ends with 4408.
const MESSAGE_BYTES: usize = 4 * 1024 * 1024;
/// Progress is dropped while this many messages wait, so that it is never old.
const PROGRESS_BEHIND: usize = 4;
/// Messages for which a replay leaves room.
const ROOM: usize = 64;
/// Frames of at most 256 KiB that may wait: all the file bytes that a session holds. When it is full, pumps wait.
const FRAMES: usize = 2;
/// How long the close frame may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);

/// Something to write.
#[derive(Debug)]
pub(super) enum Out {
    Text(Arc<str>),
    /// A missed event; its session holds the text anyway until it is written.
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

/// The session's end of the way out.
#[derive(Debug)]
pub(super) struct Outbox {
    messages: mpsc::Sender<Out>,
    waiting: Arc<AtomicUsize>,
    frames: mpsc::Sender<Out>,
}

/// The client can't keep up.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooSlow;

impl Outbox {
    /// Sends a message, or says that the client can't keep up.
    pub(super) fn send(&self, out: Out) -> Result<(), TooSlow> {
        let bytes = out.len();
        if self.waiting.fetch_add(bytes, Ordering::AcqRel) + bytes > MESSAGE_BYTES {
            return Err(TooSlow);
        }
        self.messages.try_send(out).map_err(|_| TooSlow)
    }

    /// Sends a message that may be dropped.
    pub(super) fn send_lossy(&self, message: &ServerMessage) {
        if self.messages.capacity() + PROGRESS_BEHIND > MESSAGES {
            // there is room, so this can't fail
            let _ = self.send(Out::Text(message.to_text().into()));
        }
    }

    /// Sends a missed event as fast as the client takes them, and leaves room for what can't wait. The future may be
    /// dropped before it is done; then nothing was sent.
    pub(super) async fn replay(&self, text: &Arc<str>) -> Result<(), TooSlow> {
        let room = self.messages.reserve_many(ROOM).await;
        room.map_err(|_| TooSlow)?.next().ok_or(TooSlow)?.send(Out::Replayed(Arc::clone(text)));
        Ok(())
    }

    /// The way for a pump; what it sends here stays in order.
    pub(super) fn frames(&self) -> mpsc::Sender<Out> {
        self.frames.clone()
    }
}

/// The writer's end.
pub(super) struct Writer {
    messages: mpsc::Receiver<Out>,
    waiting: Arc<AtomicUsize>,
    frames: mpsc::Receiver<Out>,
    timeout: Duration,
}

/// Makes both ends.
pub(super) fn outbox(timeout: Duration) -> (Outbox, Writer) {
    let (messages, from_session) = mpsc::channel(MESSAGES);
    let (frames, from_pumps) = mpsc::channel(FRAMES);
    let waiting = Arc::new(AtomicUsize::new(0));
    let writer = Writer { messages: from_session, waiting: Arc::clone(&waiting), frames: from_pumps, timeout };
    (Outbox { messages, waiting, frames }, writer)
}

impl Writer {
    /// Writes until told to close, or until a write fails or takes too long; `failed` then learns of it. The sink
    /// comes back for the rest of the closing handshake.
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
                code = &mut closing => return close(sink, code.ok()).await,
                Some(out) = self.messages.recv() => {
                    self.waiting.fetch_sub(out.len(), Ordering::AcqRel);
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
                code = &mut closing => return close(sink, code.ok()).await,
                result = tokio::time::timeout(self.timeout, sink.send(message)) => match result {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) => break CloseCode::GoingAway,
                    Err(_) => break CloseCode::TooSlow,
                }
            }
        };
        // the session may have ended by itself meanwhile
        let _ = failed.send(failure);
        close(sink, closing.await.ok()).await
    }
}

async fn close<S>(mut sink: S, code: Option<CloseCode>) -> S
where
    S: Sink<Message, Error = tungstenite::Error> + Unpin,
{
    if let Some(code) = code {
        let frame = CloseFrame { code: WireCode::from(code.code()), reason: code.reason().into() };
        // a client that is gone or stuck does not get it, and that is all there is to do
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, sink.send(Message::Close(Some(frame)))).await;
    }
    sink
}
