//! NATS: durable messages over JetStream, lossy ones and requests over core NATS.

mod streams;
mod tls;
mod urls;

use std::{sync::Arc, time::Duration};

use async_nats::{
    Client, ConnectOptions, Subscriber,
    connection::State,
    header::NATS_MESSAGE_ID,
    jetstream::{self, kv},
    service::{Service, ServiceExt},
};
use protocol::{
    ENVELOPE_VERSION,
    envelope::{Envelope, TraceContext},
    subject,
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::Notify;
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{Span, info, warn};

use crate::{config::NatsConfig, telemetry::traces};

/// Messages of one core subscription that wait for their reader; NATS drops further ones, which every such reader
/// can bear, as each of these messages is only a hint.
const SUBSCRIPTION_CAPACITY: usize = 4096;

/// How long a message that may be lost may wait for its way out.
const LOSSY_TIMEOUT: Duration = Duration::from_secs(1);

/// What can go wrong on the bus.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// The credentials file can't be read.
    #[error("nats.credentials_file: {0}")]
    Credentials(#[source] std::io::Error),
    /// A file of the encrypted connection can't be read.
    #[error("nats.{setting}: {file}: {source}")]
    File {
        /// The setting that names it.
        setting: &'static str,
        /// Which.
        file: String,
        /// Why.
        source: std::io::Error,
    },
    /// No URL of a NATS server; its text is not told, as it may hold a password.
    #[error("nats.url: entry {entry}: {detail}; expected nats://host:4222, or several separated by commas")]
    Url {
        /// Which of them, from 1.
        entry: usize,
        /// What is wrong with it.
        detail: String,
    },
    /// A user, a password or a token in a URL, which logs and settings would show.
    #[error("nats.url: entry {0} names a user: give nats.user and nats.password, or nats.credentials_file, instead")]
    UserInUrl(usize),
    /// Only one of the two is there.
    #[error("nats.tls_cert_file and nats.tls_key_file belong together: set both, or none")]
    HalfAPair,
    /// The server shows a certificate that we don't trust.
    #[error(
        "NATS at {url} can't be trusted: {detail}; its certificate must come from nats.tls_ca_file and hold the host of the URL"
    )]
    Untrusted {
        /// Where.
        url: String,
        /// What is wrong with it.
        detail: String,
    },
    /// The server wants another certificate than ours, or any.
    #[error("NATS at {url} doesn't take the certificate of this process (nats.tls_cert_file): {detail}")]
    Unwelcome {
        /// Where.
        url: String,
        /// What it said.
        detail: String,
    },
    /// The server can't be reached or refuses us.
    #[error("can't connect to NATS at {url}: {source}")]
    Connect {
        /// Where.
        url: String,
        /// Why.
        source: async_nats::ConnectError,
    },
    /// A stream or bucket can't be made.
    #[error("can't prepare {name}: {detail}")]
    Prepare {
        /// Which.
        name: &'static str,
        /// Why.
        detail: String,
    },
    /// A message can't be sent, or the stream did not confirm it in time.
    #[error("can't publish to {subject}: {detail}")]
    Publish {
        /// Where to.
        subject: String,
        /// Why.
        detail: String,
    },
    /// Nobody answered in time.
    #[error("no answer from {subject}: {detail}")]
    Request {
        /// Where to.
        subject: String,
        /// Why.
        detail: String,
    },
    /// A subscription can't be made.
    #[error("can't subscribe to {subject}: {detail}")]
    Subscribe {
        /// Where to.
        subject: String,
        /// Why.
        detail: String,
    },
    /// Streams and buckets that somebody else makes are not there.
    #[error(
        "not there after {waited_ms} ms (nats.streams_wait_ms): {missing}; a notifier makes them, so start one on the same NATS"
    )]
    Missing {
        /// Which.
        missing: String,
        /// For how long they were waited for, milliseconds.
        waited_ms: u64,
    },
    /// A message isn't what its subject promises.
    #[error("unreadable message: {0}")]
    Unreadable(#[from] serde_json::Error),
    /// A message of another version of these types.
    #[error("message of version {0}")]
    Version(u8),
    /// A micro service can't be registered.
    #[error("can't register the service {name}: {detail}")]
    Service {
        /// Which.
        name: String,
        /// Why.
        detail: String,
    },
}

/// A connection to NATS. Clones share it.
#[derive(Clone, Debug)]
pub struct Bus {
    client: Client,
    jetstream: jetstream::Context,
    timeout: Duration,
    /// Ends the task that keeps the streams when the last clone goes, so that the connection can close.
    _keeper: Option<Arc<DropGuard>>,
}

impl Bus {
    /// Connects, and makes the streams and buckets that don't exist yet, now and whenever the server comes back without
    /// them. `name` is shown to operators.
    ///
    /// # Errors
    /// When none of the servers can be reached, each within the request time, or a stream can't be made; where the servers
    /// are not ready for that, only after `streams_wait_ms`.
    pub async fn connect(config: &NatsConfig, name: &str) -> Result<Self, BusError> {
        let connected = Arc::new(Notify::new());
        let mut bus = Self::open(config, name, Arc::clone(&connected)).await?;
        let limit = Duration::from_millis(config.streams_wait_ms);
        streams::make(&bus.jetstream, config.replicas, limit).await?;
        let stop = CancellationToken::new();
        tokio::spawn(streams::keep(bus.jetstream.clone(), config.replicas, connected, stop.clone()));
        bus._keeper = Some(Arc::new(stop.drop_guard()));
        Ok(bus)
    }

    /// Connects, and waits for what somebody with more rights makes: these streams, by name; a bucket is the stream
    /// `KV_<bucket>`. Without any it only connects.
    ///
    /// # Errors
    /// When none of the servers can be reached, each within the request time, or a stream is not there within
    /// `streams_wait_ms`.
    pub async fn join(config: &NatsConfig, name: &str, needed: &[&str]) -> Result<Self, BusError> {
        let bus = Self::open(config, name, Arc::new(Notify::new())).await?;
        streams::wait(&bus.jetstream, needed, Duration::from_millis(config.streams_wait_ms)).await?;
        Ok(bus)
    }

    async fn open(config: &NatsConfig, name: &str, connected: Arc<Notify>) -> Result<Self, BusError> {
        let timeout = Duration::from_millis(config.request_timeout_ms);
        let client = name.trim_start_matches("sluice-").to_owned();
        let urls = urls::servers(&config.url)?;
        let mut options = ConnectOptions::new()
            .name(name)
            .custom_inbox_prefix(config.inbox())
            .subscription_capacity(SUBSCRIPTION_CAPACITY)
            .connection_timeout(timeout)
            .request_timeout(Some(timeout))
            .event_callback(move |event| {
                let (connected, client) = (Arc::clone(&connected), client.clone());
                async move {
                    match event {
                        async_nats::Event::Connected => {
                            info!("nats: connected");
                            connected.notify_one();
                        }
                        // by ourselves, at the end
                        async_nats::Event::Closed => info!("nats: closed"),
                        async_nats::Event::SlowConsumer(_) => {
                            metrics::counter!("sluice_nats_slow_consumers_total", "client" => client).increment(1);
                            warn!("nats: a subscription is too slow, and messages of it are dropped");
                        }
                        other => warn!(nats.event = %other, "nats: connection event"),
                    }
                }
            });
        options = tls::encrypted(options, config).await?;
        if !config.credentials_file.is_empty() {
            let credentials =
                tokio::fs::read_to_string(&config.credentials_file).await.map_err(BusError::Credentials)?;
            options = options.credentials(&credentials).map_err(BusError::Credentials)?;
        } else if !config.user.is_empty() {
            options = options.user_and_password(config.user.clone(), config.password.expose().to_owned());
        }
        let client = options.connect(urls).await.map_err(|e| tls::unconnected(config.url.clone(), e))?;
        let jetstream =
            jetstream::context::ContextBuilder::new().timeout(timeout).ack_timeout(timeout).build(client.clone());
        Ok(Self { client, jetstream, timeout, _keeper: None })
    }

    /// The core NATS client.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// JetStream.
    #[must_use]
    pub fn jetstream(&self) -> &jetstream::Context {
        &self.jetstream
    }

    /// Whether the connection is up.
    ///
    /// # Errors
    /// The state it is in instead.
    pub fn ping(&self) -> Result<(), String> {
        match self.client.connection_state() {
            State::Connected => Ok(()),
            other => Err(format!("{other}")),
        }
    }

    /// Publishes to a stream and waits until the stream has it. The same `message_id` within the stream's
    /// deduplication window is stored once.
    ///
    /// # Errors
    /// When the stream did not confirm it in time: it may be stored or not, so publish again.
    pub async fn publish_durable<T: Serialize>(
        &self,
        subject: String,
        message_id: &str,
        message: &T,
    ) -> Result<(), BusError> {
        let payload = serde_json::to_vec(message)?;
        let mut headers = async_nats::HeaderMap::new();
        headers.insert(NATS_MESSAGE_ID, message_id);
        let failed = |detail: String| BusError::Publish { subject: subject.clone(), detail };
        let ack = self
            .jetstream
            .publish_with_headers(subject.clone(), headers, payload.into())
            .await
            .map_err(|e| failed(e.to_string()))?;
        ack.await.map_err(|e| failed(e.to_string()))?;
        Ok(())
    }

    /// Publishes on core NATS: nobody may be there, and it may be lost.
    ///
    /// # Errors
    /// When the client is closed.
    pub async fn publish_lossy<T: Serialize>(
        &self,
        subject: String,
        traceparent: &str,
        message: &T,
    ) -> Result<(), BusError> {
        let payload = serde_json::to_vec(&Envelope::new(message_id(), traceparent, message))?;
        let failed = |detail: String| BusError::Publish { subject: subject.clone(), detail };
        // while NATS is away the client's queue fills up, and then publishing waits for it
        tokio::time::timeout(LOSSY_TIMEOUT, self.client.publish(subject.clone(), payload.into()))
            .await
            .map_err(|_| failed("timed out".into()))?
            .map_err(|e| failed(e.to_string()))
    }

    /// Asks on core NATS and reads the answer.
    ///
    /// # Errors
    /// When nobody answers in time or the answer is unreadable.
    pub async fn request<Q: Serialize, A: DeserializeOwned>(&self, subject: &str, question: &Q) -> Result<A, BusError> {
        let trace = traces::context(&Span::current()).unwrap_or_else(TraceContext::generate);
        let payload = serde_json::to_vec(&Envelope::new(message_id(), trace.traceparent(), question))?;
        let failed = |detail: String| BusError::Request { subject: subject.to_owned(), detail };
        let answer = tokio::time::timeout(self.timeout, self.client.request(subject.to_owned(), payload.into()))
            .await
            .map_err(|_| failed("timed out".into()))?
            .map_err(|e| failed(e.to_string()))?;
        Ok(serde_json::from_slice(&answer.payload)?)
    }

    /// Subscribes on core NATS. When the reader is slower than the messages, further ones are dropped.
    ///
    /// # Errors
    /// When the client is closed.
    pub async fn subscribe(&self, subject: String) -> Result<Subscriber, BusError> {
        let failed = subject.clone();
        self.client.subscribe(subject).await.map_err(|e| BusError::Subscribe { subject: failed, detail: e.to_string() })
    }

    /// Subscribes on core NATS so that one member of the group gets each message.
    ///
    /// # Errors
    /// When the client is closed.
    pub async fn subscribe_group(&self, subject: String, group: &str) -> Result<Subscriber, BusError> {
        let failed = subject.clone();
        self.client
            .queue_subscribe(subject, group.to_owned())
            .await
            .map_err(|e| BusError::Subscribe { subject: failed, detail: e.to_string() })
    }

    /// The bucket in which exporters advertise.
    ///
    /// # Errors
    /// When the server doesn't answer.
    pub async fn catalog(&self) -> Result<kv::Store, BusError> {
        self.bucket(subject::BUCKET_CATALOG).await
    }

    /// The bucket of single-use tickets.
    ///
    /// # Errors
    /// When the server doesn't answer.
    pub async fn tickets(&self) -> Result<kv::Store, BusError> {
        self.bucket(subject::BUCKET_TICKETS).await
    }

    async fn bucket(&self, name: &'static str) -> Result<kv::Store, BusError> {
        let bucket = self.jetstream.get_key_value(name).await;
        bucket.map_err(|e| BusError::Prepare { name, detail: e.to_string() })
    }

    /// Registers a NATS service, which `nats micro` shows for as long as the answer is held, under the version of this
    /// build. `metadata` tells its instances apart; `data` is asked whenever somebody wants to see how its endpoints do.
    ///
    /// # Errors
    /// When the name isn't one or the client is closed.
    pub async fn register(
        &self,
        name: &str,
        description: &str,
        metadata: &[(&str, &str)],
        data: impl Fn() -> serde_json::Value + Send + Sync + 'static,
    ) -> Result<Service, BusError> {
        let metadata = metadata.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let builder = self.client.service_builder().description(description).metadata(metadata);
        let started = builder.stats_handler(move |_, _| data()).start(name, env!("CARGO_PKG_VERSION")).await;
        started.map_err(|e| BusError::Service { name: name.to_owned(), detail: e.to_string() })
    }

    /// Waits until everything published so far is on its way.
    ///
    /// # Errors
    /// When the client is closed.
    pub async fn flush(&self) -> Result<(), BusError> {
        let flushed = self.client.flush().await;
        flushed.map_err(|e| BusError::Publish { subject: "(flush)".into(), detail: e.to_string() })
    }
}

/// A message that is sent once needs no more than to differ from all others.
fn message_id() -> String {
    uuid::Uuid::now_v7().to_string()
}

/// Reads an enveloped message.
///
/// # Errors
/// When it is unreadable or of another version.
pub fn open<T: DeserializeOwned>(payload: &[u8]) -> Result<Envelope<T>, BusError> {
    #[derive(serde::Deserialize)]
    struct Head {
        v: u8,
    }
    let head: Head = serde_json::from_slice(payload)?;
    if head.v != ENVELOPE_VERSION {
        return Err(BusError::Version(head.v));
    }
    Ok(serde_json::from_slice(payload)?)
}
