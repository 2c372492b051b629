//! What one person was told while they were away, out of the stream: each event once, in order, or plainly nothing.

use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, PullConsumer, pull};
use futures::StreamExt;
use protocol::{id::Owner, server::ServerMessage, subject};
use tracing::{debug, warn};

use super::{Events, Position, epoch, read_event};
use crate::ws::registry::Notice;

/// How long reading may take, the wait for its turn included.
const DEADLINE: Duration = Duration::from_secs(10);
/// Events of one fetch.
const PAGE: u64 = 32;
/// The server forgets the consumer of a gateway that died after this long.
const FORGOTTEN: Duration = Duration::from_secs(30);

/// Why nothing can be replayed.
#[derive(Debug, thiserror::Error)]
enum Lost {
    #[error("numbers of another epoch")]
    Epoch,
    #[error("a number that was never given")]
    Future,
    #[error("events after that one are no longer kept")]
    TooOld,
    #[error("more was missed than is replayed")]
    TooMuch,
    #[error("{0}")]
    Broken(String),
}

impl Lost {
    fn broken(e: impl std::fmt::Display) -> Self {
        Self::Broken(e.to_string())
    }
}

impl Events {
    /// This owner's events after one place up to another of the same epoch. None when they can't be told for certain: then
    /// the client has to fetch state.
    pub async fn missed(&self, owner: &Owner, after: &Position, until: &Position) -> Option<Vec<Notice>> {
        let read = tokio::time::timeout(DEADLINE, self.read_missed(owner, after, until)).await;
        let result = read.unwrap_or_else(|_| Err(Lost::broken("timed out")));
        let recovered = result.is_ok().to_string();
        metrics::counter!("sluice_gateway_resumes_total", "recovered" => recovered).increment(1);
        match result {
            Ok(missed) => Some(missed),
            Err(Lost::Broken(error)) => {
                warn!(%error, "missed events can't be read");
                None
            }
            Err(lost) => {
                debug!(reason = %lost, "missed events are not replayed");
                None
            }
        }
    }

    async fn read_missed(&self, owner: &Owner, after: &Position, until: &Position) -> Result<Vec<Notice>, Lost> {
        let _turn = self.replays.acquire().await.map_err(Lost::broken)?;
        let stream = self.bus.jetstream().get_stream(subject::STREAM_EVENTS).await.map_err(Lost::broken)?;
        let info = stream.cached_info();
        if after.epoch != epoch(info) || after.epoch != until.epoch {
            return Err(Lost::Epoch);
        }
        if after.seq > info.state.last_sequence {
            return Err(Lost::Future);
        }
        let next = after.seq + 1;
        if info.state.first_sequence > next {
            // whether one of theirs was among those that are gone, nobody knows
            return Err(Lost::TooOld);
        }
        if next > until.seq {
            return Ok(Vec::new());
        }
        let config = pull::Config {
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: next },
            filter_subject: subject::user_events(owner),
            ack_policy: AckPolicy::None,
            inactive_threshold: FORGOTTEN,
            memory_storage: true,
            num_replicas: 1,
            ..pull::Config::default()
        };
        let consumer = stream.create_consumer(config).await.map_err(Lost::broken)?;
        let missed = self.gather(&consumer, until.seq).await;
        // it is forgotten by itself too
        if let Err(e) = stream.delete_consumer(&consumer.cached_info().name).await {
            debug!(error = %e, "the consumer of a replay was not deleted");
        }
        missed
    }

    async fn gather(&self, consumer: &PullConsumer, until: u64) -> Result<Vec<Notice>, Lost> {
        let mut left = consumer.cached_info().num_pending;
        if left > self.config.replay_events {
            return Err(Lost::TooMuch);
        }
        let (mut missed, mut bytes) = (Vec::new(), 0);
        while left > 0 {
            let page = usize::try_from(left.min(PAGE)).map_err(Lost::broken)?;
            let mut messages = consumer.fetch().max_messages(page).messages().await.map_err(Lost::broken)?;
            let mut came = 0;
            while let Some(message) = messages.next().await {
                let message = message.map_err(Lost::broken)?;
                let seq = message.info().map_err(Lost::broken)?.stream_sequence;
                came += 1;
                if seq > until {
                    return Ok(missed);
                }
                let Some(event) = read_event(seq, &message.payload) else { continue };
                let notice = Notice::of(seq, &ServerMessage::from_event(seq, event.body.event));
                bytes += notice.text.len();
                if bytes > self.config.replay_bytes {
                    return Err(Lost::TooMuch);
                }
                missed.push(notice);
            }
            if came == 0 {
                return Err(Lost::TooOld);
            }
            left -= left.min(came);
        }
        Ok(missed)
    }
}
