//! The outbox of a session: the queues of outgoing messages and file frames, and the task that writes them to the
//! socket. The session queues messages. The [pumps](super::pump) of the session (the tasks that send the bytes of
//! files) queue frames. This outbox is not the outbox of the database, which consists of committed rows that the
//! dispatcher must still publish.
//!
//! Messages have priority over file bytes, so that pings and the close frame do not wait behind a file. A slow client
//! fills the frame queue first. The pumps of its session wait while the queue is full, and fetch no further bytes.

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

use super::closing;

/// The maximum number of queued messages. A further message closes the session with the close code 4408.
const MAX_MESSAGES: usize = 256;
/// The maximum total size of queued messages, in bytes. A message that would exceed this size closes the session with
/// the close code 4408.
const MAX_MESSAGE_BYTES: usize = 4 * 1024 * 1024;
/// While at least this many messages wait to be sent, the gateway drops progress messages, because the client would
/// receive outdated progress.
const MAX_QUEUED_BEFORE_PROGRESS: usize = 4;
/// The gateway queues an event that the client missed only while at least this many places of the message queue are
/// free. So missed events never fill the queue, and other messages find room.
const REPLAY_RESERVE: usize = 64;
/// The gateway reads the client's messages only while at least this many places of the message queue are free, because
/// each message may have an answer. So a client that sends faster than it reads must wait, and its session stays open.
const READ_RESERVE: usize = 64;
/// The maximum number of queued file frames, each with at most [`CHUNK_BYTES`](crate::delivery::CHUNK_BYTES) of a file.
/// While the queue is full, the [pumps](super::pump) (the tasks that send the bytes of files) wait.
const MAX_FRAMES: usize = 1;
/// The timeout for writing the close frame.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);

/// One WebSocket message that the writer sends.
#[derive(Debug)]
pub(super) enum OutgoingMessage {
    Text(Arc<str>),
    /// An event that the client missed. The bytes of such an event do not count against [`MAX_MESSAGE_BYTES`], because
    /// [`crate::events::Events::replay`] limits the total size of missed events.
    Replayed(Arc<str>),
    Frame(Bytes),
    Ping,
}

impl OutgoingMessage {
    fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Frame(bytes) => bytes.len(),
            Self::Replayed(_) | Self::Ping => 0,
        }
    }
}

/// The sending half of the outbox, for the session and its [pumps](super::pump) (the tasks that send the bytes of
/// files).
#[derive(Debug)]
pub(super) struct Outbox {
    messages: mpsc::Sender<OutgoingMessage>,
    queued_bytes: Arc<AtomicUsize>,
    frames: mpsc::Sender<OutgoingMessage>,
}

/// The outbox can't take a message, because the client reads more slowly than the session sends, or because the writer
/// has ended. The session must close with the close code 4408.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooSlow;

impl Outbox {
    /// Queues a message without waiting.
    ///
    /// # Errors
    /// [`TooSlow`] when the queue is full, the total size of the queued messages would exceed [`MAX_MESSAGE_BYTES`]
    /// with this message, or the writer has ended.
    pub(super) fn send(&self, out: OutgoingMessage) -> Result<(), TooSlow> {
        let bytes = out.len();
        let queued = self.queued_bytes.fetch_add(bytes, Ordering::AcqRel) + bytes;
        if queued > MAX_MESSAGE_BYTES || self.messages.try_send(out).is_err() {
            self.queued_bytes.fetch_sub(bytes, Ordering::AcqRel);
            return Err(TooSlow);
        }
        Ok(())
    }

    /// Whether at least [`READ_RESERVE`] places in the message queue are free. If so, the gateway may read the next
    /// message of the client.
    pub(super) fn has_room(&self) -> bool {
        self.messages.capacity() >= READ_RESERVE
    }

    /// Waits until at least [`READ_RESERVE`] places in the message queue are free, or the writer has ended. Cancel
    /// safe.
    pub(super) async fn room(&self) {
        // an error means that the writer has ended; the driver learns of the end from `write_failure`
        let _ = self.messages.reserve_many(READ_RESERVE).await;
    }

    /// Queues a progress message. Drops the message instead if [`MAX_QUEUED_BEFORE_PROGRESS`] or more other messages
    /// wait.
    pub(super) fn send_lossy(&self, message: &ServerMessage) {
        self.send_lossy_text(message.to_text().into());
    }

    /// Queues an encoded message as [`Self::send_lossy`] does.
    pub(super) fn send_lossy_text(&self, text: Arc<str>) {
        if self.messages.capacity() + MAX_QUEUED_BEFORE_PROGRESS > MAX_MESSAGES {
            // an error means that the byte limit is reached or the writer has ended; a progress message may be lost
            let _ = self.send(OutgoingMessage::Text(text));
        }
    }

    /// Waits until at least [`REPLAY_RESERVE`] places in the message queue are free, and then queues an event that the
    /// client missed. Cancel safe: a dropped future has queued nothing.
    ///
    /// # Errors
    /// [`TooSlow`] when the writer has ended.
    pub(super) async fn replay(&self, text: &Arc<str>) -> Result<(), TooSlow> {
        let permits = self.messages.reserve_many(REPLAY_RESERVE).await;
        permits.map_err(|_| TooSlow)?.next().ok_or(TooSlow)?.send(OutgoingMessage::Replayed(Arc::clone(text)));
        Ok(())
    }

    /// Returns the sender of the frame queue, for a [pump](super::pump) (the task that sends the bytes of one file). A
    /// pump may put both file frames and messages into this queue. The writer sends the frames and messages in the
    /// order of the queue.
    pub(super) fn frames(&self) -> mpsc::Sender<OutgoingMessage> {
        self.frames.clone()
    }
}

/// The receiving half of the outbox, which takes messages from the queues and writes them to the socket.
pub(super) struct Writer {
    messages: mpsc::Receiver<OutgoingMessage>,
    queued_bytes: Arc<AtomicUsize>,
    frames: mpsc::Receiver<OutgoingMessage>,
    timeout: Duration,
}

/// Creates both halves of an outbox. [`Outbox`] puts messages into the queues, and [`Writer`] writes the queued
/// messages to a socket. `timeout` limits each write.
pub(super) fn outbox(timeout: Duration) -> (Outbox, Writer) {
    let (messages, from_session) = mpsc::channel(MAX_MESSAGES);
    let (frames, from_pumps) = mpsc::channel(MAX_FRAMES);
    let queued_bytes = Arc::new(AtomicUsize::new(0));
    let writer =
        Writer { messages: from_session, queued_bytes: Arc::clone(&queued_bytes), frames: from_pumps, timeout };
    (Outbox { messages, queued_bytes, frames }, writer)
}

impl Writer {
    /// Writes queued messages to `sink` until the session sends its close code over `closing`. Then writes the close
    /// frame with this code, and returns the sink.
    ///
    /// If a write fails or takes longer than the timeout, writes no further queued message. Sends over `failed` the
    /// code with which the session must close, and waits for the session's close code. Even then, tries to write the
    /// close frame, for at most [`CLOSE_TIMEOUT`].
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
                OutgoingMessage::Text(text) | OutgoingMessage::Replayed(text) => Message::text(text.as_ref()),
                OutgoingMessage::Frame(bytes) => {
                    metrics::counter!("sluice_gateway_file_bytes_total", "over" => "socket")
                        .increment(bytes.len() as u64);
                    Message::Binary(bytes)
                }
                OutgoingMessage::Ping => Message::Ping(Bytes::new()),
            };
            tokio::select! {
                biased;
                code = &mut closing => return send_close(sink, code.ok()).await,
                result = tokio::time::timeout(self.timeout, sink.send(message)) => match result {
                    Ok(Ok(())) => {}
                    Ok(Err(e)) => break closing::code_of(&e),
                    Err(_) => break CloseCode::TooSlow,
                }
            }
        };
        // an error means that the session has already ended
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

#[cfg(test)]
mod tests {
    use protocol::server::ServerMessage;
    use tokio_tungstenite::{
        WebSocketStream,
        tungstenite::protocol::{Role, WebSocketConfig},
    };

    use super::*;

    const KIB: usize = 1024;

    fn text(size: usize) -> OutgoingMessage {
        OutgoingMessage::Text("x".repeat(size).into())
    }

    #[test]
    fn a_message_that_was_not_queued_takes_no_room() {
        let (outbox, mut writer) = outbox(CLOSE_TIMEOUT);
        outbox.send(text(MAX_MESSAGE_BYTES - 1)).unwrap();
        for _ in 0..3 {
            outbox.send_lossy(&ServerMessage::SessionResumed { reference: None, recovered: true, replayed: 0 });
            assert_eq!(outbox.send(text(2)), Err(TooSlow));
        }
        assert_eq!(outbox.queued_bytes.load(Ordering::Acquire), MAX_MESSAGE_BYTES - 1);
        assert_eq!(outbox.send(text(1)), Ok(()));
        assert!(writer.messages.try_recv().is_ok_and(|out| out.len() == MAX_MESSAGE_BYTES - 1));
    }

    /// Writes a message of 64 KiB to a client that reads nothing, over a connection that takes 1 KiB. Returns the code
    /// with which the session must close.
    async fn code_of_unread_message(max_write_buffer: usize, timeout: Duration) -> CloseCode {
        let (near, _client) = tokio::io::duplex(KIB);
        let config = WebSocketConfig::default().write_buffer_size(0).max_write_buffer_size(max_write_buffer);
        let socket = WebSocketStream::from_raw_socket(near, Role::Server, Some(config)).await;
        let (outbox, writer) = outbox(timeout);
        outbox.send(text(64 * KIB)).unwrap();
        let (close, closing) = oneshot::channel();
        let (failed, failure) = oneshot::channel();
        let writing = tokio::spawn(writer.run(socket, closing, failed));
        let code = failure.await.unwrap();
        drop(close);
        writing.await.unwrap();
        code
    }

    #[tokio::test]
    async fn a_write_that_takes_too_long_closes_the_session_as_too_slow() {
        assert_eq!(code_of_unread_message(1024 * KIB, Duration::from_millis(10)).await, CloseCode::TooSlow);
    }

    #[tokio::test]
    async fn a_full_write_buffer_closes_the_session_as_too_slow() {
        assert_eq!(code_of_unread_message(KIB, Duration::from_secs(600)).await, CloseCode::TooSlow);
    }
}
