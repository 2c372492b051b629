//! The streams and buckets of this platform: one service makes them, and the others wait for them.

use std::{error::Error, sync::Arc, time::Duration};

use async_nats::jetstream::{
    self, ErrorCode,
    context::{CreateKeyValueError, CreateKeyValueErrorKind, CreateStreamError, CreateStreamErrorKind},
    kv,
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

/// How often to look whether a stream is there.
const LOOK: Duration = Duration::from_millis(200);

/// The longest pause between two tries to make what is missing.
const PAUSE: Duration = Duration::from_secs(10);

/// A stream or bucket that could not be made.
#[derive(Debug, thiserror::Error)]
#[error("{name}: {detail}")]
pub(super) struct Unmade {
    name: &'static str,
    detail: String,
    /// The servers may agree in a moment: of a cluster that begins, or that has just lost one, nobody leads.
    passes: bool,
}

impl Unmade {
    fn of(name: &'static str, error: &(dyn Error + 'static)) -> Self {
        Self { name, detail: error.to_string(), passes: passes(error) }
    }
}

impl From<Unmade> for BusError {
    fn from(Unmade { name, detail, .. }: Unmade) -> Self {
        Self::Prepare { name, detail }
    }
}

/// Whether this may be over by itself.
fn passes(error: &(dyn Error + 'static)) -> bool {
    if let Some(stream) = error.downcast_ref::<CreateStreamError>() {
        return match stream.kind() {
            CreateStreamErrorKind::TimedOut | CreateStreamErrorKind::JetStreamUnavailable => true,
            CreateStreamErrorKind::JetStream(e) => {
                [ErrorCode::CLUSTER_NOT_AVAILABLE, ErrorCode::CLUSTER_NOT_LEADER, ErrorCode::CLUSTER_NO_PEERS]
                    .contains(&e.error_code())
            }
            _ => false,
        };
    }
    if let Some(bucket) = error.downcast_ref::<CreateKeyValueError>()
        && matches!(bucket.kind(), CreateKeyValueErrorKind::TimedOut | CreateKeyValueErrorKind::JetStream)
    {
        return true;
    }
    error.source().is_some_and(passes)
}

/// Makes what is missing, and waits for servers that are not ready for it.
///
/// # Errors
/// What is wrong, at once when waiting does not help, and else when it is so after the `limit`.
pub(super) async fn make(jetstream: &jetstream::Context, replicas: usize, limit: Duration) -> Result<(), BusError> {
    let begun = Instant::now();
    let mut said = false;
    while let Err(e) = ensure(jetstream, replicas).await {
        if !e.passes || begun.elapsed() >= limit {
            return Err(e.into());
        }
        if !said {
            warn!(error = %e, "streams can't be made yet; trying again");
            said = true;
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

/// Makes what is missing after each reconnect, as a server may have come back without its data. It does not give up: a
/// server that lost its data may be slow to begin.
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
        let mut pause = LOOK;
        while let Err(e) = ensure(&jetstream, replicas).await {
            warn!(error = %e, "streams can't be checked after a reconnect; trying again");
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
            pause = (pause * 2).min(PAUSE);
        }
    }
}

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

async fn ensure(jetstream: &jetstream::Context, replicas: usize) -> Result<(), Unmade> {
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
        made.map_err(|e| Unmade::of(name, &e))?;
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
            return Err(Unmade::of(name, &e));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(code: u64) -> CreateStreamError {
        let error = serde_json::json!({"code": 503, "err_code": code, "description": "no"});
        let error: jetstream::Error = serde_json::from_value(error).unwrap();
        error.into()
    }

    #[test]
    fn a_cluster_that_has_no_leader_is_waited_for_and_a_server_without_streams_is_not() {
        let late = CreateStreamError::new(CreateStreamErrorKind::TimedOut);
        for waits in [late, refusal(10008), refusal(10009), refusal(10005)] {
            assert!(passes(&waits), "{waits}");
            assert!(passes(&CreateKeyValueError::with_source(CreateKeyValueErrorKind::BucketCreate, waits)));
        }
        // no JetStream on the server, none for the account, replicas without a cluster, another stream's subjects
        for hopeless in [10076, 10039, 10074, 10065] {
            let hopeless = refusal(hopeless);
            assert!(!passes(&hopeless), "{hopeless}");
            assert!(!passes(&CreateKeyValueError::with_source(CreateKeyValueErrorKind::BucketCreate, hopeless)));
        }
    }
}
