//! Requests grants and metadata from the notifier over NATS, and subscribes to announcements.

use std::time::Duration;

use async_nats::Subscriber;
use platform::{
    bus::{Bus, BusError},
    clock::SharedClock,
};
use protocol::{
    delivery::{GrantReply, GrantRequest, MetadataReply, MetadataRequest},
    id::{ExportId, Owner},
    subject,
};

/// The timeout for opening a TCP connection to a notifier or the file store.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The maximum number of grants that one request asks for.
const MAX_GRANTS: u32 = 16;

/// The NATS and HTTP clients with which readers request grants and fetch segments. Clones share the connections.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    bus: Bus,
    pub(super) http: reqwest::Client,
    pub(super) clock: SharedClock,
    /// How long a reader retries without receiving a byte before it gives up.
    pub(super) read_retry_timeout: Duration,
}

impl Source {
    /// Creates a source with a new HTTP client, which fetches segments.
    ///
    /// # Errors
    /// When the TLS setup of the HTTP client fails.
    pub(crate) fn new(bus: Bus, clock: SharedClock, read_retry_timeout: Duration) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder().connect_timeout(CONNECT_TIMEOUT).no_proxy().build()?;
        Ok(Self { bus, http, clock, read_retry_timeout })
    }

    pub(super) async fn grants(
        &self,
        owner: &Owner,
        export_id: ExportId,
        attempt: Option<u32>,
        offset: u64,
    ) -> Result<GrantReply, BusError> {
        let request = GrantRequest { export_id, owner: owner.clone(), attempt, offset, max: MAX_GRANTS };
        self.bus.request(subject::DELIVERY_GRANT, &request).await
    }

    pub(super) async fn announcements(&self, id: ExportId) -> Result<Subscriber, BusError> {
        self.bus.subscribe(subject::delivery_announce(id)).await
    }

    /// Requests the CSVW metadata document of an export's file.
    ///
    /// # Errors
    /// When no notifier replies before the request timeout.
    pub(crate) async fn metadata(&self, owner: &Owner, export_id: ExportId) -> Result<MetadataReply, BusError> {
        let request = MetadataRequest { export_id, owner: owner.clone() };
        self.bus.request(subject::DELIVERY_METADATA, &request).await
    }
}
