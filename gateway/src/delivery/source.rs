//! Sends two kinds of requests to the notifier over NATS: for grants (the short-lived URLs of file segments), and for
//! the metadata documents of files. Also subscribes to the notifier's announcements of new segments.

use std::{io, time::Duration};

use async_nats::Subscriber;
use platform::bus::{Bus, BusError};
use protocol::{
    delivery::{GrantReply, GrantRequest, MetadataReply, MetadataRequest},
    id::{ExportId, Owner},
    subject,
};

use super::segment_client::SegmentClient;

/// The maximum number of grants (the short-lived URLs of file segments) that one request asks for.
const MAX_GRANTS: u32 = 16;

/// The NATS client with which readers request grants, and the HTTP client with which readers fetch the bytes of files.
/// A grant is the short-lived URL of a file segment. Clones share the connections.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    bus: Bus,
    pub(super) http: SegmentClient,
    /// A [`Reader`](super::Reader) gives up after it has retried for this time without receiving a byte.
    pub(super) read_retry_timeout: Duration,
}

impl Source {
    /// Creates a source, whose new HTTP client fetches the bytes of files.
    ///
    /// # Errors
    /// When the TLS setup of the HTTP client fails.
    pub(crate) fn new(bus: Bus, read_retry_timeout: Duration) -> io::Result<Self> {
        Ok(Self { bus, http: SegmentClient::new()?, read_retry_timeout })
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

    /// Requests the metadata document of an export's file, in the format CSVW (CSV on the Web).
    ///
    /// # Errors
    /// When no notifier replies before the request timeout, or the reply is unreadable.
    pub(crate) async fn metadata(&self, owner: &Owner, export_id: ExportId) -> Result<MetadataReply, BusError> {
        let request = MetadataRequest { export_id, owner: owner.clone() };
        self.bus.request(subject::DELIVERY_METADATA, &request).await
    }
}
