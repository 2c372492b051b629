//! The streams and buckets of this platform: one service makes them, and the others wait for them.

use std::{sync::Arc, time::Duration};

use async_nats::jetstream::{
    self, kv,
    stream::{Config, RetentionPolicy, StorageType},
};
use protocol::subject;
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::BusError;

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// For this long a message id is known again. A redelivery after it is harmless, as every handler is idempotent.
const DEDUPE_WINDOW: Duration = Duration::from_secs(10 * 60);

/// Makes what is missing after each reconnect, as a server may have come back without its data.
pub(super) async fn keep(
    jetstream: jetstream::Context,
    replicas: usize,
    connected: Arc<Notify>,
    stop: CancellationToken,
) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = connected.notified() => {}
        }
        if let Err(e) = ensure(&jetstream, replicas).await {
            warn!(error = %e, "streams can't be checked after a reconnect");
        }
    }
}

/// How often to look whether a stream is there.
const LOOK: Duration = Duration::from_millis(200);

/// Waits for streams that another service makes.
pub(super) async fn wait(jetstream: &jetstream::Context, needed: &[&str], limit: Duration) -> Result<(), BusError> {
    let (begun, mut missing, mut said) = (Instant::now(), needed.to_vec(), false);
    loop {
        let mut still = vec![];
        for name in missing {
            if let Err(e) = jetstream.get_stream(name).await {
                debug!(nats.stream = name, error = %e, "a stream is not there yet");
                still.push(name);
            }
        }
        if still.is_empty() {
            return Ok(());
        }
        if begun.elapsed() >= limit {
            let waited_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
            return Err(BusError::Missing { missing: still.join(", "), waited_ms });
        }
        if !said {
            info!(nats.missing = %still.join(", "), "waiting until a notifier has made the streams");
            said = true;
        }
        missing = still;
        tokio::time::sleep(LOOK).await;
    }
}

pub(super) async fn ensure(jetstream: &jetstream::Context, replicas: usize) -> Result<(), BusError> {
    let stream = |name: &str, all: &str, retention, max_age| Config {
        name: name.to_owned(),
        subjects: vec![all.to_owned()],
        retention,
        max_age,
        storage: StorageType::File,
        duplicate_window: DEDUPE_WINDOW,
        num_replicas: replicas,
        ..Config::default()
    };
    let streams = [
        (
            subject::STREAM_JOBS,
            stream(subject::STREAM_JOBS, subject::JOBS_ALL, RetentionPolicy::WorkQueue, Duration::ZERO),
        ),
        (
            subject::STREAM_OUTCOMES,
            stream(subject::STREAM_OUTCOMES, subject::OUTCOMES_ALL, RetentionPolicy::WorkQueue, Duration::ZERO),
        ),
        (subject::STREAM_EVENTS, stream(subject::STREAM_EVENTS, subject::EVENTS_ALL, RetentionPolicy::Limits, DAY)),
        (subject::STREAM_DEAD, stream(subject::STREAM_DEAD, subject::DEAD_ALL, RetentionPolicy::Limits, 30 * DAY)),
    ];
    for (name, config) in streams {
        let made = jetstream.get_or_create_stream(config).await;
        made.map_err(|e| BusError::Prepare { name, detail: e.to_string() })?;
    }
    let bucket = |name: &str, max_age, storage| kv::Config {
        bucket: name.to_owned(),
        history: 1,
        max_age,
        storage,
        num_replicas: replicas,
        ..kv::Config::default()
    };
    let buckets = [
        // on disk, as a server that restarts must know its buckets again
        (subject::BUCKET_CATALOG, bucket(subject::BUCKET_CATALOG, MINUTE, StorageType::File)),
        // tickets live 30 s; the bucket forgets those never used
        (subject::BUCKET_TICKETS, bucket(subject::BUCKET_TICKETS, MINUTE, StorageType::File)),
    ];
    for (name, config) in buckets {
        if jetstream.get_key_value(name).await.is_ok() {
            continue;
        }
        // another service may have made it in between
        if let Err(e) = jetstream.create_key_value(config).await
            && jetstream.get_key_value(name).await.is_err()
        {
            return Err(BusError::Prepare { name, detail: e.to_string() });
        }
    }
    Ok(())
}
