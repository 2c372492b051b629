//! Deletes stale tickets from their NATS key-value bucket. A ticket is a single-use secret with which a browser opens a
//! WebSocket session.
//!
//! If Sluice created the bucket, NATS deletes each entry after one minute. The functions in this file also delete old
//! tickets from a bucket that an operator created without an expiry.

use async_nats::jetstream::stream::{RawMessageErrorKind, Stream};
use chrono::{DateTime, Utc};
use protocol::subject;

use super::Sweep;
use crate::{
    error::NotifierError,
    schedule::steps::{self, StepCount, time_before},
};

/// Deletes every ticket, used or unused, that is older than the newest ticket by more than `ticket_retention`. Counts
/// the deleted entries. Compares only times of the NATS server with each other, because the clock of the server may
/// differ from the clock of this process.
///
/// # Errors
/// When NATS fails.
pub(super) async fn delete(sweep: &Sweep) -> Result<StepCount, NotifierError> {
    let name = format!("KV_{}", subject::BUCKET_TICKETS);
    let stream = sweep.deps.bus.jetstream().get_stream(name).await;
    let stream = stream.map_err(NotifierError::jetstream("find the tickets"))?;
    let state = &stream.cached_info().state;
    let Some(newest) = stored_at(&stream, state.last_sequence).await? else { return Ok(StepCount::default()) };
    let stale_before = time_before(newest, sweep.config.tuning.ticket_retention.get());
    let (mut low, mut high) = (state.first_sequence, state.last_sequence + 1);
    // a binary search for the first fresh message: the stream is ordered by time
    while low < high {
        let middle = low + (high - low) / 2;
        match stored_at(&stream, middle).await? {
            Some(at) if at < stale_before => low = middle + 1,
            _ => high = middle,
        }
    }
    if low <= state.first_sequence {
        return Ok(StepCount::default());
    }
    // deletes all messages with a sequence number below `low`
    let purged = stream.purge().sequence(low).await.map_err(NotifierError::jetstream("delete tickets"))?;
    steps::record("stale tickets", purged.purged);
    Ok(StepCount { done: purged.purged, failed: 0 })
}

/// Returns the time at which NATS stored the first entry of the bucket whose sequence number is at least `sequence`.
/// Returns `None` if there is no such entry.
async fn stored_at(stream: &Stream, sequence: u64) -> Result<Option<DateTime<Utc>>, NotifierError> {
    let all = format!("$KV.{}.>", subject::BUCKET_TICKETS);
    match stream.get_first_raw_message_by_subject(&all, sequence).await {
        Ok(message) => Ok(DateTime::from_timestamp(message.time.unix_timestamp(), 0)),
        Err(e) if e.kind() == RawMessageErrorKind::NoMessageFound => Ok(None),
        Err(e) => Err(NotifierError::JetStream { operation: "read tickets", detail: e.to_string() }),
    }
}
