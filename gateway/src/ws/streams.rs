//! Tracks the file streams of one session: their numbers, limit, windows and close requests.

use std::{collections::HashMap, sync::Arc};

use protocol::{
    client::{DEFAULT_WINDOW_BYTES, FileOpen, FileWindow},
    envelope::TraceContext,
    export::Export,
    id::ExportId,
    problem::{FieldError, Problem, Slug},
};

use super::{stop::StopSignal, window::Window};

/// A file stream that the session has accepted. The [driver](super::driver) starts its [pump](super::pump), the task
/// that sends the bytes of the file.
#[derive(Debug)]
pub(super) struct NewStream {
    pub(super) stream: u32,
    pub(super) export: ExportId,
    /// The trace context of the export.
    pub(super) trace: TraceContext,
    pub(super) offset: u64,
    /// The attempt that produced the bytes that the client already has; None if the client named no attempt.
    pub(super) attempt: Option<u32>,
    pub(super) window: Arc<Window>,
    pub(super) stop: StopSignal,
    /// Whether the export is unfinished. If so, its file still grows.
    pub(super) is_unfinished: bool,
    /// The `ref` of the `file.opened` that the pump sends before the first byte; `Some(None)` if the request had no
    /// `ref`. None if the session sends `file.opened`.
    pub(super) unsent_opened: Option<Option<String>>,
}

#[derive(Debug)]
pub(super) struct OpenStream {
    pub(super) window: Arc<Window>,
    pub(super) stop: StopSignal,
}

/// The result of a client's `file.close`: who sends the answer `file.closed`.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum CloseResult {
    /// The stream is open; its [pump](super::pump), the task that sends the file's bytes, answers after the last frame.
    PumpAnswers,
    /// The stream has already ended; the session sends the answer.
    SessionAnswers,
}

/// The file streams of one session. Dropping this value stops all [pumps](super::pump), the tasks that send the bytes
/// of the files.
#[derive(Debug)]
pub(super) struct Streams {
    max: u32,
    open: HashMap<u32, OpenStream>,
    /// Streams that the client has closed and whose [pumps](super::pump) still run, with the `ref` of the close
    /// request.
    closing: HashMap<u32, Option<String>>,
    /// The number of streams whose `file.open` or `export.create` is in progress. Reserved streams count against the
    /// limit.
    reserved: u32,
    last: u32,
}

impl Streams {
    pub(super) fn new(max: u32) -> Self {
        Self { max, open: HashMap::new(), closing: HashMap::new(), reserved: 0, last: 0 }
    }

    /// Reserves one stream for a `file.open` or `export.create` in progress.
    ///
    /// # Errors
    /// `rate-limited` when the session has reached its stream limit.
    pub(super) fn reserve(&mut self) -> Result<(), Problem> {
        let open = u32::try_from(self.open.len()).unwrap_or(u32::MAX).saturating_add(self.reserved);
        if open >= self.max {
            let detail = format!("A session may hold at most {} file streams; close one first.", self.max);
            return Err(Problem::new(Slug::RateLimited, detail));
        }
        self.reserved += 1;
        Ok(())
    }

    /// Releases one reserved stream. The session calls this method when it answers or refuses the request that reserved
    /// the stream.
    pub(super) fn release(&mut self) {
        self.reserved -= 1;
    }

    /// Opens a stream of an export's file with the next stream number.
    pub(super) fn open(
        &mut self,
        export: &Export,
        trace: TraceContext,
        file: &FileOpen,
        unsent_opened: Option<Option<String>>,
    ) -> NewStream {
        self.last += 1;
        let stream = self.last;
        let window = Arc::new(Window::new(file.window.unwrap_or(DEFAULT_WINDOW_BYTES)));
        let stop = StopSignal::default();
        self.open.insert(stream, OpenStream { window: window.clone(), stop: stop.clone() });
        NewStream {
            stream,
            export: export.id,
            trace,
            offset: file.offset,
            attempt: file.attempt,
            window,
            stop,
            is_unfinished: export.status.is_unfinished(),
            unsent_opened,
        }
    }

    /// Adds the bytes of a `file.window` message to the window of the message's stream. A message for an ended stream
    /// has no effect.
    ///
    /// # Errors
    /// When the session never opened the stream.
    pub(super) fn grant(&self, grant: &FileWindow) -> Result<(), Problem> {
        match self.open.get(&grant.stream) {
            Some(open) => open.window.grant(grant.bytes),
            None => self.check_known(grant.stream)?,
        }
        Ok(())
    }

    /// Closes a stream at the request of the client, and returns who sends the answer `file.closed`.
    ///
    /// # Errors
    /// When the session never opened the stream.
    pub(super) fn close(&mut self, stream: u32, reference: Option<String>) -> Result<CloseResult, Problem> {
        let Some(open) = self.open.remove(&stream) else {
            self.check_known(stream)?;
            return Ok(CloseResult::SessionAnswers);
        };
        open.stop.stop(reference.clone());
        self.closing.insert(stream, reference);
        Ok(CloseResult::PumpAnswers)
    }

    /// Removes a stream whose [pump](super::pump) has ended. Returns the `ref` of the client's `file.close` if the
    /// session must answer it: the client has closed the stream, and `is_answered` is false. Returns None otherwise.
    pub(super) fn remove(&mut self, stream: u32, is_answered: bool) -> Option<Option<String>> {
        self.open.remove(&stream);
        self.closing.remove(&stream).filter(|_| !is_answered)
    }

    #[cfg(test)]
    pub(super) fn get(&self, stream: u32) -> &OpenStream {
        &self.open[&stream]
    }

    #[cfg(test)]
    pub(super) fn reserved(&self) -> u32 {
        self.reserved
    }

    fn check_known(&self, stream: u32) -> Result<(), Problem> {
        if stream == 0 || stream > self.last {
            let fault = FieldError::new("/stream", "this session never opened this stream");
            return Err(Problem::invalid(Slug::InvalidRequest, vec![fault]));
        }
        Ok(())
    }
}

impl Drop for Streams {
    fn drop(&mut self) {
        for open in self.open.values() {
            open.stop.abandon();
        }
    }
}
