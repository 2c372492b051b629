//! User events on their way to sessions: one ordered consumer per gateway, fanned out by owner; and [`missed`], which
//! reads what one person was told while they were away.

mod missed;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_nats::jetstream::{
    consumer::{DeliverPolicy, pull},
    stream,
};
use futures::StreamExt;
use platform::{
    bus::{self, Bus, BusError},
    lifecycle::Lifecycle,
    telemetry::traces,
};
use protocol::{
    envelope::{Envelope, UserEvent},
    id::ExportId,
    server::ServerMessage,
    subject,
};
use tokio::sync::{Semaphore, broadcast};
use tokio_util::sync::CancellationToken;
use tracing::{field::Empty, info_span, warn};

use crate::{config::EventsConfig, ws::registry::Registry};

/// Ended exports that a slow waiter may fall behind before it has to look at the database instead.
const ENDED_CAPACITY: usize = 1024;
/// How long the server may answer one request for events: nobody is told anything for as long when its server dies.
const PULL: Duration = Duration::from_secs(4);
/// How long to wait before consuming again after the consumer broke.
const RETRY: Duration = Duration::from_secs(1);

/// A place in the run of events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// Names the run: numbers of another one mean nothing.
    pub epoch: Arc<str>,
    /// The newest event before this place.
    pub seq: u64,
}

/// Where events come from. Clones share it.
#[derive(Clone, Debug)]
pub struct Events {
    bus: Bus,
    registry: Registry,
    config: EventsConfig,
    position: Arc<Mutex<Position>>,
    ended: broadcast::Sender<ExportId>,
    /// Replays that are read at once; further ones wait.
    replays: Arc<Semaphore>,
}

impl Events {
    /// Looks up the stream; [`Events::follow`] begins to read it.
    ///
    /// # Errors
    /// When NATS does not answer.
    pub async fn open(bus: Bus, registry: Registry, config: EventsConfig) -> Result<Self, BusError> {
        let name = subject::STREAM_EVENTS;
        let stream = bus.jetstream().get_stream(name).await;
        let stream = stream.map_err(|e| BusError::Prepare { name, detail: e.to_string() })?;
        let info = stream.cached_info();
        let position = Position { epoch: epoch(info), seq: info.state.last_sequence };
        let (ended, _) = broadcast::channel(ENDED_CAPACITY);
        let replays = Arc::new(Semaphore::new(config.replays_at_once.max(1)));
        Ok(Self { bus, registry, config, position: Arc::new(Mutex::new(position)), ended, replays })
    }

    /// The newest event that this gateway has seen. Whoever took a place in the registry before gets all later ones.
    #[must_use]
    pub fn position(&self) -> Position {
        self.position.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Each export that ends from now on, whoever it belongs to: for waiters that know their id.
    #[must_use]
    pub fn ended(&self) -> broadcast::Receiver<ExportId> {
        self.ended.subscribe()
    }

    /// Reads the stream until `stop`, from where it left off after each interruption.
    pub fn follow(&self, life: &Lifecycle, stop: CancellationToken) {
        let events = self.clone();
        life.spawn(async move {
            loop {
                tokio::select! {
                    () = stop.cancelled() => return,
                    error = events.read() => warn!(%error, "user events: the consumer broke; consuming again"),
                }
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(RETRY) => {}
                }
            }
        });
    }

    /// Reads until it breaks, and says why.
    async fn read(&self) -> String {
        let stream = match self.bus.jetstream().get_stream(subject::STREAM_EVENTS).await {
            Ok(stream) => stream,
            Err(e) => return e.to_string(),
        };
        let epoch = epoch(stream.cached_info());
        self.enter(&epoch);
        let config = pull::OrderedConfig {
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: self.position().seq + 1 },
            filter_subject: subject::EVENTS_ALL.to_owned(),
            // a server sends a sign of life after half of it; the consumer lives on one server, and when that dies, two missed
            // ones are how we learn of it
            max_expires: PULL,
            ..pull::OrderedConfig::default()
        };
        let mut messages = match stream.create_consumer(config).await {
            Ok(consumer) => match consumer.messages().await {
                Ok(messages) => messages,
                Err(e) => return e.to_string(),
            },
            Err(e) => return e.to_string(),
        };
        // an ordered consumer goes on by itself, also on a stream that was made anew, where it would wait for a number
        // that is far away
        let mut look = tokio::time::interval(Duration::from_millis(self.config.epoch_check_ms.max(1)));
        loop {
            let message = tokio::select! {
                message = messages.next() => message,
                _ = look.tick() => match stream.get_info().await {
                    Ok(info) if self::epoch(&info) == epoch => continue,
                    Ok(_) => return "the stream was made anew".to_owned(),
                    Err(e) => return e.to_string(),
                },
            };
            match message {
                Some(Ok(message)) => match message.info() {
                    Ok(info) => self.take(info.stream_sequence, &message.payload),
                    Err(e) => return e.to_string(),
                },
                Some(Err(e)) => return e.to_string(),
                None => return "the stream of messages ended".to_owned(),
            }
        }
    }

    /// Under another epoch numbers begin again. What sessions know of the old one is worth nothing, so they end, and
    /// their clients learn of it when they come back.
    fn enter(&self, epoch: &Arc<str>) {
        {
            let mut position = self.position.lock().unwrap_or_else(PoisonError::into_inner);
            if position.epoch == *epoch {
                return;
            }
            *position = Position { epoch: Arc::clone(epoch), seq: 0 };
        }
        warn!(event.epoch = %epoch, "user events: the stream is a new one; sessions begin again");
        self.registry.clear();
    }

    fn take(&self, seq: u64, payload: &[u8]) {
        // first, so that whoever enters and then reads the position is told of all that comes after it
        {
            let mut position = self.position.lock().unwrap_or_else(PoisonError::into_inner);
            position.seq = position.seq.max(seq);
        }
        let Some(Envelope { traceparent, body: UserEvent { owner, event }, .. }) = read_event(seq, payload) else {
            return;
        };
        let export = event.export().map(|export| export.id);
        if let Some(id) = export {
            // nobody may be waiting
            let _ = self.ended.send(id);
        }
        // each gateway hears of everybody's
        if !self.registry.has(&owner) {
            return;
        }
        let span = info_span!(
            parent: None,
            "event.deliver",
            otel.kind = "consumer",
            trace_id = Empty,
            export.id = export.map(display),
            event.kind = event.token(),
            event.seq = seq,
            messaging.system = "nats",
            messaging.operation.type = "process",
            messaging.destination.name = subject::STREAM_EVENTS,
        );
        traces::follow_text(&span, &traceparent);
        span.in_scope(|| self.registry.notify(&owner, seq, &ServerMessage::from_event(seq, event)));
    }
}

/// Sequences begin again when the stream is made anew, so its birth names the epoch.
fn epoch(info: &stream::Info) -> Arc<str> {
    format!("{:x}", info.created.unix_timestamp_nanos() / 1_000_000).into()
}

fn read_event(seq: u64, payload: &[u8]) -> Option<Envelope<UserEvent>> {
    match bus::open::<UserEvent>(payload) {
        Ok(envelope) => Some(envelope),
        Err(e) => {
            warn!(event.seq = seq, error = %e, "an unreadable event was passed over");
            None
        }
    }
}
