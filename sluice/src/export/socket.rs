//! A WebSocket connection to the gateway.

use std::{io, time::Duration};

use futures::{SinkExt, StreamExt};
use protocol::{
    SUBPROTOCOL,
    client::{ClientMessage, encode},
    close::CloseCode,
    frame::Frame,
    problem::Problem,
    server::ServerMessage,
};
use reqwest::StatusCode;
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{
        Error as WsError, Message,
        client::IntoClientRequest,
        http::{HeaderValue, header},
    },
};

/// The time limit for opening a session.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// The time limit for sending a message.
const SEND_TIMEOUT: Duration = Duration::from_secs(30);
/// The time between two pings of the gateway that the client assumes until the gateway announces the actual time.
const HEARTBEAT: Duration = Duration::from_secs(30);
/// The number of ping intervals without a message after which the connection counts as broken.
const SILENT_HEARTBEATS: u32 = 3;

/// The reason why the client cannot open a session.
#[derive(Debug)]
pub(super) enum ConnectError {
    /// The gateway refused the session, with a status and a reason.
    Refused(StatusCode, String),
    /// The gateway can't be reached, or did not answer in time.
    Unreachable(String),
}

/// A received message, or the end of the connection.
#[derive(Debug)]
pub(super) enum Incoming {
    /// A text message of a known type.
    Text(Box<ServerMessage>),
    /// A binary frame with bytes of a file.
    Frame(Frame),
    /// The server closed the session with this code.
    Closed(CloseCode),
    /// The connection broke, or was closed with an unknown code.
    Broken(String),
    /// The server sent a frame that violates the protocol.
    Unreadable(String),
}

pub(super) struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    heartbeat: Duration,
}

impl Socket {
    pub(super) async fn connect(url: &str, token: &str) -> Result<Self, ConnectError> {
        let unreachable = |e: WsError| ConnectError::Unreachable(describe(e));
        let mut request = url.into_client_request().map_err(unreachable)?;
        let bearer = HeaderValue::from_str(&format!("Bearer {token}"))
            .map_err(|_| ConnectError::Refused(StatusCode::UNAUTHORIZED, "the token is not one line of text".into()))?;
        request.headers_mut().insert(header::AUTHORIZATION, bearer);
        request.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
        match timeout(CONNECT_TIMEOUT, connect_async(request)).await {
            Ok(Ok((stream, _))) => Ok(Self { stream, heartbeat: HEARTBEAT }),
            Ok(Err(WsError::Http(response))) => {
                let status = StatusCode::from_u16(response.status().as_u16()).unwrap_or(StatusCode::BAD_GATEWAY);
                let body = response.body().as_deref().unwrap_or_default();
                let detail = match serde_json::from_slice::<Problem>(body) {
                    Ok(problem) => problem.detail,
                    Err(_) => "no reason given".to_owned(),
                };
                Err(ConnectError::Refused(status, detail))
            }
            Ok(Err(e)) => Err(unreachable(e)),
            Err(_) => Err(ConnectError::Unreachable(format!("no answer within {} s", CONNECT_TIMEOUT.as_secs()))),
        }
    }

    /// Sends a message to the gateway. Fails if sending takes longer than [`SEND_TIMEOUT`].
    pub(super) async fn send(&mut self, message: &ClientMessage, reference: Option<&str>) -> Result<(), String> {
        match timeout(SEND_TIMEOUT, self.stream.send(Message::text(encode(message, reference)))).await {
            Ok(sent) => sent.map_err(describe),
            Err(_) => Err(format!("no message could be sent for {} s", SEND_TIMEOUT.as_secs())),
        }
    }

    /// Receives the next message. Dropping the future loses no message.
    pub(super) async fn next(&mut self) -> Incoming {
        loop {
            let silence = self.heartbeat * SILENT_HEARTBEATS;
            let Ok(message) = timeout(silence, self.stream.next()).await else {
                return Incoming::Broken(format!("no message for {} s", silence.as_secs()));
            };
            match message {
                Some(Ok(Message::Text(text))) => match serde_json::from_str(&text) {
                    Ok(message) => {
                        if let ServerMessage::SessionReady { heartbeat_ms, .. } = &message {
                            self.heartbeat = Duration::from_millis(*heartbeat_ms).max(Duration::from_secs(1));
                        }
                        return Incoming::Text(Box::new(message));
                    }
                    // clients ignore messages of a later version
                    Err(e) => tracing::debug!(error = %e, "ignored an unknown message"),
                },
                Some(Ok(Message::Binary(bytes))) => {
                    return match Frame::decode(bytes) {
                        Ok(frame) => Incoming::Frame(frame),
                        Err(e) => Incoming::Unreadable(e.to_string()),
                    };
                }
                Some(Ok(Message::Close(frame))) => {
                    let number = frame.as_ref().map(|frame| u16::from(frame.code));
                    return match number.and_then(CloseCode::from_code) {
                        Some(code) => Incoming::Closed(code),
                        None => Incoming::Broken(number.map_or_else(
                            || "the session was closed".to_owned(),
                            |number| format!("the session was closed ({number})"),
                        )),
                    };
                }
                // the WebSocket library answers pings; a control frame only starts the timeout again
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Err(e)) => return Incoming::Broken(describe(e)),
                None => return Incoming::Broken("the connection was closed".into()),
            }
        }
    }

    /// Closes the connection without waiting for the answer of the server.
    pub(super) async fn close(mut self) {
        if let Ok(Err(e)) = timeout(Duration::from_secs(1), self.stream.close(None)).await {
            tracing::debug!(error = %e, "failed to close the connection");
        }
    }
}

/// Formats an error for users, without the names of protocol layers.
fn describe(error: WsError) -> String {
    match error {
        WsError::Io(e) if e.kind() == io::ErrorKind::ConnectionRefused => "connection refused".into(),
        WsError::Io(e) => e.to_string(),
        WsError::Protocol(_) | WsError::ConnectionClosed | WsError::AlreadyClosed => "the connection broke".into(),
        other => other.to_string(),
    }
}
