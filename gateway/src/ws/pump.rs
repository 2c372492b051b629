//! The pump of a file stream is the task that sends the bytes of a file to the client. The pump puts the bytes into the
//! session's outbox, from which a writer sends them over the socket.
//!
//! The stream's [`Window`] holds the number of bytes that the client still accepts. The pump never sends more bytes.

use std::{sync::Arc, time::Duration};

use platform::telemetry::traces;
use protocol::{
    export::Links,
    frame::Frame,
    id::{ExportId, Owner},
    problem::{Problem, Slug},
    server::ServerMessage,
};
use tokio::{sync::mpsc, task::JoinSet, time::Instant};

use super::{
    outbox::{Outbox, OutgoingMessage},
    streams::NewStream,
    window::Window,
};
use crate::delivery::{self, CHUNK_BYTES, ReadStatus, Reader, ReaderRequest, Source};

/// If the client permits no further bytes for this time, the gateway closes the connection over which it reads the
/// file, and drops buffered bytes.
const DISCONNECT_AFTER: Duration = Duration::from_secs(1);
/// If the client permits no further bytes for this time, the gateway ends the file stream (protocol.md, WebSocket).
const IDLE_TIMEOUT: Duration = Duration::from_secs(5 * 60);
/// While the client permits no further bytes, the pump asks at this interval whether the export has ended. The notifier
/// also announces the end of an export, but an announcement may be lost.
const POLL_INTERVAL: Duration = Duration::from_secs(15);

/// Opens the reader of a new stream, and spawns the stream's pump (the task that sends the file's bytes) in `pumps`.
///
/// The task returns the number of the stream and a bool. The bool is true if the pump has answered a `file.close` of
/// the client, or if the session ends and needs no answer. The bool is false if the stream ended before the pump
/// learned of a `file.close`. In that case [`Session::on_stream_end`](super::session::Session::on_stream_end) answers a
/// `file.close` that the client has sent in the meantime.
pub(super) async fn spawn(
    pumps: &mut JoinSet<(u32, bool)>,
    source: Source,
    owner: Owner,
    trace_id: String,
    outbox: &Outbox,
    new: NewStream,
) {
    let NewStream { stream, export, trace, offset, attempt, window, stop, is_unfinished, unsent_opened } = new;
    let span = delivery::span("socket", export, offset);
    traces::follow(&span, trace);
    // the reader subscribes to announcements before its first request, so that it misses none in between
    let reader = Reader::open(source, ReaderRequest { owner, export, offset, attempt, is_unfinished, span }).await;
    let (out, answers) = (outbox.frames(), outbox.frames());
    let pump = Pump { stream, export, reader, window, out, unsent_opened, trace_id, empty_since: None };
    let run = Box::pin(pump.run());
    pumps.spawn(async move {
        let answer = tokio::select! {
            stopped = stop.stopped() => match stopped {
                Some(reference) => ServerMessage::FileClosed { reference, stream, problem: None },
                // the session ends; the client continues the stream at another gateway
                None => return (stream, true),
            },
            () = run => return (stream, false),
        };
        // the frame queue keeps the answer behind the last frame; an error means that the session has ended
        let _ = answers.send(OutgoingMessage::Text(answer.to_text().into())).await;
        (stream, true)
    });
}

/// The task that sends the bytes of one file stream to the client.
struct Pump {
    stream: u32,
    export: ExportId,
    reader: Reader,
    window: Arc<Window>,
    out: mpsc::Sender<OutgoingMessage>,
    /// The `file.opened` message that the pump must still send before the first byte:
    ///
    /// - `None`: no message, because the pump has already sent the message, or the session sends it.
    /// - `Some(None)`: a message without a `ref`, because the client's request had none.
    /// - `Some(Some(_))`: a message with this `ref`, the string with which the client marked its request.
    unsent_opened: Option<Option<String>>,
    /// The session's trace id. The problems of the stream contain this id, so that operators find the session in the
    /// logs.
    trace_id: String,
    /// The time at which the pump first found that the client permits no further bytes; None while the client permits
    /// bytes.
    empty_since: Option<Instant>,
}

/// The session has ended, and its outbox accepts no further message. The pump must end too.
struct SessionEnded;

/// The result of [`Pump::wait_for_window`]. After `Continue`, the pump checks again whether the client permits bytes
/// and whether the file has more bytes. After `TimedOut`, the pump ends the stream, because the client has permitted no
/// further bytes for [`IDLE_TIMEOUT`].
enum WindowWait {
    Continue,
    TimedOut,
}

impl Pump {
    /// Sends bytes until the file is complete, a problem ends the stream, or the session ends.
    async fn run(mut self) {
        // an error means that the session has ended
        let _ = self.move_bytes().await;
    }

    async fn move_bytes(&mut self) -> Result<(), SessionEnded> {
        loop {
            match self.reader.ready().await {
                ReadStatus::Ready => self.send_opened().await?,
                ReadStatus::Sealed(seal) => {
                    self.send_opened().await?;
                    let (stream, size, rows) = (self.stream, seal.size, seal.rows);
                    return self.send(&ServerMessage::FileSealed { stream, size, rows, sha256: seal.sha256 }).await;
                }
                ReadStatus::Ended(problem) => return self.end(*problem).await,
            }
            let granted = self.window.available(DISCONNECT_AFTER).await;
            if granted == 0 {
                match self.wait_for_window().await {
                    WindowWait::Continue => continue,
                    WindowWait::TimedOut => {
                        let offset = self.reader.offset();
                        let detail = format!("The window was empty for too long. Open the file again at {offset}.");
                        return self.end(Problem::new(Slug::RateLimited, detail)).await;
                    }
                }
            }
            self.empty_since = None;
            // fetch bytes only when the frame queue has room; the reader's grants may expire during the wait, so check
            // again
            if self.out.capacity() == 0 {
                delivery::wait_for_room(&self.out, &mut self.reader).await.map_err(|_| SessionEnded)?;
                continue;
            }
            let max = usize::try_from(granted).unwrap_or(usize::MAX).min(CHUNK_BYTES);
            let offset = self.reader.offset();
            match self.reader.read(max).await {
                Ok(payload) if payload.is_empty() => {}
                Ok(payload) => {
                    self.window.consume(payload.len() as u64);
                    let frame = Frame { stream: self.stream, offset, payload };
                    self.out.send(OutgoingMessage::Frame(frame.encode())).await.map_err(|_| SessionEnded)?;
                }
                Err(problem) => return self.end(*problem).await,
            }
        }
    }

    /// Closes the reader's connection. If the client has already permitted no further bytes for [`IDLE_TIMEOUT`],
    /// returns [`WindowWait::TimedOut`] at once. Otherwise waits until the client permits further bytes, the export
    /// ends, or [`POLL_INTERVAL`] or the rest of [`IDLE_TIMEOUT`] has passed. Then returns [`WindowWait::Continue`].
    async fn wait_for_window(&mut self) -> WindowWait {
        self.reader.disconnect();
        let since = *self.empty_since.get_or_insert_with(Instant::now);
        let left = IDLE_TIMEOUT.saturating_sub(since.elapsed());
        if left.is_zero() {
            return WindowWait::TimedOut;
        }
        tokio::select! {
            _ = self.window.available(left.min(POLL_INTERVAL)) => {}
            () = self.reader.ended() => {}
        }
        WindowWait::Continue
    }

    async fn send_opened(&mut self) -> Result<(), SessionEnded> {
        let Some(reference) = self.unsent_opened.take() else { return Ok(()) };
        let (stream, export_id, offset) = (self.stream, self.export, self.reader.offset());
        let (size, attempt) = (self.reader.size(), self.reader.attempt());
        self.send(&ServerMessage::FileOpened { reference, stream, export_id, offset, size, attempt }).await
    }

    /// Tells the client with which problem the stream ends. If the pump must still send `file.opened`, the pump sends
    /// the message `error` instead. Otherwise the pump sends `file.closed`.
    ///
    /// Sends nothing if the pump must still send `file.opened` and the problem is that the export has failed or was
    /// canceled. The event `export.failed` or `export.canceled` tells the client of this end.
    async fn end(&mut self, problem: Problem) -> Result<(), SessionEnded> {
        let problem = Box::new(problem.with_request(&Links::for_export(self.export).file, &self.trace_id));
        match self.unsent_opened.take() {
            None => {
                self.send(&ServerMessage::FileClosed { reference: None, stream: self.stream, problem: Some(problem) })
                    .await
            }
            Some(_) if matches!(problem.slug(), Slug::Canceled | Slug::ExportFailed) => Ok(()),
            Some(reference) => self.send(&ServerMessage::Error { reference, problem }).await,
        }
    }

    async fn send(&mut self, message: &ServerMessage) -> Result<(), SessionEnded> {
        self.out.send(OutgoingMessage::Text(message.to_text().into())).await.map_err(|_| SessionEnded)
    }
}
