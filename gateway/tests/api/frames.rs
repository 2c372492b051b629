//! Frames that violate the WebSocket protocol (RFC 6455), as bytes on a TCP connection, and the close code of each.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::support::Gateway;

/// The mask of every masked frame of these tests.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
/// The first byte of a whole text frame, and of the first and the last frame of a fragmented text message.
const TEXT: u8 = 0x81;
const FIRST_TEXT: u8 = 0x01;
const LAST_CONTINUATION: u8 = 0x80;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;

/// A masked frame with this first byte, as clients must send it.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        length @ 0..=125 => bytes.push(0x80 | length as u8),
        length => {
            bytes.push(0x80 | 126);
            bytes.extend_from_slice(&(length as u16).to_be_bytes());
        }
    }
    bytes.extend_from_slice(&MASK);
    bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

/// Opens a session on a new TCP connection, and reads the response to its handshake.
async fn open(gateway: &Gateway) -> TcpStream {
    let address = gateway.url.trim_start_matches("http://");
    let mut socket = TcpStream::connect(address).await.expect("the gateway listens");
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

/// Reads the server's frames until its close frame, and returns the status code of the close frame.
async fn close_code(socket: &mut TcpStream) -> u16 {
    let reading = async {
        loop {
            let (first, length) = (socket.read_u8().await?, socket.read_u8().await?);
            assert_eq!(length & 0x80, 0, "a server masks no frame");
            let length = match length {
                126 => u64::from(socket.read_u16().await?),
                127 => socket.read_u64().await?,
                short => u64::from(short),
            };
            let mut payload = vec![0; length as usize];
            socket.read_exact(&mut payload).await?;
            if first == CLOSE {
                return Ok::<_, std::io::Error>(u16::from_be_bytes([payload[0], payload[1]]));
            }
        }
    };
    timeout(testkit::DEADLINE, reading).await.expect("a close frame in time").expect("a close frame before the end")
}

/// Sends bytes on a new session, and returns the close code of the session.
async fn code_after(gateway: &Gateway, bytes: &[u8]) -> u16 {
    let mut socket = open(gateway).await;
    socket.write_all(bytes).await.expect("the bytes are sent");
    close_code(&mut socket).await
}

#[tokio::test]
async fn each_violation_of_the_websocket_protocol_closes_the_session_with_1002() {
    let gateway = Gateway::start().await;
    let ping = br#"{"type":"ping"}"#;
    let violations: [(&str, Vec<u8>); 14] = [
        ("an unmasked text frame", [&[TEXT, ping.len() as u8][..], ping].concat()),
        ("an unmasked ping", vec![PING, 0]),
        ("the first reserved bit", frame(TEXT | 0x40, ping)),
        ("the second reserved bit", frame(TEXT | 0x20, ping)),
        ("the third reserved bit of a ping", frame(PING | 0x10, b"")),
        ("a continuation without a beginning", frame(LAST_CONTINUATION, ping)),
        ("a new message within a fragmented one", [frame(FIRST_TEXT, b"{"), frame(TEXT, ping)].concat()),
        ("a ping above 125 bytes", frame(PING, &[b'x'; 126])),
        ("a pong above 125 bytes", frame(PONG, &[b'x'; 4000])),
        ("a close frame above 125 bytes", frame(CLOSE, &[b'x'; 126])),
        ("a fragmented ping", frame(PING & 0x0f, b"")),
        ("a reserved data opcode", frame(0x83, ping)),
        ("a reserved control opcode", frame(0x8b, b"")),
        ("a close frame of one byte", frame(CLOSE, &[3])),
    ];
    for (what, bytes) in violations {
        assert_eq!(code_after(&gateway, &bytes).await, 1002, "{what}");
    }
    // a status code that no endpoint may send (RFC 6455, section 7.4.1)
    assert_eq!(code_after(&gateway, &frame(CLOSE, &1005_u16.to_be_bytes())).await, 1002);
}

#[tokio::test]
async fn text_that_is_not_utf_8_closes_the_session_with_1007() {
    let gateway = Gateway::start().await;
    assert_eq!(code_after(&gateway, &frame(TEXT, b"{\"type\":\"\xff\"}")).await, 1007);
    let split = [frame(FIRST_TEXT, b"{\"type\":\"\xc3"), frame(LAST_CONTINUATION, b"\x28\"}")].concat();
    assert_eq!(code_after(&gateway, &split).await, 1007);
    let reason = [&1000_u16.to_be_bytes()[..], b"\xff"].concat();
    assert_eq!(code_after(&gateway, &frame(CLOSE, &reason)).await, 1007);
}

#[tokio::test]
async fn the_close_frame_arrives_although_the_client_sent_more_bytes_after_its_violation() {
    let gateway = Gateway::start().await;
    let mut bytes = vec![PING, 0];
    // more than the read buffer of a session: a connection that is closed with unread bytes is reset
    bytes.extend((0..2000).flat_map(|_| frame(TEXT, br#"{"type":"ping"}"#)));
    assert_eq!(code_after(&gateway, &bytes).await, 1002);
}

#[tokio::test]
async fn valid_fragments_and_control_frames_of_125_bytes_keep_the_session_open() {
    let gateway = Gateway::start().await;
    let mut socket = open(&gateway).await;
    let valid = [
        frame(FIRST_TEXT, br#"{"type":"#),
        frame(PING, &[b'x'; 125]),
        frame(LAST_CONTINUATION, br#""ping"}"#),
        frame(PONG, b""),
        frame(CLOSE, &1000_u16.to_be_bytes()),
    ];
    socket.write_all(&valid.concat()).await.expect("the bytes are sent");
    assert_eq!(close_code(&mut socket).await, 1000, "the gateway repeats the code of the client");
}
