//! A WebSocket client that a test controls message by message.

mod collect;

use std::{collections::VecDeque, future::Future};

use futures::{SinkExt, StreamExt};
use protocol::{
    SUBPROTOCOL, TICKET_SUBPROTOCOL_PREFIX,
    client::{ClientMessage, ExportCancel, ExportCreate, FileClose, FileOpen, FileWindow, encode},
    export::Export,
    frame::Frame,
    id::ExportId,
    problem::Problem,
    server::ServerMessage,
};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, client_async, connect_async,
    tungstenite::{
        Error as WsError, Message,
        client::IntoClientRequest,
        handshake::client::{Request, Response},
        http::{HeaderValue, StatusCode, header},
    },
};

pub use collect::{Collected, Collector, Opened};

use crate::DEADLINE;

/// The credential with which a client opens a session.
#[derive(Clone, Copy, Debug)]
pub enum Credential<'a> {
    /// A token in the header `Authorization: Bearer`.
    Bearer(&'a str),
    /// A ticket in the header `Sec-WebSocket-Protocol`, as browsers send it.
    Ticket(&'a str),
    /// No credential at all.
    None,
}

/// The response to a refused WebSocket upgrade.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// The HTTP status of the refusal.
    pub status: StatusCode,
    /// The header `WWW-Authenticate`, if the response has it.
    pub www_authenticate: Option<String>,
    /// The problem in the body; None if the body is no problem document.
    pub problem: Option<Problem>,
}

/// A message from the server, or the end of the session.
#[derive(Clone, Debug, PartialEq)]
pub enum Received {
    /// A text message of the protocol.
    Text(ServerMessage),
    /// A binary message with file bytes.
    Binary(Frame),
    /// The end of the session with its close code; None when the connection failed.
    Closed(Option<u16>),
}

/// A WebSocket session. Every wait panics after [`DEADLINE`].
pub struct Client {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// Messages that arrived while the test waited for another message. [`Client::next`] returns them first.
    kept: VecDeque<Received>,
    /// The first message of the session, `session.ready`.
    pub ready: ServerMessage,
}

impl Client {
    /// Opens a session at a gateway (`http://host:port`) and reads `session.ready`.
    ///
    /// # Errors
    /// When the upgrade is refused.
    ///
    /// # Panics
    /// When the gateway can't be reached, or sends another message first.
    pub async fn connect(gateway: &str, credential: Credential<'_>) -> Result<Self, Refusal> {
        Self::connect_from(gateway, credential, None).await
    }

    /// Opens a session as [`Client::connect`] does, with the header `Origin` of a web page.
    ///
    /// # Errors
    /// When the upgrade is refused.
    ///
    /// # Panics
    /// When the gateway can't be reached, or sends another message first.
    pub async fn connect_from(
        gateway: &str,
        credential: Credential<'_>,
        origin: Option<&str>,
    ) -> Result<Self, Refusal> {
        match Self::try_connect(gateway, credential, origin).await {
            Ok(answer) => answer,
            Err(e) => panic!("can't reach {gateway}: {e}"),
        }
    }

    /// Opens a session as [`Client::connect`] does, with additional headers in the upgrade request.
    ///
    /// # Errors
    /// When the upgrade is refused.
    ///
    /// # Panics
    /// When the gateway can't be reached, or sends another message first.
    pub async fn connect_with(
        gateway: &str,
        credential: Credential<'_>,
        headers: &[(&'static str, &str)],
    ) -> Result<Self, Refusal> {
        match Self::try_connect_with(gateway, credential, headers).await {
            Ok(answer) => answer,
            Err(e) => panic!("can't reach {gateway}: {e}"),
        }
    }

    /// Opens a session as [`Client::connect_from`] does, but returns a failed connection as an error, for tests that
    /// retry.
    ///
    /// # Errors
    /// The outer error is a failed connection, the inner error a refused upgrade.
    ///
    /// # Panics
    /// When no message arrives in time, or the first one is not `session.ready`.
    pub async fn try_connect(
        gateway: &str,
        credential: Credential<'_>,
        origin: Option<&str>,
    ) -> Result<Result<Self, Refusal>, String> {
        let origin = origin.map(|origin| ("origin", origin));
        Self::try_connect_with(gateway, credential, origin.as_slice()).await
    }

    async fn try_connect_with(
        gateway: &str,
        credential: Credential<'_>,
        headers: &[(&'static str, &str)],
    ) -> Result<Result<Self, Refusal>, String> {
        let request = upgrade_request(gateway, credential, headers);
        Self::from_upgrade(with_deadline("the upgrade", connect_async(request)).await).await
    }

    /// Opens a session as [`Client::connect`] does, over a connection whose segments and receive buffer are as small as
    /// over a slow link. On this machine's loopback interface the kernel would otherwise accept megabytes for a client
    /// that reads nothing.
    ///
    /// # Panics
    /// When the gateway can't be reached or refuses the session.
    pub async fn connect_narrow(gateway: &str, credential: Credential<'_>) -> Self {
        let request = upgrade_request(gateway, credential, &[]);
        let stream = crate::narrow_connection(gateway.trim_start_matches("http://")).await;
        let upgrade = client_async(request, MaybeTlsStream::Plain(stream));
        let client = Self::from_upgrade(with_deadline("the upgrade", upgrade).await).await;
        client.expect("the gateway is reachable").unwrap_or_else(|refusal| panic!("session refused: {refusal:?}"))
    }

    /// Gives a session of [`Client::connect_narrow`] a large receive buffer, as if the link was fast from now on.
    ///
    /// # Panics
    /// When the session uses TLS.
    pub fn widen(&self) {
        let MaybeTlsStream::Plain(stream) = self.socket.get_ref() else { panic!("a session without TLS") };
        crate::widen_connection(stream);
    }

    async fn from_upgrade(
        upgraded: Result<(WebSocketStream<MaybeTlsStream<TcpStream>>, Response), WsError>,
    ) -> Result<Result<Self, Refusal>, String> {
        match upgraded {
            Ok((socket, response)) => {
                let chosen = response.headers().get(header::SEC_WEBSOCKET_PROTOCOL).and_then(|v| v.to_str().ok());
                assert_eq!(chosen, Some(SUBPROTOCOL), "the gateway must choose its subprotocol");
                let mut client = Self { socket, kept: VecDeque::new(), ready: ServerMessage::Pong { reference: None } };
                match client.next().await {
                    Received::Text(ready @ ServerMessage::SessionReady { .. }) => client.ready = ready,
                    Received::Closed(code) => return Err(format!("closed at once ({code:?})")),
                    other => panic!("expected session.ready, got {other:?}"),
                }
                Ok(Ok(client))
            }
            Err(WsError::Http(response)) => {
                let www = response.headers().get(header::WWW_AUTHENTICATE).and_then(|v| v.to_str().ok());
                Ok(Err(Refusal {
                    status: response.status(),
                    www_authenticate: www.map(str::to_owned),
                    problem: response.body().as_deref().and_then(|body| serde_json::from_slice(body).ok()),
                }))
            }
            Err(e) => Err(e.to_string()),
        }
    }

    /// Sends a message of the protocol.
    ///
    /// # Panics
    /// When the connection is closed.
    pub async fn send(&mut self, message: &ClientMessage, reference: Option<&str>) {
        self.send_text(&encode(message, reference)).await;
    }

    /// Sends a message of the protocol. Returns false when the connection is closed; the test can then read the close
    /// code.
    ///
    /// # Panics
    /// When the message can't be sent in time.
    pub async fn try_send(&mut self, message: &ClientMessage, reference: Option<&str>) -> bool {
        with_deadline("sending", self.socket.send(Message::text(encode(message, reference)))).await.is_ok()
    }

    /// Sends any text message, such as one that violates the protocol.
    ///
    /// # Panics
    /// When the connection is closed.
    pub async fn send_text(&mut self, text: &str) {
        let sent = with_deadline("sending", self.socket.send(Message::text(text))).await;
        sent.expect("the connection is up");
    }

    /// Sends a ping of the WebSocket protocol with up to 125 bytes (RFC 6455, section 5.5.2). Returns false when the
    /// connection is closed.
    ///
    /// # Panics
    /// When the connection takes no more bytes in time.
    pub async fn try_ping(&mut self, payload: &'static [u8]) -> bool {
        with_deadline("sending", self.socket.send(Message::Ping(payload.into()))).await.is_ok()
    }

    /// Sends a binary message with these bytes.
    ///
    /// # Panics
    /// When the connection is closed.
    pub async fn send_binary(&mut self, bytes: Vec<u8>) {
        let sent = with_deadline("sending", self.socket.send(Message::binary(bytes))).await;
        sent.expect("the connection is up");
    }

    /// Waits for the next message from the server. The client answers WebSocket pings automatically.
    ///
    /// # Panics
    /// When no message arrives in time, or a message violates the protocol.
    pub async fn next(&mut self) -> Received {
        match self.kept.pop_front() {
            Some(kept) => kept,
            None => with_deadline("a message", self.read()).await,
        }
    }

    /// Waits for the first message for which `wanted` returns a value, and returns that value. Keeps other messages for
    /// later. `what` describes the message in the panic.
    ///
    /// # Panics
    /// When no such message arrives in time, or the session ends first.
    pub async fn expect<T>(&mut self, what: &str, mut wanted: impl FnMut(&Received) -> Option<T>) -> T {
        if let Some((index, found)) = self.kept.iter().enumerate().find_map(|(i, kept)| Some((i, wanted(kept)?))) {
            self.kept.remove(index);
            return found;
        }
        let waiting = async {
            loop {
                let received = self.read().await;
                if let Some(found) = wanted(&received) {
                    return found;
                }
                assert!(!matches!(received, Received::Closed(_)), "{received:?} while waiting for {what}");
                self.kept.push_back(received);
            }
        };
        with_deadline(what, waiting).await
    }

    /// Waits for a text message, as [`Client::expect`] does.
    ///
    /// # Panics
    /// As [`Client::expect`].
    pub async fn expect_text<T>(&mut self, what: &str, mut wanted: impl FnMut(&ServerMessage) -> Option<T>) -> T {
        let of_text = |received: &Received| match received {
            Received::Text(message) => wanted(message),
            Received::Binary(_) | Received::Closed(_) => None,
        };
        self.expect(what, of_text).await
    }

    /// Waits for the `error` message with this `ref` and returns its problem.
    ///
    /// # Panics
    /// As [`Client::expect`].
    pub async fn expect_error(&mut self, reference: Option<&str>) -> Problem {
        let wanted = |message: &ServerMessage| match message {
            ServerMessage::Error { reference: given, problem } if given.as_deref() == reference => {
                Some((**problem).clone())
            }
            _ => None,
        };
        self.expect_text("error", wanted).await
    }

    /// Waits for the end of the session and returns its close code. Drops other messages.
    ///
    /// # Panics
    /// When the session does not end in time.
    pub async fn expect_close(&mut self) -> Option<u16> {
        let closing = async {
            loop {
                if let Received::Closed(code) = self.read().await {
                    return code;
                }
            }
        };
        with_deadline("the close", closing).await
    }

    /// Creates an export and waits for `export.accepted`.
    ///
    /// # Panics
    /// When the gateway refuses the export.
    pub async fn create(&mut self, create: ExportCreate) -> Export {
        let reference = ExportId::generate().to_string();
        self.send(&ClientMessage::ExportCreate(Box::new(create)), Some(&reference)).await;
        self.wait_for_accepted(&reference).await
    }

    /// Cancels an export and waits for `export.accepted`.
    ///
    /// # Panics
    /// When the gateway refuses to cancel.
    pub async fn cancel(&mut self, export_id: ExportId) -> Export {
        let reference = ExportId::generate().to_string();
        self.send(&ClientMessage::ExportCancel(ExportCancel { export_id }), Some(&reference)).await;
        self.wait_for_accepted(&reference).await
    }

    async fn wait_for_accepted(&mut self, reference: &str) -> Export {
        let wanted = |message: &ServerMessage| match message {
            ServerMessage::ExportAccepted { reference: Some(given), export } if given == reference => {
                Some((**export).clone())
            }
            ServerMessage::Error { reference: Some(given), problem } if given == reference => {
                panic!("refused: {problem}")
            }
            _ => None,
        };
        self.expect_text("export.accepted", wanted).await
    }

    /// Waits for the event that reports the end of this export, and returns the export.
    ///
    /// # Panics
    /// When the export does not end in time.
    pub async fn ended(&mut self, id: ExportId) -> Export {
        let wanted = |message: &ServerMessage| match message {
            ServerMessage::ExportCompleted { export, .. }
            | ServerMessage::ExportUnchanged { export, .. }
            | ServerMessage::ExportFailed { export, .. }
            | ServerMessage::ExportCanceled { export, .. }
                if export.id == id =>
            {
                Some((**export).clone())
            }
            _ => None,
        };
        self.expect_text("the end of the export", wanted).await
    }

    /// Opens a file stream and waits for `file.opened`.
    ///
    /// # Panics
    /// When the gateway refuses the stream.
    pub async fn open(&mut self, export_id: ExportId, offset: u64, window: u64) -> Opened {
        let reference = ExportId::generate().to_string();
        let open = FileOpen { export_id, offset, window: Some(window), attempt: None };
        self.send(&ClientMessage::FileOpen(open), Some(&reference)).await;
        self.opened(export_id, window).await
    }

    /// Waits for `file.opened` of this export. `window` is the window that the test has requested.
    ///
    /// # Panics
    /// When the message does not arrive in time.
    pub async fn opened(&mut self, export_id: ExportId, window: u64) -> Opened {
        let wanted = |message: &ServerMessage| match message {
            ServerMessage::FileOpened { stream, export_id: of, offset, size, .. } if *of == export_id => {
                Some(Opened { stream: *stream, offset: *offset, size: *size, window })
            }
            ServerMessage::Error { problem, .. } => panic!("refused: {problem}"),
            _ => None,
        };
        self.expect_text("file.opened", wanted).await
    }

    /// Enlarges the window of a stream with a `file.window` message.
    ///
    /// # Panics
    /// When the connection is closed.
    pub async fn grant(&mut self, stream: u32, bytes: u64) {
        self.send(&ClientMessage::FileWindow(FileWindow { stream, bytes }), None).await;
    }

    /// Closes a stream without waiting for the answer.
    ///
    /// # Panics
    /// When the connection is closed.
    pub async fn close_stream(&mut self, stream: u32) {
        self.send(&ClientMessage::FileClose(FileClose { stream }), None).await;
    }

    async fn read(&mut self) -> Received {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Text(text))) => {
                    let message = serde_json::from_str(&text);
                    return Received::Text(
                        message.unwrap_or_else(|e| panic!("not a message of the protocol ({e}): {text}")),
                    );
                }
                Some(Ok(Message::Binary(bytes))) => {
                    return Received::Binary(Frame::decode(bytes).expect("a binary frame of the protocol"));
                }
                Some(Ok(Message::Close(frame))) => return Received::Closed(frame.map(|f| f.code.into())),
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Err(_)) | None => return Received::Closed(None),
            }
        }
    }
}

fn upgrade_request(gateway: &str, credential: Credential<'_>, headers: &[(&'static str, &str)]) -> Request {
    let url = format!("{}/v1/ws", gateway.replacen("http", "ws", 1));
    let mut request = url.into_client_request().expect("the URL of the gateway is valid");
    let value = |text: String| HeaderValue::from_str(&text).expect("tests send only ASCII in headers");
    let mut protocols = SUBPROTOCOL.to_owned();
    match credential {
        Credential::Bearer(token) => {
            request.headers_mut().insert(header::AUTHORIZATION, value(format!("Bearer {token}")));
        }
        Credential::Ticket(ticket) => protocols = format!("{protocols}, {TICKET_SUBPROTOCOL_PREFIX}{ticket}"),
        Credential::None => {}
    }
    request.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, value(protocols));
    for (name, text) in headers {
        request.headers_mut().insert(*name, value((*text).to_owned()));
    }
    request
}

async fn with_deadline<T>(what: &str, work: impl Future<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, work).await {
        Ok(value) => value,
        Err(_) => panic!("not within {} s: {what}", DEADLINE.as_secs()),
    }
}
