//! Tickets that nobody used.
//!
//! The bucket forgets its messages after a minute. One that was made by hand or by something older may not, and would keep
//! every ticket ever bought.

use async_nats::jetstream::stream::{RawMessageErrorKind, Stream};
use chrono::{DateTime, TimeDelta, Utc};
use protocol::subject;

use super::Sweep;
use crate::{error::NotifierError, schedule::each::Tally};

/// A ticket is good for 30 seconds; clocks may differ.
const LIFE: TimeDelta = TimeDelta::minutes(10);

/// Deletes them: how many, with the marks of those that were used.
///
/// # Errors
/// When NATS fails.
pub(super) async fn forget(sweep: &Sweep) -> Result<Tally, NotifierError> {
    let name = format!("KV_{}", subject::BUCKET_TICKETS);
    let stream = sweep.deps.bus.jetstream().get_stream(name).await;
    let stream = stream.map_err(NotifierError::jetstream("find the tickets"))?;
    let before = sweep.deps.clock.now() - LIFE;
    let state = &stream.cached_info().state;
    let (mut young, mut behind) = (state.first_sequence, state.last_sequence + 1);
    // messages are in the order of their times: the first that is not old, by halves
    while young < behind {
        let middle = young + (behind - young) / 2;
        match time_from(&stream, middle).await? {
            Some(at) if at < before => young = middle + 1,
            _ => behind = middle,
        }
    }
    if young <= state.first_sequence {
        return Ok(Tally::default());
    }
    // all before that one
    let purged = stream.purge().sequence(young).await.map_err(NotifierError::jetstream("delete tickets"))?;
    metrics::counter!("sluice_notifier_swept_total", "step" => "stale tickets").increment(purged.purged);
    Ok(Tally { done: purged.purged, failed: 0 })
}

/// When the first message was stored that has this sequence or a later one; none: there is none.
async fn time_from(stream: &Stream, sequence: u64) -> Result<Option<DateTime<Utc>>, NotifierError> {
    let all = format!("$KV.{}.>", subject::BUCKET_TICKETS);
    match stream.get_first_raw_message_by_subject(&all, sequence).await {
        Ok(message) => Ok(DateTime::from_timestamp(message.time.unix_timestamp(), 0)),
        Err(e) if e.kind() == RawMessageErrorKind::NoMessageFound => Ok(None),
        Err(e) => Err(NotifierError::JetStream { doing: "look at tickets", detail: e.to_string() }),
    }
}
