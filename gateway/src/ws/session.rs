//! The rules of a session, without a socket: what comes in, and what is to be done about it.

use std::{collections::HashMap, sync::Arc};

use protocol::{
    client::{self, ClientMessage, DEFAULT_WINDOW_BYTES, Deliver, FileOpen, FileWindow, ParseError},
    close::CloseCode,
    envelope::TraceContext,
    export::Export,
    id::ExportId,
    problem::{FieldError, Problem, Slug},
    server::{ServerMessage, SessionLimits},
};
use tokio::time::Instant;

use super::{
    rate::{self, Bucket},
    registry::Notice,
    requests::{Reply, Request},
    stop::Stop,
    window::Window,
};
use crate::{auth::Caller, config::WsConfig, error::Refusal, events::Position};

/// Something for the driver to do.
#[derive(Debug)]
pub(super) enum Action {
    /// Send this.
    Send(ServerMessage),
    /// Perform this and hand the answer to [`Session::on_reply`].
    Request(Option<String>, Request),
    /// Start a pump.
    Stream(NewStream),
    /// Send these missed events before newer ones, and none up to this number again.
    Replay(u64, Vec<Notice>),
    /// Ping the client.
    Ping,
    /// End the session.
    Close(CloseCode),
}

/// A stream to start.
#[derive(Debug)]
pub(super) struct NewStream {
    pub(super) stream: u32,
    pub(super) export: ExportId,
    /// The export's.
    pub(super) trace: TraceContext,
    pub(super) offset: u64,
    /// Whose bytes the client has before the offset, where it said so.
    pub(super) attempt: Option<u32>,
    pub(super) window: Arc<Window>,
    pub(super) stop: Stop,
    /// The export is unfinished.
    pub(super) live: bool,
    /// Announce it with this `ref` once there are bytes; None when it was announced before.
    pub(super) announce: Option<Option<String>>,
}

#[derive(Debug)]
struct Open {
    window: Arc<Window>,
    stop: Stop,
}

/// An authenticated session.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) caller: Caller,
    config: WsConfig,
    streams: HashMap<u32, Open>,
    /// Streams that the client closed and whose pumps have not ended yet, with the `ref` to answer.
    closing: HashMap<u32, Option<String>>,
    /// Streams asked for and not yet open; they count against the limit.
    opening: u32,
    last_stream: u32,
    requests: usize,
    rate: Bucket,
    unanswered: u8,
    /// Where the session began: later events come by themselves.
    begin: Position,
    /// Missed events are being looked up or sent, and newer ones wait for them.
    resuming: bool,
}

impl Session {
    pub(super) fn new(caller: Caller, config: WsConfig, begin: Position, now: Instant) -> Self {
        let rate = Bucket::new(config.messages_per_second, config.message_burst, now);
        Self {
            caller,
            config,
            streams: HashMap::new(),
            closing: HashMap::new(),
            opening: 0,
            last_stream: 0,
            requests: 0,
            rate,
            unanswered: 0,
            begin,
            resuming: false,
        }
    }

    /// Whether newer events have to wait.
    pub(super) fn is_resuming(&self) -> bool {
        self.resuming
    }

    /// The last missed event was sent.
    pub(super) fn on_caught_up(&mut self) {
        self.resuming = false;
    }

    /// Names the run of event numbers.
    pub(super) fn epoch(&self) -> &str {
        &self.begin.epoch
    }

    pub(super) fn limits(&self) -> SessionLimits {
        SessionLimits {
            message_bytes: self.config.message_bytes as u64,
            streams: self.config.streams,
            window_bytes: self.config.window_bytes,
        }
    }

    /// Anything from the client shows that it lives.
    pub(super) fn on_sign_of_life(&mut self) {
        self.unanswered = 0;
    }

    /// Time to ping; two pings without an answer mean a dead client.
    pub(super) fn on_heartbeat(&mut self) -> Action {
        if self.unanswered >= 2 {
            return Action::Close(CloseCode::TooSlow);
        }
        self.unanswered += 1;
        Action::Ping
    }

    /// A text frame.
    pub(super) fn on_text(&mut self, text: &str, now: Instant) -> Vec<Action> {
        let parsed = client::parse(text);
        let cost = if matches!(parsed, Ok((_, ClientMessage::FileWindow(_)))) { rate::WINDOW } else { rate::MESSAGE };
        if !self.rate.take(cost, now) {
            return vec![Action::Close(CloseCode::TooManyMessages)];
        }
        match parsed {
            Ok((reference, message)) => self.on_message(reference, message),
            Err(ParseError::NotAnObject) => vec![Action::Close(CloseCode::BadMessage)],
            Err(ParseError::Invalid { reference, problem }) => vec![refuse(reference, *problem)],
        }
    }

    fn on_message(&mut self, reference: Option<String>, message: ClientMessage) -> Vec<Action> {
        let action = match message {
            ClientMessage::Ping(_) => Action::Send(ServerMessage::Pong { reference }),
            ClientMessage::SessionResume(m) => {
                if self.resuming {
                    let detail = "An earlier `session.resume` is being worked on; wait for its answer.";
                    return vec![refuse(reference, Problem::new(Slug::RateLimited, detail))];
                }
                let actions = self.request(reference, Request::Resume(m, self.begin.clone()));
                self.resuming = matches!(actions.as_slice(), [Action::Request(..)]);
                return actions;
            }
            ClientMessage::SessionRefresh(m) => return self.request(reference, Request::Refresh(m)),
            ClientMessage::ExportCancel(m) => return self.request(reference, Request::Cancel(m)),
            ClientMessage::ExportCreate(m) => {
                let wants_stream = m.deliver == Deliver::Stream;
                if let Err(problem) = self.check_window(m.window).and_then(|()| self.reserve(wants_stream)) {
                    return vec![refuse(reference, problem)];
                }
                return self.request(reference, Request::Create(m));
            }
            ClientMessage::FileOpen(m) => {
                if let Err(problem) = self.check_window(m.window).and_then(|()| self.reserve(true)) {
                    return vec![refuse(reference, problem)];
                }
                return self.request(reference, Request::Open(m));
            }
            ClientMessage::FileWindow(m) => return self.on_window(reference, &m),
            ClientMessage::FileClose(m) => {
                if let Some(open) = self.streams.remove(&m.stream) {
                    // its pump answers, after the last frame that is on its way
                    open.stop.stop(reference.clone());
                    self.closing.insert(m.stream, reference);
                    return vec![];
                } else if m.stream == 0 || m.stream > self.last_stream {
                    return vec![refuse(reference, no_stream())];
                }
                Action::Send(ServerMessage::FileClosed { reference, stream: m.stream, problem: None })
            }
        };
        vec![action]
    }

    fn on_window(&mut self, reference: Option<String>, window: &FileWindow) -> Vec<Action> {
        let refused = if window.bytes > self.config.window_bytes {
            Some(self.window_too_large("/bytes"))
        } else if let Some(open) = self.streams.get(&window.stream) {
            open.window.add(window.bytes);
            None
        } else {
            // a grant may cross the end of its stream on the way
            (window.stream == 0 || window.stream > self.last_stream).then(no_stream)
        };
        refused.map(|problem| refuse(reference, problem)).into_iter().collect()
    }

    /// The answer to a request.
    pub(super) fn on_reply(&mut self, reference: Option<String>, reply: Reply) -> Vec<Action> {
        self.requests -= 1;
        match reply {
            Reply::Created(create, trace, result) => {
                let wants_stream = create.deliver == Deliver::Stream;
                self.opening -= u32::from(wants_stream);
                let export = match result {
                    Ok(export) => export,
                    Err(refusal) => return vec![refuse_with(reference, refusal)],
                };
                let file = FileOpen { export_id: export.id, offset: 0, attempt: None, window: create.window };
                let stream = wants_stream.then(|| self.open(&export, trace, &file, Some(reference.clone())));
                let accepted = ServerMessage::ExportAccepted { reference, export: Box::new(export) };
                std::iter::once(Action::Send(accepted)).chain(stream.map(Action::Stream)).collect()
            }
            Reply::Canceled(Ok(export)) => {
                // the event tells everybody; the answer is for who asked by `ref`
                let accepted =
                    |r| Action::Send(ServerMessage::ExportAccepted { reference: Some(r), export: Box::new(export) });
                reference.map(accepted).into_iter().collect()
            }
            Reply::Canceled(Err(refusal)) => vec![refuse_with(reference, refusal)],
            Reply::Refreshed(Ok(caller)) if caller.owner == self.caller.owner => {
                let token_expires_at = caller.expires_at.into();
                self.caller = caller;
                vec![Action::Send(ServerMessage::SessionRefreshed { reference, token_expires_at })]
            }
            Reply::Refreshed(Ok(_)) => {
                vec![refuse(reference, Problem::new(Slug::Forbidden, "The token is of another person or tenant."))]
            }
            Reply::Refreshed(Err(e)) => vec![refuse_with(reference, e.into())],
            Reply::Resumed(after, missed) => {
                // until they are on their way
                self.resuming = missed.as_ref().is_some_and(|missed| !missed.is_empty());
                let (recovered, missed) = (missed.is_some(), missed.unwrap_or_default());
                let resumed = ServerMessage::SessionResumed { reference, recovered, replayed: missed.len() as u64 };
                // a number that nobody gave silences nothing
                let after = if recovered { after } else { 0 };
                vec![Action::Send(resumed), Action::Replay(after, missed)]
            }
            Reply::Opened(open, result) => {
                self.opening -= 1;
                let (export, trace) = match result {
                    Ok(found) => found,
                    Err(refusal) => return vec![refuse_with(reference, refusal)],
                };
                let stream = self.open(&export, trace, &open, None);
                let opened = ServerMessage::FileOpened {
                    reference,
                    stream: stream.stream,
                    export_id: export.id,
                    offset: open.offset,
                    size: export.file.map(|file| file.size),
                    attempt: open.attempt.or(Some(export.attempt)).filter(|attempt| *attempt > 0),
                };
                vec![Action::Send(opened), Action::Stream(stream)]
            }
        }
    }

    /// A pump came to its end. `answered`: it has answered the client's wish to close it.
    pub(super) fn on_stream_end(&mut self, stream: u32, answered: bool) -> Vec<Action> {
        self.streams.remove(&stream);
        match self.closing.remove(&stream) {
            // the wish and the stream's own end crossed
            Some(reference) if !answered => {
                vec![Action::Send(ServerMessage::FileClosed { reference, stream, problem: None })]
            }
            _ => vec![],
        }
    }

    fn open(
        &mut self,
        export: &Export,
        trace: TraceContext,
        file: &FileOpen,
        announce: Option<Option<String>>,
    ) -> NewStream {
        self.last_stream += 1;
        let stream = self.last_stream;
        let window = Arc::new(Window::new(file.window.unwrap_or(DEFAULT_WINDOW_BYTES)));
        let stop = Stop::default();
        self.streams.insert(stream, Open { window: window.clone(), stop: stop.clone() });
        NewStream {
            stream,
            export: export.id,
            trace,
            offset: file.offset,
            attempt: file.attempt,
            window,
            stop,
            live: export.status.is_unfinished(),
            announce,
        }
    }

    fn reserve(&mut self, wanted: bool) -> Result<(), Problem> {
        let open = u32::try_from(self.streams.len()).unwrap_or(u32::MAX).saturating_add(self.opening);
        if wanted && open >= self.config.streams {
            let detail = format!("A session holds at most {} file streams; close one first.", self.config.streams);
            return Err(Problem::new(Slug::RateLimited, detail));
        }
        self.opening += u32::from(wanted);
        Ok(())
    }

    fn request(&mut self, reference: Option<String>, request: Request) -> Vec<Action> {
        if self.requests >= self.config.requests_in_flight {
            let opens = match &request {
                Request::Open(_) => true,
                Request::Create(create) => create.deliver == Deliver::Stream,
                Request::Cancel(_) | Request::Refresh(_) | Request::Resume(..) => false,
            };
            self.opening -= u32::from(opens);
            let detail = format!("{} requests are being worked on; wait for an answer.", self.requests);
            return vec![refuse(reference, Problem::new(Slug::RateLimited, detail))];
        }
        self.requests += 1;
        vec![Action::Request(reference, request)]
    }

    fn check_window(&self, window: Option<u64>) -> Result<(), Problem> {
        if window.is_some_and(|bytes| bytes > self.config.window_bytes) {
            return Err(self.window_too_large("/window"));
        }
        Ok(())
    }

    fn window_too_large(&self, pointer: &str) -> Problem {
        let detail = format!("at most {} bytes at once", self.config.window_bytes);
        Problem::invalid(Slug::InvalidRequest, vec![FieldError::new(pointer, detail)])
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        for open in self.streams.values() {
            open.stop.abandon();
        }
    }
}

fn no_stream() -> Problem {
    Problem::invalid(Slug::InvalidRequest, vec![FieldError::new("/stream", "this session never opened such a stream")])
}

fn refuse(reference: Option<String>, problem: Problem) -> Action {
    Action::Send(ServerMessage::error(reference, problem))
}

fn refuse_with(reference: Option<String>, refusal: Refusal) -> Action {
    refuse(reference, refusal.problem)
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
