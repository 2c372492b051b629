//! The end of the closing handshake (RFC 6455, section 7.1.1): the client gets time to read the close frame.

use std::time::Duration;

use futures::StreamExt;
use protocol::close::CloseCode;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio_tungstenite::WebSocketStream;

/// How long the client has to answer the close frame.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long the gateway discards the rest of a message that was too big.
const DISCARD_TIMEOUT: Duration = Duration::from_secs(10);
/// The most bytes discarded of a message that was too big.
const MAX_DISCARD: u64 = 64 * 1024 * 1024;
/// A client that has sent nothing for this long has stopped sending its message.
const QUIET_PERIOD: Duration = Duration::from_millis(300);

/// Reads until the client closes or the time is over, after the close frame was sent.
pub(super) async fn finish<S>(mut socket: WebSocketStream<S>, code: CloseCode)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    // a timeout needs no report: the connection closes either way
    if code == CloseCode::TooBig {
        let _ = tokio::time::timeout(DISCARD_TIMEOUT, discard(socket.get_mut())).await;
    } else {
        let until_closed = async { while let Some(Ok(_)) = socket.next().await {} };
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, until_closed).await;
    }
}

/// Discards the bytes of a message that was too big. Closing the connection with unread bytes would reset it, and the
/// client would not receive the close frame.
async fn discard(socket: &mut (impl AsyncRead + Unpin)) {
    let mut left = MAX_DISCARD;
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(Ok(read)) = tokio::time::timeout(QUIET_PERIOD, socket.read(&mut buffer)).await {
        left = left.saturating_sub(read as u64);
        if read == 0 || left == 0 {
            return;
        }
    }
}
