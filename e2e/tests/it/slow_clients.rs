//! What clients that read slowly, and sessions that have left, cost a gateway in memory.

use e2e::{ExportPause, Fleet, Plan};
use futures::{StreamExt, stream};
use protocol::{
    client::{Deliver, ExportCreate},
    export::{Export, Status},
    problem::Slug,
};
use reqwest::StatusCode;
use testkit::{
    client::{Client, Credential},
    eventually,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
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

/// Requests the file, reads the header of the response, and then nothing. Returns the status line.
async fn slow_download(fleet: &Fleet, export: &Export) -> (TcpStream, String) {
    let address = fleet.url().trim_start_matches("http://");
    let mut stream = testkit::narrow_connection(address).await;
    let (path, token) = (&export.links.file, fleet.token("alice", "acme"));
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("the gateway reads the request");
    let mut status = Vec::new();
    while !status.ends_with(b"\r\n") {
        status.push(stream.read_u8().await.expect("the gateway responds"));
    }
    (stream, String::from_utf8(status).expect("a status line is text"))
}

#[tokio::test]
async fn slow_downloads_hold_little_memory_and_one_user_has_a_limited_number() {
    const MAX_DOWNLOADS: usize = 16;
    let fleet = Fleet::small().await;
    let mut client = fleet.client().await;
    let export = client.create(ExportCreate { dataset: "flights".into(), ..ExportCreate::default() }).await;
    let export = client.ended(export.id).await;
    let rest = fleet.rest();
    let whole = rest.get(&export.links.file).await;
    assert_eq!(whole.status, StatusCode::OK);
    let before = fleet.gateways[0].memory().current;
    let mut slow = vec![];
    for _ in 0..MAX_DOWNLOADS {
        let (stream, status) = slow_download(&fleet, &export).await;
        assert!(status.contains("200"), "{status}");
        slow.push(stream);
    }
    let refused = rest.get(&export.links.file).await;
    assert_eq!((refused.status, refused.problem().slug()), (StatusCode::TOO_MANY_REQUESTS, Slug::RateLimited));
    assert_eq!(refused.header("retry-after"), Some("5"));
    let grown = fleet.gateways[0].memory().current.saturating_sub(before);
    println!("{MAX_DOWNLOADS} slow downloads: {} KiB", grown / KIB);
    assert!(grown < MAX_DOWNLOADS as u64 * 400 * KIB, "{MAX_DOWNLOADS} slow downloads took {} KiB", grown / KIB);
    // a download ends with its connection
    slow.pop();
    let answer = eventually("a download is permitted", async || {
        let answer = rest.get(&export.links.file).await;
        (answer.status == StatusCode::OK).then_some(answer)
    });
    assert_eq!(answer.await.body, whole.body);
}
