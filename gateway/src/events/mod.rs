//! Delivers user events, such as `export.completed`, to sessions. One ordered consumer reads the JetStream stream of
//! all events, and passes each event to the sessions of its owner. The module [`replay`] reads the events that a user
//! missed while disconnected.

mod replay;

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
    units::{ByteSize, HumanDuration},
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

use crate::{
    config::GatewayConfig,
    sessions::{Position, Registry},
};

/// The maximum number of export ids that wait for a receiver of [`Events::ended_exports`]. A receiver that falls
/// further behind loses the oldest ids and gets an error.
const ENDED_EXPORTS_CAPACITY: usize = 1024;
/// The lifetime of one JetStream pull request. A short lifetime limits how long events pause when a NATS server
/// crashes.
const PULL_EXPIRY: Duration = Duration::from_secs(4);
/// The pause after a failure, before the reader of the event stream creates its consumer again.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// Reads the event stream for all sessions, and replays the events that a reconnecting client missed. Clones share the
/// state.
#[derive(Clone, Debug)]
pub(crate) struct Events {
    bus: Bus,
    sessions: Registry,
    max_replay_events: u64,
    max_replay_size: ByteSize,
    epoch_check_interval: HumanDuration,
    position: Arc<Mutex<Position>>,
    ended: broadcast::Sender<ExportId>,
    /// Limits the number of concurrent replays. Each replay reads the events that one client missed, and takes one
    /// permit.
    replays: Arc<Semaphore>,
}

impl Events {
    /// Looks up the event stream in NATS. Call [`Events::spawn_reader`] to start reading it.
    ///
    /// # Errors
    /// When NATS does not answer or lacks the stream.
    pub(crate) async fn open(bus: Bus, sessions: Registry, config: &GatewayConfig) -> Result<Self, BusError> {
        let name = subject::STREAM_EVENTS;
        let stream = bus.jetstream().get_stream(name).await;
        let stream = stream.map_err(|e| BusError::Prepare { name, detail: e.to_string() })?;
        let info = stream.cached_info();
        let position = Position { epoch: epoch(info), seq: info.state.last_sequence };
        let (ended, _) = broadcast::channel(ENDED_EXPORTS_CAPACITY);
        let replays = Arc::new(Semaphore::new(config.tuning.max_concurrent_replays.max(1)));
        Ok(Self {
            bus,
            sessions,
            max_replay_events: config.tuning.max_replay_events,
            max_replay_size: config.tuning.max_replay_size,
            epoch_check_interval: config.tuning.epoch_check_interval,
            position: Arc::new(Mutex::new(position)),
            ended,
            replays,
        })
    }

    /// Returns the position of the newest event that this gateway has read. If a session was registered (added to the
    /// list of open sessions) before this call, its mailbox (its queue of events) receives every event after this
    /// position.
    #[must_use]
    pub(crate) fn position(&self) -> Position {
        self.position.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Subscribes to the ids of ended exports of all owners. Whenever this gateway reads an event about the end or
    /// expiry of an export, the receiver gets the id of the export.
    #[must_use]
    pub(crate) fn ended_exports(&self) -> broadcast::Receiver<ExportId> {
        self.ended.subscribe()
    }

    /// Spawns the task that reads the event stream until `stop` is cancelled. After a failure, the task starts again at
    /// the first event that it has not read.
    pub(crate) fn spawn_reader(&self, life: &Lifecycle, stop: CancellationToken) {
        let events = self.clone();
        life.spawn(async move {
            loop {
                tokio::select! {
                    () = stop.cancelled() => return,
                    error = events.read() => warn!(%error, "event consumer failed; retrying"),
                }
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(RETRY_DELAY) => {}
                }
            }
        });
    }

    /// Reads the event stream in NATS until an error occurs, and returns the text of the error.
    async fn read(&self) -> String {
        let stream = match self.bus.jetstream().get_stream(subject::STREAM_EVENTS).await {
            Ok(stream) => stream,
            Err(e) => return e.to_string(),
        };
        let epoch = epoch(stream.cached_info());
        self.enter_epoch(&epoch);
        let config = pull::OrderedConfig {
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: self.position().seq + 1 },
            filter_subject: subject::EVENTS_ALL.to_owned(),
            // NATS sends heartbeats at half this interval; two missed heartbeats reveal a crashed server
            max_expires: PULL_EXPIRY,
            ..pull::OrderedConfig::default()
        };
        let mut messages = match stream.create_consumer(config).await {
            Ok(consumer) => match consumer.messages().await {
                Ok(messages) => messages,
                Err(e) => return e.to_string(),
            },
            Err(e) => return e.to_string(),
        };
        // an ordered consumer of a recreated stream waits for its old, higher sequence number, so the loop must compare
        // epochs
        let check_interval = self.epoch_check_interval.get().max(Duration::from_millis(1));
        let mut epoch_check = tokio::time::interval(check_interval);
        loop {
            let message = tokio::select! {
                message = messages.next() => message,
                _ = epoch_check.tick() => match stream.get_info().await {
                    Ok(info) if self::epoch(&info) == epoch => continue,
                    Ok(_) => return "the stream was recreated".to_owned(),
                    Err(e) => return e.to_string(),
                },
            };
            match message {
                Some(Ok(message)) => match message.info() {
                    Ok(info) => self.on_event(info.stream_sequence, &message.payload),
                    Err(e) => return e.to_string(),
                },
                Some(Err(e)) => return e.to_string(),
                None => return "the stream of messages ended".to_owned(),
            }
        }
    }

    /// Records the epoch (the identity of the event stream). If the epoch has changed, closes all sessions. Sequence
    /// numbers start again in a new epoch, so the positions of clients are invalid. When a client reconnects and
    /// requests the events after its old position, the gateway answers `recovered: false`. The client must then fetch
    /// its state by REST.
    fn enter_epoch(&self, epoch: &Arc<str>) {
        {
            let mut position = self.position.lock().unwrap_or_else(PoisonError::into_inner);
            if position.epoch == *epoch {
                return;
            }
            *position = Position { epoch: Arc::clone(epoch), seq: 0 };
        }
        warn!(event.epoch = %epoch, "the event stream was recreated; closing all sessions");
        self.sessions.clear();
    }

    fn on_event(&self, seq: u64, payload: &[u8]) {
        // update the position before reading the registry, so that a session that registers and then reads the position
        // misses no later event
        {
            let mut position = self.position.lock().unwrap_or_else(PoisonError::into_inner);
            position.seq = position.seq.max(seq);
        }
        let Some(Envelope { traceparent, body: UserEvent { owner, event }, .. }) = read_event(seq, payload) else {
            return;
        };
        let export = event.export().map(|export| export.id);
        if let Some(id) = export {
            // an error means that there is no receiver
            let _ = self.ended.send(id);
        }
        // the stream contains the events of all owners, also of owners without a session on this gateway
        if !self.sessions.contains(&owner) {
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
        span.in_scope(|| self.sessions.notify(&owner, seq, &ServerMessage::from_event(seq, event)));
    }
}

/// Returns the epoch (the identity of the event stream). The epoch is the creation time of the stream in milliseconds,
/// in hex. A recreated stream needs a new epoch, because its sequence numbers start again.
fn epoch(info: &stream::Info) -> Arc<str> {
    format!("{:x}", info.created.unix_timestamp_nanos() / 1_000_000).into()
}

fn read_event(seq: u64, payload: &[u8]) -> Option<Envelope<UserEvent>> {
    match bus::open::<UserEvent>(payload) {
        Ok(envelope) => Some(envelope),
        Err(e) => {
            warn!(event.seq = seq, error = %e, "skipped an unreadable event");
            None
        }
    }
}
