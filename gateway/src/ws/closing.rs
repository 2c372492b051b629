//! Completes the closing handshake (RFC 6455, section 7.1.1), so that the client can read the close frame.

use std::time::Duration;

use futures::StreamExt;
use protocol::close::CloseCode;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Error, error::ProtocolError},
};

/// How long the gateway waits for the client's close frame.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// After the gateway has received input that it can't parse, it reads and discards further bytes for at most this time.
const DISCARD_TIMEOUT: Duration = Duration::from_secs(10);
/// After the gateway has received input that it can't parse, it reads and discards at most this many further bytes.
const MAX_DISCARD_BYTES: u64 = 64 * 1024 * 1024;
/// After this time without a byte, the gateway assumes that the client has stopped sending.
const QUIET_PERIOD: Duration = Duration::from_millis(300);

/// Returns the close code for a session whose read from the socket or write to the socket has failed (RFC 6455, section
/// 7.4.1). The code for a broken connection is [`CloseCode::GoingAway`]. In this case the client receives no close
/// frame, and the code only appears in the log.
pub(super) const fn code_of(error: &Error) -> CloseCode {
    match error {
        Error::Protocol(violation) if !is_end_of_connection(violation) => CloseCode::ProtocolError,
        Error::Utf8(_) => CloseCode::InvalidText,
        Error::Capacity(_) => CloseCode::TooBig,
        Error::WriteBufferFull(_) => CloseCode::TooSlow,
        _ => CloseCode::GoingAway,
    }
}

/// Whether the error means that the client has disconnected, or that the closing handshake has already begun.
const fn is_end_of_connection(error: &ProtocolError) -> bool {
    matches!(
        error,
        ProtocolError::ResetWithoutClosingHandshake
            | ProtocolError::ReceivedAfterClosing
            | ProtocolError::SendAfterClosing
    )
}

/// Whether a session with this close code ended because of invalid input or a message above the size limit. The gateway
/// can't parse the bytes that follow such input as frames.
const fn has_unreadable_input(code: CloseCode) -> bool {
    matches!(code, CloseCode::ProtocolError | CloseCode::InvalidText | CloseCode::TooBig)
}

/// Reads and drops input until the client closes the connection or a timeout passes. Call this function after the close
/// frame with this code was sent.
pub(super) async fn finish<S>(mut socket: WebSocketStream<S>, code: CloseCode)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    // the connection closes in any case, so a timeout is not an error
    if has_unreadable_input(code) {
        let _ = tokio::time::timeout(DISCARD_TIMEOUT, discard(socket.get_mut())).await;
    } else {
        let until_closed = async { while let Some(Ok(_)) = socket.next().await {} };
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, until_closed).await;
    }
}

/// Discards the rest of a message above the size limit, or the bytes after an invalid frame. Closing a connection with
/// unread bytes would reset the connection, and the client would not receive the close frame.
async fn discard(socket: &mut (impl AsyncRead + Unpin)) {
    let mut left = MAX_DISCARD_BYTES;
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(Ok(read)) = tokio::time::timeout(QUIET_PERIOD, socket.read(&mut buffer)).await {
        left = left.saturating_sub(read as u64);
        if read == 0 || left == 0 {
            return;
        }
    }
}
