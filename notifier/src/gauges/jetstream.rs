//! The gauges of JetStream: the messages, the bytes and the age of the oldest message of each stream in [`STREAMS`],
//! the messages of each durable consumer, and the used storage.

use async_nats::jetstream::consumer::Info;
use futures::TryStreamExt;
use protocol::subject;

use crate::{deps::Deps, error::NotifierError};

/// The streams that the gauges describe.
const STREAMS: [&str; 4] =
    [subject::STREAM_JOBS, subject::STREAM_OUTCOMES, subject::STREAM_EVENTS, subject::STREAM_DEAD];
/// Largest number of durable consumers in one sample; further consumers have no gauges. Each pool of exporters has two
/// consumers: one for its interactive exports and one for its bulk exports.
const MAX_CONSUMERS: usize = 64;

/// Samples the JetStream streams, their durable consumers, and the used storage, and sets the gauges.
#[derive(Default)]
pub(super) struct JetStreamGauges {
    /// The stream and the name of each consumer in the last sample. The next sample sets the gauges of deleted
    /// consumers to 0.
    known: Vec<(&'static str, String)>,
}

impl JetStreamGauges {
    pub(super) async fn sample(&mut self, deps: &Deps) -> Result<(), NotifierError> {
        let (jetstream, now) = (deps.bus.jetstream(), deps.clock.now());
        let mut found = Vec::new();
        for name in STREAMS {
            let stream = jetstream.get_stream(name).await.map_err(NotifierError::jetstream("read a stream"))?;
            let state = &stream.cached_info().state;
            let first = state.first_timestamp.unix_timestamp();
            let age = if state.messages > 0 { (now.timestamp() - first).max(0) } else { 0 };
            metrics::gauge!("sluice_jetstream_messages", "stream" => name).set(state.messages as f64);
            metrics::gauge!("sluice_jetstream_bytes", "stream" => name).set(state.bytes as f64);
            metrics::gauge!("sluice_jetstream_oldest_age_seconds", "stream" => name).set(age as f64);
            // only the work queues have durable consumers; gateways create ephemeral consumers on the other streams
            if matches!(name, subject::STREAM_JOBS | subject::STREAM_OUTCOMES) {
                let mut consumers = stream.consumers();
                while let Some(info) =
                    consumers.try_next().await.map_err(NotifierError::jetstream("read the consumers"))?
                {
                    if info.config.durable_name.is_some() && found.len() < MAX_CONSUMERS {
                        sample_consumer(name, &info);
                        found.push((name, info.name));
                    }
                }
            }
        }
        for (stream, consumer) in self.known.iter().filter(|known| !found.contains(known)) {
            set_consumer_gauges(stream, consumer, [0, 0, 0]);
        }
        self.known = found;

        let account = jetstream.query_account().await.map_err(NotifierError::jetstream("read the account"))?;
        metrics::gauge!("sluice_jetstream_account_storage_bytes").set(account.storage as f64);
        let max = account.limits.max_storage.unwrap_or_default();
        let ratio = if max > 0 { account.storage as f64 / max as f64 } else { 0.0 };
        metrics::gauge!("sluice_jetstream_account_storage_ratio").set(ratio);
        Ok(())
    }
}

fn sample_consumer(stream: &'static str, info: &Info) {
    set_consumer_gauges(
        stream,
        &info.name,
        [info.num_pending, info.num_ack_pending as u64, info.num_redelivered as u64],
    );
}

fn set_consumer_gauges(stream: &'static str, consumer: &str, [pending, ack_pending, redelivered]: [u64; 3]) {
    let consumer = || consumer.to_owned();
    metrics::gauge!("sluice_jetstream_consumer_pending", "stream" => stream, "consumer" => consumer())
        .set(pending as f64);
    metrics::gauge!("sluice_jetstream_consumer_ack_pending", "stream" => stream, "consumer" => consumer())
        .set(ack_pending as f64);
    metrics::gauge!("sluice_jetstream_consumer_redelivered", "stream" => stream, "consumer" => consumer())
        .set(redelivered as f64);
}
