//! `/v1/events`: sends the caller's events as Server-Sent Events, for clients without WebSocket support.

use std::{convert::Infallible, time::Duration};

use async_nats::Subscriber;
use axum::{
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, HeaderName, StatusCode, header},
    response::{IntoResponse, Response},
};
use futures::{StreamExt, stream};
use platform::clock::SharedClock;
use protocol::{
    envelope::ProgressReport,
    problem::{Problem, Slug},
    server::ServerMessage,
    subject,
};
use serde_json::{Value, json};
use tokio::{
    sync::mpsc,
    time::{Instant, Interval, MissedTickBehavior},
};
use tracing::{debug, info};
use uuid::Uuid;

use super::{endpoint::Endpoint, extract::Trace, sse};
use crate::{
    auth::{Caller, KeyWatch},
    drain::Drain,
    error::{Outcome, Refusal},
    sessions::{Position, ProgressThrottle, RenderedEvent, SessionGuard, Transport, session_ready},
    state::AppState,
};

/// The maximum number of queued frames of an SSE stream. While the queue is full, events wait in the session's mailbox
/// (its queue of events). While any frame waits in the queue, the stream drops progress messages.
const MAX_QUEUED_FRAMES: usize = 16;
/// The minimum reconnect delay that the gateway sends to a client in the `retry` field of the SSE stream.
const MIN_RECONNECT_DELAY: Duration = Duration::from_secs(1);

/// The value of the metric label `reason` for a stream that ended because its API key was deleted.
const KEY_REVOKED: &str = "key revoked";

pub(super) fn endpoints() -> [Endpoint; 1] {
    [Endpoint::get("/v1/events", follow).operation("followEvents", "Follow the caller's events", |operation| {
        let description = "Server-Sent Events: `event` is the `type` of a server message and `data` the message (see \
                           asyncapi.json, channel `events`); `id` is the position of a numbered event.";
        operation
            .header("Last-Event-ID", "Replay the events after this `id` first.")
            .content(200, description, "text/event-stream", json!({"schema": event_schema()}))
            .problems(&[406, 429])
    })]
}

/// Returns the JSON schema of one Server-Sent Event, for the OpenAPI document.
fn event_schema() -> Value {
    let text = json!({"type": "string"});
    json!({"type": "object", "properties": {"id": text, "event": text, "data": text}})
}

async fn follow(
    State(app): State<AppState>,
    caller: Caller,
    Trace(trace): Trace,
    headers: HeaderMap,
) -> Outcome<Response> {
    if !sse::is_accepted(&headers) {
        let detail = "The response is `text/event-stream`; the `Accept` header must allow it.";
        return Err(Problem::new(Slug::InvalidRequest, detail).with_status(406).into());
    }
    let (id, owner) = (Uuid::now_v7(), caller.owner.clone());
    let (guard, mailbox) = app.sessions.register(&owner, id, Transport::Sse).ok_or_else(|| {
        let max = app.config.max_sessions_per_user;
        let detail = format!("You have {max} open sessions at this gateway, the most allowed; close one first.");
        Refusal::new(Slug::RateLimited, detail).with_header(header::RETRY_AFTER, 5)
    })?;
    let progress = app.bus.subscribe(subject::user_progress(&owner)).await?;
    let start = app.events.position();
    let mut first = vec![sse::retry(MIN_RECONNECT_DELAY, id)];
    let (mut position, mut missed) = (start.clone(), Vec::new());
    if let Some(last) = headers.get("last-event-id") {
        let after = sse::parse_position(last);
        let replay = match &after {
            Some(after) => app.events.replay(&owner, after, &start).await,
            None => None,
        };
        let recovered = replay.is_some();
        missed = replay.unwrap_or_default();
        position = after.filter(|_| recovered).unwrap_or(position);
        let replayed = missed.len() as u64;
        let resumed = ServerMessage::SessionResumed { reference: None, recovered, replayed };
        first.push(sse::message(Some(&position), &resumed));
    }
    let credits = app.credits.summary(&owner).await?;
    let ready = session_ready(id, &caller, &start, &app.config.ws, credits);
    // `session.ready` carries the position before the replayed events, so that a client that disconnects before it
    // receives these events requests them again
    first.push(sse::message(Some(&position), &ready));
    first.extend(missed.iter().map(|event| sse::event(&start.epoch, event)));
    info!(session.id = %id, trace_id = %trace.trace_id_hex(), session.replayed = missed.len(), "event stream started");

    let (out, frames) = mpsc::channel(MAX_QUEUED_FRAMES);
    let period = app.config.ws.heartbeat_interval.get();
    let mut heartbeat = tokio::time::interval_at(Instant::now() + period, period);
    // after a pause of the process, one heartbeat comment replaces all missed ones
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let stream = EventStream {
        id,
        // the client's position may be later than the position of this gateway, if the client has received newer events
        // from another gateway
        start: Position { seq: start.seq.max(position.seq), ..start },
        mailbox,
        progress,
        throttle: ProgressThrottle::default(),
        out,
        write_timeout: app.config.ws.write_timeout.get(),
        heartbeat,
        watch: app.api_keys.watch(&caller),
        caller,
        clock: app.clock.clone(),
        drain: app.drain.clone(),
        _guard: guard,
    };
    app.life.spawn(stream.run(first));
    let body = stream::unfold(frames, async |mut frames| Some((Ok::<_, Infallible>(frames.recv().await?), frames)));
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    Ok((StatusCode::OK, headers, Body::from_stream(body)).into_response())
}

/// One SSE stream. The stream ends when its token expires, its API key is deleted, the gateway stops, the event stream in
/// NATS is recreated, or the client disconnects or reads too slowly.
struct EventStream {
    id: Uuid,
    start: Position,
    mailbox: mpsc::Receiver<RenderedEvent>,
    progress: Subscriber,
    throttle: ProgressThrottle,
    out: mpsc::Sender<Bytes>,
    write_timeout: Duration,
    heartbeat: Interval,
    /// Ends the stream when the caller's API key is deleted or expires.
    watch: KeyWatch,
    caller: Caller,
    clock: SharedClock,
    drain: Drain,
    _guard: SessionGuard,
}

impl EventStream {
    async fn run(mut self, first: Vec<Bytes>) {
        let reason = self.send_until_end(first).await;
        metrics::counter!("sluice_gateway_sse_streams_ended_total", "reason" => reason).increment(1);
        info!(session.id = %self.id, session.end = reason, "event stream ended");
    }

    /// Sends the frames in `first`. Then handles the inputs of the stream one at a time, until an input ends the
    /// stream. Returns the reason for the end. These are the inputs:
    ///
    /// - `session_close`: the gateway stops. Ends the stream.
    /// - `watch`: the caller's API key was deleted or has expired. Ends the stream.
    /// - `out.closed()`: the client has disconnected. Ends the stream.
    /// - `mailbox`: the next event from the session's mailbox (its queue of events). The stream never drops an event.
    ///   The mailbox is closed after an overflow, and when the event stream in NATS is recreated. A closed mailbox ends
    ///   the stream, so that the client reconnects and requests the events that it missed.
    /// - `progress`: a progress report about an export of the owner. The stream drops the report if a frame waits in
    ///   the frame queue, or if it has just sent another report about the same export.
    /// - `heartbeat`: the time of the next SSE comment, which keeps proxies from closing an idle connection.
    /// - `expiry`: the end of the sleep until the token expires. If the token has expired, ends the stream.
    async fn send_until_end(&mut self, first: Vec<Bytes>) -> &'static str {
        for frame in first {
            if let Err(reason) = self.send(frame).await {
                return reason;
            }
        }
        let drain = self.drain.clone();
        let mut session_close = std::pin::pin!(drain.session_close(self.id));
        let mut has_progress = true;
        loop {
            let expiry = self.caller.time_to_expiry(self.clock.now());
            let frame = tokio::select! {
                () = &mut session_close => return "stopping",
                () = self.watch.revoked() => return KEY_REVOKED,
                () = self.out.closed() => return "client disconnected",
                event = self.mailbox.recv() => match event {
                    Some(event) if event.seq > self.start.seq => sse::event(&self.start.epoch, &event),
                    Some(_) => continue,
                    None => return "mailbox closed",
                },
                report = self.progress.next(), if has_progress => {
                    match report.map(|message| serde_json::from_slice::<ProgressReport>(&message.payload)) {
                        Some(Ok(ProgressReport { export_id, progress }))
                            if self.out.capacity() == MAX_QUEUED_FRAMES && self.throttle.is_due(export_id, Instant::now()) =>
                        {
                            sse::message(None, &ServerMessage::ExportProgress { export_id, progress })
                        }
                        Some(Ok(_)) => continue,
                        Some(Err(e)) => {
                            debug!(error = %e, "skipped an unreadable progress report");
                            continue;
                        }
                        None => {
                            has_progress = false;
                            continue;
                        }
                    }
                }
                _ = self.heartbeat.tick() => Bytes::from_static(sse::HEARTBEAT),
                () = tokio::time::sleep(expiry.max(Duration::from_millis(10))) => {
                    if self.caller.is_expired(self.clock.now()) { return "token expired" } else { continue }
                }
            };
            if let Err(reason) = self.send(frame).await {
                return reason;
            }
        }
    }

    /// Queues a frame for the client. If the queue is full, waits for a free place, but not longer than the write
    /// timeout.
    ///
    /// # Errors
    /// The reason for the end of the stream, if the frame can't be queued: the gateway stops, the API key was deleted,
    /// the client has disconnected, or the client reads too slowly.
    async fn send(&self, frame: Bytes) -> Result<(), &'static str> {
        tokio::select! {
            () = self.drain.ended().cancelled() => Err("stopping"),
            () = self.watch.revoked() => Err(KEY_REVOKED),
            sent = tokio::time::timeout(self.write_timeout, self.out.send(frame)) => match sent {
                Ok(Ok(())) => Ok(()),
                Ok(Err(_)) => Err("client disconnected"),
                Err(_) => Err("too slow"),
            }
        }
    }
}
