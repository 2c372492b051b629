//! The lifetime of WebSocket sessions: invalid frames, heartbeats and the session limit.

use platform::units::HumanDuration;
use protocol::{
    client::{ClientMessage, Ping},
    server::ServerMessage,
};
use reqwest::{Method, StatusCode};
use serde_json::Value;
use testkit::client::{Client, Credential};
use tokio::io::AsyncWriteExt;

use super::{
    raw_socket::{self, CLOSE, PING, frame},
    sse::Stream,
    support::Gateway,
};

#[tokio::test]
async fn an_invalid_frame_closes_the_session_with_its_code() {
    let gateway = Gateway::start().await;
    let token = gateway.token("alice", "acme");
    let connect = async || Client::connect(&gateway.url, Credential::Bearer(&token)).await.expect("the session starts");

    let mut client = connect().await;
    client.send_text("{not json").await;
    assert_eq!(client.expect_close().await, Some(4400));

    let mut client = connect().await;
    client.send_binary(vec![1; 16]).await;
    assert_eq!(client.expect_close().await, Some(4400));

    let mut client = connect().await;
    client.send_text(&format!("{{\"type\":\"ping\",\"ref\":\"{}\"}}", "x".repeat(10 << 20))).await;
    assert_eq!(client.expect_close().await, Some(1009));

    // the server accepts further sessions
    connect().await;
}

#[tokio::test]
async fn a_burst_within_the_limit_is_answered_and_a_longer_one_closes_with_4429() {
    let gateway = Gateway::start().await;
    let token = gateway.token("alice", "acme");
    let mut client = Client::connect(&gateway.url, Credential::Bearer(&token)).await.expect("the session starts");
    let ping = ClientMessage::Ping(Ping {});
    // the answers exceed the outbox, so the gateway reads on only when the client does
    for number in 0..450 {
        client.send(&ping, Some(&number.to_string())).await;
    }
    for number in 0..450 {
        let pong = |message: &ServerMessage| match message {
            ServerMessage::Pong { reference } => (*reference == Some(number.to_string())).then_some(()),
            _ => None,
        };
        client.expect_text("pong", pong).await;
    }

    let slow = gateway.another(|config| config.ws.messages_per_second = 1).await;
    for is_control in [false, true] {
        let mut client = Client::connect(&slow, Credential::Bearer(&token)).await.expect("the session starts");
        for _ in 0..1_000 {
            let sent = if is_control { client.try_ping(b"").await } else { client.try_send(&ping, None).await };
            if !sent {
                break;
            }
        }
        assert_eq!(client.expect_close().await, Some(4429), "{is_control}");
    }
}

#[tokio::test]
async fn a_client_that_answers_no_ping_loses_its_session() {
    let gateway = Gateway::start_with(|config| {
        config.ws.heartbeat_interval = HumanDuration::from_millis(100);
        config.max_sessions_per_user = 1;
    })
    .await;
    let token = gateway.token("alice", "acme");
    let client = Client::connect(&gateway.url, Credential::Bearer(&token)).await.expect("the session starts");
    let rest = gateway.rest(&token);
    // a client that does not read answers no ping, so its session ends after two pings
    testkit::eventually("the dead client's session has ended", async || {
        let answer = rest.send(rest.request(Method::POST, "/v1/tickets")).await;
        let ticket = answer.json::<Value>()["ticket"].as_str()?.to_owned();
        let request = raw_handshake(&gateway.url, &ticket).await;
        request.contains("session.ready").then_some(())
    })
    .await;
    drop(client);
}

#[tokio::test]
async fn slow_a_client_that_pings_and_reads_nothing_loses_its_session_within_the_write_timeout() {
    let gateway = Gateway::start_with(|config| {
        config.ws.heartbeat_interval = HumanDuration::from_millis(200);
        config.ws.write_timeout = HumanDuration::from_millis(500);
        // the rate limit must not end the session
        config.ws.messages_per_second = 10_000_000;
        config.max_sessions_per_user = 1;
    })
    .await;
    let connection = testkit::narrow_connection(gateway.url.trim_start_matches("http://")).await;
    let (mut reading, mut writing) = raw_socket::open_on(connection, &gateway).await.into_split();
    let pings = frame(PING, &[b'x'; 125]).repeat(100);
    let flood = tokio::spawn(async move { while writing.write_all(&pings).await.is_ok() {} });
    // the pings prove that the client is alive, so only a write that takes too long ends the session
    let token = gateway.token("alice", "acme");
    testkit::eventually("the session has ended, so that its user may open another one", async || {
        let next = Client::try_connect(&gateway.url, Credential::Bearer(&token), None).await;
        next.is_ok_and(|session| session.is_ok()).then_some(())
    })
    .await;
    // the client reads again: the answers to its pings, and then the close frame, or the end of the connection
    let end = loop {
        match raw_socket::try_next(&mut reading).await {
            Ok(answer) if answer.first == CLOSE => break raw_socket::code(&answer),
            Ok(_) => {}
            Err(_) => break None,
        }
    };
    assert!(matches!(end, Some(4408) | None), "{end:?}");
    // the gateway drops the connection, however long the client goes on
    flood.await.expect("the client ends");
}

#[tokio::test]
async fn the_metrics_count_open_sessions_by_transport() {
    let metrics = platform::telemetry::init_metrics().unwrap();
    let gateway = Gateway::start().await;
    let sessions = async |websocket: u32, sse: u32| {
        let wanted = [("websocket", websocket), ("sse", sse)]
            .map(|(transport, open)| format!(r#"sluice_gateway_sessions{{transport="{transport}"}} {open}"#));
        testkit::eventually("the metrics show the open sessions", async || {
            let text = metrics.render();
            wanted.iter().all(|wanted| text.lines().any(|line| line == wanted)).then_some(())
        })
        .await;
    };
    let token = gateway.token("alice", "acme");
    let connect = async || Client::connect(&gateway.url, Credential::Bearer(&token)).await.expect("the session starts");
    let (first, second) = (connect().await, connect().await);
    let stream = Stream::open(&gateway.rest(&token), None).await;
    sessions(2, 1).await;
    drop(stream);
    sessions(2, 0).await;
    drop((first, second));
    sessions(0, 0).await;
}

#[tokio::test]
async fn a_pause_of_the_gateway_does_not_end_its_sessions() {
    let gateway = Gateway::start_with(|config| config.ws.heartbeat_interval = HumanDuration::from_millis(700)).await;
    let token = gateway.token("alice", "acme");
    let mut client = Client::connect(&gateway.url, Credential::Bearer(&token)).await.expect("the session starts");
    // blocks the gateway, which runs on this thread
    std::thread::sleep(std::time::Duration::from_secs(3));
    // the gateway runs its timers before the client answers pings
    assert_eq!(gateway.rest(&token).get("/healthz").await.status, StatusCode::OK);
    client.send_text(r#"{"type":"ping","ref":"alive"}"#).await;
    let pong = |m: &ServerMessage| matches!(m, ServerMessage::Pong { .. }).then_some(());
    client.expect_text("pong", pong).await;
}

/// Opens a socket without the client library, because a session above the limit closes before its first message.
async fn raw_handshake(url: &str, ticket: &str) -> String {
    use tokio::io::AsyncReadExt;
    let address = url.trim_start_matches("http://");
    let mut socket = tokio::net::TcpStream::connect(address).await.expect("the gateway listens");
    let request = format!(
        "GET /v1/ws HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Protocol: sluice.v1, sluice.ticket.{ticket}\r\n\r\n"
    );
    socket.write_all(request.as_bytes()).await.expect("the request is sent");
    let mut all = Vec::new();
    let reading = async {
        let mut buffer = [0; 4096];
        loop {
            match socket.read(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(read) => all.extend_from_slice(&buffer[..read]),
            }
            if String::from_utf8_lossy(&all).contains("session.ready") {
                return;
            }
        }
    };
    // a timeout means that the session was closed
    let _ = tokio::time::timeout(std::time::Duration::from_secs(2), reading).await;
    String::from_utf8_lossy(&all).into_owned()
}
