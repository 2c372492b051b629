//! Announces each new segment, with a grant for it, to the gateways that stream the export.
//!
//! An announcement may be lost: a gateway that misses one requests a grant. The notifier announces without a database
//! query, so that the first bytes arrive early; a gateway ignores announcements of an attempt that it does not follow.

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

/// The timeout of one announcement. A later one would be useless, because gateways poll.
const ANNOUNCE_TIMEOUT: Duration = Duration::from_secs(5);

/// Announces the segments that exporters report on `written`, until the soft stop.
///
/// # Errors
/// When the subscription ends, which only a closed client does.
pub(crate) async fn run(
    bus: Bus,
    minter: Arc<Minter>,
    mut written: Subscriber,
    soft: CancellationToken,
) -> Result<(), NotifierError> {
    loop {
        let message = tokio::select! {
            biased;
            () = soft.cancelled() => return Ok(()),
            message = written.next() => message.ok_or(NotifierError::Unsubscribed("written segments"))?,
        };
        let announced = tokio::time::timeout(ANNOUNCE_TIMEOUT, announce(&bus, &minter, &message.payload)).await;
        if let Err(e) = announced.unwrap_or(Err(NotifierError::Timeout("announcing a segment"))) {
            warn!(nats.subject = %message.subject, error = %e, "failed to announce a segment; gateways poll for it");
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
