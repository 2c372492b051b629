//! Moves the bytes of one file into a session, as far as the stream's window allows.

use std::{sync::Arc, time::Duration};

use platform::telemetry::traces;
use protocol::{
    export::Links,
    frame::{Frame, MAX_PAYLOAD_BYTES},
    id::{ExportId, Owner},
    problem::{Problem, Slug},
    server::ServerMessage,
};
use tokio::{sync::mpsc, task::JoinSet, time::Instant};

use super::{
    outbox::{Out, Outbox},
    streams::NewStream,
    window::Window,
};
use crate::delivery::{self, Reader, ReaderRequest, Source, Step};

/// A stream without a window drops its connection and buffered bytes after this time.
const PARK_AFTER: Duration = Duration::from_secs(1);
/// A stream without a window is closed after this time (protocol.md, WebSocket).
const IDLE_TIMEOUT: Duration = Duration::from_secs(5 * 60);
/// How often a stream without a window polls its export, because the announcement of the export's end may be lost.
const POLL_INTERVAL: Duration = Duration::from_secs(15);

/// Opens the reader of a new stream and spawns its pump. The task returns the stream's number, and whether
/// `file.closed` was sent for a close request of the client.
pub(super) async fn spawn(
    pumps: &mut JoinSet<(u32, bool)>,
    source: Source,
    owner: Owner,
    trace_id: String,
    outbox: &Outbox,
    new: NewStream,
) {
    let NewStream { stream, export, trace, offset, attempt, window, stop, is_live, announce } = new;
    let span = delivery::span("socket", export, offset);
    traces::follow(&span, trace);
    // the reader subscribes to announcements before its first request, so that it misses none in between
    let reader = Reader::open(source, ReaderRequest { owner, export, offset, attempt, is_live, span }).await;
    let (out, answers) = (outbox.frames(), outbox.frames());
    let pump = Pump { stream, export, reader, window, out, announce, trace_id, empty_since: None };
    pumps.spawn(async move {
        let answer = tokio::select! {
            stopped = stop.stopped() => match stopped {
                Some(reference) => ServerMessage::FileClosed { reference, stream, problem: None },
                // the session ends; the client continues the stream at another gateway
                None => return (stream, true),
            },
            () = pump.run() => return (stream, false),
        };
        // in the frame queue, so that the answer follows the last frame; an error means that the session has ended
        let _ = answers.send(Out::Text(answer.to_text().into())).await;
        (stream, true)
    });
}

/// One file stream.
struct Pump {
    stream: u32,
    export: ExportId,
    reader: Reader,
    window: Arc<Window>,
    out: mpsc::Sender<Out>,
    /// The `ref` of the `file.opened` to send before the first byte; None: `file.opened` was sent already.
    announce: Option<Option<String>>,
    /// The trace id for problems, which finds the session in the logs.
    trace_id: String,
    /// Since when the window has been empty.
    empty_since: Option<Instant>,
}

/// The session has ended, so the pump must end too.
struct SessionEnded;

/// Whether the pump continues after a wait for its window.
enum Wait {
    Continue,
    TimedOut,
}

impl Pump {
    /// Runs until the seal, a problem, or the end of the session.
    async fn run(mut self) {
        // an error means that the session has ended, which needs no report
        let _ = self.move_bytes().await;
    }

    async fn move_bytes(&mut self) -> Result<(), SessionEnded> {
        loop {
            match self.reader.ready().await {
                Step::Ready => self.announce().await?,
                Step::Sealed(seal) => {
                    self.announce().await?;
                    let (stream, size, rows) = (self.stream, seal.size, seal.rows);
                    return self.send(&ServerMessage::FileSealed { stream, size, rows, sha256: seal.sha256 }).await;
                }
                Step::Ended(problem) => return self.end(*problem).await,
            }
            let granted = self.window.available(PARK_AFTER).await;
            if granted == 0 {
                match self.wait_for_window().await {
                    Wait::Continue => continue,
                    Wait::TimedOut => {
                        let offset = self.reader.offset();
                        let detail = format!("The window was empty for too long. Open the file again at {offset}.");
                        return self.end(Problem::new(Slug::RateLimited, detail)).await;
                    }
                }
            }
            self.empty_since = None;
            let max = usize::try_from(granted).unwrap_or(usize::MAX).min(MAX_PAYLOAD_BYTES);
            let offset = self.reader.offset();
            match self.reader.read(max).await {
                Ok(payload) if payload.is_empty() => {}
                Ok(payload) => {
                    self.window.consume(payload.len() as u64);
                    let frame = Frame { stream: self.stream, offset, payload };
                    self.out.send(Out::Frame(frame.encode())).await.map_err(|_| SessionEnded)?;
                }
                Err(problem) => return self.end(*problem).await,
            }
        }
    }

    /// Waits for a grant or for the end of the export, without holding a connection or bytes.
    async fn wait_for_window(&mut self) -> Wait {
        self.reader.park();
        let since = *self.empty_since.get_or_insert_with(Instant::now);
        let left = IDLE_TIMEOUT.saturating_sub(since.elapsed());
        if left.is_zero() {
            return Wait::TimedOut;
        }
        tokio::select! {
            _ = self.window.available(left.min(POLL_INTERVAL)) => {}
            () = self.reader.ended() => {}
        }
        Wait::Continue
    }

    async fn announce(&mut self) -> Result<(), SessionEnded> {
        let Some(reference) = self.announce.take() else { return Ok(()) };
        let (stream, export_id, offset) = (self.stream, self.export, self.reader.offset());
        let (size, attempt) = (self.reader.size(), self.reader.attempt());
        self.send(&ServerMessage::FileOpened { reference, stream, export_id, offset, size, attempt }).await
    }

    /// Ends the stream with a problem. A stream that was never announced ends silently when its export failed or was
    /// canceled, because the export's event reports that.
    async fn end(&mut self, problem: Problem) -> Result<(), SessionEnded> {
        let problem = Box::new(problem.with_request(&Links::for_export(self.export).file, &self.trace_id));
        match self.announce.take() {
            None => {
                self.send(&ServerMessage::FileClosed { reference: None, stream: self.stream, problem: Some(problem) })
                    .await
            }
            Some(_) if matches!(problem.slug(), Slug::Canceled | Slug::ExportFailed) => Ok(()),
            Some(reference) => self.send(&ServerMessage::Error { reference, problem }).await,
        }
    }

    async fn send(&mut self, message: &ServerMessage) -> Result<(), SessionEnded> {
        self.out.send(Out::Text(message.to_text().into())).await.map_err(|_| SessionEnded)
    }
}
