//! Announces each new segment of an export's file to the gateways that stream the file. The announcement contains a
//! grant: a short-lived URL of the segment.
//!
//! A notifier needs no database query for an announcement, so clients receive the first bytes early. A gateway that
//! misses an announcement requests a grant of the segment. A gateway that streams the segments of one attempt ignores
//! the announcements of other attempts.

use std::{sync::Arc, time::Duration};

use async_nats::Subscriber;
use futures::StreamExt;
use platform::bus::{self, Bus};
use protocol::{
    delivery::{Announcement, SegmentWritten},
    envelope::Envelope,
    subject,
};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::minter::Minter;
use crate::error::NotifierError;

/// The timeout of one announcement. A later announcement is useless, because gateways also ask for new segments at an
/// interval.
const ANNOUNCE_TIMEOUT: Duration = Duration::from_secs(5);

/// Announces segments until shutdown begins. The subscription `written` receives a message from an exporter for each
/// segment that the exporter has stored.
///
/// # Errors
/// When the subscription ends, which happens only when the NATS client is closed.
pub(crate) async fn run(
    bus: Bus,
    minter: Arc<Minter>,
    mut written: Subscriber,
    shutdown: CancellationToken,
) -> Result<(), NotifierError> {
    loop {
        let message = tokio::select! {
            biased;
            () = shutdown.cancelled() => return Ok(()),
            message = written.next() => message.ok_or(NotifierError::Unsubscribed("written segments"))?,
        };
        let announced = tokio::time::timeout(ANNOUNCE_TIMEOUT, announce(&bus, &minter, &message.payload)).await;
        if let Err(e) = announced.unwrap_or(Err(NotifierError::Timeout("announcing a segment"))) {
            warn!(nats.subject = %message.subject, error = %e, "failed to announce a segment; gateways request a grant for it");
        }
    }
}

async fn announce(bus: &Bus, minter: &Minter, payload: &[u8]) -> Result<(), NotifierError> {
    let Envelope { traceparent, body: written, .. } = bus::open::<SegmentWritten>(payload)?;
    let (id, attempt) = (written.export_id, written.attempt);
    let grant = minter.mint(id, attempt, written.segment).await?;
    let announcement = Announcement::Segment { attempt, grant };
    Ok(bus.publish_lossy(subject::delivery_announce(id), &traceparent, &announcement).await?)
}
