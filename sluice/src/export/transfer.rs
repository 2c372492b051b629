//! The client's side of the protocol as a machine without a socket: messages go in, and out comes what to send and
//! what to write. It survives the connection, so that a new one goes on at the exact byte.

use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use protocol::{
    client::{ClientMessage, ExportCancel, ExportCreate, FileClose, FileOpen, FileWindow},
    delivery::Seal,
    export::{Export, Progress},
    frame::Frame,
    id::ExportId,
    problem::{Problem, Slug},
    server::ServerMessage,
};

use super::ExportError;

/// The `ref` of the one export.
const CREATE: &str = "create";
/// The `ref` of a stream.
const OPEN: &str = "open";
/// The `ref` of the wish to end it.
const CANCEL: &str = "cancel";
/// A grant is due when this part of the window is used up.
const GRANT_PART: u64 = 4;

/// What to do next, in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Send this with this `ref`.
    Send(ClientMessage, Option<&'static str>),
    /// Write these bytes behind all before.
    Write(Bytes),
    /// Drop all that was written.
    Restart,
    /// It does not work just now: [`Transfer::begin`] again a little later.
    Later(Box<Problem>),
    /// Everything was written, and it is what was sealed.
    Done(Seal),
    /// The export was canceled, as asked.
    Canceled,
}

/// One export on its way into one file.
pub struct Transfer {
    create: ExportCreate,
    window: u64,
    export: Option<Box<Export>>,
    completed: Option<Box<Export>>,
    progress: Progress,
    stream: Option<u32>,
    /// Bytes written, and the offset of the next one.
    offset: u64,
    /// The attempt that made them, once bytes were announced.
    attempt: Option<u32>,
    /// Bytes taken since the last grant.
    used: u64,
    digest: Context,
}

impl Transfer {
    /// Begins with a request that carries an idempotency key.
    #[must_use]
    pub fn new(create: ExportCreate, window: u64) -> Self {
        Self {
            create,
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

    /// The export, once it was accepted.
    #[must_use]
    pub fn export_id(&self) -> Option<ExportId> {
        self.export.as_ref().map(|export| export.id)
    }

    /// The completed export, once an event brought it.
    #[must_use]
    pub fn completed(&self) -> Option<&Export> {
        self.completed.as_deref()
    }

    /// How far the exporter is.
    #[must_use]
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Bytes written so far.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// What to say on a new connection, or when a stream must be opened again.
    pub fn begin(&mut self) -> Vec<Step> {
        self.stream = None;
        self.used = 0;
        vec![match self.export_id() {
            None => Step::Send(ClientMessage::ExportCreate(Box::new(self.create.clone())), Some(CREATE)),
            Some(export_id) => {
                let attempt = self.attempt.filter(|_| self.offset > 0);
                let open = FileOpen { export_id, offset: self.offset, window: Some(self.window), attempt };
                Step::Send(ClientMessage::FileOpen(open), Some(OPEN))
            }
        }]
    }

    /// What to say to end the export; nothing before it was accepted.
    #[must_use]
    pub fn cancel(&self) -> Option<Step> {
        let export_id = self.export_id()?;
        Some(Step::Send(ClientMessage::ExportCancel(ExportCancel { export_id }), Some(CANCEL)))
    }

    /// Takes a text message.
    ///
    /// # Errors
    /// When the export ended without a file, or the gateway broke the protocol.
    pub fn text(&mut self, message: ServerMessage) -> Result<Vec<Step>, ExportError> {
        match message {
            ServerMessage::ExportAccepted { reference, export } if reference.as_deref() == Some(CREATE) => {
                self.progress = export.progress.clone();
                self.export = Some(export);
            }
            ServerMessage::ExportAccepted { reference, .. } if reference.as_deref() == Some(CANCEL) => {
                return Ok(vec![Step::Canceled]);
            }
            ServerMessage::FileOpened { stream, export_id, offset, attempt, .. } if self.is_mine(export_id) => {
                self.attempt = attempt;
                return self.opened(stream, offset);
            }
            ServerMessage::ExportProgress { export_id, progress } if self.is_mine(export_id) => {
                self.progress = progress;
            }
            ServerMessage::ExportCompleted { export, .. } if self.is_mine(export.id) => {
                self.progress = export.progress.clone();
                self.completed = Some(export);
            }
            ServerMessage::ExportFailed { export, .. } if self.is_mine(export.id) => {
                return Err(ended(*export, Slug::ExportFailed).into());
            }
            ServerMessage::ExportCanceled { export, .. } if self.is_mine(export.id) => {
                return Ok(vec![Step::Canceled]);
            }
            ServerMessage::FileSealed { stream, size, rows, sha256 } if self.stream == Some(stream) => {
                return self.sealed(Seal { size, rows, sha256 });
            }
            ServerMessage::FileClosed { stream, problem, .. } if self.stream == Some(stream) => {
                return self.closed(problem);
            }
            ServerMessage::Error { reference, problem } => match reference.as_deref() {
                Some(CREATE | OPEN) => return later_or_never(*problem),
                // it has ended already, and the event that says how is on its way
                Some(CANCEL) => return Ok(vec![Step::Canceled]),
                // an answer to nothing that we asked: a grant for a stream that has just ended
                _ => {}
            },
            _ => {}
        }
        Ok(Vec::new())
    }

    /// Takes a binary frame.
    ///
    /// # Errors
    /// When it isn't the next piece of the file.
    pub fn frame(&mut self, frame: Frame) -> Result<Vec<Step>, ExportError> {
        if self.stream != Some(frame.stream) {
            // of a stream that was given up in this session
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
        if self.used >= self.window / GRANT_PART {
            let grant = FileWindow { stream: frame.stream, bytes: std::mem::take(&mut self.used) };
            steps.push(Step::Send(ClientMessage::FileWindow(grant), None));
        }
        Ok(steps)
    }

    fn is_mine(&self, id: ExportId) -> bool {
        self.export_id() == Some(id)
    }

    fn opened(&mut self, stream: u32, offset: u64) -> Result<Vec<Step>, ExportError> {
        if self.stream.is_some() {
            // one is enough
            return Ok(vec![Step::Send(ClientMessage::FileClose(FileClose { stream }), None)]);
        }
        if offset != self.offset {
            return Err(ExportError::Protocol(format!("a stream from {offset} instead of {}", self.offset)));
        }
        self.stream = Some(stream);
        Ok(Vec::new())
    }

    fn sealed(&mut self, seal: Seal) -> Result<Vec<Step>, ExportError> {
        let came = hex::encode(self.digest.clone().finish());
        if seal.size != self.offset {
            return Err(ExportError::Damaged(format!("{} bytes came of {}", self.offset, seal.size)));
        }
        if seal.sha256 != came {
            return Err(ExportError::Damaged(format!("its SHA-256 is {came} instead of {}", seal.sha256)));
        }
        Ok(vec![Step::Done(seal)])
    }

    fn closed(&mut self, problem: Option<Box<Problem>>) -> Result<Vec<Step>, ExportError> {
        self.stream = None;
        let unasked = || Problem::new(Slug::Unavailable, "the gateway closed the stream");
        let problem = problem.map_or_else(unasked, |problem| *problem);
        if problem.slug() != Slug::Restarted {
            return later_or_never(problem);
        }
        self.offset = 0;
        self.digest = Context::new(&SHA256);
        let mut steps = vec![Step::Restart];
        steps.extend(self.begin());
        Ok(steps)
    }
}

/// Whether asking again can help.
fn later_or_never(problem: Problem) -> Result<Vec<Step>, ExportError> {
    match problem.slug() {
        Slug::Unavailable | Slug::RateLimited | Slug::Internal | Slug::NotReady => {
            Ok(vec![Step::Later(Box::new(problem))])
        }
        // the first of two equal requests is still being taken
        Slug::IdempotencyConflict if problem.status == 409 => Ok(vec![Step::Later(Box::new(problem))]),
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
