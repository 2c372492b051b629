//! Where grants come from: the notifier, over NATS.

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

use crate::config::DeliveryConfig;

/// How long a connection to a notifier or store may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Asks for grants and fetches what they name. Clones share it.
#[derive(Clone, Debug)]
pub struct Source {
    pub(super) bus: Bus,
    pub(super) http: reqwest::Client,
    pub(super) clock: SharedClock,
    pub(super) config: DeliveryConfig,
}

impl Source {
    /// A source over this bus.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn new(bus: Bus, clock: SharedClock, config: DeliveryConfig) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder().connect_timeout(CONNECT_TIMEOUT).no_proxy().build()?;
        Ok(Self { bus, http, clock, config })
    }

    /// How often to ask for news.
    pub(super) fn poll(&self) -> Duration {
        Duration::from_millis(self.config.poll_ms)
    }

    pub(super) async fn grants(
        &self,
        owner: &Owner,
        export_id: ExportId,
        attempt: Option<u32>,
        offset: u64,
    ) -> Result<GrantReply, BusError> {
        let request = GrantRequest { export_id, owner: owner.clone(), attempt, offset, max: self.config.grants };
        self.bus.request(subject::DELIVERY_GRANT, &request).await
    }

    pub(super) async fn announcements(&self, id: ExportId) -> Result<Subscriber, BusError> {
        self.bus.subscribe(subject::delivery_announce(id)).await
    }

    /// The metadata document of an export.
    ///
    /// # Errors
    /// When no notifier answers.
    pub async fn metadata(&self, owner: &Owner, export_id: ExportId) -> Result<MetadataReply, BusError> {
        let request = MetadataRequest { export_id, owner: owner.clone() };
        self.bus.request(subject::DELIVERY_METADATA, &request).await
    }
}
