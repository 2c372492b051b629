//! The client side of the protocol as a state machine without a socket. For each message of the gateway, the state
//! machine returns steps, which send messages and write bytes. The state outlives a connection, so that the next
//! connection continues at the next unwritten byte.

use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use protocol::{
    client::{ClientMessage, ExportCancel, FileClose, FileOpen, FileWindow},
    delivery::Seal,
    export::{Export, Progress},
    frame::Frame,
    id::ExportId,
    problem::{Problem, Slug},
    server::ServerMessage,
};

use super::error::ExportError;

/// The `ref` of the request that creates the export.
const CREATE: &str = "create";
/// The `ref` of the request that opens a file stream.
const OPEN: &str = "open";
/// The `ref` of the request that cancels the export.
const CANCEL: &str = "cancel";
/// The number of equal parts of the window. The window is the number of bytes that the gateway may send ahead. Whenever
/// the bytes of one part have arrived, the client extends the window by the number of received bytes.
const WINDOW_PARTS: u64 = 4;

/// One step for the driver, which executes steps in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Send the message with this `ref`.
    Send(ClientMessage, Option<&'static str>),
    /// Append the bytes to the output.
    Write(Bytes),
    /// Discard all written bytes.
    Restart,
    /// A transient problem occurred. Call [`Transfer::begin`] again after a pause.
    Retry(Box<Problem>),
    /// All bytes are written, and match the size and the digest in the seal of the file.
    Done(Seal),
    /// The gateway has canceled the export.
    Canceled,
}

/// The transfer of one export into one file.
pub struct Transfer {
    request: ClientMessage,
    window: u64,
    export: Option<Box<Export>>,
    completed: Option<Box<Export>>,
    progress: Progress,
    stream: Option<u32>,
    /// The number of written bytes, which is the offset of the next byte.
    offset: u64,
    /// The number of the attempt, an exporter's try at the export, that produced the written bytes; `None` before the
    /// stream is open.
    attempt: Option<u32>,
    /// The number of bytes received since the client last extended the window.
    used: u64,
    digest: Context,
}

impl Transfer {
    /// Creates a transfer. `request` is an `export.create` or a `saved.run` with an idempotency key, and `window` is the
    /// maximum number of bytes in flight.
    #[must_use]
    pub fn new(request: ClientMessage, window: u64) -> Self {
        Self {
            request,
            window,
            export: None,
            completed: None,
            progress: Progress::default(),
            stream: None,
            offset: 0,
            attempt: None,
            used: 0,
            digest: Context::new(&SHA256),
        }
    }

    /// Returns the id of the export; `None` before the gateway has accepted the export.
    #[must_use]
    pub fn export_id(&self) -> Option<ExportId> {
        self.export.as_ref().map(|export| export.id)
    }

    /// Returns the completed export; `None` before the event of its completion has arrived.
    #[must_use]
    pub fn completed(&self) -> Option<&Export> {
        self.completed.as_deref()
    }

    /// Returns the last reported progress of the export.
    #[must_use]
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Returns the number of bytes written so far.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Returns the step that starts or continues the transfer on a new connection, or after the gateway has closed the
    /// file stream. The step creates the export, or opens a file stream of the accepted export at the next byte.
    pub fn begin(&mut self) -> Vec<Step> {
        self.stream = None;
        self.used = 0;
        vec![match self.export_id() {
            None => Step::Send(self.request.clone(), Some(CREATE)),
            Some(export_id) => {
                let attempt = self.attempt.filter(|_| self.offset > 0);
                let open = FileOpen { export_id, offset: self.offset, window: Some(self.window), attempt };
                Step::Send(ClientMessage::FileOpen(open), Some(OPEN))
            }
        }]
    }

    /// Returns the step that cancels the export; `None` before the gateway has accepted the export.
    #[must_use]
    pub fn cancel(&self) -> Option<Step> {
        let export_id = self.export_id()?;
        Some(Step::Send(ClientMessage::ExportCancel(ExportCancel { export_id }), Some(CANCEL)))
    }

    /// Handles a text message and returns the next steps.
    ///
    /// # Errors
    /// When the export ended without a file, or the gateway violated the protocol.
    pub fn text(&mut self, message: ServerMessage) -> Result<Vec<Step>, ExportError> {
        match message {
            ServerMessage::ExportAccepted { reference, export } if reference.as_deref() == Some(CREATE) => {
                self.progress = export.progress.clone();
                self.export = Some(export);
            }
            ServerMessage::ExportAccepted { reference, .. } if reference.as_deref() == Some(CANCEL) => {
                return Ok(vec![Step::Canceled]);
            }
            ServerMessage::FileOpened { stream, export_id, offset, attempt, .. } if self.is_own(export_id) => {
                self.attempt = attempt;
                return self.opened(stream, offset);
            }
            ServerMessage::ExportProgress { export_id, progress } if self.is_own(export_id) => {
                self.progress = progress;
            }
            ServerMessage::ExportCompleted { export, .. } if self.is_own(export.id) => {
                self.progress = export.progress.clone();
                self.completed = Some(export);
            }
            ServerMessage::ExportFailed { export, .. } if self.is_own(export.id) => {
                return Err(ended(*export, Slug::ExportFailed).into());
            }
            ServerMessage::ExportCanceled { export, .. } if self.is_own(export.id) => {
                return Ok(vec![Step::Canceled]);
            }
            ServerMessage::FileSealed { stream, size, rows, sha256 } if self.stream == Some(stream) => {
                return self.sealed(Seal { size, rows, sha256 });
            }
            ServerMessage::FileClosed { stream, problem, .. } if self.stream == Some(stream) => {
                return self.closed(problem);
            }
            ServerMessage::Error { reference, problem } => match reference.as_deref() {
                Some(CREATE | OPEN) => return retry_or_fail(*problem),
                // the export has already ended, and the event of its end follows
                Some(CANCEL) => return Ok(vec![Step::Canceled]),
                // ignore a refused window extension of a stream that has just ended
                _ => {}
            },
            _ => {}
        }
        Ok(Vec::new())
    }

    /// Handles a binary frame and returns the next steps.
    ///
    /// # Errors
    /// When the frame does not continue the file at the current offset.
    pub fn frame(&mut self, frame: Frame) -> Result<Vec<Step>, ExportError> {
        if self.stream != Some(frame.stream) {
            // ignore a frame of an earlier stream of this session
            return Ok(Vec::new());
        }
        if frame.offset != self.offset {
            return Err(ExportError::Protocol(format!("bytes at {} instead of {}", frame.offset, self.offset)));
        }
        let size = frame.payload.len() as u64;
        self.digest.update(&frame.payload);
        self.offset += size;
        self.used += size;
        let mut steps = vec![Step::Write(frame.payload)];
        if self.used >= self.window / WINDOW_PARTS {
            let extension = FileWindow { stream: frame.stream, bytes: std::mem::take(&mut self.used) };
            steps.push(Step::Send(ClientMessage::FileWindow(extension), None));
        }
        Ok(steps)
    }

    fn is_own(&self, id: ExportId) -> bool {
        self.export_id() == Some(id)
    }

    fn opened(&mut self, stream: u32, offset: u64) -> Result<Vec<Step>, ExportError> {
        if self.stream.is_some() {
            // close an unexpected second stream
            return Ok(vec![Step::Send(ClientMessage::FileClose(FileClose { stream }), None)]);
        }
        if offset != self.offset {
            return Err(ExportError::Protocol(format!("a stream from {offset} instead of {}", self.offset)));
        }
        self.stream = Some(stream);
        Ok(Vec::new())
    }

    fn sealed(&mut self, seal: Seal) -> Result<Vec<Step>, ExportError> {
        let received = hex::encode(self.digest.clone().finish());
        if seal.size != self.offset {
            return Err(ExportError::Damaged(format!("received {} bytes of {}", self.offset, seal.size)));
        }
        if seal.sha256 != received {
            return Err(ExportError::Damaged(format!("its SHA-256 is {received} instead of {}", seal.sha256)));
        }
        Ok(vec![Step::Done(seal)])
    }

    fn closed(&mut self, problem: Option<Box<Problem>>) -> Result<Vec<Step>, ExportError> {
        self.stream = None;
        let without_problem = || Problem::new(Slug::Unavailable, "the gateway closed the stream");
        let problem = problem.map_or_else(without_problem, |problem| *problem);
        if problem.slug() != Slug::Restarted {
            return retry_or_fail(problem);
        }
        self.offset = 0;
        self.digest = Context::new(&SHA256);
        let mut steps = vec![Step::Restart];
        steps.extend(self.begin());
        Ok(steps)
    }
}

/// Returns the step [`Step::Retry`] for a transient problem. Fails with any other problem.
fn retry_or_fail(problem: Problem) -> Result<Vec<Step>, ExportError> {
    match problem.slug() {
        Slug::Unavailable | Slug::RateLimited | Slug::Internal | Slug::NotReady => {
            Ok(vec![Step::Retry(Box::new(problem))])
        }
        // the gateway still handles an earlier copy of the same request
        Slug::IdempotencyConflict if problem.status == 409 => Ok(vec![Step::Retry(Box::new(problem))]),
        Slug::Restarted
        | Slug::Unauthorized
        | Slug::Forbidden
        | Slug::NotFound
        | Slug::InvalidRequest
        | Slug::UnknownDataset
        | Slug::UnknownTemplate
        | Slug::InvalidFilter
        | Slug::CreditsExhausted
        | Slug::TooManyExports
        | Slug::IdempotencyConflict
        | Slug::Expired
        | Slug::Canceled
        | Slug::ExportFailed
        | Slug::TooLarge => Err(problem.into()),
    }
}

fn ended(export: Export, slug: Slug) -> Problem {
    export.problem.unwrap_or_else(|| Problem::new(slug, slug.title()))
}

#[cfg(test)]
#[path = "transfer_tests.rs"]
mod tests;
