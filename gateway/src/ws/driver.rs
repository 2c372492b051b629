//! Owns one socket: reads it, follows the bus, keeps the clocks, and does what the session's rules say.

use std::{collections::VecDeque, time::Duration};

use async_nats::Subscriber;
use chrono::{DateTime, Utc};
use futures::{StreamExt, stream::SplitStream};
use platform::telemetry::traces;
use protocol::{
    close::CloseCode,
    envelope::ProgressNote,
    server::{ServerMessage, SessionLimits},
    subject,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite},
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
    outbox::{Out, Outbox, TooSlow, outbox},
    pump::Pump,
    registry::Notice,
    requests::{Origin, Reply, perform},
    session::{Action, NewStream, Session},
    told::Told,
};
use crate::{
    app::App,
    auth::Caller,
    delivery::{self, Reader},
};

/// How long the client has to answer a close.
const FAREWELL: Duration = Duration::from_secs(2);
/// What is read and thrown away of a message that was too big, so that the client gets to read why.
const MAX_DISCARD: u64 = 64 * 1024 * 1024;
/// A client that has stopped sending for this long has seen the close.
const QUIET: Duration = Duration::from_millis(300);

/// Runs a session from its first message to its close.
pub(super) async fn run<S>(app: App, caller: Caller, origin: Origin, socket: WebSocketStream<S>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let id = Uuid::now_v7();
    let (sink, mut stream) = socket.split();
    let (outbox, writer) = outbox(Duration::from_millis(app.config.ws.write_timeout_ms));
    let (close, closing) = oneshot::channel();
    let (failed, mut failure) = oneshot::channel();
    let writing = tokio::spawn(writer.run(sink, closing, failed));

    let code = match Driver::begin(app, caller, id, origin, outbox).await {
        Ok(mut driver) => {
            let code = driver.drive(&mut stream, &mut failure).await;
            info!(session.id = %id, session.close = code.code(), "session ended");
            code
        }
        Err(code) => code,
    };
    // the writer may have given up before
    let _ = close.send(code);
    if let Ok(sink) = writing.await
        && let Ok(socket) = stream.reunite(sink)
    {
        part(socket, code).await;
    }
}

struct Driver {
    app: App,
    id: Uuid,
    session: Session,
    outbox: Outbox,
    notices: mpsc::Receiver<Notice>,
    progress: Subscriber,
    /// The client has the events up to this one, or gets them otherwise.
    seq: u64,
    /// Missed events that are still to be sent, before newer ones.
    missed: VecDeque<Notice>,
    /// The request that opened the session.
    origin: Origin,
    requests: JoinSet<(Option<String>, Reply)>,
    pumps: JoinSet<(u32, bool)>,
    told: Told,
    _seat: super::registry::Seat,
}

impl Driver {
    /// Takes a seat, looks up what the first message says, and sends it.
    async fn begin(app: App, caller: Caller, id: Uuid, origin: Origin, outbox: Outbox) -> Result<Self, CloseCode> {
        let owner = caller.owner.clone();
        let (seat, notices) = app.registry.enter(&owner, id).ok_or(CloseCode::TooManySessions)?;
        let internal = |e: &dyn std::fmt::Display| {
            warn!(error = %e, "a session can't begin");
            CloseCode::Internal
        };
        let progress = app.bus.subscribe(subject::progress_of(&owner)).await.map_err(|e| internal(&e))?;
        let credits = app.credits.summary(&owner).await.map_err(|r| internal(&r.problem))?;
        let begin = app.events.position();
        let (epoch, seq) = (begin.epoch.to_string(), begin.seq);
        let session = Session::new(caller, app.config.ws.clone(), begin, Instant::now());
        let limits: SessionLimits = session.limits();
        let ready = ServerMessage::SessionReady {
            session_id: id.to_string(),
            sub: owner.user,
            tenant: owner.tenant,
            epoch,
            seq,
            token_expires_at: session.caller.expires_at.into(),
            heartbeat_ms: app.config.ws.heartbeat_ms,
            limits,
            credits,
        };
        outbox.send(Out::Text(ready.to_text().into())).map_err(|TooSlow| CloseCode::TooSlow)?;
        info!(session.id = %id, trace_id = %origin.trace.trace_id_hex(), "session began");
        let (requests, pumps) = (JoinSet::new(), JoinSet::new());
        Ok(Self {
            app,
            id,
            session,
            outbox,
            notices,
            progress,
            seq,
            missed: VecDeque::new(),
            origin,
            requests,
            pumps,
            told: Told::default(),
            _seat: seat,
        })
    }

    /// Until something ends the session.
    async fn drive<S>(
        &mut self,
        stream: &mut SplitStream<WebSocketStream<S>>,
        failure: &mut oneshot::Receiver<CloseCode>,
    ) -> CloseCode
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let drain = self.app.drain.clone();
        let mut farewell = std::pin::pin!(drain.farewell(self.id));
        let period = Duration::from_millis(self.app.config.ws.heartbeat_ms);
        let mut heartbeat = tokio::time::interval_at(Instant::now() + period, period);
        // a process that stood still for a while gives its clients time to answer, instead of taking them all for dead
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut progress_open = true;
        loop {
            let expiry = until(self.session.caller.expires_at, self.app.clock.now());
            let actions = tokio::select! {
                // the process stops: clients go to another gateway
                () = &mut farewell => return CloseCode::GoingAway,
                // the writer could not write
                code = &mut *failure => return code.unwrap_or(CloseCode::GoingAway),
                // the client said something
                message = stream.next() => match self.on_frame(message) {
                    Ok(actions) => actions,
                    Err(code) => return code,
                },
                // an event of this person; None: the mailbox overflowed
                notice = self.notices.recv(), if !self.session.is_resuming() => match notice {
                    Some(notice) if notice.seq > self.seq => {
                        if self.outbox.send(Out::Text(notice.text)) == Err(TooSlow) {
                            return CloseCode::TooSlow;
                        }
                        vec![]
                    }
                    Some(_) => vec![],
                    None => return self.without_mailbox(),
                },
                // an event that was missed while away
                sent = replay(&self.outbox, self.missed.front()), if !self.missed.is_empty() => {
                    if sent == Err(TooSlow) {
                        return CloseCode::TooSlow;
                    }
                    self.missed.pop_front();
                    if self.missed.is_empty() {
                        self.session.on_caught_up();
                    }
                    vec![]
                }
                // progress of this person's exports; may be dropped
                note = self.progress.next(), if progress_open => {
                    match note.map(|message| serde_json::from_slice::<ProgressNote>(&message.payload)) {
                        Some(Ok(ProgressNote { export_id, progress })) if self.told.is_due(export_id, Instant::now()) => {
                            self.outbox.send_lossy(&ServerMessage::ExportProgress { export_id, progress });
                        }
                        Some(Ok(_)) => {}
                        Some(Err(e)) => debug!(error = %e, "an unreadable progress note was passed over"),
                        None => progress_open = false,
                    }
                    vec![]
                }
                // a request was performed
                Some(done) = self.requests.join_next() => match done {
                    Ok((reference, reply)) => self.session.on_reply(reference, reply),
                    Err(_) => return CloseCode::Internal,
                },
                // a stream came to its end
                Some(done) = self.pumps.join_next() => match done {
                    Ok((stream, answered)) => self.session.on_stream_end(stream, answered),
                    Err(_) => return CloseCode::Internal,
                },
                _ = heartbeat.tick() => vec![self.session.on_heartbeat()],
                () = tokio::time::sleep(expiry) => {
                    if self.app.clock.now() < self.session.caller.expires_at { vec![] } else { return CloseCode::TokenExpired }
                }
            };
            for action in actions {
                if let Err(code) = self.act(action).await {
                    return code;
                }
            }
        }
    }

    /// It overflowed, or numbers began again; then nothing is wrong with the client.
    fn without_mailbox(&self) -> CloseCode {
        let same = *self.app.events.position().epoch == *self.session.epoch();
        if same { CloseCode::TooSlow } else { CloseCode::GoingAway }
    }

    fn on_frame(&mut self, message: Option<Result<Message, tungstenite::Error>>) -> Result<Vec<Action>, CloseCode> {
        self.session.on_sign_of_life();
        match message {
            Some(Ok(Message::Text(text))) => Ok(self.session.on_text(&text, Instant::now())),
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => Ok(vec![]),
            Some(Ok(Message::Binary(_))) => Err(CloseCode::BadMessage),
            Some(Err(tungstenite::Error::Capacity(_))) => Err(CloseCode::TooBig),
            Some(Err(tungstenite::Error::Utf8(_))) => Err(CloseCode::BadMessage),
            Some(Ok(Message::Close(_)) | Err(_)) | None => Err(CloseCode::GoingAway),
        }
    }

    async fn act(&mut self, action: Action) -> Result<(), CloseCode> {
        let slow = |TooSlow| CloseCode::TooSlow;
        match action {
            Action::Send(mut message) => {
                if let ServerMessage::Error { problem, .. } = &mut message {
                    let told = (**problem).clone().of_request("/v1/ws", &self.origin.trace.trace_id_hex());
                    metrics::counter!("sluice_gateway_problems_total", "slug" => told.slug().as_str()).increment(1);
                    info!(problem = %told.slug(), trace_id = told.trace_id.as_deref(), "refused");
                    **problem = told;
                }
                self.outbox.send(Out::Text(message.to_text().into())).map_err(slow)?;
            }
            Action::Ping => self.outbox.send(Out::Ping).map_err(slow)?,
            Action::Close(code) => return Err(code),
            Action::Request(reference, request) => {
                let work = perform(self.app.clone(), self.session.caller.clone(), self.origin, request);
                self.requests.spawn(async move { (reference, work.await) });
            }
            Action::Replay(after, missed) => {
                self.seq = self.seq.max(after);
                self.missed = missed.into();
            }
            Action::Stream(new) => self.start(new).await,
        }
        Ok(())
    }

    async fn start(&mut self, new: NewStream) {
        let NewStream { stream, export, trace, offset, attempt, window, stop, live, announce } = new;
        let (trace_id, closed_since, over) = (self.origin.trace.trace_id_hex(), None, false);
        let (source, owner) = (self.app.source.clone(), self.session.caller.owner.clone());
        let idle = Duration::from_millis(self.app.config.ws.idle_stream_ms);
        let (out, answers) = (self.outbox.frames(), self.outbox.frames());
        // subscribed before the first question, so that no announcement falls in between
        let span = delivery::span("socket", export, offset);
        traces::follow(&span, trace);
        let reader = Reader::open(source, owner, export, offset, attempt, live, span).await;
        let pump = Pump { stream, export, reader, window, out, idle, announce, trace_id, closed_since, over };
        self.pumps.spawn(async move {
            let answer = tokio::select! {
                asked = stop.stopped() => match asked {
                    Some(reference) => ServerMessage::FileClosed { reference, stream, problem: None },
                    // a client that reads on elsewhere must not be told that its stream is closed
                    None => return (stream, true),
                },
                () = pump.run() => return (stream, false),
            };
            // behind the frames on their way; without a session there is nobody to tell
            let _ = answers.send(Out::Text(answer.to_text().into())).await;
            (stream, true)
        });
    }
}

async fn replay(outbox: &Outbox, missed: Option<&Notice>) -> Result<(), TooSlow> {
    match missed {
        Some(notice) => outbox.replay(&notice.text).await,
        None => Ok(()),
    }
}

/// How long until then; some time at least, as clocks move.
fn until(then: DateTime<Utc>, now: DateTime<Utc>) -> Duration {
    (then - now).to_std().unwrap_or(Duration::ZERO).max(Duration::from_millis(10))
}

/// The rest of the closing handshake (RFC 6455, section 7.1.1): the client gets time to read the close.
async fn part<S>(mut socket: WebSocketStream<S>, code: CloseCode)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let parted = async {
        if code == CloseCode::TooBig {
            // what follows are the bytes of the refused message; a reset would swallow the close frame
            let mut left = MAX_DISCARD;
            let mut buffer = vec![0; 64 * 1024];
            let raw = socket.get_mut();
            while let Ok(Ok(read)) = tokio::time::timeout(QUIET, raw.read(&mut buffer)).await {
                left = left.saturating_sub(read as u64);
                if read == 0 || left == 0 {
                    return;
                }
            }
        } else {
            while let Some(Ok(_)) = socket.next().await {}
        }
    };
    let limit = if code == CloseCode::TooBig { FAREWELL * 5 } else { FAREWELL };
    // the time is all it gets
    let _ = tokio::time::timeout(limit, parted).await;
}
