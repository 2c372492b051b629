//! The JetStream streams and buckets of Sluice. Notifiers create them, and the other services wait until they exist.

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
use crate::{backoff::Backoff, catalog::ENTRY_LIFETIME};

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The JetStream deduplication window. A duplicate after this time is harmless, because every handler is idempotent.
const DEDUPLICATION_WINDOW: Duration = Duration::from_secs(10 * 60);

/// The interval between two attempts to find or create the streams.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// The maximum time that one attempt to connect waits for the streams. After this time, a starting service connects
/// again.
const READY_TIMEOUT: Duration = Duration::from_secs(10);

/// The maximum pause between attempts to create the streams again after a reconnect.
const MAX_PAUSE: Duration = Duration::from_secs(10);

/// The reason why a stream or bucket could not be created.
#[derive(Debug, thiserror::Error)]
#[error("{name}: {detail}")]
pub(super) struct CreateError {
    name: &'static str,
    detail: String,
    /// Whether a retry may succeed, for example after a cluster has elected its leader.
    is_transient: bool,
}

impl CreateError {
    fn of(name: &'static str, error: &(dyn Error + 'static)) -> Self {
        Self { name, detail: error.to_string(), is_transient: is_transient(error) }
    }
}

impl From<CreateError> for BusError {
    fn from(CreateError { name, detail, is_transient }: CreateError) -> Self {
        if is_transient { Self::Prepare { name, detail } } else { Self::Refused { name, detail } }
    }
}

/// Whether a retry may succeed without an action of the operator.
fn is_transient(error: &(dyn Error + 'static)) -> bool {
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
    error.source().is_some_and(is_transient)
}

/// Creates missing streams and buckets, and retries for [`READY_TIMEOUT`] while the servers are not ready.
///
/// # Errors
/// Returns a permanent error immediately, and a transient error after the timeout.
pub(super) async fn create(jetstream: &jetstream::Context, replicas: usize) -> Result<(), BusError> {
    let begun = Instant::now();
    let mut is_logged = false;
    while let Err(e) = create_missing(jetstream, replicas).await {
        if !e.is_transient || begun.elapsed() >= READY_TIMEOUT {
            return Err(e.into());
        }
        if !is_logged {
            warn!(error = %e, "failed to create streams; retrying");
            is_logged = true;
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    Ok(())
}

/// Creates missing streams and buckets after each reconnect, because the server may have lost its data. Each reconnect
/// notifies `connected`. Retries until `stop` is canceled, because a server that lost its data may start slowly.
pub(super) async fn restore_after_reconnects(
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
        let mut backoff = Backoff::new(POLL_INTERVAL, MAX_PAUSE);
        while let Err(e) = create_missing(&jetstream, replicas).await {
            warn!(error = %e, "failed to restore streams after a reconnect; retrying");
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(backoff.next_pause()) => {}
            }
        }
    }
}

/// Waits at most [`READY_TIMEOUT`] until a notifier has created these streams.
///
/// # Errors
/// When a stream does not exist after the timeout.
pub(super) async fn wait_for(jetstream: &jetstream::Context, needed: &[&str]) -> Result<(), BusError> {
    let (begun, mut missing, mut is_logged) = (Instant::now(), needed.to_vec(), false);
    loop {
        let mut still_missing = vec![];
        for name in missing {
            if let Err(e) = jetstream.get_stream(name).await {
                debug!(nats.stream = name, error = %e, "stream does not exist yet");
                still_missing.push(name);
            }
        }
        if still_missing.is_empty() {
            return Ok(());
        }
        if begun.elapsed() >= READY_TIMEOUT {
            return Err(BusError::Missing { missing: still_missing.join(", ") });
        }
        if !is_logged {
            info!(nats.missing = %still_missing.join(", "), "waiting until a notifier has created the streams");
            is_logged = true;
        }
        missing = still_missing;
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// Creates the streams and buckets that do not exist.
async fn create_missing(jetstream: &jetstream::Context, replicas: usize) -> Result<(), CreateError> {
    let stream = |name: &str, all: &str, retention, max_age| Config {
        name: name.to_owned(),
        subjects: vec![all.to_owned()],
        retention,
        max_age,
        storage: StorageType::File,
        duplicate_window: DEDUPLICATION_WINDOW,
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
        let created = jetstream.get_or_create_stream(config).await;
        created.map_err(|e| CreateError::of(name, &e))?;
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
        // stored on disk, because the buckets must survive a restart of the server; exporters renew their entries
        // within this lifetime, and the bucket deletes the entries of a crashed exporter after this lifetime
        (subject::BUCKET_CATALOG, bucket(subject::BUCKET_CATALOG, ENTRY_LIFETIME, StorageType::File)),
        // tickets are valid for 30 s; the bucket deletes unused tickets after a minute
        (subject::BUCKET_TICKETS, bucket(subject::BUCKET_TICKETS, MINUTE, StorageType::File)),
    ];
    for (name, config) in buckets {
        if jetstream.get_key_value(name).await.is_ok() {
            continue;
        }
        // another notifier may have created the bucket in between
        if let Err(e) = jetstream.create_key_value(config).await
            && jetstream.get_key_value(name).await.is_err()
        {
            return Err(CreateError::of(name, &e));
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
    fn a_cluster_without_a_leader_is_a_transient_error_and_a_server_without_jetstream_is_not() {
        let late = CreateStreamError::new(CreateStreamErrorKind::TimedOut);
        for transient in [late, refusal(10008), refusal(10009), refusal(10005)] {
            assert!(is_transient(&transient), "{transient}");
            assert!(is_transient(&CreateKeyValueError::with_source(CreateKeyValueErrorKind::BucketCreate, transient)));
        }
        // no JetStream on the server, none for the account, replicas without a cluster, another stream's subjects
        for permanent in [10076, 10039, 10074, 10065] {
            let permanent = refusal(permanent);
            assert!(!is_transient(&permanent), "{permanent}");
            assert!(!is_transient(&CreateKeyValueError::with_source(CreateKeyValueErrorKind::BucketCreate, permanent)));
        }
    }
}
