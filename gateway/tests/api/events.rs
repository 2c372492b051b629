//! Events over WebSocket and SSE, and their replay after a reconnect.

use std::time::Duration;

use chrono::TimeDelta;
use platform::units::{ByteSize, HumanDuration};
use protocol::{
    client::{ClientMessage, SessionResume},
    envelope::{EventBody, ProgressReport},
    export::Progress,
    id::{ExportId, Owner},
    problem::Slug,
    server::ServerMessage,
    subject,
};
use reqwest::{Method, StatusCode};
use serde_json::json;
use testkit::{
    client::{Client, Credential, Received},
    rest::Rest,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

use super::{sse::Stream, support::Gateway};

fn alice() -> Owner {
    Owner::new("acme", "alice")
}

/// A credits event, which tests identify by its balance.
fn event(balance: i64) -> EventBody {
    EventBody::Credits { balance, held: 0, reason: "grant".into() }
}

async fn connect(url: &str, token: &str) -> Client {
    Client::connect(url, Credential::Bearer(token)).await.expect("the session starts")
}

/// The epoch and sequence number at which a session starts.
fn start_of(client: &Client) -> (String, u64) {
    match &client.ready {
        ServerMessage::SessionReady { epoch, seq, .. } => (epoch.clone(), *seq),
        other => panic!("{other:?}"),
    }
}

/// Connects as soon as this gateway has read the event with this sequence number.
async fn connect_behind(url: &str, token: &str, seq: u64) -> Client {
    testkit::eventually("the gateway has read the event", async || {
        let client = connect(url, token).await;
        (start_of(&client).1 >= seq).then_some(client)
    })
    .await
}

async fn next_credits(client: &mut Client) -> (u64, i64) {
    let credits = |message: &ServerMessage| match message {
        ServerMessage::CreditsChanged { seq, balance, .. } => Some((*seq, *balance)),
        _ => None,
    };
    client.expect_text("credits.changed", credits).await
}

/// Sends `session.resume` and returns `recovered` and `replayed` of the answer.
async fn resume(client: &mut Client, epoch: &str, seq: u64) -> (bool, u64) {
    let resume = ClientMessage::SessionResume(SessionResume { epoch: epoch.to_owned(), seq });
    client.send(&resume, Some("resume")).await;
    let resumed = |message: &ServerMessage| match message {
        ServerMessage::SessionResumed { reference, recovered, replayed } => {
            assert_eq!(reference.as_deref(), Some("resume"));
            Some((*recovered, *replayed))
        }
        _ => None,
    };
    client.expect_text("session.resumed", resumed).await
}

#[tokio::test]
async fn missed_events_are_replayed_once_and_in_order_at_another_gateway() {
    let gateway = Gateway::start().await;
    let other = gateway.start_another().await;
    let token = gateway.token("alice", "acme");
    let mut first = connect(&gateway.url, &token).await;
    gateway.publish_event(&alice(), event(1)).await;
    let (epoch, (seen, 1)) = (start_of(&first).0, next_credits(&mut first).await) else { panic!("another event") };
    drop(first);
    for balance in 2..=4 {
        gateway.publish_event(&alice(), event(balance)).await;
        gateway.publish_event(&Owner::new("acme", "bob"), event(-balance)).await;
    }
    let mut client = connect_behind(&other, &token, seen + 6).await;
    // event 5 arrives during the replay
    let alice = alice();
    let (answer, ()) = tokio::join!(resume(&mut client, &epoch, seen), gateway.publish_event(&alice, event(5)));
    assert_eq!(answer, (true, 3));
    gateway.publish_event(&alice, event(6)).await;
    let mut received = Vec::new();
    while received.last() != Some(&6) {
        match client.next().await {
            Received::Text(ServerMessage::CreditsChanged { balance, .. }) => received.push(balance),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(received, [2, 3, 4, 5, 6]);
    // a client may resume a second time, from a later position
    assert_eq!(resume(&mut client, &epoch, seen + 4).await, (true, 1));
    assert_eq!(next_credits(&mut client).await.1, 4);
}

#[tokio::test]
async fn a_replay_up_to_the_limit_is_complete_and_above_the_limit_refused() {
    let gateway = Gateway::start_with(|config| config.tuning.max_replay_events = 600).await;
    let token = gateway.token("alice", "acme");
    let (epoch, seq) = start_of(&connect(&gateway.url, &token).await);
    for balance in 1..=600 {
        gateway.publish_event(&alice(), event(balance)).await;
    }
    let mut client = connect_behind(&gateway.url, &token, seq + 600).await;
    assert_eq!(resume(&mut client, &epoch, seq).await, (true, 600));
    for balance in 1..=600_i64 {
        assert_eq!(next_credits(&mut client).await, (seq + balance.unsigned_abs(), balance));
    }
    gateway.publish_event(&alice(), event(601)).await;
    assert_eq!(next_credits(&mut client).await.1, 601);
    assert_eq!(resume(&mut client, &epoch, seq).await, (false, 0), "more events than the limit");
}

#[tokio::test]
async fn a_replay_that_could_be_incomplete_is_refused() {
    let gateway = Gateway::start_with(|config| config.tuning.max_replay_size = ByteSize::from_bytes(2_000)).await;
    let token = gateway.token("alice", "acme");
    let (epoch, seq) = start_of(&connect(&gateway.url, &token).await);
    for balance in 1..=3 {
        gateway.publish_event(&alice(), event(balance)).await;
    }
    let mut client = connect_behind(&gateway.url, &token, seq + 3).await;
    assert_eq!(resume(&mut client, &epoch, seq + 3).await, (true, 0));
    assert_eq!(resume(&mut client, "another", seq + 3).await, (false, 0));
    assert_eq!(resume(&mut client, &epoch, seq + 4).await, (false, 0), "a sequence number that was never assigned");
    assert_eq!(resume(&mut client, &epoch, u64::MAX).await, (false, 0));
    let stream = gateway.bus.jetstream().get_stream(subject::STREAM_EVENTS).await.unwrap();
    stream.purge().sequence(seq + 3).await.unwrap();
    assert_eq!(resume(&mut client, &epoch, seq + 1).await, (false, 0), "one of the events was deleted");
    assert_eq!(resume(&mut client, &epoch, seq + 2).await, (true, 1));
    assert_eq!(next_credits(&mut client).await, (seq + 3, 3));
    let long = EventBody::Credits { balance: 4, held: 0, reason: "x".repeat(3_000) };
    gateway.publish_event(&alice(), long).await;
    assert_eq!(next_credits(&mut client).await, (seq + 4, 4), "live events still arrive");
    let mut client = connect_behind(&gateway.url, &token, seq + 4).await;
    assert_eq!(resume(&mut client, &epoch, seq + 2).await, (false, 0), "too many bytes");
}

#[tokio::test]
async fn a_recreated_event_stream_ends_sessions_and_refuses_old_positions() {
    let gateway =
        Gateway::start_with(|config| config.tuning.epoch_check_interval = HumanDuration::from_millis(50)).await;
    let token = gateway.token("alice", "acme");
    let mut old_client = connect(&gateway.url, &token).await;
    let (epoch, _) = start_of(&old_client);
    let rest = gateway.rest(&token);
    let mut stream = Stream::open(&rest, None).await;
    let id = stream.next().await.expect("session.ready").id.expect("an id");
    for balance in 1..=3 {
        gateway.publish_event(&alice(), event(balance)).await;
    }
    // NATS lost its data; the next connection creates the streams again
    gateway.bus.jetstream().delete_stream(subject::STREAM_EVENTS).await.unwrap();
    gateway.nats.bus().await;
    assert_eq!(old_client.expect_close().await, Some(1001));
    while stream.next().await.is_some() {}
    let mut client = testkit::eventually("the gateway reads the new stream", async || {
        let client = connect(&gateway.url, &token).await;
        (start_of(&client).0 != epoch).then_some(client)
    })
    .await;
    assert_eq!(resume(&mut client, &epoch, 3).await, (false, 0));
    gateway.publish_event(&alice(), event(7)).await;
    assert_eq!(next_credits(&mut client).await, (1, 7));
    let mut stream = Stream::open(&rest, Some(&id)).await;
    let resumed = stream.next().await.expect("session.resumed");
    assert_eq!((resumed.kind.as_str(), &resumed.data["recovered"]), ("session.resumed", &json!(false)));
}

#[tokio::test]
async fn sse_and_the_socket_deliver_the_same_events_with_the_same_numbers() {
    let gateway = Gateway::start().await;
    let token = gateway.token("alice", "acme");
    let rest = gateway.rest(&token);
    let mut stream = Stream::open(&rest, None).await;
    for (name, value) in
        [("content-type", "text/event-stream"), ("cache-control", "no-store"), ("x-accel-buffering", "no")]
    {
        assert_eq!(stream.response.headers()[name], value);
    }
    let mut client = connect(&gateway.url, &token).await;
    let (epoch, seq) = start_of(&client);
    let ready = stream.next().await.expect("session.ready");
    assert_eq!((ready.kind.as_str(), ready.id), ("session.ready", Some(format!("{epoch}:{seq}"))));
    assert_eq!((&ready.data["sub"], &ready.data["credits"]["balance"]), (&json!("alice"), &json!(5)));
    assert!(stream.retry_ms.is_some_and(|ms| (1_000..2_000).contains(&ms)), "{:?}", stream.retry_ms);

    gateway.publish_event(&Owner::new("acme", "bob"), event(1)).await;
    gateway.publish_event(&alice(), event(2)).await;
    let (number, 2) = next_credits(&mut client).await else { panic!("another event") };
    let changed = stream.next().await.expect("credits.changed");
    assert_eq!((changed.kind.as_str(), changed.id), ("credits.changed", Some(format!("{epoch}:{number}"))));
    assert_eq!(
        changed.data,
        json!({"type": "credits.changed", "seq": number, "balance": 2, "held": 0, "reason": "grant"})
    );

    let export_id = ExportId::generate();
    let report = ProgressReport { export_id, progress: Progress { rows: 9, ..Progress::default() } };
    // a progress report may be lost, so the test repeats it
    let publishing = async {
        loop {
            let payload = serde_json::to_vec(&report).unwrap();
            gateway.bus.client().publish(subject::progress(&alice(), export_id), payload.into()).await.unwrap();
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let progress = tokio::select! {
        progress = stream.next() => progress.expect("progress"),
        () = publishing => unreachable!(),
    };
    assert_eq!((progress.kind.as_str(), progress.id), ("export.progress", None));
    assert_eq!((&progress.data["export_id"], &progress.data["progress"]["rows"]), (&json!(export_id), &json!(9)));
}

#[tokio::test]
async fn an_idle_event_stream_sends_comments_as_heartbeats() {
    let gateway = Gateway::start_with(|config| config.ws.heartbeat_interval = HumanDuration::from_millis(100)).await;
    let mut stream = Stream::open(&gateway.rest(&gateway.token("alice", "acme")), None).await;
    assert_eq!(stream.next().await.expect("session.ready").kind, "session.ready");
    for _ in 0..2 {
        stream.next_comment().await;
    }
}

#[tokio::test]
async fn the_last_event_id_resumes_the_stream_at_another_gateway() {
    let gateway = Gateway::start().await;
    let token = gateway.token("alice", "acme");
    let other = Rest::new(&gateway.start_another().await, Some(&token));
    let mut stream = Stream::open(&gateway.rest(&token), None).await;
    stream.next().await.expect("session.ready");
    gateway.publish_event(&alice(), event(1)).await;
    let last = stream.next().await.expect("an event").id.expect("an id");
    drop(stream);
    for balance in 2..=4 {
        gateway.publish_event(&alice(), event(balance)).await;
    }
    let mut stream = Stream::open(&other, Some(&last)).await;
    let resumed = stream.next().await.expect("session.resumed");
    assert_eq!((resumed.kind.as_str(), &resumed.data["recovered"]), ("session.resumed", &json!(true)));
    // a client that disconnects here resumes from the same position
    assert_eq!(resumed.id.as_ref(), Some(&last));
    let ready = stream.next().await.expect("session.ready");
    assert_eq!((ready.kind.as_str(), ready.id), ("session.ready", Some(last)));
    gateway.publish_event(&alice(), event(5)).await;
    for balance in 2..=5 {
        assert_eq!(stream.next().await.expect("an event").data["balance"], balance);
    }
    for unknown in ["nonsense", "", "1:1"] {
        let mut stream = Stream::open(&other, Some(unknown)).await;
        let resumed = stream.next().await.expect("session.resumed");
        assert_eq!(
            (resumed.kind.as_str(), &resumed.data["recovered"]),
            ("session.resumed", &json!(false)),
            "{unknown}"
        );
        assert_eq!(stream.next().await.expect("session.ready").kind, "session.ready");
    }
}

#[tokio::test]
async fn an_event_stream_counts_as_a_session_and_ends_with_its_token() {
    let gateway = Gateway::start_with(|config| config.max_sessions_per_user = 1).await;
    let short = gateway.local.token("alice", "acme").expires_in(TimeDelta::seconds(2)).sign();
    let rest = gateway.rest(&short);
    let answer = rest.send(rest.request(Method::GET, "/v1/events").header("accept", "application/json")).await;
    assert_eq!((answer.status.as_u16(), answer.problem().slug()), (406, Slug::InvalidRequest));

    let stream = Stream::open(&rest, None).await;
    let answer = rest.get("/v1/events").await;
    assert_eq!((answer.status, answer.problem().slug()), (StatusCode::TOO_MANY_REQUESTS, Slug::RateLimited));
    assert!(answer.header("retry-after").is_some());
    drop(stream);
    let mut stream = testkit::eventually("the ended session is no longer registered", async || {
        let response = Stream::request(&rest, None).await;
        (response.status() == StatusCode::OK).then(|| Stream::of(response))
    })
    .await;
    assert_eq!(stream.next().await.expect("session.ready").kind, "session.ready");
    // far beyond the expiry, for every start time of the manual clock
    gateway.clock.advance(TimeDelta::minutes(10));
    assert_eq!(stream.next().await, None);
}

/// Opens an event stream with a small receive buffer and reads only its status.
async fn open_without_reading(url: &str, token: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("the OS creates a socket");
    socket.set_recv_buffer_size(4096).expect("the OS accepts a small buffer");
    let address = url.trim_start_matches("http://");
    let mut stream =
        socket.connect(address.parse().expect("the URL has an address")).await.expect("the gateway listens");
    let request = format!("GET /v1/events HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("the request is sent");
    let mut status = [0; 12];
    let read = tokio::time::timeout(testkit::DEADLINE, stream.read_exact(&mut status)).await;
    read.expect("an answer in time").expect("an answer");
    assert_eq!(&status, b"HTTP/1.1 200");
    stream
}

#[tokio::test]
async fn an_event_stream_whose_client_does_not_read_ends() {
    let gateway = Gateway::start_with(|config| {
        config.max_sessions_per_user = 1;
        config.ws.write_timeout = HumanDuration::from_millis(200);
    })
    .await;
    let token = gateway.token("alice", "acme");
    let rest = gateway.rest(&token);
    let stuck = open_without_reading(&gateway.url, &token).await;
    // a few of these events exceed all buffers between gateway and client
    let long = EventBody::Credits { balance: 1, held: 0, reason: "x".repeat(100_000) };
    let reopened = testkit::eventually("the ended session is no longer registered", async || {
        gateway.publish_event(&alice(), long.clone()).await;
        let response = Stream::request(&rest, None).await;
        (response.status() == StatusCode::OK).then_some(response)
    })
    .await;
    drop((stuck, reopened));
}
