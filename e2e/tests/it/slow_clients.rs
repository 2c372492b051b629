//! What clients that read slowly, and sessions that have left, cost a gateway in memory.

use e2e::{ExportPause, Fleet, Plan, Setting};
use futures::{StreamExt, stream};
use protocol::{
    client::{Deliver, ExportCreate},
    export::{Export, Status},
    problem::Slug,
};
use reqwest::StatusCode;
use serde_json::json;
use testkit::{
    client::{Client, Credential},
    eventually,
    fault::{Proxy, free_port},
    rest::Rest,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
/// The most memory that one slow download may cost a gateway of a development build, in KiB.
const MAX_KIB_OF_DOWNLOAD: u64 = 300;
/// The number of downloads that one user may have at the same time.
const MAX_DOWNLOADS: usize = 16;
/// The number of sessions that begin at the same time.
const CONCURRENCY: usize = 32;

fn all_flights(window: u64) -> ExportCreate {
    ExportCreate {
        dataset: "flights".into(),
        deliver: Deliver::Stream,
        window: Some(window),
        ..ExportCreate::default()
    }
}

/// Opens this number of sessions. Each user has as many as `per_user`.
async fn open_sessions(fleet: &Fleet, count: usize, per_user: usize) -> Vec<Client> {
    let opening = stream::iter(0..count).map(|n| async move {
        let token = fleet.token(&format!("user-{}", n / per_user), "acme");
        Client::connect(fleet.url(), Credential::Bearer(&token)).await.expect("the session starts")
    });
    opening.buffer_unordered(CONCURRENCY).collect().await
}

#[tokio::test]
async fn heavy_slow_readers_of_a_running_export_hold_little_memory() {
    const READERS: usize = 1_000;
    let mut settings = ExportPause::settings();
    settings.push(("SLUICE_GATEWAY__MAX_SESSIONS_PER_USER", "2000".to_owned()));
    let fleet = Fleet::start(Plan { postgres: true, settings, ..Plan::default() }).await;
    let pause = ExportPause::begin(&fleet).await;
    let mut quick = fleet.client().await;
    let export = quick.create(all_flights(MIB)).await;
    let opened = quick.opened(export.id, MIB).await;
    let before = fleet.gateways[0].memory().current;

    let token = fleet.token("alice", "acme");
    let opening = stream::iter(0..READERS).map(|_| async {
        let mut slow = Client::connect_narrow(fleet.url(), Credential::Bearer(&token)).await;
        assert_eq!(slow.create(all_flights(64 * MIB)).await.id, export.id);
        slow.opened(export.id, 64 * MIB).await;
        slow
    });
    let slow: Vec<Client> = opening.buffer_unordered(CONCURRENCY).collect().await;
    let open = fleet.gateways[0].memory().current;
    pause.end().await;
    assert_eq!(quick.collect(opened, false).await.seal().rows, 3_000_000);
    assert_eq!(quick.ended(export.id).await.status, Status::Completed);
    let peak = fleet.gateways[0].memory().peak;
    drop(slow);
    println!(
        "{READERS} slow readers: from {} MiB to {} MiB when open, {} MiB at the peak",
        before / MIB,
        open / MIB,
        peak / MIB
    );
    assert!(peak < before + 100 * MIB, "{READERS} slow readers took {} MiB", (peak - before) / MIB);
}

#[tokio::test]
async fn heavy_memory_returns_after_sessions_have_left() {
    const SESSIONS: usize = 12_000;
    const PER_USER: usize = 20;
    let settings = vec![("SLUICE_GATEWAY__MAX_CONNECTIONS", (SESSIONS + 100).to_string())];
    let fleet = Fleet::start(Plan { settings, ..Plan::default() }).await;
    let gateway = &fleet.gateways[0];
    // the first sessions load code and fill caches, which stay
    drop(open_sessions(&fleet, CONCURRENCY, PER_USER).await);
    let before = gateway.memory().current;
    let sessions = open_sessions(&fleet, SESSIONS, PER_USER).await;
    let open = gateway.memory().current;
    drop(sessions);
    let after = eventually("the memory returns", async || {
        let now = gateway.memory().current;
        (now <= before * 3 / 2).then_some(now)
    });
    let after = after.await;
    println!("{SESSIONS} sessions: {} MiB before, {} MiB open, {} MiB after", before / MIB, open / MIB, after / MIB);
}

/// Requests the file, and reads only the status line of the response. Returns the connection and the status line.
async fn slow_download(fleet: &Fleet, user: &str, export: &Export) -> (TcpStream, String) {
    let address = fleet.url().trim_start_matches("http://");
    let mut stream = testkit::narrow_connection(address).await;
    let (path, token) = (&export.links.file, fleet.token(user, "acme"));
    let request =
        format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("the gateway reads the request");
    let mut status = Vec::new();
    while !status.ends_with(b"\r\n") {
        status.push(stream.read_u8().await.expect("the gateway responds"));
    }
    (stream, String::from_utf8(status).expect("a status line is text"))
}

/// Creates an export as a user of acme, and returns the completed export.
async fn completed_export(fleet: &Fleet, user: &str, request: ExportCreate) -> Export {
    let token = fleet.token(user, "acme");
    let mut client = Client::connect(fleet.url(), Credential::Bearer(&token)).await.expect("the session starts");
    let id = client.create(request).await.id;
    let export = client.ended(id).await;
    assert_eq!(export.status, Status::Completed, "{:?}", export.problem);
    export
}

#[tokio::test]
async fn one_user_has_a_limited_number_of_slow_downloads() {
    let fleet = Fleet::small().await;
    let export =
        completed_export(&fleet, "alice", ExportCreate { dataset: "flights".into(), ..ExportCreate::default() }).await;
    let rest = fleet.rest();
    let whole = rest.get(&export.links.file).await;
    assert_eq!(whole.status, StatusCode::OK);
    let mut slow = vec![];
    for _ in 0..MAX_DOWNLOADS {
        let (stream, status) = slow_download(&fleet, "alice", &export).await;
        assert!(status.contains("200"), "{status}");
        slow.push(stream);
    }
    let refused = rest.get(&export.links.file).await;
    assert_eq!((refused.status, refused.problem().slug()), (StatusCode::TOO_MANY_REQUESTS, Slug::RateLimited));
    assert_eq!(refused.header("retry-after"), Some("5"));
    // a download ends with its connection
    slow.pop();
    let answer = eventually("a download is permitted", async || {
        let answer = rest.get(&export.links.file).await;
        (answer.status == StatusCode::OK).then_some(answer)
    });
    assert_eq!(answer.await.body, whole.body);
}

/// Starts a fleet with these settings whose gateway reaches the notifier through the returned proxy.
async fn fleet_with_proxied_notifier(mut settings: Vec<Setting>) -> (Fleet, Proxy) {
    let notifier = format!("127.0.0.1:{}", free_port());
    let proxy = Proxy::start(&notifier).await;
    settings.push(("SLUICE_NOTIFIER__INTERNAL_LISTEN", notifier));
    settings.push(("SLUICE_NOTIFIER__ADVERTISE_URL", proxy.url()));
    (Fleet::start(Plan { settings, ..Plan::default() }).await, proxy)
}

/// Returns a request for a file of about a megabyte, which exceeds the buffers between the notifier and a client that
/// reads nothing.
fn late_flights_of_seattle() -> ExportCreate {
    let filter = Some(json!({"origin": {"eq": "SEA"}, "delay": {"gte": 10}}));
    ExportCreate { dataset: "flights".into(), filter, ..ExportCreate::default() }
}

#[tokio::test]
async fn slow_many_slow_downloads_hold_little_memory() {
    const USERS: usize = 6;
    const DOWNLOADS: usize = USERS * MAX_DOWNLOADS;
    let (fleet, proxy) = fleet_with_proxied_notifier(vec![]).await;
    let (fleet, gateway) = (&fleet, &fleet.gateways[0]);
    let user = |n: usize| format!("user-{n}");
    let mut exports = vec![];
    for n in 0..USERS {
        exports.push(completed_export(fleet, &user(n), late_flights_of_seattle()).await);
    }
    let exports = &exports;
    // the first download loads code, which stays
    let rest = Rest::new(fleet.url(), Some(&fleet.token(&user(0), "acme")));
    assert_eq!(rest.get(&exports[0].links.file).await.status, StatusCode::OK);
    gateway.reset_peak();
    let before = gateway.memory().current;
    let opening = stream::iter(0..DOWNLOADS).map(|n| async move {
        let (stream, status) = slow_download(fleet, &user(n % USERS), &exports[n % USERS]).await;
        assert!(status.contains("200"), "{status}");
        stream
    });
    let slow: Vec<TcpStream> = opening.buffer_unordered(CONCURRENCY).collect().await;
    eventually("each download stands still", async || (proxy.open_connections() == 0).then_some(())).await;
    let grown = gateway.memory().peak.saturating_sub(before);
    drop(slow);
    println!("{DOWNLOADS} slow downloads: {} KiB each at the peak", grown / KIB / DOWNLOADS as u64);
    assert!(
        grown < DOWNLOADS as u64 * MAX_KIB_OF_DOWNLOAD * KIB,
        "{DOWNLOADS} slow downloads took {} KiB",
        grown / KIB
    );
}

#[tokio::test]
async fn slow_clients_that_stand_still_give_their_connections_back_and_continue_at_the_exact_byte() {
    // the session may stand still for as long as the test takes
    let settings = vec![
        ("SLUICE_GATEWAY__WS__WRITE_TIMEOUT", "1h".to_owned()),
        ("SLUICE_GATEWAY__WS__HEARTBEAT_INTERVAL", "1h".to_owned()),
    ];
    let (fleet, proxy) = fleet_with_proxied_notifier(settings).await;
    let export = completed_export(&fleet, "alice", late_flights_of_seattle()).await;
    let file = export.file.clone().expect("a completed export has a file");

    let (mut download, status) = slow_download(&fleet, "alice", &export).await;
    assert!(status.contains("200"), "{status}");
    let mut session = Client::connect_narrow(fleet.url(), Credential::Bearer(&fleet.token("alice", "acme"))).await;
    let opened = session.open(export.id, 0, 64 * MIB).await;
    let both = async || (proxy.connections() >= 2).then_some(());
    eventually("both deliveries have a connection to the notifier", both).await;
    eventually("no delivery has a connection", async || (proxy.open_connections() == 0).then_some(())).await;
    let before = proxy.connections();

    testkit::widen_connection(&download);
    let mut response = vec![];
    download.read_to_end(&mut response).await.expect("the download ends");
    let body = response.len() - usize::try_from(file.size).expect("a small file");
    assert_eq!(testkit::sha256(&response[body..]), file.sha256);
    session.widen();
    assert_eq!(session.collect(opened, false).await.seal().sha256, file.sha256);
    assert!(proxy.connections() > before, "the deliveries connected again");
}

#[tokio::test]
async fn slow_sessions_that_ping_and_read_nothing_hold_little_memory_and_end() {
    const SESSIONS: usize = 4;
    /// A session's write buffer has 2 MiB; the rest is room for the allocator.
    const MAX_GROWTH: u64 = 32 * MIB;
    const PING: &[u8] = &[b'x'; 125];
    let settings = vec![
        // the rate limit must not end the sessions
        ("SLUICE_GATEWAY__WS__MESSAGES_PER_SECOND", "10000000".to_owned()),
        ("SLUICE_GATEWAY__WS__HEARTBEAT_INTERVAL", "2s".to_owned()),
        ("SLUICE_GATEWAY__WS__WRITE_TIMEOUT", "15s".to_owned()),
    ];
    let fleet = Fleet::start(Plan { settings, ..Plan::default() }).await;
    let gateway = &fleet.gateways[0];
    let token = fleet.token("alice", "acme");
    let connecting = (0..SESSIONS).map(|_| Client::connect_narrow(fleet.url(), Credential::Bearer(&token)));
    let sessions = futures::future::join_all(connecting).await;
    gateway.reset_peak();
    let before = gateway.memory().current;
    // each session pings until the gateway drops its connection
    let pinging = sessions.into_iter().map(|mut session| {
        tokio::spawn(async move {
            let mut sent = 0;
            while session.try_ping(PING).await {
                sent += PING.len() as u64;
            }
            sent
        })
    });
    let pinging = futures::future::try_join_all(pinging.collect::<Vec<_>>());
    let sent = tokio::time::timeout(testkit::DEADLINE, pinging).await.expect("the sessions end").expect("no panic");
    let grown = gateway.memory().peak.saturating_sub(before);
    println!("{SESSIONS} sessions sent {} MiB of pings: {} MiB more", sent.iter().sum::<u64>() / MIB, grown / MIB);
    assert!(grown < MAX_GROWTH, "{SESSIONS} sessions took {} MiB", grown / MIB);
    let ended = eventually("the log names the close code of each session", async || {
        let log = gateway.stderr();
        let ends: Vec<_> = log.lines().filter(|line| line.contains("session ended")).map(str::to_owned).collect();
        (ends.len() == SESSIONS).then_some(ends)
    })
    .await;
    assert!(ended.iter().all(|line| line.contains("4408")), "{ended:?}");
}
