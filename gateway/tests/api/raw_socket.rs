//! A WebSocket session as bytes on a TCP connection, for frames that no library sends.

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::support::Gateway;

/// The mask of every masked frame of these tests.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
/// The bit of the first byte that ends a message (RFC 6455, section 5.2).
pub(crate) const FIN: u8 = 0x80;
/// The first byte of a frame that continues a message, and of its last frame.
pub(crate) const CONTINUATION: u8 = 0x00;
pub(crate) const LAST_CONTINUATION: u8 = FIN;
/// The first byte of the first frame of a fragmented text message, and of a whole text message.
pub(crate) const FIRST_TEXT: u8 = 0x01;
pub(crate) const TEXT: u8 = FIN | FIRST_TEXT;
pub(crate) const BINARY: u8 = FIN | 0x02;
pub(crate) const CLOSE: u8 = FIN | 0x08;
pub(crate) const PING: u8 = FIN | 0x09;
pub(crate) const PONG: u8 = FIN | 0x0a;

/// A masked frame with this first byte, as clients must send it.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        length @ 0..=125 => bytes.push(0x80 | length as u8),
        length @ 126..=0xffff => {
            bytes.push(0x80 | 126);
            bytes.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            bytes.push(0x80 | 127);
            bytes.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    bytes.extend_from_slice(&MASK);
    bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

/// A close frame with a status code and a reason.
pub(crate) fn close(code: u16, reason: &[u8]) -> Vec<u8> {
    frame(CLOSE, &[&code.to_be_bytes()[..], reason].concat())
}

/// A frame of the server.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) first: u8,
    pub(crate) payload: Vec<u8>,
}

/// Opens a session on a new TCP connection, and reads the response to its handshake.
pub(crate) async fn open(gateway: &Gateway) -> TcpStream {
    let address = gateway.url.trim_start_matches("http://");
    let socket = TcpStream::connect(address).await.expect("the gateway listens");
    socket.set_nodelay(true).expect("a TCP connection");
    open_on(socket, gateway).await
}

/// Opens a session on a connection to the gateway, and reads the response to its handshake.
pub(crate) async fn open_on(mut socket: TcpStream, gateway: &Gateway) -> TcpStream {
    let address = gateway.url.trim_start_matches("http://");
    let token = gateway.token("alice", "acme");
    let request = format!(
        "GET /v1/ws HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Authorization: Bearer {token}\r\n\r\n"
    );
    socket.write_all(request.as_bytes()).await.expect("the request is sent");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await.expect("the gateway answers the handshake"));
    }
    assert!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
    socket
}

/// Reads the next frame of the server.
pub(crate) async fn next(socket: &mut (impl AsyncRead + Unpin)) -> Frame {
    try_next(socket).await.expect("a frame before the end")
}

/// Reads the next frame of the server, or the error at the end of the connection.
pub(crate) async fn try_next(socket: &mut (impl AsyncRead + Unpin)) -> std::io::Result<Frame> {
    let reading = async {
        let (first, length) = (socket.read_u8().await?, socket.read_u8().await?);
        assert_eq!(length & 0x80, 0, "a server masks no frame");
        let length = match length {
            126 => u64::from(socket.read_u16().await?),
            127 => socket.read_u64().await?,
            short => u64::from(short),
        };
        let mut payload = vec![0; length as usize];
        socket.read_exact(&mut payload).await?;
        Ok(Frame { first, payload })
    };
    timeout(testkit::DEADLINE, reading).await.expect("a frame in time")
}

/// Returns the status code of a close frame; None if the frame has none.
pub(crate) fn code(frame: &Frame) -> Option<u16> {
    frame.payload.first_chunk().map(|code| u16::from_be_bytes(*code))
}

/// Reads the server's frames until its close frame, and returns the status code of the close frame.
pub(crate) async fn close_code(socket: &mut TcpStream) -> u16 {
    loop {
        let frame = next(socket).await;
        if frame.first == CLOSE {
            return code(&frame).expect("a close frame with a code");
        }
    }
}
