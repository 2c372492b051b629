//! One connection to the gateway.

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

/// How long opening a session may take.
const CONNECT: Duration = Duration::from_secs(20);
/// How long a message may take to be sent.
const SEND: Duration = Duration::from_secs(30);
/// The heartbeat until the server says its own.
const HEARTBEAT: Duration = Duration::from_secs(30);
/// After this many heartbeats in silence the connection counts as dead.
const SILENT_HEARTBEATS: u32 = 3;

/// A session that can't be opened.
#[derive(Debug)]
pub(super) enum ConnectError {
    /// The gateway said no.
    Refused(StatusCode, String),
    /// Nobody answered.
    Unreachable(String),
}

/// What came.
#[derive(Debug)]
pub(super) enum Incoming {
    /// A message that this version knows.
    Text(Box<ServerMessage>),
    /// Bytes of a file.
    Frame(Frame),
    /// The server ended the session for this reason.
    Closed(CloseCode),
    /// The connection broke, or was ended for a reason of no meaning here.
    Broken(String),
    /// Not of this protocol.
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
        match timeout(CONNECT, connect_async(request)).await {
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
            Err(_) => Err(ConnectError::Unreachable(format!("no answer within {} s", CONNECT.as_secs()))),
        }
    }

    /// Sends a message.
    pub(super) async fn send(&mut self, message: &ClientMessage, reference: Option<&str>) -> Result<(), String> {
        match timeout(SEND, self.stream.send(Message::text(encode(message, reference)))).await {
            Ok(sent) => sent.map_err(describe),
            Err(_) => Err(format!("nothing could be sent for {} s", SEND.as_secs())),
        }
    }

    /// The next thing that came. Safe to drop half-way.
    pub(super) async fn next(&mut self) -> Incoming {
        loop {
            let silence = self.heartbeat * SILENT_HEARTBEATS;
            let Ok(message) = timeout(silence, self.stream.next()).await else {
                return Incoming::Broken(format!("nothing came for {} s", silence.as_secs()));
            };
            match message {
                Some(Ok(Message::Text(text))) => match serde_json::from_str(&text) {
                    Ok(message) => {
                        if let ServerMessage::SessionReady { heartbeat_ms, .. } = &message {
                            self.heartbeat = Duration::from_millis(*heartbeat_ms).max(Duration::from_secs(1));
                        }
                        return Incoming::Text(Box::new(message));
                    }
                    // a message of a later version, which clients pass over
                    Err(e) => tracing::debug!(error = %e, "a message that this version does not know"),
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
                // pings are answered below us; that they came is what counts
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Err(e)) => return Incoming::Broken(describe(e)),
                None => return Incoming::Broken("the connection was closed".into()),
            }
        }
    }

    /// Says goodbye; nobody waits for the answer.
    pub(super) async fn close(mut self) {
        if let Ok(Err(e)) = timeout(Duration::from_secs(1), self.stream.close(None)).await {
            tracing::debug!(error = %e, "the connection was gone already");
        }
    }
}

/// Without the layers that a person can do nothing with.
fn describe(error: WsError) -> String {
    match error {
        WsError::Io(e) if e.kind() == io::ErrorKind::ConnectionRefused => "nobody listens there".into(),
        WsError::Io(e) => e.to_string(),
        WsError::Protocol(_) | WsError::ConnectionClosed | WsError::AlreadyClosed => "the connection broke".into(),
        other => other.to_string(),
    }
}
