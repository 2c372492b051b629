//! Slows a reader down to the speed of its client.

use std::time::Duration;

use tokio::sync::mpsc::{self, error::SendError};

use super::Reader;

/// If a client takes no bytes for this time, its reader closes the connection over which it reads the file, and drops
/// the buffered bytes.
const RELEASE_AFTER: Duration = Duration::from_secs(1);

/// Waits until the queue to the client has room for the next bytes of a file. A reader of a client that has stopped
/// reading holds neither bytes nor a connection to a notifier or the file store.
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
