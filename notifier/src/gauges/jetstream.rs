//! What waits in the streams, for how long, and how much room is left.

use async_nats::jetstream::consumer::Info;
use futures::TryStreamExt;
use protocol::subject;

use crate::{app::Deps, error::NotifierError};

/// All streams of ours.
const STREAMS: [&str; 4] =
    [subject::STREAM_JOBS, subject::STREAM_OUTCOMES, subject::STREAM_EVENTS, subject::STREAM_DEAD];
/// Durable consumers of a stream that are told of: two for each pool, and there are few pools.
const CONSUMERS: usize = 64;

/// The gauges of JetStream.
#[derive(Default)]
pub(super) struct Streams {
    /// Consumers told of in the last look: one that is gone must not stay as it was.
    known: Vec<(&'static str, String)>,
}

impl Streams {
    pub(super) async fn look(&mut self, deps: &Deps) -> Result<(), NotifierError> {
        let (jetstream, now) = (deps.bus.jetstream(), deps.clock.now());
        let mut seen = Vec::new();
        for name in STREAMS {
            let stream = jetstream.get_stream(name).await.map_err(NotifierError::jetstream("look at a stream"))?;
            let state = &stream.cached_info().state;
            let first = state.first_timestamp.unix_timestamp();
            let age = if state.messages > 0 { (now.timestamp() - first).max(0) } else { 0 };
            metrics::gauge!("sluice_jetstream_messages", "stream" => name).set(state.messages as f64);
            metrics::gauge!("sluice_jetstream_bytes", "stream" => name).set(state.bytes as f64);
            metrics::gauge!("sluice_jetstream_oldest_age_seconds", "stream" => name).set(age as f64);
            // those of gateways come and go under names of their own, and keep nothing from anybody
            if matches!(name, subject::STREAM_JOBS | subject::STREAM_OUTCOMES) {
                let mut consumers = stream.consumers();
                while let Some(info) =
                    consumers.try_next().await.map_err(NotifierError::jetstream("look at consumers"))?
                {
                    if info.config.durable_name.is_some() && seen.len() < CONSUMERS {
                        tell(name, &info);
                        seen.push((name, info.name));
                    }
                }
            }
        }
        for (stream, consumer) in self.known.iter().filter(|known| !seen.contains(known)) {
            set(stream, consumer, [0, 0, 0]);
        }
        self.known = seen;

        let account = jetstream.query_account().await.map_err(NotifierError::jetstream("look at the account"))?;
        metrics::gauge!("sluice_jetstream_storage_bytes").set(account.storage as f64);
        let most = account.limits.max_storage.unwrap_or_default();
        let ratio = if most > 0 { account.storage as f64 / most as f64 } else { 0.0 };
        metrics::gauge!("sluice_jetstream_storage_ratio").set(ratio);
        Ok(())
    }
}

fn tell(stream: &'static str, info: &Info) {
    set(stream, &info.name, [info.num_pending, info.num_ack_pending as u64, info.num_redelivered as u64]);
}

fn set(stream: &'static str, consumer: &str, [pending, working, redelivered]: [u64; 3]) {
    let consumer = || consumer.to_owned();
    metrics::gauge!("sluice_jetstream_consumer_pending", "stream" => stream, "consumer" => consumer())
        .set(pending as f64);
    metrics::gauge!("sluice_jetstream_consumer_ack_pending", "stream" => stream, "consumer" => consumer())
        .set(working as f64);
    metrics::gauge!("sluice_jetstream_consumer_redelivered", "stream" => stream, "consumer" => consumer())
        .set(redelivered as f64);
}
