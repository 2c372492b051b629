//! Passes the news of each segment on to the gateways that stream the export, with a grant for it.
//!
//! Lossy by design: a gateway that misses one asks by itself. Nothing is looked up, so that first bytes go out early;
//! a gateway ignores news of an attempt that it does not follow.

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

use super::mint::Minter;
use crate::error::NotifierError;

/// How long one announcement may take. Without NATS it would wait for the connection, and be old news then.
const DEADLINE: Duration = Duration::from_secs(5);

/// Announces until the soft stop.
///
/// # Errors
/// When the notes end, which only a closed client does.
pub(crate) async fn run(
    bus: Bus,
    minter: Arc<Minter>,
    mut notes: Subscriber,
    soft: CancellationToken,
) -> Result<(), NotifierError> {
    loop {
        let note = tokio::select! {
            biased;
            () = soft.cancelled() => return Ok(()),
            note = notes.next() => note.ok_or(NotifierError::Unsubscribed("segments written"))?,
        };
        let announced = tokio::time::timeout(DEADLINE, announce(&bus, &minter, &note.payload)).await;
        if let Err(e) = announced.unwrap_or(Err(NotifierError::Timeout("announcing"))) {
            warn!(nats.subject = %note.subject, error = %e, "a segment is not announced; gateways find it by asking");
        }
    }
}

async fn announce(bus: &Bus, minter: &Minter, payload: &[u8]) -> Result<(), NotifierError> {
    let Envelope { traceparent, body: note, .. } = bus::open::<SegmentWritten>(payload)?;
    let (id, attempt) = (note.export_id, note.attempt);
    let grant = minter.mint(id, attempt, note.segment).await?;
    let news = Announcement::Segment { attempt, grant };
    Ok(bus.publish_lossy(subject::delivery_announce(id), &traceparent, &news).await?)
}
