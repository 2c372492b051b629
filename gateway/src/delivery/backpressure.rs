//! Limits how fast the gateway reads a file to the speed at which the client receives the file.

use std::time::Duration;

use tokio::sync::mpsc::{self, error::SendError};

use super::Reader;

/// If a client takes no bytes for this time, the reader drops its buffered bytes and closes its connection to the
/// notifier or the file store.
const RELEASE_AFTER: Duration = Duration::from_secs(1);

/// Waits until the queue to the client has room for the next bytes of a file. After [`RELEASE_AFTER`] without room, the
/// reader drops its buffered bytes and closes its connection to the notifier or the file store. The function then
/// continues to wait.
///
/// # Errors
/// When the receiver of the queue was dropped.
pub(crate) async fn wait_for_room<T>(queue: &mpsc::Sender<T>, reader: &mut Reader) -> Result<(), SendError<()>> {
    if let Ok(room) = tokio::time::timeout(RELEASE_AFTER, queue.reserve()).await {
        return room.map(drop);
    }
    reader.release_connection();
    queue.reserve().await.map(drop)
}
