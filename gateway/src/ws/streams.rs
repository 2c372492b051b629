//! Tracks the file streams of one session: the stream numbers, the stream limit, the bytes that the client still
//! accepts, and the close requests.

use std::{collections::HashMap, sync::Arc};

use protocol::{
    client::{DEFAULT_WINDOW_BYTES, FileOpen, FileWindow},
    envelope::TraceContext,
    export::Export,
    id::ExportId,
    problem::{FieldError, Problem, Slug},
};

use super::{stop::StopSignal, window::Window};

/// A file stream that the session has accepted. The [driver](super::driver) starts the stream's [pump](super::pump)
/// (the task that sends the bytes of the file).
#[derive(Debug)]
pub(super) struct NewStream {
    pub(super) stream: u32,
    pub(super) export: ExportId,
    /// The trace context of the export.
    pub(super) trace: TraceContext,
    pub(super) offset: u64,
    /// The number of the attempt that wrote the bytes before `offset`, as named by the client. None if the client named
    /// no attempt. An attempt is one try of an exporter at the export, numbered from 1.
    pub(super) attempt: Option<u32>,
    pub(super) window: Arc<Window>,
    pub(super) stop: StopSignal,
    /// Whether the export is unfinished. If so, its file still grows.
    pub(super) is_unfinished: bool,
    /// The `file.opened` message that the pump (the task that sends the file's bytes) must send before the first byte:
    ///
    /// - `None`: no message, because the session sends the message.
    /// - `Some(None)`: a message without a `ref`, because the client's request had none.
    /// - `Some(Some(_))`: a message with this `ref`, the string with which the client marked its request.
    pub(super) unsent_opened: Option<Option<String>>,
}

#[derive(Debug)]
pub(super) struct OpenStream {
    pub(super) window: Arc<Window>,
    pub(super) stop: StopSignal,
}

/// The result of a client's `file.close`, which says who sends the answer `file.closed`.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum CloseResult {
    /// The stream was open. Its [pump](super::pump) (the task that sends the file's bytes) sends `file.closed` after
    /// its last frame of the file. If the pump ends without this answer, the session sends `file.closed` at the pump's
    /// end.
    PumpAnswers,
    /// The stream has already ended, or the client has already closed it. The session sends `file.closed` now.
    SessionAnswers,
}

/// The file streams of one session. Dropping this value stops all [pumps](super::pump) (the tasks that send the bytes
/// of the files).
#[derive(Debug)]
pub(super) struct Streams {
    max: u32,
    open: HashMap<u32, OpenStream>,
    /// The streams that the client has closed and whose [pumps](super::pump) (the tasks that send the bytes of the
    /// files) still run, by stream number. The value is the `ref` of the client's `file.close`: an optional string that
    /// the answer `file.closed` repeats.
    closing: HashMap<u32, Option<String>>,
    /// The number of streams that are reserved for `file.open` and `export.create` requests in progress. Reserved
    /// streams count against the limit `max`.
    reserved: u32,
    last: u32,
}

impl Streams {
    pub(super) fn new(max: u32) -> Self {
        Self { max, open: HashMap::new(), closing: HashMap::new(), reserved: 0, last: 0 }
    }

    /// Reserves one stream for a `file.open` or `export.create` in progress, so that later requests cannot exceed the
    /// stream limit.
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

    /// Releases one reservation of [`Streams::reserve`]. The session calls this method when it answers or refuses the
    /// request for which the stream was reserved.
    pub(super) fn release(&mut self) {
        self.reserved -= 1;
    }

    /// Opens a file stream for this export, and returns the values with which the driver starts the stream's pump (the
    /// task that sends the file's bytes). The streams of a session have the numbers 1, 2, 3 and so on.
    ///
    /// `unsent_opened` says who sends the message `file.opened`. None: the session. `Some(reference)`: the pump;
    /// `reference` is the `ref` of the client's request, if it had one.
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

    /// Adds the bytes of a `file.window` message to the window of the stream that the message names. The window is the
    /// number of bytes that the client still accepts. A message for an ended stream has no effect.
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

    /// Closes a stream at the request of the client, and returns who sends the answer `file.closed`. `reference` is the
    /// `ref` of the client's `file.close`.
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

    /// Removes the stream with this number, whose [pump](super::pump) (the task that sends the file's bytes) has ended.
    /// `is_answered` is true if the pump has answered the client's `file.close`, or if the session ends and needs no
    /// answer. Returns the `file.closed` message that the session must send:
    ///
    /// - `None`: no message, because `is_answered` is true or the client has sent no `file.close`.
    /// - `Some(None)`: a message without a `ref`, because the client's `file.close` had none.
    /// - `Some(Some(_))`: a message with this `ref`, which the client's `file.close` had.
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
