//! A replay reads, from the event stream, the events that one user missed while disconnected. The replay returns all of
//! these events in order, or none.

use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, PullConsumer, pull};
use futures::StreamExt;
use protocol::{id::Owner, server::ServerMessage, subject};
use tracing::{debug, warn};

use super::{Events, epoch, read_event};
use crate::sessions::{Position, RenderedEvent};

/// The timeout for reading all events that one client missed, including the wait for a permit to read.
const REPLAY_TIMEOUT: Duration = Duration::from_secs(10);
/// The maximum number of events in one fetch from the NATS consumer.
const FETCH_SIZE: u64 = 32;
/// NATS deletes a consumer that is unused for this time, such as the consumer of a gateway that crashed during a
/// replay.
const CONSUMER_IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// The reason why the gateway does not send the events that a client missed.
#[derive(Debug, thiserror::Error)]
enum ReplayError {
    #[error("the position is of another epoch")]
    Epoch,
    #[error("the sequence number was never assigned")]
    UnknownSequence,
    #[error("events after the position were deleted by the stream's retention")]
    TooOld,
    #[error("more events were missed than the replay limit")]
    AboveLimit,
    #[error("{0}")]
    Read(String),
}

impl ReplayError {
    fn read(e: impl std::fmt::Display) -> Self {
        Self::Read(e.to_string())
    }
}

impl Events {
    /// Returns this owner's events after the position `after`, up to and including the event with the sequence number
    /// `until.seq`. Returns None if the gateway can't read all of these events. In that case the client must fetch its
    /// state by REST.
    pub(crate) async fn replay(&self, owner: &Owner, after: &Position, until: &Position) -> Option<Vec<RenderedEvent>> {
        let read = tokio::time::timeout(REPLAY_TIMEOUT, self.read_missed(owner, after, until)).await;
        let result = read.unwrap_or_else(|_| Err(ReplayError::read("timed out")));
        let recovered = result.is_ok().to_string();
        metrics::counter!("sluice_gateway_resumes_total", "recovered" => recovered).increment(1);
        match result {
            Ok(missed) => Some(missed),
            Err(ReplayError::Read(error)) => {
                warn!(%error, "failed to read missed events");
                None
            }
            Err(reason) => {
                debug!(%reason, "missed events are not replayed");
                None
            }
        }
    }

    async fn read_missed(
        &self,
        owner: &Owner,
        after: &Position,
        until: &Position,
    ) -> Result<Vec<RenderedEvent>, ReplayError> {
        let _permit = self.replays.acquire().await.map_err(ReplayError::read)?;
        let stream = self.bus.jetstream().get_stream(subject::STREAM_EVENTS).await.map_err(ReplayError::read)?;
        let info = stream.cached_info();
        if after.epoch != epoch(info) || after.epoch != until.epoch {
            return Err(ReplayError::Epoch);
        }
        if after.seq > info.state.last_sequence {
            return Err(ReplayError::UnknownSequence);
        }
        let next = after.seq + 1;
        if info.state.first_sequence > next {
            // one of the deleted events may have been this owner's
            return Err(ReplayError::TooOld);
        }
        if next > until.seq {
            return Ok(Vec::new());
        }
        let config = pull::Config {
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: next },
            filter_subject: subject::user_events(owner),
            ack_policy: AckPolicy::None,
            inactive_threshold: CONSUMER_IDLE_TIMEOUT,
            memory_storage: true,
            num_replicas: 1,
            ..pull::Config::default()
        };
        let consumer = stream.create_consumer(config).await.map_err(ReplayError::read)?;
        let missed = self.fetch_all(&consumer, until.seq).await;
        // if the request fails, NATS deletes the consumer after its idle timeout
        if let Err(e) = stream.delete_consumer(&consumer.cached_info().name).await {
            debug!(error = %e, "failed to delete the consumer of a replay");
        }
        missed
    }

    async fn fetch_all(&self, consumer: &PullConsumer, until: u64) -> Result<Vec<RenderedEvent>, ReplayError> {
        let mut left = consumer.cached_info().num_pending;
        if left > self.max_replay_events {
            return Err(ReplayError::AboveLimit);
        }
        let (mut missed, mut bytes) = (Vec::new(), 0);
        while left > 0 {
            let page = usize::try_from(left.min(FETCH_SIZE)).map_err(ReplayError::read)?;
            let mut messages = consumer.fetch().max_messages(page).messages().await.map_err(ReplayError::read)?;
            let mut received = 0;
            while let Some(message) = messages.next().await {
                let message = message.map_err(ReplayError::read)?;
                let seq = message.info().map_err(ReplayError::read)?.stream_sequence;
                received += 1;
                if seq > until {
                    return Ok(missed);
                }
                let Some(event) = read_event(seq, &message.payload) else { continue };
                let event = RenderedEvent::new(seq, &ServerMessage::from_event(seq, event.body.event));
                bytes += event.text.len() as u64;
                if bytes > self.max_replay_size.bytes() {
                    return Err(ReplayError::AboveLimit);
                }
                missed.push(event);
            }
            if received == 0 {
                return Err(ReplayError::TooOld);
            }
            left -= left.min(received);
        }
        Ok(missed)
    }
}
