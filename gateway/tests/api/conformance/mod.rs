//! The cases of the Autobahn test suite that apply to a gateway: sections 1 to 7 and 10 (RFC 6455).
//!
//! Autobahn expects a server that repeats each message. A gateway answers messages of its own protocol instead, so the text
//! of a case is the `ref` of a `ping` message, which its `pong` repeats. An empty or a binary message is no message of the
//! protocol, and ends the session with 4400. Section 9 measures speed, and sections 12 and 13 test an extension that gateways
//! do not offer.

mod cases;
mod utf8;

use serde_json::Value;
use tokio::{io::AsyncWriteExt, net::TcpStream};

use self::cases::{Case, End, Split};
use super::{
    raw_socket::{self, CLOSE, Frame, PONG, TEXT, close},
    support::Gateway,
};

/// What a gateway has sent on a session.
#[derive(Default)]
struct Received {
    answers: Vec<String>,
    pongs: Vec<Vec<u8>>,
}

impl Received {
    fn add(&mut self, frame: Frame) {
        if frame.first == PONG {
            self.pongs.push(frame.payload);
        } else if frame.first == TEXT {
            let message: Value = serde_json::from_slice(&frame.payload).expect("messages are JSON");
            if message["type"] == "pong" {
                self.answers.push(message["ref"].as_str().expect("a text").to_owned());
            }
        }
    }
}

/// Sends the frames of a case. The gateway may end the session before it has read all of them.
async fn send(socket: &mut TcpStream, case: &Case) {
    let whole = case.frames.concat();
    let parts: Vec<&[u8]> = match case.split {
        Split::None => vec![&whole],
        Split::Frames => case.frames.iter().map(Vec::as_slice).collect(),
        Split::Bytes(count) => whole.chunks(count).collect(),
    };
    for part in parts {
        if socket.write_all(part).await.is_err() {
            return;
        }
    }
}

async fn check(gateway: &Gateway, case: &Case) {
    let mut socket = raw_socket::open(gateway).await;
    send(&mut socket, case).await;
    let mut received = Received::default();
    let has_all =
        |received: &Received| received.answers.len() >= case.answers.len() && received.pongs.len() >= case.pongs.len();
    let mut asked = false;
    let code = loop {
        if case.end == End::Open && !asked && has_all(&received) {
            socket.write_all(&close(1000, b"")).await.expect("the session is open");
            asked = true;
        }
        let frame = raw_socket::next(&mut socket).await;
        if frame.first == CLOSE {
            break raw_socket::code(&frame);
        }
        received.add(frame);
    };
    let id = &case.id;
    match case.end {
        End::Open => {
            assert_eq!(code, Some(1000), "{id}");
            assert_eq!((&received.answers, &received.pongs), (&case.answers, &case.pongs), "{id}");
        }
        End::Closed(expected) => {
            assert_eq!(code, expected, "{id}");
            assert!(case.answers.starts_with(&received.answers) && received.pongs.is_empty(), "{id}");
        }
    }
}

async fn check_all(cases: Vec<Case>, count: usize) {
    assert_eq!(cases.len(), count);
    let gateway = Gateway::start().await;
    for case in &cases {
        check(&gateway, case).await;
    }
}

#[tokio::test]
async fn messages_pings_and_reserved_bits_conform_to_sections_1_to_4() {
    let cases = [cases::framing(), cases::pings(), cases::reserved()];
    check_all(cases.into_iter().flatten().collect(), 16 + 11 + 7 + 10).await;
}

#[tokio::test]
async fn fragments_conform_to_section_5() {
    check_all(cases::fragmentation(), 20).await;
}

#[tokio::test]
async fn texts_conform_to_section_6() {
    check_all(cases::texts(), 145).await;
}

#[tokio::test]
async fn close_frames_and_sizes_conform_to_sections_7_and_10() {
    check_all([cases::closing(), cases::sizes()].into_iter().flatten().collect(), 37 + 2).await;
}
