//! The connection to NATS. Durable messages use JetStream. Lossy messages and requests use core NATS.

mod error;
mod streams;
mod tls;
mod urls;
mod writes;

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

pub use self::error::BusError;
use self::writes::Writes;
use crate::{catalog::MAX_ENTRY_SIZE, config::NatsConfig, telemetry::traces};

/// The maximum number of unread messages of one core NATS subscription. The client drops further messages. Subscribers
/// tolerate lost messages, because they also poll the database or the stream.
const SUBSCRIPTION_CAPACITY: usize = 4096;

/// The number of bytes of a NATS message that are reserved for its headers. A catalog entry must fit into the rest of
/// the message.
const HEADER_SIZE: usize = 1024;

/// The maximum time that a lossy message waits for space in the client's queue.
const LOSSY_TIMEOUT: Duration = Duration::from_secs(1);

/// A connection to NATS. Clones share the connection.
#[derive(Clone, Debug)]
pub struct Bus {
    client: Client,
    jetstream: jetstream::Context,
    timeout: Duration,
    writes: Writes,
    /// Stops the task that creates lost streams again, when the last clone of the bus is dropped. Otherwise the task
    /// would hold the connection open. None if this process creates no streams.
    _restorer: Option<Arc<DropGuard>>,
}

impl Bus {
    /// Connects to NATS, and creates missing streams and buckets. Creates missing streams and buckets again after each
    /// reconnect, because the server may have lost its data. `name` identifies the connection in NATS monitoring.
    ///
    /// # Errors
    /// When a setting is invalid, none of the servers answers within the request timeout, or a stream can't be created.
    /// While the servers are not ready to create streams, this method retries for 10 s, and then fails.
    pub async fn connect(config: &NatsConfig, name: &str) -> Result<Self, BusError> {
        let connected = Arc::new(Notify::new());
        let mut bus = Self::open(config, name, Arc::clone(&connected)).await?;
        streams::create(&bus.jetstream, config.replicas).await?;
        let stop = CancellationToken::new();
        tokio::spawn(streams::restore_after_reconnects(
            bus.jetstream.clone(),
            config.replicas,
            connected,
            stop.clone(),
        ));
        bus._restorer = Some(Arc::new(stop.drop_guard()));
        Ok(bus)
    }

    /// Connects to NATS, and waits until a notifier has created the streams in `needed`. A bucket is the stream
    /// `KV_<bucket>`. With an empty list this method only connects.
    ///
    /// # Errors
    /// When a setting is invalid, none of the servers answers within the request timeout, or a stream does not exist
    /// after 10 s.
    pub async fn join(config: &NatsConfig, name: &str, needed: &[&str]) -> Result<Self, BusError> {
        let bus = Self::open(config, name, Arc::new(Notify::new())).await?;
        streams::wait_for(&bus.jetstream, needed).await?;
        Ok(bus)
    }

    async fn open(config: &NatsConfig, name: &str, connected: Arc<Notify>) -> Result<Self, BusError> {
        let timeout = config.request_timeout.get();
        let client = name.trim_start_matches("sluice-").to_owned();
        let urls = urls::parse_servers(&config.url)?;
        let writes = Writes::default();
        let forgetting = writes.clone();
        let mut options = ConnectOptions::new()
            .name(name)
            .custom_inbox_prefix(config.inbox())
            .subscription_capacity(SUBSCRIPTION_CAPACITY)
            .connection_timeout(timeout)
            .request_timeout(Some(timeout))
            .event_callback(move |event| {
                let (connected, client, writes) = (Arc::clone(&connected), client.clone(), forgetting.clone());
                async move {
                    match event {
                        async_nats::Event::Connected => {
                            info!("nats: connected");
                            writes.forget();
                            connected.notify_one();
                        }
                        // this process has closed the connection at its end
                        async_nats::Event::Closed => info!("nats: closed"),
                        async_nats::Event::SlowConsumer(_) => {
                            metrics::counter!("sluice_nats_slow_consumers_total", "client" => client).increment(1);
                            warn!("nats: slow consumer; messages are dropped");
                        }
                        other => warn!(nats.event = %other, "nats: connection event"),
                    }
                }
            });
        options = tls::with_tls(options, config).await?;
        if !config.credentials_file.is_empty() {
            let credentials =
                tokio::fs::read_to_string(&config.credentials_file).await.map_err(BusError::Credentials)?;
            options = options.credentials(&credentials).map_err(BusError::Credentials)?;
        } else if !config.user.is_empty() {
            options = options.user_and_password(config.user.clone(), config.password.expose().to_owned());
        }
        let client = options.connect(urls).await.map_err(|e| tls::connect_error(config.url.clone(), e))?;
        let jetstream =
            jetstream::context::ContextBuilder::new().timeout(timeout).ack_timeout(timeout).build(client.clone());
        Ok(Self { client, jetstream, timeout, writes, _restorer: None })
    }

    /// Returns the client for core NATS, which has no streams.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Returns the JetStream context, whose requests have the timeout from the settings.
    #[must_use]
    pub fn jetstream(&self) -> &jetstream::Context {
        &self.jetstream
    }

    /// Checks that the connection to NATS is up.
    ///
    /// # Errors
    /// The name of the connection's state when the connection is down.
    pub fn ping(&self) -> Result<(), String> {
        match self.client.connection_state() {
            State::Connected => Ok(()),
            other => Err(format!("{other}")),
        }
    }

    /// Publishes a message to a stream, and waits until the stream has stored the message. Within the deduplication
    /// window the stream stores messages with the same `message_id` once.
    ///
    /// # Errors
    /// When the stream did not confirm the message in time. The stream may still have stored the message, so the caller
    /// must retry with the same id.
    pub async fn publish_durable<T: Serialize>(
        &self,
        subject: String,
        message_id: &str,
        message: &T,
    ) -> Result<(), BusError> {
        let payload = serde_json::to_vec(message)?;
        let mut headers = async_nats::HeaderMap::new();
        headers.insert(NATS_MESSAGE_ID, message_id);
        let publish = async {
            let ack = self.jetstream.publish_with_headers(subject.clone(), headers, payload.into()).await;
            ack.map_err(|e| e.to_string())?.await.map(drop).map_err(|e| e.to_string())
        };
        let stored = publish.await;
        if let Some(stream) = writes::stream_of(&subject) {
            self.record_write(stream, &stored);
        }
        stored.map_err(|detail| BusError::Publish { subject, detail })
    }

    /// Records whether a stream has stored a message, for [`Self::check_writes`]. `result` is the result of the write.
    /// A failure while the connection is down is not recorded. [`Self::publish_durable`] calls this method itself. A
    /// caller that writes to a bucket must call it.
    pub fn record_write<E: std::fmt::Display>(&self, stream: &'static str, result: &Result<(), E>) {
        // without a connection, a failure does not show whether the stream accepts writes
        if result.is_ok() || self.ping().is_ok() {
            self.writes.record(stream, result);
        }
    }

    /// Checks that each stream has stored the last message that this process sent to it.
    ///
    /// # Errors
    /// Returns the names of the streams that did not store their last message.
    pub fn check_writes(&self) -> Result<(), String> {
        self.writes.check()
    }

    /// Publishes a message on core NATS without confirmation. The message may be lost. A subject without subscribers is
    /// no error.
    ///
    /// # Errors
    /// When the client is closed, or its send queue stays full for 1 s.
    pub async fn publish_lossy<T: Serialize>(
        &self,
        subject: String,
        traceparent: &str,
        message: &T,
    ) -> Result<(), BusError> {
        let payload = serde_json::to_vec(&Envelope::new(message_id(), traceparent, message))?;
        let failed = |detail: String| BusError::Publish { subject: subject.clone(), detail };
        // while NATS is unavailable, the client's queue fills up and a publish waits for space
        tokio::time::timeout(LOSSY_TIMEOUT, self.client.publish(subject.clone(), payload.into()))
            .await
            .map_err(|_| failed("timed out".into()))?
            .map_err(|e| failed(e.to_string()))
    }

    /// Sends a request on core NATS, and returns the reply.
    ///
    /// # Errors
    /// When no reply arrives in time, or the reply can't be parsed.
    pub async fn request<Q: Serialize, A: DeserializeOwned>(&self, subject: &str, request: &Q) -> Result<A, BusError> {
        let trace = traces::context(&Span::current()).unwrap_or_else(TraceContext::generate);
        let payload = serde_json::to_vec(&Envelope::new(message_id(), trace.traceparent(), request))?;
        let failed = |detail: String| BusError::Request { subject: subject.to_owned(), detail };
        let answer = tokio::time::timeout(self.timeout, self.client.request(subject.to_owned(), payload.into()))
            .await
            .map_err(|_| failed("timed out".into()))?
            .map_err(|e| failed(e.to_string()))?;
        Ok(serde_json::from_slice(&answer.payload)?)
    }

    /// Subscribes to a subject on core NATS. The client drops messages when the caller reads them too slowly.
    ///
    /// # Errors
    /// When the client is closed.
    pub async fn subscribe(&self, subject: String) -> Result<Subscriber, BusError> {
        let failed = subject.clone();
        self.client.subscribe(subject).await.map_err(|e| BusError::Subscribe { subject: failed, detail: e.to_string() })
    }

    /// Subscribes to a subject on core NATS as a member of a queue group. Each message goes to one member of the group.
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

    /// Opens the bucket in which exporters advertise their datasets.
    ///
    /// # Errors
    /// When the server does not answer or the bucket does not exist.
    pub async fn catalog(&self) -> Result<kv::Store, BusError> {
        self.bucket(subject::BUCKET_CATALOG).await
    }

    /// Returns the maximum size of one entry of the catalog, in bytes. This is [`MAX_ENTRY_SIZE`], or less if the
    /// server accepts only smaller messages.
    #[must_use]
    pub fn max_entry_size(&self) -> usize {
        MAX_ENTRY_SIZE.min(self.client.max_payload().saturating_sub(HEADER_SIZE))
    }

    /// Opens the bucket of tickets, the single-use secrets with which browsers open sockets.
    ///
    /// # Errors
    /// When the server does not answer or the bucket does not exist.
    pub async fn tickets(&self) -> Result<kv::Store, BusError> {
        self.bucket(subject::BUCKET_TICKETS).await
    }

    async fn bucket(&self, name: &'static str) -> Result<kv::Store, BusError> {
        let bucket = self.jetstream.get_key_value(name).await;
        bucket.map_err(|e| BusError::Prepare { name, detail: e.to_string() })
    }

    /// Registers a NATS micro service with the version of this build. The registration lasts until the caller calls
    /// [`Service::stop`]; dropping the returned value does not end it. `metadata` distinguishes instances. `data`
    /// returns the custom statistics that `nats micro stats` shows.
    ///
    /// # Errors
    /// When the name is not valid or the client is closed.
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

    /// Waits until the client has written all published messages to the connection.
    ///
    /// # Errors
    /// When the client is closed.
    pub async fn flush(&self) -> Result<(), BusError> {
        let flushed = self.client.flush().await;
        flushed.map_err(|e| BusError::Publish { subject: "(flush)".into(), detail: e.to_string() })
    }
}

/// Generates a unique message id, for a message without retries.
fn message_id() -> String {
    uuid::Uuid::now_v7().to_string()
}

/// Parses a message with its envelope.
///
/// # Errors
/// When the message can't be parsed, or its envelope has a version that this build does not support.
pub fn open<T: DeserializeOwned>(payload: &[u8]) -> Result<Envelope<T>, BusError> {
    #[derive(serde::Deserialize)]
    struct Header {
        v: u8,
    }
    let header: Header = serde_json::from_slice(payload)?;
    if header.v != ENVELOPE_VERSION {
        return Err(BusError::Version(header.v));
    }
    Ok(serde_json::from_slice(payload)?)
}
