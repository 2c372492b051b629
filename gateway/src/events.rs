//! User events on their way to sessions: one ordered consumer per gateway, fanned out by owner.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_nats::jetstream::consumer::{DeliverPolicy, pull};
use futures::StreamExt;
use platform::{
    bus::{self, Bus, BusError},
    lifecycle::Lifecycle,
};
use protocol::{envelope::UserEvent, id::ExportId, server::ServerMessage, subject};
use tokio::sync::broadcast;
use tracing::warn;

use crate::ws::registry::Registry;

/// Ended exports that a slow waiter may fall behind before it has to look at the database instead.
const ENDED_CAPACITY: usize = 1024;
/// How long to wait before consuming again after the consumer broke.
const RETRY: Duration = Duration::from_secs(1);

/// Where events come from. Clones share it.
#[derive(Clone, Debug)]
pub struct Events {
    bus: Bus,
    registry: Registry,
    epoch: Arc<str>,
    seq: Arc<AtomicU64>,
    ended: broadcast::Sender<ExportId>,
}

impl Events {
    /// Looks up the stream; [`Events::follow`] begins to read it.
    ///
    /// # Errors
    /// When NATS does not answer.
    pub async fn open(bus: Bus, registry: Registry) -> Result<Self, BusError> {
        let name = subject::STREAM_EVENTS;
        let stream = bus.jetstream().get_stream(name).await;
        let stream = stream.map_err(|e| BusError::Prepare { name, detail: e.to_string() })?;
        let info = stream.cached_info();
        // sequences begin again when the stream is made anew, so its birth names the epoch
        let epoch = format!("{:x}", info.created.unix_timestamp_nanos() / 1_000_000);
        let seq = Arc::new(AtomicU64::new(info.state.last_sequence));
        let (ended, _) = broadcast::channel(ENDED_CAPACITY);
        Ok(Self { bus, registry, epoch: epoch.into(), seq, ended })
    }

    /// Names the run of event numbers.
    #[must_use]
    pub fn epoch(&self) -> &str {
        &self.epoch
    }

    /// The newest event that this gateway has seen.
    #[must_use]
    pub fn seq(&self) -> u64 {
        self.seq.load(Ordering::Acquire)
    }

    /// Each export that ends from now on, whoever it belongs to: for waiters that know their id.
    #[must_use]
    pub fn ended(&self) -> broadcast::Receiver<ExportId> {
        self.ended.subscribe()
    }

    /// Reads the stream until the process stops, from where it left off after each interruption.
    pub fn follow(&self, life: &Lifecycle) {
        let (events, stop) = (self.clone(), life.soft().clone());
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
        let stream = match self.bus.jetstream().get_stream_no_info(subject::STREAM_EVENTS).await {
            Ok(stream) => stream,
            Err(e) => return e.to_string(),
        };
        let config = pull::OrderedConfig {
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: self.seq() + 1 },
            filter_subject: subject::EVENTS_ALL.to_owned(),
            ..pull::OrderedConfig::default()
        };
        let mut messages = match stream.create_consumer(config).await {
            Ok(consumer) => match consumer.messages().await {
                Ok(messages) => messages,
                Err(e) => return e.to_string(),
            },
            Err(e) => return e.to_string(),
        };
        while let Some(message) = messages.next().await {
            let message = match message {
                Ok(message) => message,
                Err(e) => return e.to_string(),
            };
            match message.info() {
                Ok(info) => self.take(info.stream_sequence, &message.payload),
                Err(e) => return e.to_string(),
            }
        }
        "the stream of messages ended".to_owned()
    }

    fn take(&self, seq: u64, payload: &[u8]) {
        match bus::open::<UserEvent>(payload) {
            Ok(envelope) => {
                let UserEvent { owner, event } = envelope.body;
                if let Some(export) = event.export() {
                    // nobody may be waiting
                    let _ = self.ended.send(export.id);
                }
                self.registry.notify(&owner, seq, &ServerMessage::from_event(seq, event));
            }
            Err(e) => warn!(event.seq = seq, error = %e, "an unreadable event was passed over"),
        }
        self.seq.fetch_max(seq, Ordering::AcqRel);
    }
}
