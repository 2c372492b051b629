//! Frames that violate the WebSocket protocol (RFC 6455), as bytes on a TCP connection, and the close code of each.

use tokio::io::AsyncWriteExt;

use super::{
    raw_socket::{CLOSE, FIRST_TEXT, LAST_CONTINUATION, PING, PONG, TEXT, close_code, frame, open},
    support::Gateway,
};

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
