//! `GET /v1/events`: what the socket pushes, as Server-Sent Events (WHATWG HTML, section 9.2), for clients that can't
//! hold a socket.

use std::{convert::Infallible, time::Duration};

use async_nats::Subscriber;
use axum::{
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use futures::{StreamExt, stream};
use platform::clock::SharedClock;
use protocol::{
    envelope::ProgressNote,
    problem::{Problem, Slug},
    server::{ServerMessage, SessionLimits},
    subject,
};
use tokio::{
    sync::mpsc,
    time::{Instant, Interval, MissedTickBehavior},
};
use tracing::{debug, info};
use uuid::Uuid;

use super::extract::Trace;
use crate::{
    app::App,
    auth::Caller,
    drain::Drain,
    error::{Outcome, Refusal},
    events::Position,
    ws::{
        registry::{Notice, Seat},
        told::Told,
    },
};

/// Frames that wait for the connection. When it is full, events wait in the mailbox, and progress is dropped.
const FRAMES: usize = 16;

/// `GET /v1/events`
pub(super) async fn follow(
    State(app): State<App>,
    caller: Caller,
    Trace(trace): Trace,
    headers: HeaderMap,
) -> Outcome<Response> {
    if !accepts(&headers) {
        let detail = "This answers with `text/event-stream`; accept that.";
        return Err(Problem::new(Slug::InvalidRequest, detail).with_status(406).into());
    }
    let (id, owner) = (Uuid::now_v7(), caller.owner.clone());
    let (seat, notices) = app.registry.enter(&owner, id).ok_or_else(|| {
        let detail = format!("You hold {} sessions here already; close one first.", app.config.ws.sessions_per_user);
        Refusal::new(Slug::RateLimited, detail).with_header(header::RETRY_AFTER, 5)
    })?;
    let progress = app.bus.subscribe(subject::progress_of(&owner)).await?;
    let begin = app.events.position();
    let mut first = vec![retry(app.config.events.retry_ms, id)];
    let (mut place, mut missed) = (begin.clone(), Vec::new());
    if let Some(last) = headers.get("last-event-id") {
        let after = position(last);
        let found = match &after {
            Some(after) => app.events.missed(&owner, after, &begin).await,
            None => None,
        };
        let recovered = found.is_some();
        missed = found.unwrap_or_default();
        place = after.filter(|_| recovered).unwrap_or(place);
        let replayed = missed.len() as u64;
        first.push(frame(Some(&place), &ServerMessage::SessionResumed { reference: None, recovered, replayed }));
    }
    let ready = ready(&app, &caller, id, &begin).await?;
    // under the place from which events follow: who breaks off here comes back to the same
    first.push(frame(Some(&place), &ready));
    first.extend(missed.iter().map(|notice| framed(&begin, notice)));
    info!(session.id = %id, trace_id = %trace.trace_id_hex(), session.replayed = missed.len(), "an event stream began");

    let (out, frames) = mpsc::channel(FRAMES);
    let period = Duration::from_millis(app.config.ws.heartbeat_ms);
    let mut heartbeat = tokio::time::interval_at(Instant::now() + period, period);
    // one comment breaks a silence, however long it was
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let follower = Follower {
        id,
        // a place further on was reached at another gateway
        begin: Position { seq: begin.seq.max(place.seq), ..begin },
        notices,
        progress,
        told: Told::default(),
        out,
        timeout: Duration::from_millis(app.config.ws.write_timeout_ms),
        heartbeat,
        expires_at: caller.expires_at,
        clock: app.clock.clone(),
        drain: app.drain.clone(),
        _seat: seat,
    };
    app.life.spawn(follower.run(first));
    let body = stream::unfold(frames, async |mut frames| Some((Ok::<_, Infallible>(frames.recv().await?), frames)));
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    Ok((StatusCode::OK, headers, Body::from_stream(body)).into_response())
}

async fn ready(app: &App, caller: &Caller, id: Uuid, begin: &Position) -> Outcome<ServerMessage> {
    let ws = &app.config.ws;
    Ok(ServerMessage::SessionReady {
        session_id: id.to_string(),
        sub: caller.owner.user.clone(),
        tenant: caller.owner.tenant.clone(),
        epoch: begin.epoch.to_string(),
        seq: begin.seq,
        token_expires_at: caller.expires_at.into(),
        heartbeat_ms: ws.heartbeat_ms,
        limits: SessionLimits {
            message_bytes: ws.message_bytes as u64,
            streams: ws.streams,
            window_bytes: ws.window_bytes,
        },
        credits: app.credits.summary(&caller.owner).await?,
    })
}

/// Counts as an open stream for as long as it lives, however that ends.
struct Open;

impl Open {
    fn new() -> Self {
        metrics::gauge!("sluice_gateway_event_streams").increment(1);
        Self
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        metrics::gauge!("sluice_gateway_event_streams").decrement(1);
    }
}

/// One stream of events. It ends with the token, with the process, and with a client that does not read.
struct Follower {
    id: Uuid,
    begin: Position,
    notices: mpsc::Receiver<Notice>,
    progress: Subscriber,
    told: Told,
    out: mpsc::Sender<Bytes>,
    timeout: Duration,
    heartbeat: Interval,
    expires_at: DateTime<Utc>,
    clock: SharedClock,
    drain: Drain,
    _seat: Seat,
}

impl Follower {
    async fn run(mut self, first: Vec<Bytes>) {
        let _open = Open::new();
        let why = self.follow(first).await;
        metrics::counter!("sluice_gateway_event_streams_ended_total", "why" => why).increment(1);
        info!(session.id = %self.id, session.end = why, "an event stream ended");
    }

    async fn follow(&mut self, first: Vec<Bytes>) -> &'static str {
        for frame in first {
            if let Err(why) = self.say(frame).await {
                return why;
            }
        }
        let drain = self.drain.clone();
        let mut farewell = std::pin::pin!(drain.farewell(self.id));
        let mut progress_open = true;
        loop {
            let expiry = (self.expires_at - self.clock.now()).to_std().unwrap_or_default();
            let frame = tokio::select! {
                () = &mut farewell => return "stopping",
                () = self.out.closed() => return "gone",
                // an event of this person; None: the mailbox overflowed, or numbers begin again
                notice = self.notices.recv() => match notice {
                    Some(notice) if notice.seq > self.begin.seq => framed(&self.begin, &notice),
                    Some(_) => continue,
                    None => return "without mailbox",
                },
                // progress of this person's exports; may be dropped
                note = self.progress.next(), if progress_open => {
                    match note.map(|message| serde_json::from_slice::<ProgressNote>(&message.payload)) {
                        Some(Ok(ProgressNote { export_id, progress }))
                            if self.out.capacity() == FRAMES && self.told.is_due(export_id, Instant::now()) =>
                        {
                            frame(None, &ServerMessage::ExportProgress { export_id, progress })
                        }
                        Some(Ok(_)) => continue,
                        Some(Err(e)) => {
                            debug!(error = %e, "an unreadable progress note was passed over");
                            continue;
                        }
                        None => {
                            progress_open = false;
                            continue;
                        }
                    }
                }
                _ = self.heartbeat.tick() => Bytes::from_static(b":\n\n"),
                () = tokio::time::sleep(expiry.max(Duration::from_millis(10))) => {
                    if self.clock.now() < self.expires_at { continue } else { return "token expired" }
                }
            };
            if let Err(why) = self.say(frame).await {
                return why;
            }
        }
    }

    /// Waits for room, but not for long.
    async fn say(&self, frame: Bytes) -> Result<(), &'static str> {
        tokio::select! {
            () = self.drain.ended().cancelled() => Err("stopping"),
            sent = tokio::time::timeout(self.timeout, self.out.send(frame)) => match sent {
                Ok(Ok(())) => Ok(()),
                Ok(Err(_)) => Err("gone"),
                Err(_) => Err("too slow"),
            }
        }
    }
}

/// Whether a client that names what it accepts names this.
fn accepts(headers: &HeaderMap) -> bool {
    let mut named = headers.get_all(header::ACCEPT).into_iter().filter_map(|value| value.to_str().ok()).peekable();
    let fits = |range: &str| {
        let (kind, parameters) = range.split_once(';').unwrap_or((range, ""));
        let refused = parameters.split(';').any(|p| matches!(p.trim(), "q=0" | "q=0.0" | "q=0.00" | "q=0.000"));
        let kind = kind.trim().to_ascii_lowercase();
        !refused && ["text/event-stream", "text/*", "*/*"].contains(&kind.as_str())
    };
    named.peek().is_none() || named.any(|list| list.split(',').any(fits))
}

/// A `Last-Event-ID` of ours: `<epoch>:<seq>`.
fn position(last: &HeaderValue) -> Option<Position> {
    let (epoch, seq) = last.to_str().ok()?.trim().split_once(':')?;
    Some(Position { epoch: epoch.into(), seq: seq.parse().ok()? })
}

/// How long to wait before coming back: not the same for everybody.
fn retry(base_ms: u64, id: Uuid) -> Bytes {
    let spread = u64::from_be_bytes(id.as_u64_pair().1.to_be_bytes()) % base_ms.max(1);
    format!("retry: {}\n\n", base_ms + spread).into()
}

fn framed(begin: &Position, notice: &Notice) -> Bytes {
    text(Some((&begin.epoch, notice.seq)), notice.kind, &notice.text)
}

fn frame(place: Option<&Position>, message: &ServerMessage) -> Bytes {
    text(place.map(|place| (&*place.epoch, place.seq)), message.kind(), &message.to_text())
}

/// JSON of ours has no line breaks, so that one `data` line holds it.
fn text(id: Option<(&str, u64)>, kind: &str, data: &str) -> Bytes {
    let id = id.map(|(epoch, seq)| format!("id: {epoch}:{seq}\n")).unwrap_or_default();
    format!("{id}event: {kind}\ndata: {data}\n\n").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_accepts_something_else_is_told_so() {
        for (accept, fine) in [
            (None, true),
            (Some("text/event-stream"), true),
            (Some("application/json, */*;q=0.1"), true),
            (Some("Text/Event-Stream; charset=utf-8"), true),
            (Some("application/json"), false),
            (Some("text/event-stream;q=0"), false),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(accept) = accept {
                headers.insert(header::ACCEPT, accept.parse().unwrap());
            }
            assert_eq!(accepts(&headers), fine, "{accept:?}");
        }
    }

    #[test]
    fn an_id_comes_back_as_the_place_it_names() {
        let place = Position { epoch: "19ab".into(), seq: 7 };
        let pong = frame(Some(&place), &ServerMessage::Pong { reference: None });
        assert_eq!(pong, "id: 19ab:7\nevent: pong\ndata: {\"type\":\"pong\"}\n\n");
        assert_eq!(position(&"19ab:7".parse().unwrap()), Some(place));
        for bad in ["", "7", "19ab:", "19ab:-1", "19ab:7:8"] {
            assert_eq!(position(&bad.parse().unwrap()), None, "{bad}");
        }
    }
}
