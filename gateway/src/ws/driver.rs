//! The driver of one WebSocket session owns the socket, performs I/O, and executes the actions that [`Session`]
//! returns.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use async_nats::Subscriber;
use futures::{StreamExt, stream::SplitStream};
use protocol::{close::CloseCode, envelope::ProgressReport, server::ServerMessage, subject};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{mpsc, oneshot},
    task::JoinSet,
    time::{Instant, MissedTickBehavior},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{self, Message},
};
use tracing::{debug, info, warn};
use uuid::Uuid;

use super::{
    closing,
    outbox::{Outbox, OutgoingMessage, TooSlow, outbox},
    pump,
    requests::{Reply, SessionTrace, WS_PATH, perform},
    session::{Action, Session},
};
use crate::{
    auth::Caller,
    operate::StateReceiver,
    sessions::{ProgressThrottle, RenderedEvent, SessionGuard, Transport, session_ready},
    state::AppState,
};

/// The minimum sleep before the driver checks the token's expiry again. The timer of the sleep may fire before the
/// gateway's clock reaches the expiry. Without a minimum, the driver would then check in a busy loop.
const MIN_EXPIRY_SLEEP: Duration = Duration::from_millis(10);

/// Runs a session from its first message to its close.
pub(super) async fn run<S>(app: AppState, caller: Caller, trace: SessionTrace, socket: WebSocketStream<S>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let id = Uuid::now_v7();
    let (sink, mut stream) = socket.split();
    let (outbox, writer) = outbox(app.config.ws.write_timeout.get());
    let (close, closing) = oneshot::channel();
    let (failed, mut write_failure) = oneshot::channel();
    let writing = tokio::spawn(writer.run(sink, closing, failed));

    // the box frees the large future of the start, which queries the database; a session may stay open for days
    let code = match Box::pin(Driver::start(app, caller, id, trace, outbox)).await {
        Ok(mut driver) => {
            let code = driver.drive(&mut stream, &mut write_failure).await;
            info!(session.id = %id, session.close = code.code(), "session ended");
            code
        }
        Err(code) => code,
    };
    // an error means that the writer task has already ended
    let _ = close.send(code);
    if let Ok(sink) = writing.await
        && let Ok(socket) = stream.reunite(sink)
    {
        closing::finish(socket, code).await;
    }
}

struct Driver {
    app: AppState,
    id: Uuid,
    session: Session,
    outbox: Outbox,
    mailbox: mpsc::Receiver<RenderedEvent>,
    progress: Subscriber,
    /// The driver skips the events in the session's mailbox (its queue of events) up to this sequence number. These
    /// events are older than the start of the session, or the client already has them.
    seq: u64,
    /// Events that the client missed, which the session sends before newer events.
    missed: VecDeque<RenderedEvent>,
    trace: SessionTrace,
    requests: JoinSet<(Option<String>, Reply)>,
    pumps: JoinSet<(u32, bool)>,
    throttle: ProgressThrottle,
    /// The state of the installation; None unless the client watches it as an operator.
    state: Option<StateReceiver>,
    _guard: SessionGuard,
}

impl Driver {
    /// Registers the session and sends `session.ready`, the first message of every session.
    ///
    /// # Errors
    /// The code with which the session must close, when the user has too many sessions or a step fails.
    async fn start(
        app: AppState,
        caller: Caller,
        id: Uuid,
        trace: SessionTrace,
        outbox: Outbox,
    ) -> Result<Self, CloseCode> {
        let owner = caller.owner.clone();
        let (guard, mailbox) =
            app.sessions.register(&owner, id, Transport::WebSocket).ok_or(CloseCode::TooManySessions)?;
        let internal = |e: &dyn std::fmt::Display| {
            warn!(error = %e, "failed to start a session");
            CloseCode::Internal
        };
        let progress = app.bus.subscribe(subject::user_progress(&owner)).await.map_err(|e| internal(&e))?;
        let credits = app.credits.summary(&owner).await.map_err(|r| internal(&r.problem))?;
        // the position is read after the registration, so that the mailbox receives every later event
        let start = app.events.position();
        let ready = session_ready(id, &caller, &start, &app.config.ws, credits);
        outbox.send(OutgoingMessage::Text(ready.to_text().into())).map_err(|TooSlow| CloseCode::TooSlow)?;
        info!(session.id = %id, trace_id = %trace.trace.trace_id_hex(), "session started");
        Ok(Self {
            id,
            seq: start.seq,
            session: Session::new(caller, &app.config.ws, start, Instant::now()),
            outbox,
            mailbox,
            progress,
            missed: VecDeque::new(),
            trace,
            requests: JoinSet::new(),
            pumps: JoinSet::new(),
            throttle: ProgressThrottle::default(),
            state: None,
            app,
            _guard: guard,
        })
    }

    /// Handles the session's inputs one at a time, until an input ends the session. Returns the close code. These are
    /// the inputs:
    ///
    /// - `session_close`: the gateway stops, and the client must reconnect to another gateway. Each session closes at
    ///   its own random time.
    /// - `watch`: the caller's API key was deleted or has expired.
    /// - `write_failure`: the writer task failed to write, or a write exceeded the write timeout.
    /// - `stream`: a frame of the client, or the end of the connection. The driver reads a frame only while the outbox
    ///   (the queue of outgoing messages) has room for the answers. So the answers to a burst of messages cannot
    ///   overflow the outbox, which would close the session.
    /// - `mailbox`: the next event from the session's mailbox (its queue of events). During a `session.resume`, events
    ///   wait in the mailbox until the driver has sent all events that the client missed. The mailbox is closed when it
    ///   overflows, and when the event stream in NATS is recreated. A closed mailbox ends the session.
    /// - `missed`: the events that the client missed before it reconnected. The driver sends them only as fast as the
    ///   client reads, so that many missed events cannot overflow the outbox.
    /// - `progress`: a progress report about an export of this owner. The driver limits the rate of these reports, and
    ///   may drop a report.
    /// - `requests`: the reply to a request. Requests run as tasks, so that a slow request delays neither pings nor
    ///   other requests.
    /// - `pumps`: the end of a file stream. A [pump](super::pump) is the task that sends the bytes of one file stream
    ///   to the outbox.
    /// - `state`: a change of the state of the installation, for an operator who watches it. If the client reads slowly,
    ///   the driver skips states, because only the newest one matters.
    /// - `heartbeat`: the time of the next ping. Pings detect a dead client sooner than TCP does.
    /// - `expiry`: the end of the sleep until the token expires. The driver then compares the expiry with the wall
    ///   clock, because the clock may be set during the sleep. An expired token ends the session.
    async fn drive<S>(
        &mut self,
        stream: &mut SplitStream<WebSocketStream<S>>,
        write_failure: &mut oneshot::Receiver<CloseCode>,
    ) -> CloseCode
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let drain = self.app.drain.clone();
        let mut session_close = std::pin::pin!(drain.session_close(self.id));
        let watch = self.app.api_keys.watch(&self.session.caller);
        let period = self.app.config.ws.heartbeat_interval.get();
        let mut heartbeat = tokio::time::interval_at(Instant::now() + period, period);
        // after a pause of the process, a client has a full interval to answer a ping before it counts as dead
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut has_progress = true;
        loop {
            let expiry = self.session.caller.time_to_expiry(self.app.clock.now()).max(MIN_EXPIRY_SLEEP);
            let has_room = self.outbox.has_room();
            let actions = tokio::select! {
                () = &mut session_close => return CloseCode::GoingAway,
                () = watch.revoked() => return CloseCode::TokenExpired,
                code = &mut *write_failure => return code.unwrap_or(CloseCode::GoingAway),
                () = self.outbox.room(), if !has_room => vec![],
                message = stream.next(), if has_room => match self.on_frame(message) {
                    Ok(actions) => actions,
                    Err(code) => return code,
                },
                event = self.mailbox.recv(), if !self.session.is_resuming() => match event {
                    Some(event) if event.seq > self.seq => {
                        if self.outbox.send(OutgoingMessage::Text(event.text)) == Err(TooSlow) {
                            return CloseCode::TooSlow;
                        }
                        vec![]
                    }
                    Some(_) => vec![],
                    None => return self.on_closed_mailbox(),
                },
                sent = replay(&self.outbox, self.missed.front()), if !self.missed.is_empty() => {
                    if sent == Err(TooSlow) {
                        return CloseCode::TooSlow;
                    }
                    self.missed.pop_front();
                    if self.missed.is_empty() {
                        self.session.on_replay_end();
                    }
                    vec![]
                }
                report = self.progress.next(), if has_progress => {
                    match report {
                        Some(message) => self.on_progress(&message.payload),
                        None => has_progress = false,
                    }
                    vec![]
                }
                Some(done) = self.requests.join_next() => match done {
                    Ok((reference, reply)) => self.session.on_reply(reference, reply),
                    Err(_) => return CloseCode::Internal,
                },
                Some(done) = self.pumps.join_next() => match done {
                    Ok((stream, is_answered)) => self.session.on_stream_end(stream, is_answered),
                    Err(_) => return CloseCode::Internal,
                },
                Some(state) = changed(self.state.as_mut()) => {
                    self.outbox.send_lossy_text(state);
                    vec![]
                }
                _ = heartbeat.tick() => vec![self.session.on_heartbeat()],
                () = tokio::time::sleep(expiry) => {
                    if self.session.caller.is_expired(self.app.clock.now()) {
                        return CloseCode::TokenExpired;
                    }
                    vec![]
                }
            };
            for action in actions {
                if let Err(code) = self.execute(action).await {
                    return code;
                }
            }
        }
    }

    /// Returns the close code for a session whose mailbox (its queue of events) was closed. If the epoch (the identity
    /// of the event stream) has changed, the stream was recreated, and the code is [`CloseCode::GoingAway`]. Otherwise
    /// the mailbox overflowed because the client reads too slowly, and the code is [`CloseCode::TooSlow`].
    fn on_closed_mailbox(&self) -> CloseCode {
        let is_same_epoch = *self.app.events.position().epoch == *self.session.epoch();
        if is_same_epoch { CloseCode::TooSlow } else { CloseCode::GoingAway }
    }

    fn on_progress(&mut self, payload: &[u8]) {
        match serde_json::from_slice(payload) {
            Ok(ProgressReport { export_id, progress }) => {
                if self.throttle.is_due(export_id, Instant::now()) {
                    self.outbox.send_lossy(&ServerMessage::ExportProgress { export_id, progress });
                }
            }
            Err(e) => debug!(error = %e, "skipped an unreadable progress report"),
        }
    }

    fn on_frame(&mut self, message: Option<Result<Message, tungstenite::Error>>) -> Result<Vec<Action>, CloseCode> {
        self.session.on_activity();
        match message {
            Some(Ok(Message::Text(text))) => Ok(self.session.on_text(&text, Instant::now())),
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {
                Ok(self.session.on_control_frame(Instant::now()))
            }
            Some(Ok(Message::Binary(_))) => Err(CloseCode::BadMessage),
            Some(Err(e)) => {
                debug!(session.id = %self.id, error = %e, "failed to read a frame");
                Err(closing::code_of(&e))
            }
            Some(Ok(Message::Close(_))) | None => Err(CloseCode::GoingAway),
        }
    }

    async fn execute(&mut self, action: Action) -> Result<(), CloseCode> {
        let slow = |TooSlow| CloseCode::TooSlow;
        match action {
            Action::Send(mut message) => {
                if let ServerMessage::Error { problem, .. } = &mut message {
                    **problem = (**problem).clone().with_request(WS_PATH, &self.trace.trace.trace_id_hex());
                    metrics::counter!("sluice_gateway_problems_total", "slug" => problem.slug().as_str()).increment(1);
                    info!(problem = %problem.slug(), trace_id = problem.trace_id.as_deref(), "request refused");
                }
                self.outbox.send(OutgoingMessage::Text(message.to_text().into())).map_err(slow)?;
            }
            Action::Ping => self.outbox.send(OutgoingMessage::Ping).map_err(slow)?,
            Action::Watch(starts) => self.state = starts.then(|| self.app.operate.live.subscribe()),
            Action::Close(code) => return Err(code),
            Action::Request(reference, request) => {
                let work = Box::pin(perform(self.app.clone(), self.session.caller.clone(), self.trace, request));
                self.requests.spawn(async move { (reference, work.await) });
            }
            Action::Replay(after, missed) => {
                self.seq = self.seq.max(after);
                self.missed = missed.into();
            }
            Action::Stream(new) => {
                let (source, owner) = (self.app.source.clone(), self.session.caller.owner.clone());
                let trace_id = self.trace.trace.trace_id_hex();
                Box::pin(pump::spawn(&mut self.pumps, source, owner, trace_id, &self.outbox, new)).await;
            }
        }
        Ok(())
    }
}

/// Waits for the next state of the installation. Waits forever without a receiver. None for a state that is not known
/// yet. Cancel safe.
async fn changed(state: Option<&mut StateReceiver>) -> Option<Arc<str>> {
    let Some(state) = state else { return std::future::pending().await };
    match state.changed().await {
        Ok(()) => state.borrow_and_update().clone(),
        // the sender lives as long as the gateway
        Err(_) => std::future::pending().await,
    }
}

async fn replay(outbox: &Outbox, missed: Option<&RenderedEvent>) -> Result<(), TooSlow> {
    match missed {
        Some(event) => outbox.replay(&event.text).await,
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the size, in bytes, of the future that a function returns. Does not call the function.
    fn future_size<A, B, C, D, F>(_: impl FnOnce(A, B, C, D) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn an_open_session_is_a_small_task() {
        let bytes = future_size(run::<tokio::net::TcpStream>);
        assert!(bytes < 32 * 1024, "{bytes} bytes");
    }
}
