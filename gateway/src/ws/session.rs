//! The state machine of a session. For each input, the state machine returns the actions that the
//! [driver](super::driver) must perform. The driver owns the socket and performs all I/O.

use protocol::{
    client::{self, ClientMessage, Deliver, FileClose, FileOpen, FileWindow, ParseError},
    close::CloseCode,
    problem::{FieldError, Problem, Slug},
    server::ServerMessage,
};
use tokio::time::Instant;

use super::{
    rate_limit::{self, TokenBucket},
    requests::{Reply, Request},
    streams::{CloseResult, NewStream, Streams},
};
use crate::{
    auth::Caller,
    config::WsConfig,
    error::Refusal,
    operate::Operator,
    sessions::{MAX_WINDOW, Position, RenderedEvent},
};

/// The maximum number of requests that one session may have in progress at the same time. The session refuses further
/// requests.
pub(super) const MAX_REQUESTS: usize = 32;
/// The number of unanswered pings after which the session closes.
const MAX_UNANSWERED_PINGS: u8 = 2;

/// An action for the [driver](super::driver), which owns the socket.
#[derive(Debug)]
pub(super) enum Action {
    Send(ServerMessage),
    /// Perform the request. The first value is the `ref` of the client's message: an optional string that the answer
    /// repeats. Pass this value to [`Session::on_reply`] together with the reply.
    Request(Option<String>, Request),
    /// Start the [pump](super::pump) (the task that sends the bytes of the file) of this new file stream.
    Stream(NewStream),
    /// Send these events, which the client missed, before the events in the session's mailbox (its queue of events).
    /// The first value is a sequence number. Skip the events in the mailbox up to this number, because the client
    /// already has them.
    Replay(u64, Vec<RenderedEvent>),
    Ping,
    /// Start to send the state of the installation, if true, or stop it.
    Watch(bool),
    /// Close the session with this code.
    Close(CloseCode),
}

/// The state of an authenticated WebSocket session.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) caller: Caller,
    pub(super) streams: Streams,
    /// The number of client requests in progress, such as submissions of exports.
    requests: usize,
    rate: TokenBucket,
    unanswered_pings: u8,
    /// The position in the event stream at which the session started. The session's mailbox (its queue of events)
    /// receives all later events.
    start: Position,
    /// Whether a `session.resume` is in progress. With this message the client requests the events that it missed.
    /// Newer events wait in the session's mailbox (its queue of events) until the driver has sent all missed events.
    is_resuming: bool,
}

impl Session {
    pub(super) fn new(caller: Caller, config: &WsConfig, start: Position, now: Instant) -> Self {
        Self {
            caller,
            streams: Streams::new(config.max_file_streams),
            requests: 0,
            rate: TokenBucket::new(config.messages_per_second, now),
            unanswered_pings: 0,
            start,
            is_resuming: false,
        }
    }

    /// Whether a `session.resume` is in progress. If so, newer events must wait until the session has sent the events
    /// that the client missed.
    pub(super) fn is_resuming(&self) -> bool {
        self.is_resuming
    }

    /// Records that the [driver](super::driver) has sent the last event that the client missed.
    pub(super) fn on_replay_end(&mut self) {
        self.is_resuming = false;
    }

    /// Returns the epoch (the identity of the event stream) at the start of the session.
    pub(super) fn epoch(&self) -> &str {
        &self.start.epoch
    }

    /// Handles any frame of the client, such as a pong. The frame shows that the client is alive, so no ping counts as
    /// unanswered.
    pub(super) fn on_activity(&mut self) {
        self.unanswered_pings = 0;
    }

    /// Handles the end of a heartbeat interval. Pings the client, or closes the session if the client has left
    /// [`MAX_UNANSWERED_PINGS`] pings unanswered.
    pub(super) fn on_heartbeat(&mut self) -> Action {
        if self.unanswered_pings >= MAX_UNANSWERED_PINGS {
            return Action::Close(CloseCode::TooSlow);
        }
        self.unanswered_pings += 1;
        Action::Ping
    }

    /// Handles a text frame of the client, and returns the actions that the driver must perform.
    pub(super) fn on_text(&mut self, text: &str, now: Instant) -> Vec<Action> {
        let parsed = client::parse(text);
        let is_window = matches!(parsed, Ok((_, ClientMessage::FileWindow(_))));
        let cost = if is_window { rate_limit::WINDOW_COST } else { rate_limit::MESSAGE_COST };
        if !self.rate.take(cost, now) {
            return vec![Action::Close(CloseCode::TooManyMessages)];
        }
        match parsed {
            Ok((reference, message)) => self.on_message(reference, message),
            Err(ParseError::NotAnObject) => vec![Action::Close(CloseCode::BadMessage)],
            Err(ParseError::Invalid { reference, problem }) => vec![refuse(reference, *problem)],
        }
    }

    /// Counts a ping or pong of the WebSocket protocol against the rate limit of the client's messages. Closes the
    /// session if the client exceeds the limit.
    pub(super) fn on_control_frame(&mut self, now: Instant) -> Vec<Action> {
        if self.rate.take(rate_limit::MESSAGE_COST, now) {
            vec![]
        } else {
            vec![Action::Close(CloseCode::TooManyMessages)]
        }
    }

    fn on_message(&mut self, reference: Option<String>, message: ClientMessage) -> Vec<Action> {
        match message {
            ClientMessage::Ping(_) => vec![Action::Send(ServerMessage::Pong { reference })],
            ClientMessage::OperateWatch(_) => match Operator::from_caller(&self.caller) {
                Ok(_) => vec![Action::Watch(true)],
                Err(problem) => vec![refuse(reference, problem)],
            },
            ClientMessage::OperateUnwatch(_) => vec![Action::Watch(false)],
            ClientMessage::SessionResume(m) => {
                if self.is_resuming {
                    let detail = "An earlier `session.resume` is in progress; wait for its answer.";
                    return vec![refuse(reference, Problem::new(Slug::RateLimited, detail))];
                }
                let actions = self.request(reference, Request::Resume(m, self.start.clone()));
                self.is_resuming = matches!(actions.as_slice(), [Action::Request(..)]);
                actions
            }
            ClientMessage::SessionRefresh(m) => self.request(reference, Request::Refresh(m)),
            ClientMessage::ExportCancel(m) => self.request(reference, Request::Cancel(m)),
            ClientMessage::ExportCreate(m) => match self.reserve_for(m.deliver, m.window) {
                Ok(()) => self.request(reference, Request::Create(m)),
                Err(problem) => vec![refuse(reference, problem)],
            },
            ClientMessage::SavedRun(m) => match self.reserve_for(m.deliver, m.window) {
                Ok(()) => self.request(reference, Request::Run(m)),
                Err(problem) => vec![refuse(reference, problem)],
            },
            ClientMessage::FileOpen(m) => match self.reserve_stream(m.window) {
                Ok(()) => self.request(reference, Request::Open(m)),
                Err(problem) => vec![refuse(reference, problem)],
            },
            ClientMessage::FileWindow(m) => self.on_window(reference, &m),
            ClientMessage::FileClose(FileClose { stream }) => match self.streams.close(stream, reference.clone()) {
                Ok(CloseResult::PumpAnswers) => vec![],
                Ok(CloseResult::SessionAnswers) => {
                    vec![Action::Send(ServerMessage::FileClosed { reference, stream, problem: None })]
                }
                Err(problem) => vec![refuse(reference, problem)],
            },
        }
    }

    fn on_window(&mut self, reference: Option<String>, grant: &FileWindow) -> Vec<Action> {
        let granted =
            if grant.bytes > MAX_WINDOW.bytes() { Err(window_too_large("/bytes")) } else { self.streams.grant(grant) };
        granted.err().map(|problem| refuse(reference, problem)).into_iter().collect()
    }

    /// Handles the reply to a request of this session, and returns the actions that answer the client. `reference` is
    /// the `ref` of the client's message: an optional string that the answer repeats.
    pub(super) fn on_reply(&mut self, reference: Option<String>, reply: Reply) -> Vec<Action> {
        self.requests -= 1;
        match reply {
            Reply::Created(create, trace, result) => {
                let has_stream = create.deliver == Deliver::Stream;
                if has_stream {
                    self.streams.release();
                }
                let export = match result {
                    Ok(export) => export,
                    Err(refusal) => return vec![refuse_with(reference, refusal)],
                };
                let file = FileOpen { export_id: export.id, offset: 0, attempt: None, window: create.window };
                let stream = has_stream.then(|| self.streams.open(&export, trace, &file, Some(reference.clone())));
                let accepted = ServerMessage::ExportAccepted { reference, export: Box::new(export) };
                std::iter::once(Action::Send(accepted)).chain(stream.map(Action::Stream)).collect()
            }
            Reply::Canceled(Ok(export)) => {
                // the owner's sessions learn of the cancellation from an event, so only a request with a `ref` gets an
                // answer
                let accepted =
                    |r| Action::Send(ServerMessage::ExportAccepted { reference: Some(r), export: Box::new(export) });
                reference.map(accepted).into_iter().collect()
            }
            Reply::Canceled(Err(refusal)) => vec![refuse_with(reference, refusal)],
            Reply::Refreshed(Ok(caller)) if caller.owner == self.caller.owner => {
                let token_expires_at = caller.token_expires_at();
                let watch = (!caller.may_operate()).then_some(Action::Watch(false));
                self.caller = caller;
                let refreshed = vec![Action::Send(ServerMessage::SessionRefreshed { reference, token_expires_at })];
                refreshed.into_iter().chain(watch).collect()
            }
            Reply::Refreshed(Ok(_)) => {
                vec![refuse(reference, Problem::new(Slug::Forbidden, "The token has another subject or tenant."))]
            }
            Reply::Refreshed(Err(e)) => vec![refuse_with(reference, e.into())],
            Reply::Resumed(after, missed) => {
                // the resume is in progress until the driver has sent the last missed event
                self.is_resuming = missed.as_ref().is_some_and(|missed| !missed.is_empty());
                let (recovered, missed) = (missed.is_some(), missed.unwrap_or_default());
                let resumed = ServerMessage::SessionResumed { reference, recovered, replayed: missed.len() as u64 };
                // without a replay, no event may be skipped because of the client's sequence number
                let after = if recovered { after } else { 0 };
                vec![Action::Send(resumed), Action::Replay(after, missed)]
            }
            Reply::Opened(open, result) => {
                self.streams.release();
                let (export, trace) = match result {
                    Ok(found) => found,
                    Err(refusal) => return vec![refuse_with(reference, refusal)],
                };
                let stream = self.streams.open(&export, trace, &open, None);
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

    /// Handles the end of the [pump](super::pump) (the task that sends the file's bytes) of the stream with the number
    /// `stream`. `is_answered` is true if the pump has answered the client's `file.close`, or if the session ends and
    /// needs no answer. If it is false and the client has sent `file.close`, returns the answer `file.closed`.
    pub(super) fn on_stream_end(&mut self, stream: u32, is_answered: bool) -> Vec<Action> {
        let unanswered = self.streams.remove(stream, is_answered);
        let closed = |reference| Action::Send(ServerMessage::FileClosed { reference, stream, problem: None });
        unanswered.map(closed).into_iter().collect()
    }

    /// Reserves a stream for the file of a new export, if the client wants one.
    fn reserve_for(&mut self, deliver: Deliver, window: Option<u64>) -> Result<(), Problem> {
        if deliver == Deliver::Stream { self.reserve_stream(window) } else { check_window(window) }
    }

    fn reserve_stream(&mut self, window: Option<u64>) -> Result<(), Problem> {
        check_window(window)?;
        self.streams.reserve()
    }

    fn request(&mut self, reference: Option<String>, request: Request) -> Vec<Action> {
        if self.requests >= MAX_REQUESTS {
            let has_reserved_stream = match &request {
                Request::Open(_) => true,
                Request::Create(create) => create.deliver == Deliver::Stream,
                Request::Run(run) => run.deliver == Deliver::Stream,
                Request::Cancel(_) | Request::Refresh(_) | Request::Resume(..) => false,
            };
            if has_reserved_stream {
                self.streams.release();
            }
            let detail = format!("{} requests of this session are in progress; wait for an answer.", self.requests);
            return vec![refuse(reference, Problem::new(Slug::RateLimited, detail))];
        }
        self.requests += 1;
        vec![Action::Request(reference, request)]
    }
}

fn check_window(window: Option<u64>) -> Result<(), Problem> {
    if window.is_some_and(|bytes| bytes > MAX_WINDOW.bytes()) { Err(window_too_large("/window")) } else { Ok(()) }
}

fn window_too_large(pointer: &str) -> Problem {
    let detail = format!("must not exceed {} bytes", MAX_WINDOW.bytes());
    Problem::invalid(Slug::InvalidRequest, vec![FieldError::new(pointer, detail)])
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
